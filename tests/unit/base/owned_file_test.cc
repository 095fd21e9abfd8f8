// SPDX-License-Identifier: Apache-2.0
#include "src/base/owned_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "src/base/file.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using testing::IsError;
using testing::IsOk;

class OwnedFileTest : public ::testing::Test {
 protected:
  OwnedFileTest() {
    std::string pattern = ::testing::TempDir() + "/forekey-owned-XXXXXX";
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    // Only root can give anything to somebody else.
    if (geteuid() == 0) owner_ = {65534, 65534};
  }
  ~OwnedFileTest() override { std::filesystem::remove_all(directory_); }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  static uid_t UserOf(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(lstat(path.c_str(), &info), 0);
    return info.st_uid;
  }
  std::string directory_;
  FileOwner owner_{geteuid(), getegid()};
};

TEST_F(OwnedFileTest, AFileIsItsOwnersAndWhatALinkNamedIsNot) {
  ASSERT_THAT(WriteFileAtomically(Path("mine"), "secret", 0600), IsOk());
  std::filesystem::create_symlink(Path("mine"), Path("theirs"));
  ASSERT_THAT(WriteOwnedFileAtomically(Path("theirs"), "x", 0600, owner_), IsOk());
  EXPECT_EQ(UserOf(Path("theirs")), owner_.uid);
  EXPECT_EQ(*ReadFile(Path("theirs")), "x");
  EXPECT_EQ(UserOf(Path("mine")), geteuid());
  EXPECT_EQ(*ReadFile(Path("mine")), "secret");
}

TEST_F(OwnedFileTest, AFolderIsGivenAndNoLinkToOne) {
  std::filesystem::create_directory(Path("mine"));
  std::filesystem::create_directory_symlink(Path("mine"), Path("link"));
  EXPECT_THAT(GiveFolder(Path("link"), owner_),
              IsError(absl::StatusCode::kFailedPrecondition, "is not a folder"));
  EXPECT_EQ(UserOf(Path("mine")), geteuid());
  ASSERT_THAT(GiveFolder(Path("mine"), owner_), IsOk());
  EXPECT_EQ(UserOf(Path("mine")), owner_.uid);
  if (geteuid() == 0) {
    EXPECT_THAT(GiveFolder(Path("mine"), {1, 1}),
                IsError(absl::StatusCode::kFailedPrecondition, "belongs to uid 65534"));
  }
}

TEST_F(OwnedFileTest, NobodyElseIsNobodyElse) {
  ASSERT_THAT(WriteOwnedFileAtomically(Path("file"), "x", 0600, {}), IsOk());
  EXPECT_EQ(UserOf(Path("file")), geteuid());
}

}  // namespace
}  // namespace forekey

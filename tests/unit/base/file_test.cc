// SPDX-License-Identifier: Apache-2.0
#include "src/base/file.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using testing::IsError;
using testing::IsOk;

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/forekey-file-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  static mode_t ModeOf(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(stat(path.c_str(), &info), 0);
    return info.st_mode & 07777;
  }
  std::string directory_;
};

TEST_F(FileTest, WritesAndReadsWhole) {
  const std::string content(200000, '\0');
  ASSERT_THAT(WriteFileAtomically(Path("a"), content), IsOk());
  auto read = ReadFile(Path("a"));
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(*read, content);
  ASSERT_THAT(WriteFileAtomically(Path("a"), "new"), IsOk());
  EXPECT_EQ(*ReadFile(Path("a")), "new");
}

TEST_F(FileTest, ModesAreExactWhateverTheUmask) {
  const mode_t old = umask(0077);
  ASSERT_THAT(WriteFileAtomically(Path("public"), "x"), IsOk());
  umask(0);
  ASSERT_THAT(WriteFileAtomically(Path("private"), "x", 0600), IsOk());
  ASSERT_THAT(EnsurePrivateDirectory(Path("one/two")), IsOk());
  umask(old);
  EXPECT_EQ(ModeOf(Path("public")), 0644u);
  EXPECT_EQ(ModeOf(Path("private")), 0600u);
  EXPECT_EQ(ModeOf(Path("one")), 0700u);
  EXPECT_EQ(ModeOf(Path("one/two")), 0700u);
}

TEST_F(FileTest, LeavesNothingBehindWhenItCannotWrite) {
  ASSERT_EQ(mkdir(Path("target").c_str(), 0700), 0);
  EXPECT_FALSE(WriteFileAtomically(Path("target"), "x").ok());  // a folder can't be renamed over
  EXPECT_FALSE(WriteFileAtomically(Path("missing/file"), "x").ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1);
}

TEST_F(FileTest, BoundsWhatItReads) {
  ASSERT_THAT(WriteFileAtomically(Path("a"), "12345"), IsOk());
  EXPECT_THAT(ReadFile(Path("a"), 5), IsOk());
  EXPECT_THAT(ReadFile(Path("a"), 4), IsError(absl::StatusCode::kResourceExhausted, "4 bytes"));
  EXPECT_THAT(ReadFile("/dev/zero", 1 << 20), IsError(absl::StatusCode::kResourceExhausted, ""));
  EXPECT_THAT(ReadFile(Path("none")), IsError(absl::StatusCode::kNotFound, "none"));
  EXPECT_FALSE(ReadFile(directory_).ok());
}

TEST_F(FileTest, KeysThatOthersMayReadAreRefused) {
  ASSERT_THAT(WriteFileAtomically(Path("key"), "k", 0600), IsOk());
  EXPECT_THAT(ReadPrivateFile(Path("key")), IsOk());
  for (mode_t mode : {0640, 0604, 0620, 0610, 0644}) {
    ASSERT_EQ(chmod(Path("key").c_str(), mode), 0);
    EXPECT_THAT(ReadPrivateFile(Path("key")),
                IsError(absl::StatusCode::kFailedPrecondition, "chmod 600"));
  }
}

TEST_F(FileTest, FoldersThatOthersMayEnterAreRefused) {
  EXPECT_THAT(EnsurePrivateDirectory(directory_), IsOk());
  ASSERT_EQ(chmod(directory_.c_str(), 0755), 0);
  EXPECT_THAT(EnsurePrivateDirectory(directory_),
              IsError(absl::StatusCode::kFailedPrecondition, "chmod 700"));
  EXPECT_THAT(EnsurePrivateDirectory(""), IsError(absl::StatusCode::kInvalidArgument, ""));
  ASSERT_THAT(WriteFileAtomically(Path("file"), "x", 0600), IsOk());
  EXPECT_THAT(EnsurePrivateDirectory(Path("file")),
              IsError(absl::StatusCode::kFailedPrecondition, "not a folder"));
}

TEST_F(FileTest, ListsRegularFilesSorted) {
  for (const char* name : {"b", "a", ".hidden"}) {
    ASSERT_THAT(WriteFileAtomically(Path(name), "x"), IsOk());
  }
  ASSERT_EQ(mkdir(Path("folder").c_str(), 0700), 0);
  auto names = ListFiles(directory_);
  ASSERT_THAT(names, IsOk());
  EXPECT_EQ(*names, (std::vector<std::string>{"a", "b"}));
  EXPECT_THAT(ListFiles(Path("none")), IsError(absl::StatusCode::kNotFound, "none"));
}

}  // namespace
}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/base/file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "src/base/public_directory.h"
#include "src/base/unseen_files.h"
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

TEST_F(FileTest, WhatACrashLeavesIsNoFileOfTheFolder) {
  // The kernel ends the writer in the middle of its file: at 100 bytes, by SIGXFSZ.
  const pid_t writer = fork();
  ASSERT_GE(writer, 0);
  if (writer == 0) {
    const rlimit no_core{0, 0}, limit{100, 100};
    setrlimit(RLIMIT_CORE, &no_core);
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_DFL);
    WriteFileAtomically(Path("a.pem"), std::string(1000, 'x')).IgnoreError();
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(writer, &status, 0), writer);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the writer was to be killed";
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1);
  auto names = ListFiles(directory_);
  ASSERT_THAT(names, IsOk());
  EXPECT_TRUE(names->empty()) << names->front();
}

TEST_F(FileTest, WritesBesideThePathWhereverItIs) {
  ASSERT_EQ(chdir(directory_.c_str()), 0);
  EXPECT_THAT(WriteFileAtomically("here", "x"), IsOk());
  EXPECT_THAT(WriteFileAtomically("./there", "x"), IsOk());
  ASSERT_EQ(chdir("/"), 0);
  EXPECT_EQ(ListFiles(directory_)->size(), 2u);
  // In the root folder, where there is no folder's name before the file's.
  const std::string name = "/forekey-file-test-" + std::to_string(getpid());
  const absl::Status written = WriteFileAtomically(name, "x");
  EXPECT_TRUE(written.ok() || geteuid() != 0) << written;
  unlink(name.c_str());
}

TEST_F(FileTest, EveryFolderOnTheWayMayBeReadByAll) {
  for (mode_t mask : {0077, 0000}) {
    const std::string top = Path("top" + std::to_string(mask));
    const mode_t old = umask(mask);
    const absl::Status made = MakePublicDirectory(top + "//one/two/");
    umask(old);
    ASSERT_THAT(made, IsOk());
    for (const char* below : {"", "/one", "/one/two"}) EXPECT_EQ(ModeOf(top + below), 0755u);
  }
  ASSERT_EQ(chmod(Path("top0").c_str(), 0700), 0);
  EXPECT_THAT(MakePublicDirectory(Path("top0/one/three")), IsOk());
  EXPECT_EQ(ModeOf(Path("top0")), 0700u) << "what is there already is its owner's";
  ASSERT_THAT(WriteFileAtomically(Path("file"), "x"), IsOk());
  EXPECT_THAT(MakePublicDirectory(Path("file/below")),
              IsError(absl::StatusCode::kFailedPrecondition, "not a folder"));
  EXPECT_THAT(MakePublicDirectory(""), IsError(absl::StatusCode::kInvalidArgument, ""));
}

TEST_F(FileTest, ASignatureTellsWhoMayReadTheFile) {
  EXPECT_EQ(FileSignature(Path("a")), "");
  ASSERT_THAT(WriteFileAtomically(Path("a"), "x", 0600), IsOk());
  const std::string before = FileSignature(Path("a"));
  EXPECT_EQ(FileSignature(Path("a")), before);
  ASSERT_EQ(chmod(Path("a").c_str(), 0644), 0);
  EXPECT_NE(FileSignature(Path("a")), before);
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
  ASSERT_EQ(symlink(Path("none").c_str(), Path("c").c_str()), 0);
  EXPECT_EQ(*ListFiles(directory_), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(*ListFilesAndUnseen(directory_), (std::vector<std::string>{"a", "b", "c"}));
}

}  // namespace
}  // namespace forekey

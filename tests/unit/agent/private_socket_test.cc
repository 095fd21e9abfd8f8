// SPDX-License-Identifier: Apache-2.0
// The agent's socket answers its owner alone, and is taken from nobody.
#include "src/agent/private_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "src/base/deadline.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "tests/unit/agent/agent_fixture.h"

namespace forekey {
namespace {

using testing::AgentFixture;

using PrivateSocketTest = AgentFixture;

int ConnectTo(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path.data(), path.size());
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

// Whether the connection gets HTTP/2's first bytes from the agent, or is closed at once.
bool Answers(int fd) {
  static const char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
  if (send(fd, kPreface, sizeof(kPreface) - 1, MSG_NOSIGNAL) < 0) return false;
  char byte;
  return recv(fd, &byte, 1, 0) == 1;
}

TEST_F(PrivateSocketTest, ServesItsOwner) {
  ASSERT_TRUE(Start().ok());
  struct stat info;
  ASSERT_EQ(stat(socket_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  ASSERT_EQ(stat((root_ + "/run").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  auto channel = AgentChannel(socket_);
  ASSERT_TRUE(channel.ok()) << channel.status();
  grpc::ClientContext context;
  v1::GetStatusResponse response;
  grpc::Status status =
      v1::Agent::NewStub(*channel)->GetStatus(&context, v1::GetStatusRequest(), &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  int fd = ConnectTo(socket_);
  EXPECT_TRUE(Answers(fd));
  close(fd);
}

// Even with the modes wide open: the kernel's word on the peer's uid decides.
TEST_F(PrivateSocketTest, RefusesAnotherUid) {
  ASSERT_TRUE(Start().ok());
  if (geteuid() != 0) {
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    EXPECT_EQ(ReasonOf(CheckPeerUid(pair[0], geteuid() + 1)), Reason::kPeerUidRefused);
    close(pair[0]);
    close(pair[1]);
    return;
  }
  for (const std::string& path : {root_, root_ + "/run", socket_}) {
    ASSERT_EQ(chmod(path.c_str(), 0777), 0);
  }
  pid_t child = fork();
  if (child == 0) {
    if (setuid(12345) != 0) _exit(2);
    int fd = ConnectTo(socket_);
    if (fd < 0) _exit(3);
    _exit(Answers(fd) ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "1: it was served; 2, 3: the test could not be made";
}

TEST_F(PrivateSocketTest, ChecksTheUidOfThePeer) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  EXPECT_TRUE(CheckPeerUid(pair[0], geteuid()).ok());
  EXPECT_EQ(ReasonOf(CheckPeerUid(pair[0], geteuid() + 1)), Reason::kPeerUidRefused);
  close(pair[0]);
  close(pair[1]);
  EXPECT_EQ(ReasonOf(CheckPeerUid(-1, geteuid())), Reason::kPeerUidRefused);
}

TEST_F(PrivateSocketTest, ALiveSocketIsNotTaken) {
  ASSERT_TRUE(Start().ok());
  auto second = PrivateSocket::Listen(socket_);
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  int fd = ConnectTo(socket_);
  EXPECT_TRUE(Answers(fd)) << "the first one still serves";
  close(fd);
}

TEST_F(PrivateSocketTest, ASocketThatNobodyServesIsReplaced) {
  ASSERT_TRUE(EnsurePrivateDirectory(root_ + "/run").ok());
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, socket_.data(), socket_.size());
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  close(fd);  // as a killed agent leaves it
  EXPECT_TRUE(Start().ok());
}

TEST_F(PrivateSocketTest, ALiveSocketOfAnotherProgramIsNotTaken) {
  ASSERT_TRUE(EnsurePrivateDirectory(root_ + "/run").ok());
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, socket_.data(), socket_.size());
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  absl::Status started = Start();
  EXPECT_TRUE(absl::IsAlreadyExists(started)) << started;
  close(fd);
}

TEST_F(PrivateSocketTest, WhatIsNoSocketIsLeftAlone) {
  ASSERT_TRUE(EnsurePrivateDirectory(root_ + "/run").ok());
  ASSERT_TRUE(WriteFileAtomically(socket_, "precious", 0600).ok());
  absl::Status started = Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(started)) << started;
  EXPECT_EQ(*ReadFile(socket_), "precious");
}

TEST_F(PrivateSocketTest, AFolderOpenToOthersIsRefused) {
  ASSERT_EQ(mkdir((root_ + "/run").c_str(), 0755), 0);
  absl::Status started = Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(started)) << started;
  EXPECT_TRUE(absl::IsInvalidArgument(PrivateSocket::Listen("relative.sock").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(PrivateSocket::Listen("/" + std::string(200, 'x')).status()));
}

// Socket activation: the socket is the service manager's, and stays when the agent ends.
TEST_F(PrivateSocketTest, AnAdoptedSocketIsServedAndLeftWhereItIs) {
  ASSERT_TRUE(EnsurePrivateDirectory(root_ + "/run").ok());
  int manager = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, socket_.data(), socket_.size());
  ASSERT_EQ(bind(manager, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(manager, 1), 0);
  int early = ConnectTo(socket_);  // before there is an agent
  {
    auto adopted = PrivateSocket::Adopt(dup(manager));
    ASSERT_TRUE(adopted.ok()) << adopted.status();
    EXPECT_EQ((*adopted)->path(), socket_);
    Bell served;
    (*adopted)->Accept([&served](int fd) {
      close(fd);
      served.Ring();
    });
    EXPECT_TRUE(served.Await(absl::Seconds(30)));
  }
  close(early);
  int next = ConnectTo(socket_);
  EXPECT_GE(next, 0) << "it still listens, for the next agent";
  close(next);
  close(manager);
}

TEST_F(PrivateSocketTest, WhatIsNoListeningSocketIsNotAdopted) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(PrivateSocket::Adopt(pair[0]).status()));
  close(pair[1]);
  EXPECT_TRUE(absl::IsInvalidArgument(PrivateSocket::Adopt(open("/dev/null", O_RDWR)).status()));
  // A folder that others may enter is no place for it, whoever made it.
  ASSERT_EQ(mkdir((root_ + "/run").c_str(), 0755), 0);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, socket_.data(), socket_.size());
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(PrivateSocket::Adopt(fd).status()));
}

TEST_F(PrivateSocketTest, TheSocketGoesWithTheAgent) {
  ASSERT_TRUE(Start().ok());
  Stop();
  EXPECT_FALSE(std::filesystem::exists(socket_));
}

}  // namespace
}  // namespace forekey

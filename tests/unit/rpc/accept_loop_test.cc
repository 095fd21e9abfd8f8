// SPDX-License-Identifier: Apache-2.0
// What becomes of an endpoint at which more connect than there is room for.
#include "src/rpc/accept/accept_loop.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "src/rpc/accept/local_socket.h"

namespace {

// How many of the loop's next watches fail, as where the user has too many (epoll's
// max_user_watches): of its listener, of its eventfd, of connections.
std::atomic<int> listeners_refused = 0;
std::atomic<int> wakes_refused = 0;
std::atomic<int> connections_refused = 0;

bool Listens(int fd) {
  int listens = 0;
  socklen_t size = sizeof(listens);
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0;
}

}  // namespace

// In the place of the C library's. gRPC's own watches are edge-triggered, and pass.
extern "C" int epoll_ctl(int poll, int operation, int fd, epoll_event* event) noexcept {
  static const auto real =
      reinterpret_cast<int (*)(int, int, int, epoll_event*)>(dlsym(RTLD_NEXT, "epoll_ctl"));
  if (operation == EPOLL_CTL_ADD && (event->events == EPOLLIN || event->events == 0)) {
    std::atomic<int>& refused = event->events == 0 ? connections_refused
                                : Listens(fd)      ? listeners_refused
                                                   : wakes_refused;
    if (refused > 0) {
      --refused;
      errno = ENOSPC;
      return -1;
    }
  }
  return real(poll, operation, fd, event);
}

namespace forekey {
namespace {

using ::testing::HasSubstr;

class Folder {
 public:
  Folder() : path_((std::filesystem::temp_directory_path() / "forekey-XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string At(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

TEST(LocalSocketTest, TakesThePlaceOfASocketThatNobodyServesAndOfNothingElse) {
  const Folder folder;
  const std::string path = folder.At("s");
  std::ofstream(path) << "a file";
  EXPECT_THAT(std::string(LocalSocket::Listen("unix:" + path, 0600).status().message()),
              HasSubstr("no socket"));
  std::filesystem::remove(path);
  {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const int killed = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(bind(killed, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    close(killed);  // and its file stays
  }
  auto first = LocalSocket::Listen("unix:" + path, 0600);
  ASSERT_TRUE(first.ok()) << first.status();
  struct stat found = {};
  ASSERT_EQ(stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
  EXPECT_TRUE(absl::IsAlreadyExists(LocalSocket::Listen("unix:" + path, 0600).status()));
  std::filesystem::remove(path);  // by whoever wants to serve there
  auto second = LocalSocket::Listen("unix:" + path, 0660);
  ASSERT_TRUE(second.ok()) << second.status();
  first->reset();
  ASSERT_EQ(stat(path.c_str(), &found), 0) << "it is the second one's by now";
  EXPECT_EQ(found.st_mode & 0777, 0660u);
  second->reset();
  EXPECT_NE(stat(path.c_str(), &found), 0);
}

sockaddr_un At(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return address;
}

TEST(LocalSocketTest, OfManyThatStartAtOncePreciselyOneServes) {
  const Folder folder;
  const std::string path = folder.At("s");
  for (int round = 0; round < 50; ++round) {
    {
      const sockaddr_un address = At(path);
      const int killed = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      ASSERT_EQ(bind(killed, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
      close(killed);  // and its file stays
    }
    std::vector<absl::StatusOr<std::unique_ptr<LocalSocket>>> made(4);
    std::atomic<size_t> ready = 0;
    std::vector<std::thread> threads;
    for (auto& one : made) {
      threads.emplace_back([&] {
        for (++ready; ready < made.size();) {
        }
        one = LocalSocket::Listen("unix:" + path, 0600);
      });
    }
    for (std::thread& thread : threads) thread.join();
    int served = 0;
    for (const auto& one : made) {
      served += one.ok();
      EXPECT_TRUE(one.ok() || absl::IsAlreadyExists(one.status())) << one.status();
    }
    ASSERT_EQ(served, 1);
  }
}

TEST(LocalSocketTest, WhatCantBeAskedStays) {
  const Folder folder;
  const std::string path = folder.At("s");
  auto first = LocalSocket::Listen("unix:" + path, 0600);
  ASSERT_TRUE(first.ok()) << first.status();
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  {
    const int next = dup(0);
    close(next);
    rlimit none = before;
    none.rlim_cur = static_cast<rlim_t>(next);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    const absl::Cleanup restore = [&] { setrlimit(RLIMIT_NOFILE, &before); };
    EXPECT_FALSE(LocalSocket::Listen("unix:" + path, 0600).ok());
  }
  EXPECT_TRUE(std::filesystem::exists(path));
  // What speaks in another way may serve, too.
  const sockaddr_un address = At(folder.At("datagrams"));
  const int datagrams = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const absl::Cleanup close_it = [datagrams] { close(datagrams); };
  ASSERT_EQ(bind(datagrams, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_FALSE(LocalSocket::Listen("unix:" + folder.At("datagrams"), 0600).ok());
  EXPECT_TRUE(std::filesystem::exists(folder.At("datagrams")));
}

TEST(LocalSocketTest, AddressesAreNumbersWithAPort) {
  for (const char* address : {"127.0.0.1", "localhost:0", "unix:relative", "127.0.0.1:x"}) {
    EXPECT_FALSE(LocalSocket::Listen(address, 0600).ok()) << address;
  }
  auto first = LocalSocket::Listen("127.0.0.1:0", 0600);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = LocalSocket::Listen(absl::StrCat("127.0.0.1:", (*first)->port()), 0600);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("can't listen on 127.0.0.1:"));
}

class Refusing : public grpc::CallbackGenericService {};  // UNIMPLEMENTED, whatever it is

// A connection that says nothing. gRPC's side of one begins with its settings.
class Peer {
 public:
  explicit Peer(int family = AF_INET) : fd_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  ~Peer() { close(fd_); }
  void Connect(int port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) std::abort();
  }
  void Connect(const std::string& path) {
    const sockaddr_un address = At(path);
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      std::abort();
    }
  }
  std::string name() const {
    sockaddr_in address = {};
    socklen_t size = sizeof(address);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    return absl::StrCat("ipv4:127.0.0.1:", ntohs(address.sin_port));
  }
  // Waits for it. False: it was closed before.
  bool IsServed() {
    char first;
    return recv(fd_, &first, 1, 0) == 1;
  }
  void AwaitEnd() {
    char buffer[512];
    while (recv(fd_, buffer, sizeof(buffer), 0) > 0) {
    }
  }
  bool IsOpen() const {
    char buffer[512];
    ssize_t got;
    while ((got = recv(fd_, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0) {
    }
    return got < 0 && errno == EAGAIN;
  }

 private:
  const int fd_;
};

TEST(AcceptLoopAtASocketTest, ServesCallsAndClosesWhomThereIsNoRoomFor) {
  const Folder folder;
  auto loop = AcceptLoop::New("unix:" + folder.At("s"), 0600, 1);
  ASSERT_TRUE(loop.ok()) << loop.status();
  grpc::ServerBuilder builder;
  (*loop)->Install(builder);
  Refusing service;
  builder.RegisterCallbackGenericService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  (*loop)->Start();
  const auto call = [&](const std::shared_ptr<grpc::Channel>& channel) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    const grpc::Slice slice("ask");
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    grpc::Status status;
    absl::Notification done;
    stub.UnaryCall(&context, "/a.B/C", {}, &request, &response, [&](grpc::Status told) {
      status = std::move(told);
      done.Notify();
    });
    done.WaitForNotification();
    return status.error_code();
  };
  grpc::ChannelArguments apart;
  apart.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto one = grpc::CreateCustomChannel("unix:" + folder.At("s"),
                                             grpc::InsecureChannelCredentials(), apart);
  EXPECT_EQ(call(one), grpc::StatusCode::UNIMPLEMENTED);
  const auto other = grpc::CreateCustomChannel("unix:" + folder.At("s"),
                                               grpc::InsecureChannelCredentials(), apart);
  EXPECT_EQ(call(other), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(call(one), grpc::StatusCode::UNIMPLEMENTED) << "whoever is there stays";
  (*loop)->Stop();
  server->Shutdown(std::chrono::system_clock::now());
  EXPECT_FALSE(std::filesystem::exists(folder.At("s")));
}

class AcceptLoopTest : public ::testing::Test {
 protected:
  ~AcceptLoopTest() override {
    loop_->Stop();
    server_->Shutdown(std::chrono::system_clock::now());
  }
  void Start(size_t most, const std::string& address = "127.0.0.1:0", mode_t mode = 0600) {
    auto made = AcceptLoop::New(address, mode, most);
    if (!made.ok()) std::abort();
    loop_ = *std::move(made);
    grpc::ServerBuilder builder;
    loop_->Install(builder);
    // Who says nothing is nobody's business here for as long as a test takes.
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 3600 * 1000);
    builder.RegisterCallbackGenericService(&service_);
    server_ = builder.BuildAndStart();
    loop_->Start();
  }

  Refusing service_;
  std::unique_ptr<AcceptLoop> loop_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(AcceptLoopTest, WhereItIsFullTheOldestStrangerGivesWayAndNobodyKnown) {
  Start(2);
  Peer known, stranger, next, last, beyond;
  known.Connect(loop_->port());
  ASSERT_TRUE(known.IsServed());
  loop_->Known(known.name());
  stranger.Connect(loop_->port());
  ASSERT_TRUE(stranger.IsServed());
  next.Connect(loop_->port());
  EXPECT_TRUE(next.IsServed());
  stranger.AwaitEnd();
  last.Connect(loop_->port());
  EXPECT_TRUE(last.IsServed());
  next.AwaitEnd();
  EXPECT_TRUE(known.IsOpen());
  loop_->Known(last.name());
  beyond.Connect(loop_->port());
  EXPECT_FALSE(beyond.IsServed());
  EXPECT_TRUE(known.IsOpen());
  EXPECT_TRUE(last.IsOpen());
  EXPECT_EQ(loop_->open(), 2u);
}

TEST_F(AcceptLoopTest, WhoIsGoneMakesRoom) {
  Start(1);
  {
    Peer known;
    known.Connect(loop_->port());
    ASSERT_TRUE(known.IsServed());
    loop_->Known(known.name());
  }
  bool served = false;
  for (const absl::Time end = absl::Now() + absl::Seconds(60); !served && absl::Now() < end;) {
    Peer again;
    again.Connect(loop_->port());
    served = again.IsServed();
  }
  EXPECT_TRUE(served);
}

TEST_F(AcceptLoopTest, GoesOnWhenThereIsRoomForWatchesAgain) {
  wakes_refused = 1;
  EXPECT_FALSE(AcceptLoop::New("127.0.0.1:0", 0600, 1).ok());
  EXPECT_EQ(wakes_refused, 0);
  listeners_refused = 2;
  connections_refused = 1;
  Start(1);
  Peer closed, served;
  closed.Connect(loop_->port());
  EXPECT_FALSE(closed.IsServed());
  served.Connect(loop_->port());
  EXPECT_TRUE(served.IsServed());
  EXPECT_EQ(loop_->open(), 1u);
  EXPECT_EQ(listeners_refused + connections_refused, 0);
}

TEST_F(AcceptLoopTest, OneUserHasHalfOfTheRoomWhereOthersMayCome) {
  const Folder folder;
  ASSERT_EQ(chmod(folder.At("").c_str(), 0755), 0);
  const std::string path = folder.At("s");
  Start(2, "unix:" + path, 0666);
  Peer one(AF_UNIX), more(AF_UNIX), other(AF_UNIX);
  one.Connect(path);
  ASSERT_TRUE(one.IsServed());
  more.Connect(path);
  EXPECT_FALSE(more.IsServed());
  if (geteuid() != 0) return;  // only root can be another user
  std::thread([&] {
    ASSERT_EQ(syscall(SYS_setresuid, -1, 65534, -1), 0);  // of this thread alone
    other.Connect(path);
  }).join();
  EXPECT_TRUE(other.IsServed());
  EXPECT_TRUE(one.IsOpen());
}

// gRPC's own listener is over at the first accept() that finds no descriptor.
TEST_F(AcceptLoopTest, GoesOnWhenThereAreDescriptorsAgain) {
  Start(100);
  Peer stranger, waiting;
  stranger.Connect(loop_->port());
  ASSERT_TRUE(stranger.IsServed());
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  {
    const int next = dup(0);
    close(next);
    rlimit none = before;
    none.rlim_cur = static_cast<rlim_t>(next);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    const absl::Cleanup restore = [&] { setrlimit(RLIMIT_NOFILE, &before); };
    waiting.Connect(loop_->port());
    stranger.AwaitEnd();  // its descriptors were needed
  }
  if (!waiting.IsServed()) {
    // It may have been the oldest stranger itself by then: the endpoint goes on either way.
    Peer again;
    again.Connect(loop_->port());
    EXPECT_TRUE(again.IsServed());
  }
}

}  // namespace
}  // namespace forekey

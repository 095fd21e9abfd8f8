// SPDX-License-Identifier: Apache-2.0
// An orderly end of a real server: health says so first, live calls go on and finish, new
// connections are refused, and the program ends well.
#include <arpa/inet.h>
#include <errno.h>
#include <forekey/client.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "echo.grpc.pb.h"
#include "examples/demo/deployment.h"
#include "src/base/file.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

using demo::Deployment;

constexpr auto kDrainPatience = std::chrono::seconds(120);

// grpc.health.v1.Health as anybody asks it: the whole server's status, over a connection of its
// own.
class HealthCall {
 public:
  enum Status { kServing = 1, kNotServing = 2, kNone = -1 };

  HealthCall(const std::string& address, const std::string& ca_pem, const std::string& method) {
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = ca_pem;
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    stub_ = std::make_unique<grpc::GenericStub>(
        grpc::CreateCustomChannel(address, grpc::SslCredentials(tls), arguments));
    context_.set_deadline(std::chrono::system_clock::now() + kDrainPatience);
    call_ = stub_->PrepareCall(&context_, absl::StrCat("/grpc.health.v1.Health/", method), &queue_);
    call_->StartCall(this);
    const grpc::Slice whole_server;  // a request of no fields
    if (Done()) call_->Write(grpc::ByteBuffer(&whole_server, 1), this);
    if (Done()) call_->WritesDone(this);
    Done();
  }
  ~HealthCall() {
    context_.TryCancel();
    call_->Finish(&end_, this);
    Done();
    queue_.Shutdown();
  }
  // HealthCheckResponse has one field, an enum.
  Status Read() {
    grpc::ByteBuffer response;
    call_->Read(&response, this);
    if (!Done()) return kNone;
    std::vector<grpc::Slice> slices;
    if (!response.Dump(&slices).ok()) return kNone;
    std::string bytes;
    for (const grpc::Slice& slice : slices) {
      bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
    return bytes.size() == 2 && bytes[0] == 8 ? static_cast<Status>(bytes[1]) : kNone;
  }

 private:
  bool Done() {
    void* tag;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  grpc::Status end_;
  std::unique_ptr<grpc::GenericStub> stub_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
};

// The system's answer to a connection: 0, or errno.
int ConnectTo(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int error =
      connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
  close(fd);
  return error;
}

TEST(DrainTest, HealthSaysSoFirstLiveCallsFinishAndNewConnectionsAreRefused) {
  auto world =
      Must(Deployment::Create({.binaries = FOREKEY_BIN,
                               .server = "forekey-test-counting-server",
                               .extra_config = "\n[health]\nservice = true\nnotice = \"1h\"\n"
                                               "[connections]\narriving = 32\n"}),
           "deployment");
  Must(world->StartTpm(), "TPM");
  Must(world->StartGate(), "gate");
  Must(world->StartAgent(), "agent");
  const std::string invite = Must(world->Invite("alice", "reader"), "invite");
  Must(world->Forekey({"enroll", invite, "--device", world->tpm_uri()}).status(), "enrolment");
  const std::string ca =
      Must(ReadFile(world->directory() + "/gate/tls/certificate.pem"), "certificate");
  int port = 0;
  const std::vector<std::string> host_and_port = absl::StrSplit(world->address(), ':');
  ASSERT_TRUE(absl::SimpleAtoi(host_and_port.back(), &port));

  ChannelOptions options;
  options.agent_socket = world->agent_socket();
  auto echo = example::Echo::NewStub(Must(Channel(options), "channel"));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDrainPatience);
  auto chat = echo->Chat(&context);
  const auto say = [&chat](const std::string& text) {
    example::EchoRequest request;
    example::EchoResponse response;
    request.set_text(text);
    return chat->Write(request) && chat->Read(&response) && response.text() == text;
  };
  ASSERT_TRUE(say("before"));
  auto watch = std::make_unique<HealthCall>(world->address(), ca, "Watch");
  ASSERT_EQ(watch->Read(), HealthCall::kServing);
  ASSERT_EQ(HealthCall(world->address(), ca, "Check").Read(), HealthCall::kServing);

  world->gate()->Signal(SIGTERM);
  EXPECT_EQ(watch->Read(), HealthCall::kNotServing);
  // The notice: who asks hears it, over a new connection, too, and calls go on, old and new.
  EXPECT_EQ(HealthCall(world->address(), ca, "Check").Read(), HealthCall::kNotServing);
  EXPECT_TRUE(say("during the notice"));
  grpc::ClientContext another;
  another.set_deadline(std::chrono::system_clock::now() + kDrainPatience);
  example::EchoRequest request;
  example::EchoResponse response;
  EXPECT_TRUE(echo->Say(&another, request, &response).ok());

  world->gate()->Signal(SIGTERM);  // ends the notice
  int refused = 0;
  for (const absl::Time patience = absl::Now() + absl::Seconds(60);
       refused != ECONNREFUSED && absl::Now() < patience;) {
    refused = ConnectTo(port);
  }
  EXPECT_EQ(refused, ECONNREFUSED);
  // By the program that still serves this call, and not because there is none.
  EXPECT_TRUE(say("during the drain"));
  chat->WritesDone();
  EXPECT_TRUE(chat->Finish().ok());
  watch.reset();
  const auto ended = world->gate()->Wait();
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(ended->exit_status, 0);
}

}  // namespace
}  // namespace forekey::testing

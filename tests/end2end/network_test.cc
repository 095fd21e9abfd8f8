// SPDX-License-Identifier: Apache-2.0
// Real networks: connections that break at every stage, and a gate that comes and goes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "examples/echo_services.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/fault_proxy.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

const std::string kSayOverNetwork = MethodOf(Kind::kUnary);
const std::string kChatOverNetwork = MethodOf(Kind::kBidi);

std::shared_ptr<grpc::Channel> ChannelOver(const GatedWorld& world, int port) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = Must(ReadFile(world.directory() + "/cert.pem"), "certificate");
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  return grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port), grpc::SslCredentials(tls),
                                   arguments);
}

grpc::Status SayWith(const std::shared_ptr<grpc::Channel>& channel, const std::string& prefix,
                     std::chrono::seconds patience) {
  auto stub = example::Echo::NewStub(channel);
  grpc::ClientContext context;
  context.AddMetadata("forekey-prefix-bin", prefix);
  context.set_deadline(std::chrono::system_clock::now() + patience);
  context.set_wait_for_ready(false);
  example::EchoRequest request;
  example::EchoResponse response;
  request.set_text("x");
  return stub->Say(&context, request, &response);
}

size_t DescriptorsNow() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

size_t ThreadsNow() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
    ++count;
  return count;
}

class NetworkTest : public ::testing::Test {
 protected:
  NetworkTest() {
    world_.Start([this](grpc::ServerBuilder& builder) { builder.RegisterService(&echo_); });
    proxy_ = std::make_unique<FaultProxy>(world_.gate().port());
  }
  // No device proof, and no sequence of a session, was admitted twice, whatever the client saw.
  void ExpectNothingTwice() {
    std::map<std::string, int> admitted;
    for (const Decision& decision : world_.audit().decisions()) {
      if (decision.admitted && decision.proof) ++admitted[decision.proof->prefix];
    }
    for (const auto& [prefix, times] : admitted) EXPECT_EQ(times, 1);
  }

  example::SyncEcho echo_;
  GatedWorld world_;
  std::unique_ptr<FaultProxy> proxy_;
};

// The handshake takes about 2 KB each way, then come preface, challenge, opening and call: the
// places below lie in all of them.
TEST_F(NetworkTest, ABreakAnywhereIsAnErrorOnceAndTheSameChannelRecovers) {
  SoftwareClient direct = world_.Enrol("alice", world_.NewChannel());
  auto channel = ChannelOver(world_, proxy_->port());
  SoftwareClient alice = world_.Enrol("bob", channel);
  int met = 0;
  for (Fault::Kind kind : {Fault::Kind::kCut, Fault::Kind::kTruncate, Fault::Kind::kHalfClose}) {
    for (bool from_client : {true, false}) {
      for (size_t after : {size_t{0}, size_t{3}, size_t{200}, size_t{400}, size_t{700},
                           size_t{1100}, size_t{1500}, size_t{2000}}) {
        SCOPED_TRACE(absl::StrCat("kind ", static_cast<int>(kind), from_client ? " up" : " down",
                                  " after ", after));
        const int before = proxy_->faults();
        proxy_->Set({kind, from_client, after});
        proxy_->CutAll();
        for (int attempt = 0; attempt < 5 && proxy_->faults() == before; ++attempt) {
          auto prefix = alice.DevicePrefix(kSayOverNetwork);
          if (!prefix.ok()) continue;
          const grpc::Status status = SayWith(channel, *prefix, std::chrono::seconds(20));
          EXPECT_TRUE(status.ok() || status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                      status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED)
              << status.error_message();
        }
        met += proxy_->faults() - before;
        // The network is well again.
        proxy_->Set({});
        proxy_->CutAll();
        grpc::Status status(grpc::StatusCode::UNKNOWN, "");
        const absl::Time until = absl::Now() + absl::Seconds(60);
        while (!status.ok() && absl::Now() < until) {
          channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10));
          auto prefix = alice.DevicePrefix(kSayOverNetwork);
          if (prefix.ok()) status = SayWith(channel, *prefix, std::chrono::seconds(20));
        }
        EXPECT_TRUE(status.ok()) << status.error_message();
      }
    }
  }
  EXPECT_GT(met, 20) << "most of the places were reached";
  ExpectNothingTwice();
}

TEST_F(NetworkTest, AConnectionThatDribblesGetsThrough) {
  proxy_->Set({Fault::Kind::kDribble, /*from_client=*/true, 0});
  auto channel = ChannelOver(world_, proxy_->port());
  SoftwareClient alice = world_.Enrol("alice", channel);
  auto prefix = alice.DevicePrefix(kSayOverNetwork);
  ASSERT_TRUE(prefix.ok()) << prefix.status();
  EXPECT_TRUE(SayWith(channel, *prefix, std::chrono::seconds(60)).ok());
}

TEST_F(NetworkTest, AStreamThatIsCutLeavesNothingBehind) {
  auto channel = ChannelOver(world_, proxy_->port());
  SoftwareClient alice = world_.Enrol("alice", channel);
  auto session = Must(alice.OpenSession(), "session");
  auto once = [&] {
    grpc::ClientContext context;
    context.AddMetadata("forekey-prefix-bin", session->Prefix(kChatOverNetwork));
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(2));
    context.set_wait_for_ready(true);
    auto stub = example::Echo::NewStub(channel);
    auto stream = stub->Chat(&context);
    example::EchoRequest request;
    example::EchoResponse response;
    request.set_text("x");
    const bool answered = stream->Write(request) && stream->Read(&response);
    proxy_->CutAll();
    while (stream->Read(&response)) {
    }
    EXPECT_FALSE(stream->Finish().ok());
    return answered;
  };
  for (int i = 0; i < 5; ++i) once();  // threads and buffers that stay are made
  const size_t descriptors = DescriptorsNow(), threads = ThreadsNow();
  // A cut can also meet the next stream's connection while it is made; that one does not count.
  int answered = 0;
  for (int tries = 0; answered < 30 && tries < 300; ++tries) answered += once();
  EXPECT_EQ(answered, 30);
  const absl::Time until = absl::Now() + absl::Seconds(60);
  SoftwareClient direct = world_.Enrol("bob", world_.NewChannel());
  auto calm = [&] { return DescriptorsNow() <= descriptors + 8 && ThreadsNow() <= threads + 4; };
  while (!calm() && absl::Now() < until) {
    Must(direct.DevicePrefix(kSayOverNetwork).status(), "challenge");
  }
  EXPECT_TRUE(calm()) << DescriptorsNow() << " of " << descriptors << ", " << ThreadsNow() << " of "
                      << threads;
  EXPECT_EQ(world_.core().sessions().size(), 1u);
}

}  // namespace
}  // namespace forekey::testing

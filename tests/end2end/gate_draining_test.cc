// SPDX-License-Identifier: Apache-2.0
// What becomes of calls when a gate ends in order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "examples/echo_services.h"
#include "src/base/reason.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gated_world.h"
#include "tests/end2end/raw_http2.h"

namespace forekey::testing {
namespace {

using ::testing::Contains;
using ::testing::Field;

class GateDrainingTest : public ::testing::Test {
 protected:
  GateDrainingTest() {
    world_.Start([this](grpc::ServerBuilder& builder) { builder.RegisterService(&echo_); });
    alice_ = std::make_unique<SoftwareClient>(world_.Enrol("alice", world_.NewChannel()));
    session_ = Must(alice_->OpenSession(), "session");
  }

  RawHttp2::Fields Proof(Kind kind) {
    std::string value = absl::Base64Escape(session_->Prefix(MethodOf(kind)));
    while (absl::EndsWith(value, "=")) value.pop_back();
    return {{"forekey-prefix-bin", value}};
  }

  example::SyncEcho echo_;
  GatedWorld world_{{.change = [](GateConfig& config) { config.listen.drain = absl::Minutes(1); }}};
  std::unique_ptr<SoftwareClient> alice_;
  std::unique_ptr<SoftwareSession> session_;
};

// gRPC takes calls for as long as a peer has not answered that it heard of the end.
TEST_F(GateDrainingTest, ACallThatCrossesTheEndIsRefusedSoThatItsClientTriesElsewhere) {
  RawHttp2 peer(world_.gate().port());
  const uint32_t chat = peer.NextStream();
  ASSERT_TRUE(peer.Headers(chat, MethodOf(Kind::kBidi), Proof(Kind::kBidi)));
  ASSERT_TRUE(peer.Data(chat, RawHttp2::Message(""), /*last=*/false));
  ASSERT_TRUE(peer.WaitForHeaders(chat)) << "the call under way, which the end waits for";
  peer.IgnorePings();
  std::thread ending([this] { world_.StopServer(); });
  ASSERT_TRUE(peer.WaitForGoAway());
  for (const std::string& path :
       {MethodOf(Kind::kUnary), std::string("/forekey.v1.Gate/GetChallenge")}) {
    const uint32_t late = peer.NextStream();
    ASSERT_TRUE(peer.Headers(late, path, Proof(Kind::kUnary)));
    ASSERT_TRUE(peer.Data(late, RawHttp2::Message(""), /*last=*/true));
    EXPECT_TRUE(peer.WaitForStreamEnd(late)) << path;
  }
  EXPECT_THAT(world_.audit().decisions(),
              Contains(Field(&Decision::reason, Reason::kGateEnding)).Times(1));
  EXPECT_TRUE(peer.Data(chat, "", /*last=*/true));
  EXPECT_TRUE(peer.WaitForStreamEnd(chat));
  ending.join();
}

// The same from a client library that does as it should: every call ends with one of two codes.
TEST_F(GateDrainingTest, NoCallOfABusyClientEndsAsCancelled) {
  std::atomic<int> answered{0};
  std::vector<grpc::Status> ends(4);
  std::vector<std::thread> callers;
  for (grpc::Status& end : ends) {
    callers.emplace_back([&, channel = world_.NewChannel()] {
      while (end.ok()) {
        const std::string method = MethodOf(Kind::kUnary);
        end = Call(channel, {.prefixes = {session_->Prefix(method)}}).status;
        ++answered;
      }
    });
  }
  while (answered < 50) std::this_thread::yield();
  world_.StopServer();
  for (std::thread& caller : callers) caller.join();
  for (const grpc::Status& end : ends) {
    EXPECT_TRUE(end.error_code() == grpc::StatusCode::UNAUTHENTICATED ||
                end.error_code() == grpc::StatusCode::UNAVAILABLE)
        << end.error_code() << ": " << end.error_message();
  }
}

}  // namespace
}  // namespace forekey::testing

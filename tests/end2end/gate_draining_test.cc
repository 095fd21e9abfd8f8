// SPDX-License-Identifier: Apache-2.0
// What becomes of calls when a gate ends in order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

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
  auto ended = std::make_unique<RawHttp2>(world_.gate().port());
  RawHttp2& peer = *ended;
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
  ended.reset();  // else the server waits for an answer to its PING
  ending.join();
}

}  // namespace
}  // namespace forekey::testing

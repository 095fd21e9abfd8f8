// SPDX-License-Identifier: Apache-2.0
// A fourth kind of token from end to end: an agent with a driver for it, a gate that has read
// [attestation.custom], an application's calls. Nothing below src/ and hw/ knows toys.
#include <fstream>

#include "absl/strings/escaping.h"
#include "forekey/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/agent/agent_server.h"
#include "tests/end2end/echo_apis.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gated_world.h"
#include "tests/toy/toy_driver.h"
#include "tests/toy/toy_kind.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;

class ToyGateTest : public ::testing::Test {
 protected:
  ToyGateTest() : vendor_(SoftwareKey::Generate(Algorithm::kEdDsa)), toy_(&vendor_) {
    GatedWorld::Options options;
    options.change = [this](GateConfig& config) {
      config.tokens.Put(std::make_unique<ToyConfig>());
      ToyConfig& toy = config.tokens.Get<ToyConfig>();
      toy.vendor = folder_.path() + "/toy-vendor";
      std::ofstream(toy.vendor) << absl::BytesToHexString(vendor_.public_key().spki()) << "\n";
      MethodRule rule;
      rule.methods = {"/forekey.example.Echo/*"};
      rule.factors = {{{"custom"}}};
      config.rules.rules = {rule};
      config.tls.ca = config.tls.certificate;
    };
    world_ = std::make_unique<GatedWorld>(std::move(options));
    echo_ = EchoApi::New(Api::kCallback);
    world_->Start([this](grpc::ServerBuilder& builder) { echo_->Register(builder); });
    echo_->Start();
    AgentServer::Options agent;
    agent.socket = folder_.path() + "/a.sock";
    agent.agent.state_directory = folder_.path() + "/agent";
    agent.agent.drivers.push_back(toy_.MakeDriver());
    agent_ = Must(AgentServer::Start(std::move(agent)), "agent");
  }
  ~ToyGateTest() override {
    agent_.reset();
    world_->StopServer();
    echo_->Stop();
  }
  absl::StatusOr<v1::EnrollResponse> Enroll(const std::map<std::string, std::string>& options) {
    v1::CreateInviteRequest invite;
    invite.set_subject("ada");
    invite.add_kinds(v1::TOKEN_KIND_CUSTOM);
    v1::EnrollRequest request;
    request.set_invite(
        Must(world_->core().admin().CreateInvite(invite, "uid 0"), "invite").invite());
    for (const auto& [name, value] : options) (*request.mutable_options())[name] = value;
    return agent_->agent().Enroll(request, CallControl());
  }

  TempDirectory folder_;
  const SoftwareKey vendor_;
  Toy toy_;
  std::unique_ptr<GatedWorld> world_;
  std::unique_ptr<EchoApi> echo_;
  std::unique_ptr<AgentServer> agent_;
};

TEST_F(ToyGateTest, AFourthKindIsEnrolledAndMakesCalls) {
  const auto enrolled = Enroll({{"serial", "seven"}});
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  const auto record =
      Must(world_->registry().FindCredential(enrolled->credential_id()), "credential");
  EXPECT_EQ(record.kind, v1::TOKEN_KIND_CUSTOM);
  EXPECT_THAT(record.proved_json, HasSubstr("toy seven"));

  v1::LoginRequest login;
  login.add_with("custom");
  const auto session = agent_->agent().Login(login, CallControl());
  ASSERT_TRUE(session.ok()) << session.status();
  auto channel =
      Must(forekey::Channel({.gate = "gate.test", .agent_socket = agent_->socket()}), "channel");
  for (Kind kind : {Kind::kUnary, Kind::kBidi}) {
    const EchoResult result = testing::Call(channel, {.kind = kind});
    EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  }
  bool told = false;
  for (const Decision& decision : world_->audit().decisions()) {
    for (const auto& token : decision.tokens) told = told || token->kind == "custom";
  }
  EXPECT_TRUE(told) << "the audit log names the kind";
}

TEST_F(ToyGateTest, AnOptionThatTheDriverDoesNotKnowIsRefusedByName) {
  const absl::Status status = Enroll({{"slot", "9c"}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no option \"slot\"; it has: serial"));
}

}  // namespace
}  // namespace forekey::testing

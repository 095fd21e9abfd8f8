// SPDX-License-Identifier: Apache-2.0
// The real agent with the real PIV driver, on the simulated card behind the real pcscd, at a gate
// that checks signatures, MACs and sequences, and knows nothing of attestation.
#include <stdlib.h>

#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "simulators/piv/piv_certificates.h"
#include "src/agent/agent.h"
#include "src/base/file.h"
#include "tests/contract/piv_token.h"
#include "tests/unit/client/fakes/fake_gate.h"

namespace forekey {
namespace {

using ::testing::HasSubstr;
namespace v1 = forekey::v1;

class PivAgentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(root_.data()), nullptr);
    Start({5, 7, 4});
  }
  void Start(const piv::Firmware& firmware) {
    piv::PivSimulatorConfig config;
    config.card.firmware = firmware;
    auto token = PivToken::New(config);
    ASSERT_TRUE(token.ok()) << token.status();
    token_ = *std::move(token);
    StartAgent();
  }
  void TearDown() override {
    agent_.reset();
    std::filesystem::remove_all(root_);
  }
  void StartAgent() {
    agent_.reset();
    Agent::Options options;
    options.state_directory = root_ + "/state";
    options.drivers.push_back(std::make_unique<PivDriver>(std::vector<std::string>{token_->uri()}));
    auto agent = Agent::New(std::move(options));
    ASSERT_TRUE(agent.ok()) << agent.status();
    agent_ = *std::move(agent);
  }
  v1::EnrollRequest Request(absl::string_view pin = "123456") {
    v1::EnrollRequest request;
    request.set_invite(gate_.MakeInvite("alice").Serialize());
    request.set_device_uri(token_->uri());
    request.set_key_password(std::string(pin));
    return request;
  }
  absl::StatusOr<v1::LoginResponse> Login(absl::string_view pin, bool fresh = true) {
    v1::LoginRequest request;
    request.set_fresh(fresh);
    request.set_key_password(std::string(pin));
    return agent_->Login(request, CallControl());
  }

  std::string root_ = "/tmp/forekey-test-XXXXXX";
  testing::FakeGate gate_{"gate.test"};
  std::unique_ptr<PivToken> token_;
  std::unique_ptr<Agent> agent_;
};

TEST_F(PivAgentTest, EnrolsOpensSessionsAndSignsCalls) {
  auto enrolled = agent_->Enroll(Request(), CallControl());
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  EXPECT_TRUE(Login("123456").ok());
  v1::GetPrefixRequest call;
  call.set_method("/test.Echo/Say");
  EXPECT_TRUE(agent_->GetPrefix(call, CallControl()).ok());
  const uint64_t signatures = token_->simulator().card().counts().signatures;
  call.set_device(true);
  EXPECT_TRUE(agent_->GetPrefix(call, CallControl()).ok());
  EXPECT_EQ(token_->simulator().card().counts().signatures, signatures + 1);
  EXPECT_EQ(token_->tries_left(), 3);
  // The key is found again by the record alone.
  StartAgent();
  EXPECT_TRUE(Login("123456").ok());
  EXPECT_EQ(gate_.counts().sessions, 2);
}

// Between the steps of an enrolment a balancer goes over to another process of the gate: the one
// key is enrolled, also where the card can't delete keys, and where its slot was named.
TEST_F(PivAgentTest, AnEnrolmentThatBeginsAnewMakesNoSecondKey) {
  for (const piv::Firmware& firmware : {piv::Firmware{5, 4, 3}, piv::Firmware{5, 7, 4}}) {
    agent_.reset();
    token_.reset();
    ASSERT_NO_FATAL_FAILURE(Start(firmware));
    v1::EnrollRequest request = Request();
    for (const char* overwrite : {"", "true"}) {
      request.set_invite(gate_.MakeInvite("alice").Serialize());
      (*request.mutable_options())["slot"] = "82";
      (*request.mutable_options())["overwrite"] = overwrite;
      gate_.MoveEnrollments(1);
      const auto enrolled = agent_->Enroll(request, CallControl());
      ASSERT_TRUE(enrolled.ok()) << enrolled.status();
      EXPECT_EQ(enrolled->notes_size(), 0);
    }
    token_->simulator().card().WithApplet([](piv::PivApplet& applet) {
      EXPECT_EQ(applet.state().keys.count(0x82), 1u);
      EXPECT_EQ(applet.state().keys.count(0x83), 0u);
    });
    EXPECT_TRUE(Login("123456").ok());
  }
  EXPECT_EQ(gate_.counts().moved_enrollments, 4);
}

TEST_F(PivAgentTest, SlotPolicyAndOverwriteReachTheCard) {
  v1::EnrollRequest request = Request();
  (*request.mutable_options())["slot"] = "9c";
  (*request.mutable_options())["pin-policy"] = "once";
  (*request.mutable_options())["touch-policy"] = "cached";
  ASSERT_TRUE(agent_->Enroll(request, CallControl()).ok());
  token_->simulator().card().WithApplet([](piv::PivApplet& applet) {
    ASSERT_EQ(applet.state().keys.count(0x9C), 1u);
    EXPECT_EQ(applet.state().keys.at(0x9C).pin_policy, piv::PinPolicy::kOnce);
    EXPECT_EQ(applet.state().keys.at(0x9C).touch_policy, piv::TouchPolicy::kCached);
  });
  request.set_invite(gate_.MakeInvite("alice").Serialize());
  auto again = agent_->Enroll(request, CallControl());
  EXPECT_EQ(DeviceErrorOf(again.status()), DeviceError::kNotSetUp);
  EXPECT_THAT(again.status().message(), HasSubstr("--overwrite"));
  (*request.mutable_options())["overwrite"] = "true";
  EXPECT_TRUE(agent_->Enroll(request, CallControl()).ok());
  request.set_invite(gate_.MakeInvite("alice").Serialize());
  (*request.mutable_options())["overwrite"] = "";
  (*request.mutable_options())["pin-policy"] = "";
  (*request.mutable_options())["touch-policy"] = "";
  (*request.mutable_options())["existing"] = "true";
  EXPECT_TRUE(agent_->Enroll(request, CallControl()).ok());
  request.set_invite(gate_.MakeInvite("alice").Serialize());
  (*request.mutable_options())["existing"] = "";
  (*request.mutable_options())["slot"] = "83";
  (*request.mutable_options())["management-key"] = std::string(48, '7');
  EXPECT_THAT(agent_->Enroll(request, CallControl()).status().message(),
              HasSubstr("another management key"));
}

TEST_F(PivAgentTest, AlgorithmAndCertificateReachTheCard) {
  v1::EnrollRequest request = Request();
  (*request.mutable_options())["algorithm"] = "eccp384";
  (*request.mutable_options())["write-certificate"] = "true";
  ASSERT_TRUE(agent_->Enroll(request, CallControl()).ok());
  token_->simulator().card().WithApplet([](piv::PivApplet& applet) {
    ASSERT_EQ(applet.state().keys.count(0x82), 1u);
    EXPECT_EQ(applet.state().keys.at(0x82).algorithm, piv::Algorithm::kP384);
    EXPECT_EQ(applet.state().objects.count(piv::CertificateObjectTag(0x82)), 1u);
  });
  EXPECT_TRUE(Login("123456").ok());
  request.set_invite(gate_.MakeInvite("alice").Serialize());
  (*request.mutable_options())["algorithm"] = "rsa1024";
  EXPECT_EQ(agent_->Enroll(request, CallControl()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(PivAgentTest, AWrongPinIsSentOnceAndForgotten) {
  ASSERT_TRUE(agent_->Enroll(Request(), CallControl()).ok());
  EXPECT_EQ(DeviceErrorOf(Login("999999").status()), DeviceError::kWrongPin);
  EXPECT_EQ(token_->tries_left(), 2);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(DeviceErrorOf(Login("").status()), DeviceError::kPinRequired);
  }
  EXPECT_EQ(token_->tries_left(), 2);
  EXPECT_TRUE(Login("123456").ok());
  EXPECT_EQ(token_->tries_left(), 3);
}

TEST_F(PivAgentTest, LivesThroughACardThatIsPulledAndPcscdThatIsRestarted) {
  ASSERT_TRUE(agent_->Enroll(Request(), CallControl()).ok());
  ASSERT_TRUE(Login("123456").ok());
  token_->Unplug();
  EXPECT_EQ(DeviceErrorOf(Login("").status()), DeviceError::kGone);
  token_->PlugIn();
  EXPECT_TRUE(Login("").ok());
  ASSERT_TRUE(token_->simulator().RestartPcscd().ok());
  EXPECT_TRUE(Login("").ok());
  EXPECT_EQ(token_->tries_left(), 3);
}

TEST_F(PivAgentTest, AnEnrolmentThatTheGateRefusesLeavesNoRecord) {
  testing::FakeGate::Faults faults;
  faults.change_demand = true;
  gate_.Misbehave(faults);
  EXPECT_FALSE(agent_->Enroll(Request(), CallControl()).ok());
  EXPECT_EQ(token_->Leftovers(), 0);
  EXPECT_EQ(agent_->GetStatus().gates_size(), 0);
}

}  // namespace
}  // namespace forekey

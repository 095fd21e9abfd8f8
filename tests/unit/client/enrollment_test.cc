// SPDX-License-Identifier: Apache-2.0
// LAW 2 on the client's side: the invite decides which gate may enrol.
#include "src/client/enrollment.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/reason.h"
#include "tests/unit/client/fakes/fake_gate.h"

namespace forekey {
namespace {

using testing::FakeGate;
using ::testing::HasSubstr;

class EnrollmentTest : public ::testing::Test {
 protected:
  EnrollmentTest() : gate_("gate.test"), key_(SoftwareKey::Generate(Algorithm::kEs256)) {
    GateConnection::Options options;
    options.target = gate_.target();
    connection_ = GateConnection::New(std::move(options)).value();
  }

  absl::StatusOr<std::unique_ptr<Enrollment>> Begin(const Invite& invite) {
    v1::EnrollmentOpening opening;
    opening.set_kind(v1::TOKEN_KIND_TPM);
    return Enrollment::Begin(connection_.get(), invite, opening, allowed_rp_id_);
  }

  absl::Status Run() {
    auto enrollment = Begin(gate_.MakeInvite("alice"));
    if (!enrollment.ok()) return enrollment.status();
    const std::string& spki = key_.public_key().spki();
    v1::EnrollmentProof proof;
    proof.mutable_possession()->set_signature(key_.Sign((*enrollment)->Statement(spki)));
    return (*enrollment)->Finish(spki, "laptop", proof);
  }

  template <typename Set>
  absl::Status RunWith(Set set) {
    FakeGate::Faults faults;
    set(faults);
    gate_.Misbehave(faults);
    return Run();
  }

  FakeGate gate_;
  SoftwareKey key_;
  std::unique_ptr<GateConnection> connection_;
  std::string allowed_rp_id_;
};

TEST_F(EnrollmentTest, EnrollsAKey) {
  absl::Status status = Run();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(gate_.counts().enrolled, 1);
}

TEST_F(EnrollmentTest, AChallengeOfAnotherProcessIsTakenForAMissOnce) {
  const Invite invite = gate_.MakeInvite("alice");
  gate_.IssueElsewhere(2);
  EXPECT_TRUE(absl::IsUnauthenticated(Begin(invite).status())) << "both of one process";
  EXPECT_EQ(gate_.counts().challenges, 2);
  gate_.IssueElsewhere(1);
  EXPECT_TRUE(Begin(invite).ok());
  EXPECT_EQ(gate_.counts().challenges, 4);
}

TEST_F(EnrollmentTest, RefusesAGateWithAnotherIdentityThanTheInvites) {
  absl::Status status = RunWith([](auto& f) { f.other_identity = true; });
  EXPECT_EQ(ReasonOf(status), Reason::kGateIdentityMismatch) << status;
  EXPECT_EQ(gate_.counts().enrolled, 0);
}

TEST_F(EnrollmentTest, RefusesAGateThatDoesNotHoldItsIdentity) {
  absl::Status status = RunWith([](auto& f) { f.corrupt_begin_confirmation = true; });
  EXPECT_EQ(ReasonOf(status), Reason::kGateConfirmationInvalid) << status;
}

TEST_F(EnrollmentTest, RefusesADemandThatWasChangedOnItsWay) {
  absl::Status status = RunWith([](auto& f) { f.change_demand = true; });
  EXPECT_EQ(ReasonOf(status), Reason::kGateConfirmationInvalid) << status;
}

TEST_F(EnrollmentTest, RefusesAnotherAudience) {
  absl::Status status = RunWith([](auto& f) { f.enroll_audience = "other.test"; });
  EXPECT_EQ(ReasonOf(status), Reason::kAudienceMismatch) << status;
}

TEST_F(EnrollmentTest, RefusesAnUnconfirmedEnd) {
  absl::Status status = RunWith([](auto& f) { f.corrupt_finish_confirmation = true; });
  EXPECT_EQ(ReasonOf(status), Reason::kGateConfirmationInvalid) << status;
}

TEST_F(EnrollmentTest, RefusesTheAcknowledgementOfAnotherCredential) {
  absl::Status status = RunWith([](auto& f) { f.other_credential = true; });
  EXPECT_EQ(ReasonOf(status), Reason::kCredentialMismatch) << status;
}

// A key that signs for another origin would be of use there: to the gate, which keeps what it
// signed.
TEST_F(EnrollmentTest, AKeySignsForTheInvitesGateAlone) {
  for (const char* origin :
       {"https://accounts.example.com", "forekey://other.test", "forekey://gate.test/"}) {
    absl::Status status = RunWith([origin](auto& f) { f.fido2_origin = origin; });
    EXPECT_EQ(ReasonOf(status), Reason::kAudienceMismatch) << status;
  }
  EXPECT_EQ(gate_.counts().enrolled, 0);
  absl::Status status = RunWith([](auto& f) { f.fido2_origin = "forekey://gate.test"; });
  EXPECT_TRUE(status.ok()) << status;
}

// What the key signs for another relying party could be used there.
TEST_F(EnrollmentTest, RefusesARelyingPartyThatIsNotTheGatesOwn) {
  const auto with = [](std::string rp_id) {
    return [rp_id](auto& f) {
      f.fido2_origin = "forekey://gate.test";
      f.fido2_rp_id = rp_id;
    };
  };
  for (const char* rp_id : {"ssh:", "test", "ate.test", "bank.example", "gate.test.evil"}) {
    const absl::Status status = RunWith(with(rp_id));
    EXPECT_EQ(ReasonOf(status), Reason::kAudienceMismatch) << rp_id;
    EXPECT_THAT(std::string(status.message()), HasSubstr("--rp-id")) << rp_id;
  }
  // What the person is told to run is one word for a shell.
  EXPECT_THAT(std::string(RunWith(with("a.test; id")).message()),
              HasSubstr("--rp-id 'a.test; id'"));
  EXPECT_EQ(gate_.counts().enrolled, 0);
  allowed_rp_id_ = "bank.example";  // the person said so
  EXPECT_TRUE(RunWith(with("bank.example")).ok());
}

TEST(RelyingPartyTest, IsTheAudienceOrADomainAboveItThatSomebodyRegistered) {
  EXPECT_TRUE(IsOwnRpId("gate.corp.example", "gate.corp.example"));
  EXPECT_TRUE(IsOwnRpId("gate.corp.example", "corp.example"));
  EXPECT_TRUE(IsOwnRpId("gate.corp.co.uk", "corp.co.uk"));
  for (const char* other :
       {"example", "co.uk", "", ".example", "orp.example", "x.gate.corp.example",
        "ssh:", "gate.corp.example.", "GATE.corp.example"}) {
    EXPECT_FALSE(IsOwnRpId("gate.corp.example", other)) << other;
  }
  EXPECT_FALSE(IsOwnRpId("gate.co.uk", "co.uk"));
  EXPECT_FALSE(IsOwnRpId("a..b", ".b"));
}

TEST_F(EnrollmentTest, AnInviteOfAnotherGateIsNotUsedHere) {
  Invite invite = gate_.MakeInvite("alice");
  invite.audience = "other.test";
  EXPECT_EQ(ReasonOf(Begin(invite).status()), Reason::kAudienceMismatch);
  EXPECT_EQ(gate_.counts().challenges, 0);
}

TEST_F(EnrollmentTest, AnUnknownInviteIsTheGatesRefusal) {
  Invite invite = gate_.MakeInvite("alice");
  invite.seed = Secret(std::string(kInviteSeedSize, 'x'));
  absl::Status status = Begin(invite).status();
  EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;
  EXPECT_FALSE(ReasonOf(status).has_value());
}

// It goes to a terminal and into the agent's log.
TEST_F(EnrollmentTest, WhatAServerSaysIsNoCommandToTheTerminalAndNoLineOfALog) {
  absl::Status status = RunWith([](auto& f) {
    f.finish_status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                                   "no\x1b]0;title\x07\n[info] logged in \xc2\x9b"
                                   "2J" +
                                       std::string(5000, 'x'));
  });
  EXPECT_TRUE(absl::IsUnauthenticated(status));
  EXPECT_THAT(std::string(status.message()),
              ::testing::HasSubstr("no\\x1b]0;title\\x07\\x0a[info] logged in \\xc2\\x9b2Jxxx"));
  EXPECT_LT(status.message().size(), 2000u);
}

}  // namespace
}  // namespace forekey

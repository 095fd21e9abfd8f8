// SPDX-License-Identifier: Apache-2.0
// What a handler holds of its caller, once it asked: <forekey/caller.h>.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "absl/strings/escaping.h"
#include "src/gate/grpc/caller_info.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

using ::testing::ElementsAre;

class VerifiedCallerTest : public GateFixture {
 protected:
  VerifiedCallerTest() {
    StartGate();
    ada_ = Enroll("ada", Algorithm::kEs256, v1::TOKEN_KIND_TPM, {"buyer"});
  }
  // The judgement of the call is gone when this returns.
  VerifiedCaller CallerOf(const std::string& prefix) {
    const Judgement judgement = Judge(prefix);
    EXPECT_TRUE(judgement.status.ok()) << judgement.status;
    return CallerMaker::Of(*judgement.call);
  }
  void SetRoles(const std::string& role) {
    v1::SetSubjectRequest request;
    request.set_subject("ada");
    request.set_set_roles(true);
    request.add_roles(role);
    EXPECT_TRUE(gate().admin().SetSubject(request, "uid 0").ok());
  }

  Token ada_;
};

TEST_F(VerifiedCallerTest, SaysOfASessionsCallWhatTheGateVerified) {
  ClientSession session = Open(ada_);
  const VerifiedCaller caller = CallerOf(session.NextProof(kMethod));
  EXPECT_EQ(caller.subject(), "ada");
  EXPECT_TRUE(caller.HasRole("buyer"));
  EXPECT_FALSE(caller.HasRole("seller"));
  EXPECT_TRUE(caller.HasFactor("tpm"));
  EXPECT_FALSE(caller.HasFactor("piv"));
  EXPECT_EQ(caller.session_id(), absl::BytesToHexString(session.id));
  EXPECT_FALSE(caller.child_session());
  ASSERT_EQ(caller.credentials().size(), 1u);
  EXPECT_EQ(caller.credentials()[0].id, absl::BytesToHexString(ada_.id));
  EXPECT_EQ(caller.credentials()[0].kind, "tpm");
  ASSERT_EQ(caller.factors().size(), 1u);
  EXPECT_EQ(caller.factors()[0].name, "tpm");

  auto child = OpenChild(session, OpenOptions());
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_TRUE(CallerOf(child->NextProof(kMethod)).child_session());
}

TEST_F(VerifiedCallerTest, OfACallThatHardwareSignedHasNoSession) {
  const VerifiedCaller caller = CallerOf(Draft({&ada_}).SignAndSerialize());
  EXPECT_EQ(caller.subject(), "ada");
  EXPECT_EQ(caller.session_id(), "");
  EXPECT_FALSE(caller.child_session());
  EXPECT_TRUE(caller.HasFactor("tpm"));
  EXPECT_TRUE(caller.HasRole("buyer"));
  EXPECT_EQ(caller.credentials().size(), 1u);
}

TEST_F(VerifiedCallerTest, HasTheRolesOfNowAndStaysGoodWhenSessionAndGateAreGone) {
  ClientSession session = Open(ada_);
  const VerifiedCaller caller = CallerOf(session.NextProof(kMethod));
  const CallerInfo before = caller;
  SetRoles("seller");
  EXPECT_THAT(caller.roles(), ElementsAre("seller"));
  EXPECT_FALSE(caller.HasRole("buyer"));
  EXPECT_THAT(before.roles, ElementsAre("buyer")) << "a value does not change";

  Revoke(ada_);
  const VerifiedCaller copy = caller;
  gate_.reset();
  const CallerInfo after = copy;
  EXPECT_EQ(after.subject, "ada");
  EXPECT_THAT(after.roles, ElementsAre("seller"));
  EXPECT_EQ(after.session_id, before.session_id);
  ASSERT_EQ(after.credentials.size(), 1u);
  EXPECT_EQ(after.credentials[0].id, absl::BytesToHexString(ada_.id));
}

}  // namespace
}  // namespace forekey::testing

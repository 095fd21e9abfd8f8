// Who may call what, by exact method names.
#include <map>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/reason.h"
#include "src/policy/call_policy.h"

namespace forekey {
namespace {

class FakeFacts : public CallFacts {
 public:
  absl::string_view subject() const override { return "ada"; }
  bool HasRole(absl::string_view role) const override {
    ++role_questions;
    return roles.contains(std::string(role));
  }
  std::optional<absl::Time> FactorProvedAt(absl::string_view) const override { return std::nullopt; }
  bool SignedForThisCall() const override { return signed_for_this_call; }
  std::set<std::string> roles;
  bool signed_for_this_call = false;
  mutable int role_questions = 0;
};

std::unique_ptr<CallPolicy> Make(MethodPolicyOptions options) {
  auto policy = NewMethodPolicy(std::move(options));
  EXPECT_TRUE(policy.ok()) << policy.status();
  return *std::move(policy);
}

TEST(MethodPolicyTest, ExemptsTheGatesThreeAndExactNamesAlone) {
  auto policy = Make({{"/grpc.health.v1.Health/Check"}, {}, true});
  for (absl::string_view method :
       {kGetChallengeMethod, kBeginEnrollmentMethod, kFinishEnrollmentMethod,
        absl::string_view("/grpc.health.v1.Health/Check")}) {
    EXPECT_TRUE(policy->IsExempt(method)) << method;
  }
  for (absl::string_view method :
       {"/forekey.v1.Gate/OpenSession", "/forekey.v1.Gate/WhoAmI", "/forekey.v1.Gate/EndSession",
        "/forekey.v1.Gate/GetChallenge/", "/forekey.v1.Gate/getchallenge", "forekey.v1.Gate/GetChallenge",
        "/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health/Check2", "/", ""}) {
    EXPECT_FALSE(policy->IsExempt(method)) << method;
  }
}

TEST(MethodPolicyTest, WithoutRulesEveryVerifiedSubjectMayCall) {
  FakeFacts facts;
  EXPECT_TRUE(Make({})->Authorize("/a.B/C", facts).ok());
  EXPECT_EQ(facts.role_questions, 0);
}

TEST(MethodPolicyTest, ARuleAsksForOneOfItsRoles) {
  auto policy = Make({{}, {{{"/a.B/C", "/a.B/D"}, {"admin", "buyer"}, false}}, true});
  FakeFacts facts;
  EXPECT_EQ(ReasonOf(policy->Authorize("/a.B/C", facts)), Reason::kMethodNotPermitted);
  facts.roles = {"buyer"};
  EXPECT_TRUE(policy->Authorize("/a.B/C", facts).ok());
  EXPECT_TRUE(policy->Authorize("/a.B/D", facts).ok());
  facts.roles = {"Admin", "admi"};
  EXPECT_EQ(ReasonOf(policy->Authorize("/a.B/D", facts)), Reason::kMethodNotPermitted);
  EXPECT_TRUE(policy->Authorize("/a.B/E", facts).ok());
}

TEST(MethodPolicyTest, FreshCallTakesNoSession) {
  auto policy = Make({{}, {{{"/a.B/C"}, {}, true}}, true});
  FakeFacts facts;
  EXPECT_EQ(ReasonOf(policy->Authorize("/a.B/C", facts)), Reason::kFactorRequired);
  facts.signed_for_this_call = true;
  EXPECT_TRUE(policy->Authorize("/a.B/C", facts).ok());
}

TEST(MethodPolicyTest, UnlistedMethodsCanBeRefusedButNeverTheGatesOwn) {
  auto policy = Make({{}, {{{"/a.B/C"}, {}, false}}, false});
  FakeFacts facts;
  EXPECT_TRUE(policy->Authorize("/a.B/C", facts).ok());
  EXPECT_EQ(ReasonOf(policy->Authorize("/a.B/D", facts)), Reason::kMethodNotPermitted);
  EXPECT_TRUE(policy->Authorize("/forekey.v1.Gate/OpenSession", facts).ok());
}

TEST(MethodPolicyTest, RefusesWhatCouldOpenTheGate) {
  auto refuses = [](MethodPolicyOptions options) {
    return absl::IsInvalidArgument(NewMethodPolicy(std::move(options)).status());
  };
  EXPECT_TRUE(refuses({{"/forekey.v1.Gate/OpenSession"}, {}, true}));
  EXPECT_TRUE(refuses({{"/a.B/*"}, {}, true}));
  EXPECT_TRUE(refuses({{"/"}, {}, true}));
  EXPECT_TRUE(refuses({{""}, {}, true}));
  EXPECT_TRUE(refuses({{"/a.B/C"}, {{{"/a.B/C"}, {}, false}}, true}));
  EXPECT_TRUE(refuses({{}, {{{"/a.B/C"}, {}, false}, {{"/a.B/C"}, {"x"}, false}}, true}));
  EXPECT_TRUE(refuses({{}, {{{"/a.B/C", "/a.B/C"}, {}, false}}, true}));
  EXPECT_TRUE(refuses({{}, {{{"/forekey.v1.Gate/WhoAmI"}, {}, false}}, true}));
}

}  // namespace
}  // namespace forekey

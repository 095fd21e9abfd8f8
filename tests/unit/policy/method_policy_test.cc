// SPDX-License-Identifier: Apache-2.0
// Who may call what: the rules' matching, roles, factors and freshness, and what no rules may say.
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/reason.h"
#include "src/policy/call_policy.h"

namespace forekey {
namespace {

using ::testing::HasSubstr;

class FakeFacts : public CallFacts {
 public:
  absl::string_view subject() const override { return "ada"; }
  bool HasRole(absl::string_view role) const override {
    ++role_questions;
    return roles.contains(std::string(role));
  }
  std::optional<absl::Duration> FactorAge(absl::string_view factor) const override {
    auto found = ages.find(std::string(factor));
    return found == ages.end() ? std::nullopt : std::make_optional(found->second);
  }
  bool SignedForThisCall() const override { return signed_for_this_call; }
  bool FromChildSession() const override { return child; }
  std::set<std::string> roles;
  std::map<std::string, absl::Duration> ages;
  bool signed_for_this_call = false;
  bool child = false;
  mutable int role_questions = 0;
};

std::unique_ptr<CallPolicy> Make(MethodPolicyOptions options) {
  auto policy = NewMethodPolicy(std::move(options));
  EXPECT_TRUE(policy.ok()) << policy.status();
  return *std::move(policy);
}

MethodRule RuleFor(std::vector<std::string> methods, std::vector<std::string> roles = {}) {
  MethodRule rule;
  rule.methods = std::move(methods);
  rule.any_role = std::move(roles);
  return rule;
}

std::unique_ptr<CallPolicy> One(MethodRule rule) { return Make({{}, {std::move(rule)}, {}}); }

std::string WhyNot(MethodPolicyOptions options) {
  const absl::Status status = NewMethodPolicy(std::move(options)).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  return std::string(status.message());
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
        "/forekey.v1.Gate/GetChallenge/", "/forekey.v1.Gate/getchallenge",
        "forekey.v1.Gate/GetChallenge", "/grpc.health.v1.Health/Watch",
        "/grpc.health.v1.Health/Check2", "/", ""}) {
    EXPECT_FALSE(policy->IsExempt(method)) << method;
  }
}

TEST(MethodPolicyTest, WithoutRulesEveryVerifiedSubjectMayCallAndWithOneNobodyMayCallTheRest) {
  FakeFacts facts;
  EXPECT_TRUE(Make({})->Authorize("/a.B/C", facts).ok());
  EXPECT_EQ(facts.role_questions, 0);
  auto policy = One(RuleFor({"/a.B/C"}));
  EXPECT_TRUE(policy->Authorize("/a.B/C", facts).ok());
  EXPECT_EQ(ReasonOf(policy->Authorize("/a.B/D", facts)), Reason::kMethodNotPermitted);
  EXPECT_TRUE(policy->Authorize("/forekey.v1.Gate/OpenSession", facts).ok());
  EXPECT_TRUE(Make({{}, {RuleFor({"/a.B/C"})}, true})->Authorize("/a.B/D", facts).ok());
}

TEST(MethodPolicyTest, ARuleAsksForOneOfItsRoles) {
  auto policy = One(RuleFor({"/a.B/C", "/a.B/D"}, {"admin", "buyer"}));
  FakeFacts facts;
  const absl::Status refused = policy->Authorize("/a.B/C", facts);
  EXPECT_EQ(ReasonOf(refused), Reason::kMethodNotPermitted);
  EXPECT_EQ(StepUpOf(refused), "") << "no factor makes up for a role";
  facts.roles = {"buyer"};
  EXPECT_TRUE(policy->Authorize("/a.B/C", facts).ok());
  EXPECT_TRUE(policy->Authorize("/a.B/D", facts).ok());
  facts.roles = {"Admin", "admi"};
  EXPECT_EQ(ReasonOf(policy->Authorize("/a.B/D", facts)), Reason::kMethodNotPermitted);
}

TEST(MethodPolicyTest, GlobsMatchWithinTheirPartAndNothingIsNormalised) {
  auto policy = One(RuleFor({"/a.B/Get*", "/shop.*/Buy", "/x.Y/*"}));
  FakeFacts facts;
  for (absl::string_view method : {"/a.B/Get", "/a.B/GetAll", "/shop.Orders/Buy",
                                   "/shop.v1.eu.Orders/Buy", "/x.Y/A", "/x.Y/a_1"}) {
    EXPECT_TRUE(policy->Authorize(method, facts).ok()) << method;
  }
  for (absl::string_view method : std::vector<absl::string_view>{"/a.B/get",
                                                                 "/A.B/GetAll",
                                                                 "/a.B/GetAll/",
                                                                 "/a.B//GetAll",
                                                                 "//a.B/GetAll",
                                                                 "/a.B/Get%41ll",
                                                                 "/a.B/Get?x",
                                                                 "/a.B/Get/All",
                                                                 "/a.Bx/Get",
                                                                 "/shop/Buy",
                                                                 "/shop.Orders/Buyer",
                                                                 "/shop.Orders/x/Buy",
                                                                 "/shop.Orders%2FBuy",
                                                                 "/x.Y/",
                                                                 "/x.Y",
                                                                 "/x.Y/A/",
                                                                 "/x.Y/A B",
                                                                 "/x.Y/A\n",
                                                                 "x.Y/A",
                                                                 "/x.Yz/A",
                                                                 absl::string_view("/x.Y/A\0", 7),
                                                                 "/",
                                                                 "",
                                                                 "/x.Y/../a.B/Get"}) {
    EXPECT_EQ(ReasonOf(policy->Authorize(method, facts)), Reason::kMethodNotPermitted) << method;
  }
}

TEST(MethodPolicyTest, TheMostSpecificPatternWinsWhateverTheOrder) {
  std::vector<MethodRule> rules = {RuleFor({"/*/*"}, {"any"}),
                                   RuleFor({"/shop.*/*"}, {"shop"}),
                                   RuleFor({"/shop.v1.*/*"}, {"v1"}),
                                   RuleFor({"/shop.v1.Orders/*"}, {"orders"}),
                                   RuleFor({"/shop.v1.Orders/Get*"}, {"get"}),
                                   RuleFor({"/shop.v1.Orders/GetAll"}, {"all"})};
  const std::map<std::string, std::string> wanted = {{"/zoo.A/B", "any"},
                                                     {"/shop.v2.A/B", "shop"},
                                                     {"/shop.v1.A/B", "v1"},
                                                     {"/shop.v1.Orders/X", "orders"},
                                                     {"/shop.v1.Orders/GetX", "get"},
                                                     {"/shop.v1.Orders/GetAll", "all"}};
  for (int turn = 0; turn < 2; ++turn) {
    auto policy = Make({{}, rules, {}});
    for (const auto& [method, role] : wanted) {
      const RuleMatch match = policy->Match(method);
      ASSERT_TRUE(match.rule.has_value()) << method;
      EXPECT_EQ(match.rule->any_role.front(), role) << method << " matched " << match.pattern;
    }
    std::reverse(rules.begin(), rules.end());
  }
}

TEST(MethodPolicyTest, PatternsThatCrossNeedTheRuleOfWhatTheyShare) {
  EXPECT_THAT(WhyNot({{}, {RuleFor({"/shop.Orders/*"}), RuleFor({"/shop.*/Delete*"})}, {}}),
              HasSubstr("/shop.Orders/Delete*"));
  EXPECT_THAT(WhyNot({{}, {RuleFor({"/shop.Orders/*"}), RuleFor({"/*/Ping"})}, {}}),
              HasSubstr("/shop.Orders/Ping"));
  auto policy = Make({{},
                      {RuleFor({"/shop.Orders/*"}, {"a"}), RuleFor({"/shop.*/Delete*"}, {"b"}),
                       RuleFor({"/shop.Orders/Delete*"}, {"both"})},
                      {}});
  EXPECT_EQ(policy->Match("/shop.Orders/DeleteAll").rule->any_role.front(), "both");
  EXPECT_EQ(policy->Match("/shop.Users/DeleteAll").rule->any_role.front(), "b");
}

TEST(MethodPolicyTest, FreshCallTakesNoSessionAndSaysWhatItWants) {
  MethodRule rule = RuleFor({"/a.B/C"});
  rule.fresh_call = true;
  FakeFacts facts;
  absl::Status refused = One(rule)->Authorize("/a.B/C", facts);
  EXPECT_EQ(ReasonOf(refused), Reason::kFactorRequired);
  EXPECT_EQ(StepUpOf(refused), "call");
  rule.factors = {{{"fido2+uv"}}, {{"piv+touch"}, {"tpm"}}};
  EXPECT_EQ(StepUpOf(One(rule)->Authorize("/a.B/C", facts)), "fido2+uv&call|piv+touch&tpm&call");
  facts.signed_for_this_call = true;
  EXPECT_EQ(ReasonOf(One(rule)->Authorize("/a.B/C", facts)), Reason::kFactorRequired);
  facts.ages = {{"fido2+uv", absl::Seconds(1)}};
  EXPECT_TRUE(One(rule)->Authorize("/a.B/C", facts).ok());
}

TEST(MethodPolicyTest, AnyCombinationDoesButAWholeOne) {
  MethodRule rule = RuleFor({"/a.B/C"});
  rule.factors = {{{"tpm"}, {"password", absl::Minutes(15)}}, {{"piv+touch"}}};
  auto policy = One(rule);
  FakeFacts facts;
  facts.ages = {{"tpm", absl::Hours(5)}};
  absl::Status refused = policy->Authorize("/a.B/C", facts);
  EXPECT_EQ(ReasonOf(refused), Reason::kFactorRequired);
  EXPECT_EQ(StepUpOf(refused), "tpm&password|piv+touch");
  facts.ages["password"] = absl::Minutes(15) + absl::Nanoseconds(1);
  refused = policy->Authorize("/a.B/C", facts);
  EXPECT_EQ(ReasonOf(refused), Reason::kFactorStale);
  EXPECT_EQ(StepUpOf(refused), "tpm&password|piv+touch");
  facts.ages["password"] = absl::Minutes(15);
  EXPECT_TRUE(policy->Authorize("/a.B/C", facts).ok());
  facts.ages = {{"password", absl::Minutes(1)}};
  EXPECT_EQ(ReasonOf(policy->Authorize("/a.B/C", facts)), Reason::kFactorRequired);
  facts.ages = {{"piv", absl::Minutes(1)}, {"piv+pin", absl::Minutes(1)}};
  EXPECT_EQ(ReasonOf(policy->Authorize("/a.B/C", facts)), Reason::kFactorRequired);
  facts.ages = {{"piv+touch", absl::Hours(100)}};
  EXPECT_TRUE(policy->Authorize("/a.B/C", facts).ok());
}

TEST(MethodPolicyTest, FreshnessWithoutFactorsAsksForAnyToken) {
  MethodRule rule = RuleFor({"/a.B/C"});
  rule.max_age = absl::Minutes(10);
  auto policy = One(rule);
  FakeFacts facts;
  facts.ages = {{"password", absl::Minutes(1)}, {"tpm", absl::Minutes(11)}};
  const absl::Status refused = policy->Authorize("/a.B/C", facts);
  EXPECT_EQ(ReasonOf(refused), Reason::kFactorStale);
  EXPECT_EQ(StepUpOf(refused), "hardware");
  facts.ages["fido2"] = absl::Minutes(9);
  EXPECT_TRUE(policy->Authorize("/a.B/C", facts).ok());
}

TEST(MethodPolicyTest, ChildSessionsCanBeRefused) {
  MethodRule rule = RuleFor({"/a.B/C"});
  rule.child_sessions = false;
  rule.factors = {{{"tpm"}}, {{"tpm"}, {"password"}}};
  FakeFacts facts;
  facts.ages = {{"tpm", absl::Seconds(1)}};
  EXPECT_TRUE(One(rule)->Authorize("/a.B/C", facts).ok());
  facts.child = true;
  absl::Status refused = One(rule)->Authorize("/a.B/C", facts);
  EXPECT_EQ(ReasonOf(refused), Reason::kChildNotAllowed);
  EXPECT_EQ(StepUpOf(refused), "tpm&call");
  rule.factors = {{{"password"}}};
  EXPECT_EQ(StepUpOf(One(rule)->Authorize("/a.B/C", facts)), "");
}

TEST(MethodPolicyTest, RefusesWhatCouldOpenTheGateOrMeansNothing) {
  const auto refuses = [](std::vector<std::string> exempt, std::vector<MethodRule> rules) {
    return WhyNot({std::move(exempt), std::move(rules), {}});
  };
  refuses({"/forekey.v1.Gate/OpenSession"}, {});
  refuses({"/a.B/*"}, {});
  refuses({"/"}, {});
  refuses({""}, {});
  refuses({"/a.B/C"}, {RuleFor({"/a.B/C"})});
  refuses({}, {RuleFor({"/a.B/C"}), RuleFor({"/a.B/C"}, {"x"})});
  refuses({}, {RuleFor({"/a.B/*", "/a.B/*"})});
  refuses({}, {RuleFor({"/forekey.v1.Gate/WhoAmI"})});
  refuses({}, {RuleFor({"/forekey.v1.*/*"})});
  for (const char* pattern :
       {"*", "/*", "/a.B", "/a.B/", "/*a/B", "/a*b/C", "/a.B/*C", "/a.B/C**", "a.B/C", "/a.B/C/",
        "//C", "/a.B/C D", "/a.B/%43", "/a.B/?", "/a-b/C"}) {
    EXPECT_THAT(WhyNot({{}, {RuleFor({pattern})}, {}}), HasSubstr("neither a method")) << pattern;
  }
  const auto with_factors = [&](std::vector<FactorCombination> factors, bool fresh_call = false) {
    MethodRule rule = RuleFor({"/a.B/C"});
    rule.factors = std::move(factors);
    rule.fresh_call = fresh_call;
    return refuses({}, {rule});
  };
  EXPECT_THAT(with_factors({{{"retina"}}}), HasSubstr("no factor"));
  EXPECT_THAT(with_factors({{{"call"}}}), HasSubstr("no factor"));
  EXPECT_THAT(with_factors({{}}), HasSubstr("no factors"));
  EXPECT_THAT(with_factors({{{"tpm"}, {"tpm"}}}), HasSubstr("twice"));
  EXPECT_THAT(with_factors({{{"tpm"}, {"password"}}}, true), HasSubstr("for a session alone"));
}

}  // namespace
}  // namespace forekey

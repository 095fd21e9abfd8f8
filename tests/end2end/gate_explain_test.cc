// SPDX-License-Identifier: Apache-2.0
// What `forekey-gate explain` answers.
#include "src/cli/gate/gate_explain.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace forekey {
namespace {

std::unique_ptr<CallPolicy> ExplainedRules() {
  MethodRule rule;
  rule.methods = {"/shop.Orders/*"};
  rule.any_role = {"clerk"};
  rule.factors = {{{"tpm"}, {"password", absl::Minutes(15)}}, {{"fido2+uv"}}};
  rule.line = 12;
  return NewMethodPolicy({{"/grpc.health.v1.Health/Check"}, {rule}, {}}).value();
}

ExplainQuestion Asked(std::vector<std::string> roles, std::vector<std::string> factors,
                      std::string method = "/shop.Orders/Buy") {
  ExplainQuestion question;
  question.subject = "ada";
  question.roles = std::move(roles);
  question.factors = std::move(factors);
  question.method = std::move(method);
  return question;
}

TEST(GateExplainTest, NamesTheRuleTheReasonAndWhatWouldDo) {
  auto policy = ExplainedRules();
  auto answer = Explain(*policy, Asked({"clerk"}, {"tpm:2h", "password:20m"})).value();
  EXPECT_EQ(answer["verdict"], "refused");
  EXPECT_EQ(answer["reason"], "factor-stale");
  EXPECT_EQ(answer["step_up"], "tpm&password|fido2+uv");
  EXPECT_EQ(answer["rule"]["line"], 12);
  EXPECT_EQ(answer["rule"]["pattern"], "/shop.Orders/*");
  answer = Explain(*policy, Asked({"clerk"}, {"tpm:2h", "password:15m"})).value();
  EXPECT_EQ(answer["verdict"], "admitted");
  answer = Explain(*policy, Asked({}, {"fido2+uv"})).value();
  EXPECT_EQ(answer["reason"], "method-not-permitted");
  EXPECT_EQ(answer["step_up"], "");
  answer = Explain(*policy, Asked({"clerk"}, {}, "/shop.Users/Buy")).value();
  EXPECT_EQ(answer["reason"], "method-not-permitted");
  EXPECT_TRUE(answer["rule"].is_null());
  EXPECT_EQ(Explain(*policy, Asked({}, {}, "/grpc.health.v1.Health/Check")).value()["verdict"],
            "exempt");
}

TEST(GateExplainTest, AnIdTokenIsAFactorWithAnAge) {
  MethodRule rule;
  rule.methods = {"/shop.Orders/Buy"};
  rule.factors = {{{"tpm"}, {"oidc", absl::Minutes(15)}}};
  auto policy = NewMethodPolicy(MethodPolicyOptions{{}, {rule}, false}).value();
  EXPECT_EQ(Explain(*policy, Asked({}, {"tpm", "oidc:10m"}, "/shop.Orders/Buy")).value()["verdict"],
            "admitted");
  auto answer = Explain(*policy, Asked({}, {"tpm", "oidc:20m"}, "/shop.Orders/Buy")).value();
  EXPECT_EQ(answer["reason"], "factor-stale");
  EXPECT_EQ(answer["step_up"], "tpm&oidc");
}

TEST(GateExplainTest, RefusesQuestionsThatMeanNothing) {
  auto policy = ExplainedRules();
  EXPECT_TRUE(absl::IsInvalidArgument(Explain(*policy, Asked({}, {"eye"})).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Explain(*policy, Asked({}, {"tpm:soon"})).status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(Explain(*policy, Asked({}, {}, "/shop.Orders/Buy/")).status()));
  ExplainQuestion both = Asked({}, {});
  both.device = both.child = true;
  EXPECT_TRUE(absl::IsInvalidArgument(Explain(*policy, both).status()));
}

}  // namespace
}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// deps: forekey_gate_service
// What rules cost a call: exact methods, patterns, and the lock of the rules in force, from one
// thread and from several.
#include <benchmark/benchmark.h>

#include "absl/strings/str_cat.h"
#include "src/gate/call/live_rules.h"

namespace forekey {
namespace {

class BenchFacts final : public CallFacts {
 public:
  absl::string_view subject() const override { return "ada"; }
  bool HasRole(absl::string_view role) const override { return role == "clerk"; }
  std::optional<absl::Duration> FactorAge(absl::string_view) const override {
    return absl::Seconds(5);
  }
  bool SignedForThisCall() const override { return false; }
  bool FromChildSession() const override { return true; }
};

// `count` exact methods, services with patterns and open services each.
LiveRules& RulesOf(int count) {
  MethodPolicyOptions options;
  for (int i = 0; i < count; ++i) {
    MethodRule rule;
    rule.any_role = {"admin", "clerk"};
    rule.factors = {{{"tpm", absl::Hours(1)}, {"password", absl::Minutes(15)}}};
    rule.methods = {absl::StrCat("/exact.S", i, "/Get"), absl::StrCat("/service.S", i, ".X/*"),
                    absl::StrCat("/open", i, ".*/Get*")};
    options.rules.push_back(std::move(rule));
  }
  return *new LiveRules(NewMethodPolicy(std::move(options)).value());
}

void Authorize(benchmark::State& state, const char* path) {
  static LiveRules* const few = &RulesOf(10);
  static LiveRules* const many = &RulesOf(1000);
  const LiveRules& rules = state.range(0) == 10 ? *few : *many;
  const BenchFacts facts;
  for (auto _ : state) {
    const bool ok = !rules.IsExempt(path) && rules.Authorize(path, facts).ok();
    if (!ok) return state.SkipWithError("refused");
  }
}
BENCHMARK_CAPTURE(Authorize, exact, "/exact.S5/Get")->Arg(10)->Arg(1000)->ThreadRange(1, 2);
BENCHMARK_CAPTURE(Authorize, pattern_of_service, "/service.S5.X/Anything")->Arg(10)->Arg(1000);
BENCHMARK_CAPTURE(Authorize, open_service, "/open5.v1.Orders/GetAll")->Arg(10)->Arg(1000);

}  // namespace
}  // namespace forekey

BENCHMARK_MAIN();

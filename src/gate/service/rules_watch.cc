// SPDX-License-Identifier: Apache-2.0
#include "src/gate/service/rules_watch.h"

#include <cstdio>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/file.h"
#include "src/gate/service/rule_factors.h"
#include "src/gate/service/rules_version.h"

namespace forekey {
namespace {

std::vector<std::string> ChangedSettings(const std::map<std::string, std::string>& before,
                                         const std::map<std::string, std::string>& now) {
  std::vector<std::string> changed;
  for (const auto& [key, value] : before) {
    auto found = now.find(key);
    if (found == now.end() || found->second != value) changed.push_back(key);
  }
  for (const auto& [key, value] : now) {
    if (!before.contains(key)) changed.push_back(key);
  }
  return changed;
}

}  // namespace

RulesWatch::RulesWatch(const GateConfig& config, const GateFactors& factors, LiveRules& rules,
                       AuditLog& audit, Bell& changed)
    : config_(config),
      factors_(factors),
      rules_(rules),
      audit_(audit),
      changed_(changed),
      version_(RulesVersion(config.rules)) {
  absl::MutexLock lock(&mutex_);
  reread_.Use(config.file_signature);
}

absl::Status RulesWatch::Reload() {
  if (config_.file.empty()) return absl::OkStatus();
  absl::MutexLock reloading(&mutex_);
  return ReloadNow(true);
}

absl::Status RulesWatch::ReloadNow(bool asked) {
  Decision decision = audit_.NewDecision(AuditEvent::kGate);
  decision.method = "ReloadRules";
  absl::StatusOr<GateConfig> read = GateConfig::Load(config_.file, config_.tokens);
  absl::Status failed = read.status();
  std::shared_ptr<const CallPolicy> rules;
  if (failed.ok()) failed = CheckRuleFactors(read->rules, config_.file, factors_, config_.tokens);
  if (failed.ok()) {
    absl::StatusOr<std::unique_ptr<CallPolicy>> made = NewMethodPolicy(read->rules);
    failed = made.status();
    if (made.ok()) rules = *std::move(made);
  }
  if (failed.ok()) {
    decision.admitted = true;
    decision.detail = absl::StrCat("rules read again: ", read->rules.rules.size(), " rules");
    const std::vector<std::string> changed = ChangedSettings(config_.settings, read->settings);
    if (!changed.empty()) {
      absl::StrAppend(&decision.detail, "; changed, but in force only after a restart: ",
                      absl::StrJoin(changed, ", "));
      std::fprintf(stderr, "forekey: %s\n", decision.detail.c_str());
    }
    failed = audit_.Admit(decision);  // what can't be written is not done
  }
  if (!failed.ok()) {
    if (!reread_.Failed(failed.message()) && !asked) return failed;
    decision.admitted = false;
    decision.detail = absl::StrCat("the old rules stay: ", failed.message());
    std::fprintf(stderr, "forekey: %s\n", decision.detail.c_str());
    audit_.Refused(std::move(decision));
    return failed;
  }
  rules_.Replace(std::move(rules));
  reread_.Use(read->file_signature);
  {
    absl::MutexLock lock(&version_mutex_);
    version_ = RulesVersion(read->rules);
  }
  changed_.Ring();
  return absl::OkStatus();
}

// A file that is being written looks like another one, too: what it says counts once it has stayed
// the same from one look to the next.
void RulesWatch::Look() {
  if (config_.file.empty()) return;
  const std::string now = FileSignature(config_.file);
  absl::MutexLock reloading(&mutex_);
  if (now.empty() || !reread_.Due(now)) return;
  (void)ReloadNow(false);  // it says by itself what is wrong
}

}  // namespace forekey

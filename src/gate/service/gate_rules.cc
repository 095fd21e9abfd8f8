// What GateCore does with rules besides judging calls by them: reading them again, and saying what
// a caller lacks.
#include <cstdio>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/gate/service/gate_core.h"
#include "src/wire/statement.h"

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

absl::Status GateCore::ReloadRules() {
  if (config_.file.empty()) return absl::OkStatus();
  absl::MutexLock reloading(&reload_mutex_);
  rules_signature_ = FileSignature(config_.file);
  Decision decision = NewDecision(AuditEvent::kGate);
  decision.method = "ReloadRules";
  absl::StatusOr<GateConfig> read = GateConfig::Load(config_.file);
  absl::Status failed = read.status();
  std::shared_ptr<const CallPolicy> rules;
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
    failed = audit_->Admit(decision);  // what can't be written is not done
  }
  if (!failed.ok()) {
    decision.admitted = false;
    decision.detail = absl::StrCat("the old rules stay: ", failed.message());
    std::fprintf(stderr, "forekey: %s\n", decision.detail.c_str());
    audit_->Refused(std::move(decision));
    return failed;
  }
  policy_->Replace(std::move(rules));
  return absl::OkStatus();
}

// A file that is being written looks like another one, too: what it says counts once it has stayed
// the same from one look to the next.
void GateCore::WatchRules() {
  if (config_.file.empty()) return;
  const std::string now = FileSignature(config_.file);
  {
    absl::MutexLock reloading(&reload_mutex_);
    const bool settled = std::exchange(rules_seen_, now) == now;
    if (!settled || now.empty() || now == rules_signature_) return;
  }
  (void)ReloadRules();  // it says by itself what is wrong
}

absl::StatusOr<v1::GetRequirementsResponse> GateCore::GetRequirements(
    const VerifiedCall& call, const v1::GetRequirementsRequest& request, absl::string_view peer) {
  if (!IsWellFormedMethod(request.method())) {
    return PublicRefusal(
        Refuse(Reason::kRequestMalformed, "the method is not /package.Service/Method"),
        kGetRequirementsMethod, peer);
  }
  v1::GetRequirementsResponse response;
  if (policy_->IsExempt(request.method())) return response;
  response.set_step_up(StepUpOf(verifier_->WouldPermit(request.method(), call, request.child())));
  return response;
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// A GateAccount's record: merged under the account's lock, whoever changes it.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"
#include "src/agent/gate_account.h"
#include "src/agent/tls_anchors.h"
#include "src/base/shell_word.h"
#include "src/base/status.h"

namespace forekey {
namespace {

bool SameTarget(const GateTarget& a, const GateTarget& b) {
  return a.audience == b.audience && a.address == b.address && a.ca_pem == b.ca_pem &&
         a.tls_server_name == b.tls_server_name;
}

HeldCredential* FindIn(GateRecord* record, const std::string& id) {
  for (HeldCredential& credential : record->credentials) {
    if (credential.id == id) return &credential;
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<std::vector<Candidates>> GateAccount::Choose(std::vector<std::string> with) const {
  absl::MutexLock lock(&mutex_);
  if (with.empty()) with = with_;
  return ChooseCandidates(record_, std::move(with));
}

absl::Status GateAccount::Save() { return ended_.ok() ? state_->Save(record_) : ended_; }

bool GateAccount::LearnTlsAnchors(const ClientSession& session) {
  // Who trusts the system's CAs does so for another reason than the gate's word.
  if (!ended_.ok() || session.tls_anchors().empty() || record_.target.ca_pem.empty()) return false;
  GateTarget target = record_.target;
  const absl::StatusOr<std::string> merged =
      MergeTlsAnchors(target.ca_pem, session.tls_anchors(), clock_->WallNow());
  if (merged.ok() && *merged == target.ca_pem) return false;
  if (merged.ok()) target.ca_pem = *merged;
  absl::StatusOr<std::shared_ptr<GateConnection>> connection =
      merged.ok() ? Connect(target, clock_, affinity_) : merged.status();
  if (!connection.ok()) {
    spdlog::error("gate {}: the CA that its TLS changes to could not be learnt: {}", audience_,
                  std::string(connection.status().message()));
    return false;
  }
  spdlog::info("gate {}: learnt the CA that its TLS changes to", audience_);
  connection_ = *std::move(connection);
  record_.target = std::move(target);
  return true;
}

absl::Status GateAccount::AddPending(const HeldCredential& credential,
                                     absl::string_view reference) {
  absl::MutexLock lock(&mutex_);
  FOREKEY_RETURN_IF_ERROR(ended_);
  FOREKEY_RETURN_IF_ERROR(state_->SaveKey(audience_, credential.key_file, reference));
  // A key that existed already may be enrolled once more.
  if (FindIn(&record_, credential.id) != nullptr) return absl::OkStatus();
  record_.credentials.push_back(credential);
  absl::Status saved = Save();
  if (!saved.ok()) record_.credentials.pop_back();
  return saved;
}

absl::Status GateAccount::Keep(const HeldCredential& credential, bool pending,
                               const GateTarget& target) {
  absl::MutexLock lock(&mutex_);
  FOREKEY_RETURN_IF_ERROR(ended_);
  HeldCredential* known = FindIn(&record_, credential.id);
  if (known == nullptr) return absl::InternalError("the credential left the record");
  known->pending = known->pending && pending;
  refused_keys_.Forget();
  if (!SameTarget(record_.target, target)) {
    FOREKEY_ASSIGN_OR_RETURN(connection_, Connect(target, clock_, affinity_));
    record_.target = target;
  }
  // When this fails, it is pending on the disk, which the next session clears.
  if (absl::Status saved = Save(); !saved.ok()) {
    spdlog::error("gate {}: {}", audience_, std::string(saved.message()));
  }
  return absl::OkStatus();
}

absl::Status GateAccount::Drop(const HeldCredential& credential) {
  absl::MutexLock lock(&mutex_);
  if (!ended_.ok()) return absl::OkStatus();
  auto found = std::find_if(record_.credentials.begin(), record_.credentials.end(),
                            [&](const HeldCredential& known) { return known.id == credential.id; });
  if (found == record_.credentials.end() || !found->pending) return absl::OkStatus();
  record_.credentials.erase(found);
  keys_.erase(credential.id);
  FOREKEY_RETURN_IF_ERROR(Save());
  return state_->RemoveKey(audience_, credential.key_file);
}

absl::StatusOr<HeldCredential> GateAccount::SetDefault(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  HeldCredential chosen;
  if (!name.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(chosen, FindCredential(record_, name));
  }
  const std::string before = std::exchange(record_.default_credential, chosen.id);
  if (absl::Status saved = Save(); !saved.ok()) {
    record_.default_credential = before;
    return saved;
  }
  return chosen;
}

absl::StatusOr<HeldCredential> GateAccount::ForgetCredential(const std::string& name) {
  HeldCredential forgotten;
  absl::Status removed;
  {
    absl::MutexLock lock(&mutex_);
    FOREKEY_ASSIGN_OR_RETURN(forgotten, FindCredential(record_, name));
    if (record_.credentials.size() == 1) {
      return absl::FailedPreconditionError(absl::StrCat("it is the only credential at ", audience_,
                                                        ": run forekey forget --gate ",
                                                        ShellWord(audience_)));
    }
    const GateRecord before = record_;
    std::erase_if(record_.credentials,
                  [&](const HeldCredential& known) { return known.id == forgotten.id; });
    if (record_.default_credential == forgotten.id) record_.default_credential.clear();
    if (absl::Status saved = Save(); !saved.ok()) {
      record_ = before;
      return saved;
    }
    removed = state_->RemoveKey(audience_, forgotten.key_file);
  }
  // It may be one of those that the session was opened with.
  if (absl::Status ended = Logout(); !ended.ok()) {
    spdlog::warn("gate {}: the session could not be ended: {}", audience_,
                 std::string(ended.message()));
  }
  if (!removed.ok()) {
    return absl::Status(removed.code(),
                        absl::StrCat("the credential is forgotten and its session ended, but its "
                                     "key file is still there; remove it by hand: ",
                                     removed.message()));
  }
  return forgotten;
}

}  // namespace forekey

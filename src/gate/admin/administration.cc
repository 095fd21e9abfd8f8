// SPDX-License-Identifier: Apache-2.0
#include "src/gate/admin/administration.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/status.h"
#include "src/base/version.h"

namespace forekey {

Administration::Administration(AdministrationNeeds needs)
    : needs_(std::move(needs)), config_(*needs_.config), state_(*needs_.state) {}

size_t Administration::EndSessionsOfCredential(absl::string_view id) {
  return needs_.sessions == nullptr ? 0 : needs_.sessions->EndByCredential(id);
}

absl::Status Administration::AuditChange(absl::string_view actor, absl::string_view method,
                                         absl::string_view subject, absl::string_view detail) {
  Decision decision = state_.audit().NewDecision(AuditEvent::kAdmin);
  decision.admitted = true;
  decision.peer = std::string(actor);
  decision.method = std::string(method);
  decision.subject = std::string(subject);
  decision.detail = std::string(detail);
  return state_.audit().Admit(decision);
}

std::string Administration::AdvertisedAddress() const {
  std::string address = config_.AdvertisedAddress();
  const int port = bound_port_.load(std::memory_order_relaxed);
  if (port != 0 && absl::EndsWith(address, ":0")) {
    address.replace(address.size() - 1, 1, absl::StrCat(port));
  }
  return address;
}

absl::StatusOr<v1::GetGateStatusResponse> Administration::GetGateStatus(
    const v1::GetGateStatusRequest& request) {
  FOREKEY_ASSIGN_OR_RETURN(const Registry::Counts counts, state_.registry().Count());
  v1::GetGateStatusResponse response;
  response.set_version(kForekeyVersion);
  response.set_audience(config_.audience);
  response.set_address(AdvertisedAddress());
  response.set_identity_fingerprint(
      absl::BytesToHexString(state_.identities().current()->fingerprint()));
  response.set_subjects(counts.subjects);
  response.set_credentials(counts.credentials);
  if (needs_.sessions != nullptr) response.set_sessions(needs_.sessions->size());
  if (needs_.counters != nullptr) {
    response.set_admitted(needs_.counters->admitted());
    response.set_refused(needs_.counters->refused.load(std::memory_order_relaxed));
  }
  if (needs_.lease_holds) response.set_lease_ended(!needs_.lease_holds());
  if (!request.all_replicas()) return response;
  if (state_.shared_registry() == nullptr) {
    return absl::FailedPreconditionError("this gate shares its registry with nobody");
  }
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<PostgresRegistry::Replica> replicas,
                           state_.shared_registry()->ListReplicas());
  for (const PostgresRegistry::Replica& replica : replicas) {
    v1::ReplicaInfo* const info = response.add_replicas();
    info->set_name(replica.name);
    info->set_lease_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(replica.lease)));
    info->set_unheard_ms(absl::ToInt64Milliseconds(replica.unheard));
    info->set_behind(replica.behind);
    info->set_rules(replica.state);
  }
  return response;
}

v1::Spread Administration::AwaitEverywhere(absl::Span<const ChangePosition> made) {
  v1::Spread spread;
  PostgresRegistry* const shared = state_.shared_registry();
  if (shared == nullptr) return spread;
  const auto confirmations = shared->AwaitConfirmed(made);
  if (!confirmations.ok()) {
    spread.set_unknown(std::string(confirmations.status().message()));
    return spread;
  }
  for (const PostgresRegistry::Confirmation& one : *confirmations) {
    (one.confirmed ? spread.add_confirmed() : spread.add_unconfirmed())->assign(one.name);
  }
  return spread;
}

absl::StatusOr<v1::BackUpResponse> Administration::BackUp(const v1::BackUpRequest& request,
                                                          absl::string_view actor) {
  if (request.path().empty() || request.path()[0] != '/') {
    return absl::InvalidArgumentError(
        "the backup's path must be absolute: it is the gate that writes it");
  }
  // It is a copy of everything that is enrolled: who took one is written first.
  FOREKEY_RETURN_IF_ERROR(AuditChange(actor, "BackUp", "", request.path()));
  FOREKEY_RETURN_IF_ERROR(state_.registry().Backup(request.path()));
  FOREKEY_ASSIGN_OR_RETURN(const Registry::Counts counts, state_.registry().Count());
  v1::BackUpResponse response;
  response.set_subjects(counts.subjects);
  response.set_credentials(counts.credentials);
  return response;
}

absl::StatusOr<v1::RotateIdentityResponse> Administration::RotateIdentity(
    const v1::RotateIdentityRequest& request, absl::string_view actor) {
  PostgresRegistry* const shared = state_.shared_registry();
  if (shared != nullptr) {
    // All announce the new one, or none does: so nobody runs meanwhile.
    FOREKEY_RETURN_IF_ERROR(
        shared->ReplaceIdentity({config_.audience, state_.identities().current()->fingerprint()}));
  }
  FOREKEY_RETURN_IF_ERROR(
      AuditChange(actor, "RotateIdentity", "", "the gate's identity is rotated"));
  FOREKEY_RETURN_IF_ERROR(state_.identities().Rotate());
  if (shared != nullptr) {
    const absl::Status recorded =
        shared->ReplaceIdentity({config_.audience, state_.identities().current()->fingerprint()});
    if (!recorded.ok()) {
      return absl::Status(recorded.code(),
                          absl::StrCat("the identity was rotated in this state folder, but the "
                                       "registry still has the old one (",
                                       recorded.message(),
                                       "): run `forekey-gate identity record` once no gate runs"));
    }
  }
  v1::RotateIdentityResponse response;
  response.set_identity_fingerprint(
      absl::BytesToHexString(state_.identities().current()->fingerprint()));
  return response;
}

}  // namespace forekey

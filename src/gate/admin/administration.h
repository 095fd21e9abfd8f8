// SPDX-License-Identifier: Apache-2.0
// Administration of a gate: its invites, subjects and credentials, its identity and its registry.
// The same code answers over the admin socket of a gate that runs and, where none runs, straight
// from the state folder (src/gate/admin/gate_at_rest.h).
//
// Errors are exact: they are for administrators alone. `actor` is who asked, for the audit log:
// "uid 1000".
//
// What takes power away is done first and written to the audit log afterwards: a full disk must not
// keep a stolen credential alive. What gives power is written first, and not done where it can't be
// written.
#ifndef FOREKEY_SRC_GATE_ADMIN_ADMINISTRATION_H_
#define FOREKEY_SRC_GATE_ADMIN_ADMINISTRATION_H_

#include <atomic>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "forekey/v1/admin.pb.h"
#include "src/gate/admin/gate_state.h"
#include "src/gate/admin/recheck.h"
#include "src/gate/call/gate_counters.h"
#include "src/gate/config/config.h"
#include "src/gate/factor/gate_factors.h"
#include "src/gate/factor/oidc_config.h"
#include "src/store/session_table.h"

namespace forekey {

// Everything is borrowed and must outlive the administration.
struct AdministrationNeeds {
  const GateConfig* config = nullptr;
  GateState* state = nullptr;
  GateFactors* factors = nullptr;
  // Asked at each recheck, because where no gate runs the trust is read then alone.
  std::function<absl::StatusOr<CredentialRecheck*>()> recheck;
  // The running gate's; null where none runs.
  SessionTable* sessions = nullptr;
  const GateCounters* counters = nullptr;
  std::function<bool()> lease_holds;  // empty: there is none
};

// Safe from any thread. Blocks for the disk.
class Administration {
 public:
  explicit Administration(AdministrationNeeds needs);

  // The port that the listener was given, where the config says 0.
  void SetBoundPort(int port) { bound_port_.store(port, std::memory_order_relaxed); }
  // What invites name: as configured, with the bound port in the place of a port 0.
  std::string AdvertisedAddress() const;

  absl::StatusOr<v1::GetGateStatusResponse> GetGateStatus(const v1::GetGateStatusRequest& request);

  absl::StatusOr<v1::CreateInviteResponse> CreateInvite(const v1::CreateInviteRequest& request,
                                                        absl::string_view actor);
  absl::StatusOr<v1::ListInvitesResponse> ListInvites(const v1::ListInvitesRequest& request);
  absl::StatusOr<v1::CancelInviteResponse> CancelInvite(const v1::CancelInviteRequest& request,
                                                        absl::string_view actor);

  absl::StatusOr<v1::ListSubjectsResponse> ListSubjects(const v1::ListSubjectsRequest& request);
  absl::StatusOr<v1::SetSubjectResponse> SetSubject(const v1::SetSubjectRequest& request,
                                                    absl::string_view actor);
  // The password arrives over the admin socket, and only its hash is kept.
  absl::StatusOr<v1::SetPasswordResponse> SetPassword(const v1::SetPasswordRequest& request,
                                                      absl::string_view actor);
  // Who the subject is at an identity provider of the config, from then on. Sessions that proved a
  // further factor are ended.
  // FailedPrecondition without [factors.oidc], InvalidArgument for more than 255 bytes, for an
  // issuer that is not configured, and for none where there are several.
  absl::StatusOr<v1::SetOidcIdentityResponse> SetOidcIdentity(
      const v1::SetOidcIdentityRequest& request, absl::string_view actor);
  // With `refresh` it waits for the providers, for at most 20 seconds.
  absl::StatusOr<v1::ListIdentityProvidersResponse> ListIdentityProviders(
      const v1::ListIdentityProvidersRequest& request, absl::string_view actor);

  absl::StatusOr<v1::ListCredentialsResponse> ListCredentials(
      const v1::ListCredentialsRequest& request);
  // When it returns OK the running gate refuses the credential, and its sessions are ended; and so
  // does every replica, having confirmed it or lost its lease, unless `spread` says that this is
  // not known. Of a
  // subject also its unused invites are cancelled, in the same step. NotFound where there is
  // neither such a subject nor an invite of it.
  absl::StatusOr<v1::RevokeCredentialResponse> RevokeCredential(
      const v1::RevokeCredentialRequest& request, absl::string_view actor);
  // See CredentialRecheck::Recheck.
  absl::StatusOr<v1::RecheckCredentialsResponse> RecheckCredentials(
      const v1::RecheckCredentialsRequest& request, absl::string_view actor);

  // Copies the registry while calls go on; the path is the gate's own machine's.
  absl::StatusOr<v1::BackUpResponse> BackUp(const v1::BackUpRequest& request,
                                            absl::string_view actor);
  absl::StatusOr<v1::RotateIdentityResponse> RotateIdentity(
      const v1::RotateIdentityRequest& request, absl::string_view actor);

 private:
  // The only one where `issuer` is empty.
  absl::StatusOr<const OidcProviderConfig*> ProviderNamed(absl::string_view issuer) const;
  absl::Status AuditChange(absl::string_view actor, absl::string_view method,
                           absl::string_view subject, absl::string_view detail);
  // Waits, at most for a lease, until every replica has these changes.
  v1::Spread AwaitEverywhere(absl::Span<const ChangePosition> made);
  size_t EndSessionsOfCredential(absl::string_view id);
  // Finishes a revocation that the registry has already: ends the credential's sessions, writes it
  // to the audit log, and counts it.
  void EndRevoked(const std::string& id, bool revoked, const v1::RevokeCredentialRequest& request,
                  absl::string_view actor, v1::RevokeCredentialResponse& response);
  static v1::InviteInfo InfoOf(const InviteRecord& invite);

  const AdministrationNeeds needs_;
  const GateConfig& config_;
  GateState& state_;
  std::atomic<int> bound_port_{0};
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_ADMIN_ADMINISTRATION_H_

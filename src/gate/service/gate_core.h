// The gate without gRPC: one object made from a GateConfig that owns challenges, identity, accepted
// certificates, registry, sessions, verifier, enrolment and audit. The gRPC adapters (src/gate) and
// the admin socket call this, and only this.
//
// Two kinds of errors leave it. Judge() and the services that peers call return *public* statuses:
// the coarse code of the reason and the reference number under which the audit log has the rest,
// nothing else. Recall() and the administrator's calls return the exact reason.
#ifndef FOREKEY_SRC_GATE_SERVICE_GATE_CORE_H_
#define FOREKEY_SRC_GATE_SERVICE_GATE_CORE_H_

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "forekey/v1/admin.pb.h"
#include "forekey/v1/gate.pb.h"
#include "src/base/clock.h"
#include "src/gate/audit/audit.h"
#include "src/gate/call/call_verifier.h"
#include "src/gate/call/certificates.h"
#include "src/gate/call/challenge.h"
#include "src/gate/call/live_rules.h"
#include "src/gate/config/config.h"
#include "src/gate/enroll/enrollment.h"
#include "src/gate/factor/oidc_factor.h"
#include "src/gate/limits/latency.h"
#include "src/gate/session/identity.h"
#include "src/gate/session/session_opener.h"
#include "src/gate/token/live_trust.h"
#include "src/policy/call_policy.h"
#include "src/store/live_credentials.h"
#include "src/store/registry.h"
#include "src/store/replay.h"
#include "src/store/session_table.h"

namespace forekey {

struct Fido2EnrollmentOptions;

struct Judgement {
  // OK, or the public status: give it to the peer as it is.
  absl::Status status;
  std::optional<Reason> reason;  // of a refusal; for the gate's own ears
  // The method needs no prefix: strip any that came, the handler has no caller.
  bool exempt = false;
  // Set when status is OK and the method is not exempt.
  std::optional<VerifiedCall> call;
};

// All methods are safe from any thread and do not block beyond the registry's disk writes
// (enrolment, administration, a FIDO2 counter) and the audit log's; OpenSession with further
// factors takes longer: a password on purpose, an ID token for as long as JwksCacheOptions let it
// wait for keys.
class GateCore {
 public:
  // What tests bring instead of the real thing.
  struct Parts {
    const Clock* clock = &Clock::System();
    std::shared_ptr<Registry> registry;  // null: SQLite under state.directory
    std::unique_ptr<AuditSink> audit;    // null: as configured
    EnrollmentKinds kinds;               // take the place of the configured ones of the same kind
    bool maintenance_thread = true;      // false: the owner calls Maintain()
    bool fetch_keys = true;              // false: identity providers are left alone
  };

  // Errors name the file and what to do about it.
  static absl::StatusOr<std::unique_ptr<GateCore>> New(GateConfig config);
  static absl::StatusOr<std::unique_ptr<GateCore>> New(GateConfig config, Parts parts);
  ~GateCore();
  GateCore(const GateCore&) = delete;
  GateCore& operator=(const GateCore&) = delete;

  const GateConfig& config() const { return config_; }
  const Clock& clock() const { return *clock_; }

  // The port that the listener was given, where the config says 0.
  void SetBoundPort(int port) { bound_port_.store(port, std::memory_order_relaxed); }
  // What invites name: as configured, with the bound port in the place of a port 0.
  std::string AdvertisedAddress() const;

  // ---- The call path ----
  // Judges, counts and audits a call.
  Judgement Judge(const CallInput& input);
  bool IsExempt(absl::string_view path) const { return policy_->IsExempt(path); }
  // See CallVerifier::Recall. kPrefixMissing for an exempt method: it has no caller.
  absl::StatusOr<VerifiedCall> Recall(absl::Span<const absl::string_view> prefixes,
                                      absl::string_view path);

  // Whether a call that was admitted may go on: OK, or why not (its session ended or is over, a
  // credential was revoked, the rules no longer allow it). A live call keeps its session from
  // idling.
  absl::Status CheckLive(const VerifiedCall& call, absl::string_view path) const;
  // Goes through the gate's live calls and puts `by` in the place of the caller of the one that the
  // predicate picks. The predicate is called under a lock, and must not ask for live calls.
  using ReplaceLiveCall = absl::FunctionRef<void(
      const VerifiedCall& by,
      absl::FunctionRef<bool(const VerifiedCall& live, absl::string_view path)> pick)>;
  // Audits that a live call was ended.
  void AuditEndedCall(const VerifiedCall& call, absl::string_view path, const absl::Status& why);

  // ---- The Gate service (public statuses) ----
  absl::StatusOr<v1::GetChallengeResponse> GetChallenge(const v1::GetChallengeRequest& request);
  absl::StatusOr<v1::BeginEnrollmentResponse> BeginEnrollment(
      const v1::BeginEnrollmentRequest& request, absl::string_view peer);
  absl::StatusOr<v1::FinishEnrollmentResponse> FinishEnrollment(
      const v1::FinishEnrollmentRequest& request, absl::string_view peer);
  absl::StatusOr<v1::OpenSessionResponse> OpenSession(const VerifiedCall& call,
                                                      const v1::OpenSessionRequest& request,
                                                      absl::string_view peer);
  // So many threads at most are held in OpenSession at once by further factors that take their
  // time.
  size_t MostOpeningThreads() const;
  absl::StatusOr<v1::OpenSessionResponse> OpenChildSession(
      const VerifiedCall& call, const v1::OpenChildSessionRequest& request, absl::string_view peer);
  absl::StatusOr<v1::EndSessionResponse> EndSession(const VerifiedCall& call,
                                                    const v1::EndSessionRequest& request,
                                                    absl::string_view peer);
  // A live call of the same subject goes on under `call`'s session, where the rule of its method
  // says so and would permit it to that session.
  absl::StatusOr<v1::ReauthenticateCallResponse> ReauthenticateCall(
      const VerifiedCall& call, const v1::ReauthenticateCallRequest& request,
      absl::string_view peer, ReplaceLiveCall replace);
  // What `call`'s caller lacks for a method, by the rules in force (src/wire/step_up.h).
  absl::StatusOr<v1::GetRequirementsResponse> GetRequirements(
      const VerifiedCall& call, const v1::GetRequirementsRequest& request, absl::string_view peer);
  absl::StatusOr<v1::WhoAmIResponse> WhoAmI(const VerifiedCall& call,
                                            const v1::WhoAmIRequest& request);

  // A refusal on a peer-facing path outside of the above (the adapters' own): audits it and gives
  // the public status.
  absl::Status PublicRefusal(const absl::Status& refusal, absl::string_view method,
                             absl::string_view peer);

  // ---- The Admin service (exact statuses). `actor`: who asked, for the audit log: "uid 1000".
  // ----
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
  // When it returns OK the running gate refuses the credential, and its sessions are ended.
  absl::StatusOr<v1::RevokeCredentialResponse> RevokeCredential(
      const v1::RevokeCredentialRequest& request, absl::string_view actor);
  // Verifies what is enrolled by what enrolments are verified by now, which takes as long as so
  // many certificate paths. Each credential that would be refused is a line of the audit log; with
  // `revoke` those whose trust was withdrawn are revoked, and their sessions ended.
  absl::StatusOr<v1::RecheckCredentialsResponse> RecheckCredentials(
      const v1::RecheckCredentialsRequest& request, absl::string_view actor);
  // The same for the kinds whose trust was read since the last time, as [attestation] recheck says;
  // what was told once is not told again. Done by a thread of its own unless Parts says otherwise.
  void RecheckWhatChanged();
  // Copies the registry while calls go on; the path is the gate's own machine's.
  absl::StatusOr<v1::BackUpResponse> BackUp(const v1::BackUpRequest& request,
                                            absl::string_view actor);
  absl::StatusOr<v1::RotateIdentityResponse> RotateIdentity(
      const v1::RotateIdentityRequest& request, absl::string_view actor);

  // Drops expired sessions and reads changed certificates, rules and trust: done every second by a
  // thread of its own unless Parts says otherwise.
  void Maintain();
  // Reads the accepted certificates again, now. See AcceptedCertificates::Reload.
  absl::Status ReloadCertificates() { return certificates_->Reload(); }

  // Reads the rules again from the file that the config came from (nothing, where it came from
  // none). On an error the old rules stay; either way the audit log and stderr have it, and name
  // what else was changed in the file and takes a restart. Maintain() does so when the file has
  // changed.
  absl::Status ReloadRules();
  const CallPolicy& rules() const { return *policy_; }

  // Reads what enrolments are verified by again: trust folders, revocation lists, metadata. On an
  // error of a kind what it had stays; either way the audit log and stderr have it. The first
  // error. Maintain() does so for a kind whose files have changed.
  absl::Status ReloadTrust();

  // Has the keys of all identity providers fetched again; does not wait. The audit log has what
  // came.
  void RefreshIdentityProviders();

  struct Counters {
    std::atomic<uint64_t> admitted{0};
    std::atomic<uint64_t> refused{0};
    std::atomic<uint64_t> exempt{0};
    std::array<std::atomic<uint64_t>, kReasonCount + 1> refused_for{};  // the last: failures
    LatencyHistogram session_latency, device_latency, refused_latency;
  };
  const Counters& counters() const { return counters_; }
  // The registry answers: what a watchdog asks.
  absl::Status CheckHealth() const { return credentials_->registry().Count().status(); }
  const AuditLog& audit() const { return *audit_; }
  const AcceptedCertificates& certificates() const { return *certificates_; }
  const GateIdentities& identities() const { return *identities_; }
  const SessionTable& sessions() const { return *sessions_; }

 private:
  GateCore(GateConfig config, const Clock* clock);
  absl::Status Build(Parts parts);
  absl::Status BuildEnrollment(EnrollmentKinds kinds);
  static void Describe(const VerifiedCall& call, Decision& decision);
  absl::Status MayReauthenticate(const VerifiedCall& live, absl::string_view path,
                                 const VerifiedCall& by) const;
  absl::Status ReportTrust(const LiveTrust& trust);
  absl::Status ReloadTrust(LiveTrust& trust);
  absl::Status BuildFactors(bool fetch_keys);
  // The only one where `issuer` is empty.
  absl::StatusOr<const OidcProviderConfig*> ProviderNamed(absl::string_view issuer) const;
  Decision NewDecision(AuditEvent event) const;
  // `reason` is ReasonOf(why).
  static absl::Status PublicStatus(const absl::Status& why, std::optional<Reason> reason,
                                   absl::string_view reference);
  void CountRefusal(std::optional<Reason> reason);
  absl::Status RefusePublicly(Decision decision, const absl::Status& why);
  absl::Status RefuseCall(const CallInput& input, const CallTrace& trace, int64_t begun,
                          const absl::Status& why, std::optional<Reason> reason);
  absl::StatusOr<v1::OpenSessionResponse> AnswerOpening(absl::StatusOr<OpenedSession> opened,
                                                        const VerifiedCall& call,
                                                        absl::string_view method,
                                                        absl::string_view peer);
  // Of an administrator's change, before it is made: what can't be written is not done.
  absl::Status AuditChange(absl::string_view actor, absl::string_view method,
                           absl::string_view subject, absl::string_view detail);
  struct Recheck {
    std::set<TokenKind> kinds;
    bool revoke = false;
    std::string actor;                         // empty: the gate itself
    std::set<std::string>* told = nullptr;     // ids that need no line; null: all get one
    v1::RecheckCredentialsResponse* response;  // what was found
  };
  absl::Status RecheckAll(const Recheck& recheck);
  absl::Status RecheckOne(const Recheck& recheck, const std::string& id);
  void WantRecheck(TokenKind kind);
  void RunRecheck();
  void RunMaintenance();
  void WatchRules();
  void WatchTrust();

  const GateConfig config_;
  const Clock* const clock_;
  std::unique_ptr<LiveRules> policy_;
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<GateIdentities> identities_;
  std::unique_ptr<AcceptedCertificates> certificates_;
  std::unique_ptr<ChallengeIssuer> challenges_;
  std::unique_ptr<LiveCredentials> credentials_;
  std::unique_ptr<ReplayStore> replay_;
  std::unique_ptr<SessionTable> sessions_;
  AssertionVerifiers assertions_;
  EnrollmentKinds kinds_;
  std::vector<LiveTrust*> trust_;  // of kinds_: those that read files; fixed once built
  std::unique_ptr<StrangerLimit> strangers_;
  std::unique_ptr<StrangerLimit> enrolling_strangers_;
  std::unique_ptr<CallVerifier> verifier_;
  std::unique_ptr<PasswordFactor> passwords_;
  std::unique_ptr<OidcFactor> oidc_;
  std::unique_ptr<SessionOpener> opener_;
  std::unique_ptr<EnrollmentAuthority> enrollment_;
  Counters counters_;
  std::atomic<int> bound_port_{0};
  absl::Mutex maintenance_mutex_;
  std::string certificate_error_ ABSL_GUARDED_BY(maintenance_mutex_);

  absl::Mutex trust_mutex_;  // one reload of trust after the other
  absl::Mutex reload_mutex_;
  std::string rules_signature_ ABSL_GUARDED_BY(reload_mutex_);  // of the file that was read last
  std::string rules_seen_ ABSL_GUARDED_BY(reload_mutex_);       // at the last look

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<TokenKind> recheck_wanted_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> recheck_stop_{false};
  absl::Mutex recheck_mutex_;  // one recheck after the other
  std::set<std::string> recheck_told_ ABSL_GUARDED_BY(recheck_mutex_);
  std::thread maintenance_;
  std::thread recheck_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SERVICE_GATE_CORE_H_

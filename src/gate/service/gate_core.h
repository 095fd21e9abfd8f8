// SPDX-License-Identifier: Apache-2.0
// The gate without gRPC, wired from a GateConfig. What it does is done by the objects that it owns:
//   calls()        judges calls                                   src/gate/call/call_judge.h
//   peers()        answers the Gate service                       src/gate/service/peer_service.h
//   admin()        answers the Admin service                      src/gate/admin/administration.h
//   maintenance()  reads what changed, forgets what is over       src/gate/service/maintenance.h
// The gRPC adapters (src/gate/grpc) take these.
#ifndef FOREKEY_SRC_GATE_SERVICE_GATE_CORE_H_
#define FOREKEY_SRC_GATE_SERVICE_GATE_CORE_H_

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/base/clock.h"
#include "src/base/deadline.h"
#include "src/gate/admin/administration.h"
#include "src/gate/admin/gate_state.h"
#include "src/gate/admin/recheck.h"
#include "src/gate/audit/audit.h"
#include "src/gate/call/call_judge.h"
#include "src/gate/call/call_verifier.h"
#include "src/gate/call/certificates.h"
#include "src/gate/call/challenge.h"
#include "src/gate/call/gate_counters.h"
#include "src/gate/call/live_rules.h"
#include "src/gate/call/refusals.h"
#include "src/gate/call/ticket_keys.h"
#include "src/gate/config/config.h"
#include "src/gate/enroll/enrollment.h"
#include "src/gate/factor/gate_factors.h"
#include "src/gate/limits/stranger_limit.h"
#include "src/gate/service/maintenance.h"
#include "src/gate/service/peer_service.h"
#include "src/gate/service/rules_watch.h"
#include "src/gate/service/trust_watch.h"
#include "src/gate/session/announced_cas.h"
#include "src/gate/session/identity.h"
#include "src/gate/session/session_opener.h"
#include "src/gate/token/gate_tokens.h"
#include "src/store/admission_lease.h"
#include "src/store/postgres/postgres_replica.h"
#include "src/store/replay.h"
#include "src/store/session_table.h"

namespace forekey {

// Safe from any thread.
class GateCore {
 public:
  // What tests bring instead of the real thing.
  struct StandIns {
    const Clock* clock = &Clock::System();
    std::shared_ptr<Registry> registry;                 // null: as configured
    std::shared_ptr<PostgresRegistry> shared_registry;  // instead
    std::unique_ptr<AuditSink> audit;                   // null: as configured
    // Take the place of what the configuration says of their kinds.
    std::vector<std::shared_ptr<const TokenVerifier>> tokens;
    bool maintenance_thread = true;  // false: the owner calls maintenance() and recheck()
    bool fetch_keys = true;          // false: identity providers are left alone
    bool registry_may_wait = false;  // true: `registry` is to be treated like one elsewhere
  };

  // Errors name the file and what to do about it.
  static absl::StatusOr<std::unique_ptr<GateCore>> New(GateConfig config);
  static absl::StatusOr<std::unique_ptr<GateCore>> New(GateConfig config, StandIns stand_ins);
  GateCore(const GateCore&) = delete;
  GateCore& operator=(const GateCore&) = delete;

  CallJudge& calls() { return *judge_; }
  PeerService& peers() { return *peers_; }
  Administration& admin() { return *admin_; }
  Maintenance& maintenance() { return *maintenance_; }
  CredentialRecheck& recheck() { return *recheck_; }
  Refusals& refusals() { return *refusals_; }

  const GateConfig& config() const { return config_; }
  const Clock& clock() const { return state_->clock(); }
  const CallPolicy& rules() const { return *policy_; }
  const GateCounters& counters() const { return counters_; }
  // Rings when somebody may have lost a right: a credential, a session, a role, a rule. For the one
  // thread that looks after live calls.
  Bell& rights_changed() { return rights_changed_; }
  const AuditLog& audit() const { return state_->audit(); }
  AuditLog& audit() { return state_->audit(); }
  const AcceptedCertificates& certificates() const { return *certificates_; }
  const GateIdentities& identities() const { return state_->identities(); }
  const SessionTable& sessions() const { return *sessions_; }
  const AnnouncedCas& announced_cas() const { return *announced_cas_; }
  // Holds for ever where nobody shares the registry.
  bool LeaseHolds() const { return verifier_->CheckLease(clock().BootNow()).ok(); }

  // The registry is another process's, on another machine perhaps: who asks it waits, and must not
  // be a thread that others need.
  bool RegistryMayWait() const {
    return registry_may_wait_ || state_->shared_registry() != nullptr;
  }

  // Whether a device's proof is over a challenge of this gate's that is good still, and says that
  // its caller saw a certificate that is accepted: what is not is refused before the registry is
  // asked. It says nothing of whose proof it is, or whether it was used before.
  bool IsOfNow(const DeviceProofView& proof) const {
    return certificates_->Accepts(proof.channel_binding, clock().BootNow()) &&
           challenges_->Check(proof.challenge, ChallengePurpose::kCall).ok();
  }

  // What this gate is called among those that share its registry, and for how long it may admit
  // calls by what it knows now; nullopt where nobody does.
  struct Replica {
    std::string name;
    absl::Duration lease_left;
  };
  std::optional<Replica> replica() const {
    if (state_->shared_registry() == nullptr) return std::nullopt;
    return Replica{state_->replica(),
                   std::max(lease_.end() - clock().BootNow(), absl::ZeroDuration())};
  }

  // How many threads further factors can hold in OpenSession at the same time, because they wait
  // for something.
  size_t MostOpeningThreads() const { return factors_->MostThreads(); }

  // This process is on its way out: a session that goes on at another replica leaves its live calls
  // alone here.
  void LetLiveCallsFinish() { sessions_->LetLiveCallsFinish(); }

  // Reads the accepted certificates again, now. See AcceptedCertificates::Reload.
  absl::Status ReloadCertificates() {
    absl::Status reloaded = certificates_->Reload();
    reloaded.Update(announced_cas_->Reload());
    return reloaded;
  }
  // See RulesWatch::Reload and TrustWatch::Reload.
  absl::Status ReloadRules() { return rules_watch_->Reload(); }
  absl::Status ReloadTrust() { return trust_watch_->Reload(); }
  // Has the keys of all identity providers fetched again; does not wait. The audit log has what
  // came.
  void RefreshIdentityProviders() { factors_->RefreshSoon(); }

  // The registry answers: what a watchdog asks. One in PostgreSQL is not this process's to mend: it
  // goes on, and is back when the database is.
  absl::Status CheckHealth() const {
    return state_->shared_registry() == nullptr ? state_->registry().Count().status()
                                                : absl::OkStatus();
  }

 private:
  explicit GateCore(GateConfig config) : config_(std::move(config)) {}
  absl::Status Build(StandIns stand_ins);
  absl::Status BuildTickets();
  absl::Status BuildVerifier(std::vector<std::shared_ptr<const TokenVerifier>> tokens);
  absl::Status BuildFactors(bool fetch_keys);
  void BuildServices();
  // Admits nothing before it has: last of all.
  absl::Status JoinCluster();

  // In the order in which they are built: what comes later borrows what comes before.
  const GateConfig config_;
  bool registry_may_wait_ = false;
  Bell rights_changed_;
  AdmissionLease lease_;
  std::unique_ptr<GateState> state_;
  std::unique_ptr<LiveRules> policy_;
  std::unique_ptr<AcceptedCertificates> certificates_;
  std::unique_ptr<ChallengeIssuer> challenges_;
  std::unique_ptr<ReplayStore> replay_;
  std::unique_ptr<SessionTable> sessions_;
  std::unique_ptr<StrangerLimit> strangers_;
  std::unique_ptr<StrangerLimit> enrolling_strangers_;
  std::unique_ptr<GateTokens> tokens_;
  std::unique_ptr<TicketKeys> tickets_;  // null: no session is resumed
  std::unique_ptr<CallVerifier> verifier_;
  std::unique_ptr<GateFactors> factors_;
  std::unique_ptr<AnnouncedCas> announced_cas_;
  std::unique_ptr<SessionOpener> opener_;
  std::unique_ptr<EnrollmentAuthority> enrollment_;
  GateCounters counters_;
  std::unique_ptr<Refusals> refusals_;
  std::unique_ptr<CallJudge> judge_;
  std::unique_ptr<PeerService> peers_;
  std::unique_ptr<CredentialRecheck> recheck_;
  std::unique_ptr<Administration> admin_;
  std::unique_ptr<RulesWatch> rules_watch_;
  std::unique_ptr<TrustWatch> trust_watch_;
  std::unique_ptr<Maintenance> maintenance_;
  std::unique_ptr<PostgresReplica> replica_;  // of a registry that is shared
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SERVICE_GATE_CORE_H_

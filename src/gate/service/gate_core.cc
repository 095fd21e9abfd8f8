// SPDX-License-Identifier: Apache-2.0
#include "src/gate/service/gate_core.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"
#include "src/gate/service/rule_factors.h"
#include "src/gate/token/tpm_config.h"

namespace forekey {

absl::StatusOr<std::unique_ptr<GateCore>> GateCore::New(GateConfig config) {
  return New(std::move(config), StandIns());
}

absl::StatusOr<std::unique_ptr<GateCore>> GateCore::New(GateConfig config, StandIns stand_ins) {
  auto core = std::unique_ptr<GateCore>(new GateCore(std::move(config)));
  const bool maintenance_thread = stand_ins.maintenance_thread;
  FOREKEY_RETURN_IF_ERROR(core->Build(std::move(stand_ins)));
  if (maintenance_thread) {
    core->maintenance_->Start();
    core->recheck_->Start();
  }
  return core;
}

absl::Status GateCore::Build(StandIns stand_ins) {
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<CallPolicy> rules, NewMethodPolicy(config_.rules));
  policy_ = std::make_unique<LiveRules>(std::move(rules));
  registry_may_wait_ = stand_ins.registry_may_wait;
  FOREKEY_ASSIGN_OR_RETURN(
      state_,
      GateState::Open(config_, {stand_ins.clock, std::move(stand_ins.registry),
                                std::move(stand_ins.shared_registry), std::move(stand_ins.audit)}));
  state_->credentials().TellOfChanges([this] { rights_changed_.Ring(); });
  FOREKEY_ASSIGN_OR_RETURN(
      certificates_,
      AcceptedCertificates::New(AcceptedCertificatesOptions{{config_.tls.certificate},
                                                            config_.tls.accepted_certificates,
                                                            config_.tls.replaced_lifetime},
                                clock()));
  FOREKEY_RETURN_IF_ERROR(BuildTickets());
  FOREKEY_RETURN_IF_ERROR(BuildVerifier(std::move(stand_ins.tokens)));
  FOREKEY_RETURN_IF_ERROR(BuildFactors(stand_ins.fetch_keys));
  BuildServices();
  FOREKEY_RETURN_IF_ERROR(trust_watch_->ReportFirstReadings());
  // Trust may have changed while no gate ran.
  for (const LiveTrust* trust : tokens_->trust()) recheck_->Want(trust->kind());
  return JoinCluster();
}

absl::Status GateCore::JoinCluster() {
  PostgresRegistry* const shared = state_->shared_registry();
  if (shared == nullptr) return absl::OkStatus();
  PostgresReplicaOptions options;
  options.name = state_->replica();
  options.lease = config_.cluster.lease;
  options.owner = {config_.audience, state_->identities().current()->fingerprint()};
  options.state = [this] { return rules_watch_->version(); };
  options.revoked = [this](const std::string& credential) {
    sessions_->EndByCredential(credential);
  };
  options.moved = [this](const std::string& subject, const std::string& family, uint64_t below) {
    if (sessions_->EndFamily(subject, family, below) > 0) rights_changed_.Ring();
  };
  options.missed = [this] {
    if (sessions_->EndFamilies() > 0) rights_changed_.Ring();
  };
  options.trouble = [&audit = state_->audit()](const std::string& error) {
    Decision decision = audit.NewDecision(AuditEvent::kGate);
    decision.method = "Cluster";
    decision.admitted = error.empty();
    decision.detail = error.empty() ? "the registry answers again"
                                    : absl::StrCat("the lease can't be renewed: ", error);
    (void)audit.Admit(decision);
  };
  FOREKEY_ASSIGN_OR_RETURN(replica_, PostgresReplica::Join(std::move(options), *shared,
                                                           state_->credentials(), lease_, clock()));
  // Once more, now that this replica's row keeps the identity from being rotated: it may have been
  // since the registry was claimed.
  return shared->Claim({config_.audience, state_->identities().current()->fingerprint()});
}

absl::Status GateCore::BuildTickets() {
  if (!config_.sessions.resumption) return TicketKeys::Forget(state_->registry());
  TicketKeysNeeds needs;
  needs.audience = config_.audience;
  needs.clock = &clock();
  needs.registry = &state_->registry();
  needs.identity = [&identities = state_->identities()] {
    const auto current = identities.current();
    return TicketIdentity{current->fingerprint(), current->key().Raw()};
  };
  needs.longest = config_.sessions.idle;
  needs.tell = [&audit = state_->audit()](const std::string& what) {
    Decision decision = audit.NewDecision(AuditEvent::kGate);
    decision.admitted = true;
    decision.detail = what;
    (void)audit.Admit(decision);
  };
  FOREKEY_ASSIGN_OR_RETURN(tickets_, TicketKeys::New(std::move(needs)));
  return absl::OkStatus();
}

absl::Status GateCore::BuildVerifier(std::vector<std::shared_ptr<const TokenVerifier>> tokens) {
  challenges_ =
      std::make_unique<ChallengeIssuer>(config_.audience, clock(), config_.challenges.lifetime);
  replay_ = NewMemoryReplayStore(config_.challenges.remembered);
  sessions_ = std::make_unique<SessionTable>(config_.sessions.limits);
  strangers_ = std::make_unique<StrangerLimit>(config_.limits.proofs);
  enrolling_strangers_ = std::make_unique<StrangerLimit>(config_.limits.enrollments);

  FOREKEY_ASSIGN_OR_RETURN(
      tokens_,
      GateTokens::New(config_.tokens, {config_.audience, config_.state.directory, &clock()}));
  for (auto& verifier : tokens) tokens_->Put(std::move(verifier));
  verifier_ = std::make_unique<CallVerifier>(CallVerifierNeeds{
      config_.audience, &clock(), challenges_.get(), certificates_.get(), &state_->credentials(),
      replay_.get(), sessions_.get(), policy_.get(), tokens_.get(), strangers_.get(),
      state_->shared_registry() == nullptr ? nullptr : &lease_, tickets_.get()});
  enrollment_ = std::make_unique<EnrollmentAuthority>(
      EnrollmentParts{config_.audience, &clock(), challenges_.get(), certificates_.get(),
                      &state_->identities(), &state_->credentials(), replay_.get(), tokens_.get(),
                      config_.tokens.Get<TpmConfig>().one_subject_a_device});
  return absl::OkStatus();
}

absl::Status GateCore::BuildFactors(bool fetch_keys) {
  opener_ = std::make_unique<SessionOpener>(config_.sessions, clock(), state_->identities(),
                                            *certificates_, *sessions_);
  announced_cas_ = std::make_unique<AnnouncedCas>(config_.tls.ca);
  FOREKEY_RETURN_IF_ERROR(announced_cas_->Reload());
  factors_ = std::make_unique<GateFactors>(
      config_.factors,
      FactorEnvironment{&state_->registry(), &clock(),
                        [&audit = state_->audit()](bool good, const std::string& what) {
                          Decision decision = audit.NewDecision(AuditEvent::kGate);
                          decision.admitted = good;
                          decision.detail = what;
                          (void)audit.Admit(decision);
                        }});
  FOREKEY_RETURN_IF_ERROR(CheckRuleFactors(config_.rules, config_.file, *factors_, config_.tokens));
  if (fetch_keys) FOREKEY_RETURN_IF_ERROR(factors_->Start());
  opener_->TakeFactors(config_.audience, *factors_);
  if (tickets_ != nullptr) opener_->TakeTickets(*tickets_, state_->registry());
  return absl::OkStatus();
}

void GateCore::BuildServices() {
  AuditLog& audit = state_->audit();
  refusals_ = std::make_unique<Refusals>(audit, counters_);
  judge_ = std::make_unique<CallJudge>(CallJudgeNeeds{config_.audience, config_.sessions.absolute,
                                                      &clock(), policy_.get(), verifier_.get(),
                                                      &audit, &counters_, refusals_.get()});
  peers_ = std::make_unique<PeerService>(PeerServiceNeeds{
      &clock(), policy_.get(), challenges_.get(), verifier_.get(), judge_.get(), sessions_.get(),
      opener_.get(), enrollment_.get(), enrolling_strangers_.get(), strangers_.get(), &audit,
      refusals_.get(), &counters_, &rights_changed_});
  recheck_ = std::make_unique<CredentialRecheck>(config_.audience, config_.recheck, *state_,
                                                 *tokens_, sessions_.get());
  admin_ = std::make_unique<Administration>(
      AdministrationNeeds{&config_, state_.get(), factors_.get(), [this] { return recheck_.get(); },
                          sessions_.get(), &counters_, [this] { return LeaseHolds(); }});
  rules_watch_ = std::make_unique<RulesWatch>(config_, *factors_, *policy_, audit, rights_changed_);
  trust_watch_ = std::make_unique<TrustWatch>(tokens_->trust(), audit,
                                              [this](TokenKind kind) { recheck_->Want(kind); });
  maintenance_ = std::make_unique<Maintenance>(
      MaintenanceNeeds{&clock(), sessions_.get(), &audit, certificates_.get(), announced_cas_.get(),
                       rules_watch_.get(), trust_watch_.get(), tickets_.get()});
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/gate/session/session_opener.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/secret.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/random.h"
#include "src/gate/session/payload.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr size_t kMaxPayload = 16 * 1024;
// More than any lease ([cluster] lease): until then every gate has heard of an end.
constexpr absl::Duration kHeardWithin = absl::Seconds(30);

// The shorter of what the gate gives and what was asked for, in seconds; 0 asks for nothing.
uint32_t Lifetime(absl::Duration most, uint32_t asked_s) {
  const int64_t most_s = std::min<int64_t>(absl::ToInt64Seconds(most), UINT32_MAX);
  return static_cast<uint32_t>(asked_s == 0 ? most_s : std::min<int64_t>(most_s, asked_s));
}

}  // namespace

// What the key of a new session is made of, besides the gate's own ephemeral key.
struct SessionOpener::Exchange {
  absl::string_view gate_identity;
  absl::string_view key_share;
  absl::string_view salt;
  absl::string_view transcript;
  absl::string_view parent_key;
  uint32_t idle_s = 0;
  uint32_t absolute_s = 0;
};

SessionOpener::SessionOpener(const SessionPolicy& policy, const Clock& clock,
                             const GateIdentities& identities,
                             const AcceptedCertificates& certificates, SessionTable& sessions)
    : policy_(policy),
      clock_(clock),
      identities_(identities),
      certificates_(certificates),
      sessions_(sessions) {}

absl::StatusOr<OpenedSession> SessionOpener::Establish(const Exchange& exchange,
                                                       Session::Parts parts, bool resumed) {
  FOREKEY_ASSIGN_OR_RETURN(const std::shared_ptr<const GateIdentity> identity,
                           identities_.Find(exchange.gate_identity));
  const X25519PrivateKey ephemeral = X25519PrivateKey::Generate();
  FOREKEY_ASSIGN_OR_RETURN(const Secret ephemeral_secret, ephemeral.Agree(exchange.key_share));
  FOREKEY_ASSIGN_OR_RETURN(const Secret identity_secret, identity->key().Agree(exchange.key_share));

  parts.id = RandomBytes(kSessionIdSize);
  parts.idle = absl::Seconds(exchange.idle_s);
  parts.absolute = absl::Seconds(exchange.absolute_s);
  parts.window = policy_.window;
  const Secret key = DeriveSessionKey(
      SessionKeyInput{&ephemeral_secret, &identity_secret, exchange.parent_key, exchange.salt,
                      exchange.transcript, ephemeral.public_key(), parts.id});
  parts.key = key.view();

  const BootTime now = parts.opened_at;
  FOREKEY_ASSIGN_OR_RETURN(
      std::shared_ptr<const Session> session,
      resumed ? sessions_.Hold(std::move(parts), now) : sessions_.Insert(std::move(parts), now));
  v1::OpenSessionResponse response;
  response.set_session_id(std::string(session->id()));
  response.set_gate_share(ephemeral.public_key());
  response.set_idle_s(exchange.idle_s);
  response.set_absolute_s(exchange.absolute_s);
  response.set_window(policy_.window);
  response.set_next_gate_identity(identities_.NextFor(*identity));
  response.set_subject(session->subject().name());
  response.set_ticket(TicketFor(*session));
  response.set_confirmation(ComputeConfirmation(
      key, ConfirmationInput{response.session_id(), response.gate_share(), response.idle_s(),
                             response.absolute_s(), response.window(),
                             response.next_gate_identity(), response.subject()}));
  return OpenedSession{std::move(response), std::move(session), ""};
}

absl::StatusOr<std::string> SessionOpener::AddFurtherFactors(const DeviceCall& device,
                                                             const v1::OpenSessionPayload& payload,
                                                             Session::Parts& parts) {
  if (factors_ == nullptr || factors_->all().empty()) {
    return Refuse(Reason::kRequestMalformed, "further factors, of which this gate takes none");
  }
  FOREKEY_ASSIGN_OR_RETURN(const std::shared_ptr<const GateIdentity> identity,
                           identities_.Find(payload.gate_identity()));
  std::vector<std::string> ids;
  for (const auto& credential : device.credentials) ids.push_back(credential->record().id);
  const std::vector<absl::string_view> id_views(ids.begin(), ids.end());
  FOREKEY_ASSIGN_OR_RETURN(
      const FurtherFactors sealed,
      OpenFactors(payload.sealed_factors(), FactorContext{audience_, device.challenge, id_views},
                  identity->key()));
  for (absl::string_view name : sealed.Names()) {
    const auto is_named = [name](const auto& factor) { return factor->name() == name; };
    if (std::none_of(factors_->all().begin(), factors_->all().end(), is_named)) {
      return Refuse(Reason::kRequestMalformed,
                    absl::StrCat("the factor ", name, ", which this gate does not take"));
    }
  }
  return ProveFurther(device, ids, sealed, parts);
}

// All are checked, in the order in which they are listed, before any is used up.
absl::StatusOr<std::string> SessionOpener::ProveFurther(const DeviceCall& device,
                                                        absl::Span<const std::string> ids,
                                                        const FurtherFactors& sealed,
                                                        Session::Parts& parts) {
  const LiveSubject& subject = device.credentials.front()->subject();
  parts.factors_version =
      subject.factors_version();  // before the check: it may be changed meanwhile
  const FactorAttempt attempt{audience_, subject.name(), device.key_share, ids};
  std::vector<CheckedFactor> checked;
  for (const auto& factor : factors_->all()) {
    const Secret* evidence = sealed.Find(factor->name());
    if (evidence == nullptr) continue;
    FOREKEY_ASSIGN_OR_RETURN(CheckedFactor proved, factor->Check(attempt, *evidence));
    checked.push_back(std::move(proved));
  }
  std::vector<std::string> remarks;
  for (CheckedFactor& factor : checked) {
    if (factor.commit) FOREKEY_RETURN_IF_ERROR(factor.commit());
    if (!factor.remark.empty()) remarks.push_back(std::move(factor.remark));
    parts.factors.push_back(factor.proved);
  }
  return absl::StrJoin(remarks, "; ");
}

absl::StatusOr<OpenedSession> SessionOpener::Open(const VerifiedCall& call,
                                                  const v1::OpenSessionRequest& request) {
  const DeviceCall* device = call.device();
  // Only a proof for OpenSession bears a key share.
  if (device == nullptr || device->key_share.empty()) return Refuse(Reason::kPrefixWrongKind);
  FOREKEY_RETURN_IF_ERROR(call.CheckDigest(request.payload()));
  FOREKEY_ASSIGN_OR_RETURN(const v1::OpenSessionPayload payload,
                           ParsePayload<v1::OpenSessionPayload>(request.payload(), kMaxPayload));
  Session::Parts parts;
  parts.factors = device->factors;
  parts.sessions_epoch = device->sessions_epoch;
  FOREKEY_ASSIGN_OR_RETURN(const std::shared_ptr<SessionLineage> lineage, NewLineage(*device));
  std::string remark;
  if (!payload.sealed_factors().empty()) {
    FOREKEY_ASSIGN_OR_RETURN(remark, AddFurtherFactors(*device, payload, parts));
  }
  Exchange exchange;
  exchange.gate_identity = payload.gate_identity();
  exchange.key_share = device->key_share;
  exchange.salt = device->challenge;
  exchange.transcript = device->statement;
  exchange.idle_s = Lifetime(policy_.idle, payload.max_idle_s());
  exchange.absolute_s = Lifetime(policy_.absolute, payload.max_absolute_s());
  parts.channel_binding = device->channel_binding;
  parts.credentials.assign(device->credentials.begin(), device->credentials.end());
  parts.opened_at = clock_.BootNow();
  if (lineage != nullptr) {
    lineage->ends_at = clock_.WallNow() + absl::Seconds(exchange.absolute_s);
  }
  parts.lineage = lineage;
  FOREKEY_ASSIGN_OR_RETURN(OpenedSession opened, Establish(exchange, std::move(parts)));
  opened.remark = std::move(remark);
  return opened;
}

absl::StatusOr<OpenedSession> SessionOpener::OpenChild(const VerifiedCall& call,
                                                       const v1::OpenChildSessionRequest& request) {
  const std::shared_ptr<const Session>& parent = call.shared_session();
  // Only a proof for OpenChildSession bears a digest.
  if (parent == nullptr || call.request_digest().empty()) return Refuse(Reason::kPrefixWrongKind);
  if (parent->parent() != nullptr) {
    return Refuse(Reason::kChildNotAllowed, "a child session opens no child");
  }
  FOREKEY_RETURN_IF_ERROR(call.CheckDigest(request.payload()));
  FOREKEY_ASSIGN_OR_RETURN(
      const v1::OpenChildSessionPayload payload,
      ParsePayload<v1::OpenChildSessionPayload>(request.payload(), kMaxPayload));
  const BootTime now = clock_.BootNow();
  if (!certificates_.Accepts(payload.channel_binding(), now)) {
    return Refuse(Reason::kChannelBindingUnknown,
                  "the certificate that the child would be used under");
  }
  // Whole seconds, rounded down: a child never outlives its parent.
  const int64_t left_s = absl::ToInt64Seconds(parent->expires_at() - now);
  if (left_s <= 0) return Refuse(Reason::kSessionExpired, "the parent is about to expire");

  const std::string transcript = BuildCallMacBytes(
      CallMacInput{parent->id(), call.sequence(), call.age_s(), kOpenChildSessionMethod,
                   parent->channel_binding(), call.request_digest()});
  const std::string salt = ByteWriter().Raw(parent->id()).U64(call.sequence()).bytes();
  Exchange exchange;
  exchange.gate_identity = payload.gate_identity();
  exchange.key_share = payload.key_share();
  exchange.salt = salt;
  exchange.transcript = transcript;
  exchange.parent_key = parent->key();
  exchange.idle_s = Lifetime(policy_.idle, payload.max_idle_s());
  exchange.absolute_s = static_cast<uint32_t>(
      std::min<int64_t>(Lifetime(policy_.absolute, payload.max_absolute_s()), left_s));
  Session::Parts parts;
  parts.channel_binding = payload.channel_binding();
  parts.credentials.assign(parent->credentials().begin(), parent->credentials().end());
  parts.factors.assign(parent->factors().begin(), parent->factors().end());
  parts.sessions_epoch = parent->sessions_epoch();
  parts.opened_at = now;
  parts.parent = parent;
  return Establish(exchange, std::move(parts));
}

absl::StatusOr<OpenedSession> SessionOpener::Resume(const VerifiedCall& call,
                                                    const v1::ResumeSessionRequest& request) {
  const DeviceCall* const resumption = call.resumption();
  if (resumption == nullptr) return Refuse(Reason::kPrefixWrongKind);
  if (tickets_ == nullptr) return Refuse(Reason::kResumptionOff);
  FOREKEY_RETURN_IF_ERROR(call.CheckDigest(request.payload()));
  FOREKEY_ASSIGN_OR_RETURN(const v1::ResumeSessionPayload payload,
                           ParsePayload<v1::ResumeSessionPayload>(request.payload(), kMaxPayload));
  const SessionTicket& ticket = *resumption->ticket;
  // Before what is left is reckoned: a process that is stopped in between gains nothing by it.
  const BootTime now = clock_.BootNow();
  const absl::Duration left =
      std::min(ticket.lineage.ends_at - tickets_->Now(ticket), policy_.absolute);
  // Whole seconds, rounded down: no resumption makes a session longer.
  const int64_t left_s = absl::ToInt64Seconds(left);
  if (left_s <= 0) return Refuse(Reason::kTicketExpired);
  Exchange exchange;
  exchange.gate_identity = payload.gate_identity();
  exchange.key_share = resumption->key_share;
  exchange.salt = resumption->challenge;
  exchange.transcript = resumption->statement;
  exchange.parent_key = ticket.key.view();
  exchange.idle_s = Lifetime(policy_.idle, ticket.idle_s);
  exchange.absolute_s = static_cast<uint32_t>(std::min<int64_t>(left_s, UINT32_MAX));
  Session::Parts parts;
  parts.channel_binding = resumption->channel_binding;
  parts.credentials.assign(resumption->credentials.begin(), resumption->credentials.end());
  parts.factors = resumption->factors;
  // Before the registry is asked: it may be changed meanwhile.
  if (ticket.further_factors) parts.factors_version = call.subject().factors_version();
  parts.sessions_epoch = ticket.lineage.sessions_epoch;
  parts.opened_at = now;
  auto lineage = std::make_shared<SessionLineage>(ticket.lineage);
  ++lineage->serial;
  parts.lineage = lineage;
  FOREKEY_ASSIGN_OR_RETURN(OpenedSession opened,
                           Establish(exchange, std::move(parts), /*resumed=*/true));
  if (absl::Status taken = TakeOver(ticket, call.subject().name()); !taken.ok()) {
    sessions_.LetGo(*opened.session);
    return taken;
  }
  FOREKEY_RETURN_IF_ERROR(sessions_.Settle(*opened.session, clock_.BootNow()));
  opened.remark = absl::StrCat("resumed from session ", absl::BytesToHexString(ticket.session_id),
                               ", for the ", lineage->serial, ". time since its opening");
  return opened;
}

absl::Status SessionOpener::TakeOver(const SessionTicket& ticket, absl::string_view subject) {
  const SessionLineage& old = ticket.lineage;
  Registry::FamilyStep step;
  step.family = old.family;
  step.serial = old.serial;
  step.ends_at = old.ends_at;
  step.now = tickets_->Noted();
  step.subject = std::string(subject);
  step.ticket_made = ticket.issued_at;
  step.sessions_epoch = old.sessions_epoch;
  if (ticket.further_factors) step.factors_epoch = old.factors_epoch;
  step.credential_ids = ticket.credential_ids;
  const absl::Status advanced = registry_->AdvanceFamily(step);
  if (advanced.ok()) {
    sessions_.EndFamily(subject, old.family, old.serial + 1);
    return absl::OkStatus();
  }
  // Two hold the same key: neither goes on, and hardware decides whose session it is.
  if (ReasonOf(advanced) == Reason::kTicketReplayed) {
    FOREKEY_RETURN_IF_ERROR(EndDurably(old, subject, absl::Seconds(ticket.idle_s)));
    sessions_.EndFamily(subject, old.family, UINT64_MAX);
  }
  return advanced;
}

absl::Status SessionOpener::EndDurably(const SessionLineage& lineage, absl::string_view subject,
                                       absl::Duration idle) {
  Registry::FamilyStep step;
  step.family = lineage.family;
  step.serial = lineage.serial;
  step.ends_at = lineage.ends_at;
  step.now = tickets_->Noted();
  step.subject = std::string(subject);
  step.ended_at = tickets_->Latest();
  step.ticket_life = idle;
  // Another gate's clock may be ahead, and it may not have heard of the end yet.
  step.heard_within = kMaxClockSkew + kHeardWithin;
  return registry_->EndFamily(step);
}

absl::StatusOr<std::shared_ptr<SessionLineage>> SessionOpener::NewLineage(
    const DeviceCall& device) const {
  if (tickets_ == nullptr) return std::shared_ptr<SessionLineage>();
  FOREKEY_ASSIGN_OR_RETURN(const SubjectRecord record,
                           registry_->FindSubject(device.credentials.front()->subject().name()));
  auto lineage = std::make_shared<SessionLineage>();
  lineage->family = RandomBytes(kSessionFamilySize);
  lineage->sessions_epoch = device.sessions_epoch;
  lineage->factors_epoch = record.factors_epoch;
  return lineage;
}

std::string SessionOpener::TicketFor(const Session& session) const {
  if (tickets_ == nullptr || session.lineage() == nullptr) return "";
  return tickets_->Seal(SessionTicket::Of(session, clock_));
}

bool SessionOpener::EndHere(const VerifiedCall& call) {
  const Session* const session = call.session();
  if (session == nullptr) return false;
  bool ended = sessions_.End(session->id());
  if (const SessionLineage* const lineage = session->lineage(); lineage != nullptr) {
    ended |= sessions_.EndFamily(session->subject().name(), lineage->family, UINT64_MAX) > 0;
  }
  return ended;
}

absl::Status SessionOpener::End(const VerifiedCall& call, bool ended_here) {
  const Session* const session = call.session();
  if (session == nullptr) return Refuse(Reason::kPrefixWrongKind);
  const SessionLineage* const lineage = session->lineage();
  // Of several replicas this one, too, is told of the end by the registry, and may have heard of it
  // before.
  if (registry_ == nullptr || lineage == nullptr) {
    return ended_here ? absl::OkStatus() : Refuse(Reason::kSessionEnded);
  }
  const absl::Status durable = EndDurably(*lineage, session->subject().name(), session->idle());
  EndHere(call);  // once more: it may have been resumed in between
  return durable;
}

}  // namespace forekey

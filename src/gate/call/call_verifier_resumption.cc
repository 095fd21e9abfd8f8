// SPDX-License-Identifier: Apache-2.0
// Resumption proofs (docs/PROTOCOL.md, "Resumption"): the ticket opens and its key made the MAC,
// before anything is looked up. Whether the session was resumed or ended before is asked where the
// next one is opened (src/gate/session/session_opener.h), as that writes.
#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/secret.h"
#include "src/base/status.h"
#include "src/gate/call/call_verifier.h"

namespace forekey {
namespace {

// What nobody but the audit log learns: whose ticket it was, though no subject is known.
absl::Status OfTicket(const SessionTicket& ticket, const absl::Status& refusal) {
  return Refuse(ReasonOf(refusal).value_or(Reason::kStoreUnavailable),
                absl::StrCat(refusal.message(), " (the ticket is of session ",
                             absl::BytesToHexString(ticket.session_id), ")"));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SessionTicket>> CallVerifier::OpenTicket(
    const ResumptionProofView& proof, absl::string_view statement) const {
  FOREKEY_ASSIGN_OR_RETURN(SessionTicket ticket, needs_.tickets->Open(proof.ticket));
  if (!ConstantTimeEqual(ComputeResumptionMac(ticket.key.view(), statement), proof.mac)) {
    return Refuse(Reason::kMacInvalid, "of a resumption");
  }
  return std::make_shared<const SessionTicket>(std::move(ticket));
}

absl::Status CallVerifier::FindResumed(BootTime now, DeviceCall& call) const {
  const SessionTicket& ticket = *call.ticket;
  call.sessions_epoch = ticket.lineage.sessions_epoch;
  for (const std::string& id : ticket.credential_ids) {
    auto credential = needs_.credentials->Find(id);
    if (!credential.ok()) return OfTicket(ticket, credential.status());
    call.credentials.push_back(*std::move(credential));
  }
  const absl::Time wall_now = needs_.tickets->Now(ticket);
  for (const SessionTicket::Factor& factor : ticket.factors) {
    const absl::Duration age = std::max(wall_now - factor.proved_at, absl::ZeroDuration());
    call.factors.push_back({factor.name, factor.proved_at, now - age});
  }
  return absl::OkStatus();
}

absl::Status CallVerifier::CheckResumed(const DeviceCall& call) const {
  for (const auto& credential : call.credentials) {
    FOREKEY_RETURN_IF_ERROR(CheckSigner(*credential, *call.credentials.front()));
    if (needs_.tokens->Find(credential->record().kind) == nullptr) {
      return Refuse(Reason::kTokenKindNotAllowed, "this gate does not verify that kind of token");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<DeviceCall>> CallVerifier::ProveResumption(
    const ResumptionProofView& proof, const CallInput& input, BootTime now) const {
  if (needs_.tickets == nullptr) return Refuse(Reason::kResumptionOff);
  FOREKEY_RETURN_IF_ERROR(CheckBinding(proof.channel_binding, now));
  FOREKEY_ASSIGN_OR_RETURN(const CheckedChallenge challenge,
                           needs_.challenges->Check(proof.challenge, ChallengePurpose::kCall));
  // A ticket that does not open costs no public-key operation, and at most one read a second.
  const StrangerLimit::Host host = needs_.strangers->HostOf(input.peer);
  if (!needs_.strangers->AllowLookUp(host, now)) {
    return Refuse(Reason::kRateLimited, "resumptions of an address that showed nothing yet");
  }
  auto call = std::make_shared<DeviceCall>();
  call->statement = BuildStatement(ResumptionStatement{needs_.audience, input.path, proof.ticket,
                                                       proof.challenge, proof.channel_binding,
                                                       proof.key_share, proof.request_digest});
  call->challenge = std::string(proof.challenge);
  call->channel_binding = std::string(proof.channel_binding);
  call->key_share = std::string(proof.key_share);
  absl::StatusOr<std::shared_ptr<const SessionTicket>> ticket = OpenTicket(proof, call->statement);
  if (!ticket.ok()) {
    needs_.strangers->Failed(host, ticket.status());
    return ticket.status();
  }
  call->ticket = *std::move(ticket);
  const absl::Status fresh = needs_.replay->Consume(challenge.nonce, now, challenge.expires_at);
  if (!fresh.ok()) return OfTicket(*call->ticket, fresh);
  return call;
}

Verdict CallVerifier::VerifyResumption(const ResumptionProofView& proof, const CallInput& input,
                                       BootTime now) {
  if (absl::Status lease = CheckLease(now); !lease.ok()) return Verdict(std::move(lease));
  absl::StatusOr<std::shared_ptr<DeviceCall>> proved = ProveResumption(proof, input, now);
  if (!proved.ok()) return Verdict(proved.status());
  absl::Status status = FindResumed(now, **proved);
  if (!status.ok()) return Verdict(std::move(status));
  const BootTime lease_end = LeaseEnd();
  status = CheckResumed(**proved);
  VerifiedCall call;
  call.device_ = *std::move(proved);
  call.TakeDigest(proof.request_digest);
  if (status.ok()) status = Authorize(input.path, call, now);
  if (status.ok()) status = CheckHeld(call);
  if (status.ok()) status = WithinLease(lease_end);
  // Whether the address showed something is for SessionOpener::Resume() to find out: the ticket may
  // have been used, or be a dead session's.
  if (status.ok()) admitted_.Add(input.prefixes[0], input.path, call.device_);
  return Verdict(std::move(call), std::move(status));
}

// The ticket is not opened again: what was admitted too long ago is not known any more.
absl::StatusOr<VerifiedCall> CallVerifier::RecallResumption(const ResumptionProofView& proof,
                                                            absl::string_view prefix,
                                                            absl::string_view path) const {
  VerifiedCall call;
  call.device_ = admitted_.Find(prefix, path);
  if (call.resumption() == nullptr) {
    return Refuse(Reason::kPrefixMissing, "the gate did not admit a resumption with this prefix");
  }
  call.TakeDigest(proof.request_digest);
  FOREKEY_RETURN_IF_ERROR(StillAllowed(call, path));
  return call;
}

}  // namespace forekey

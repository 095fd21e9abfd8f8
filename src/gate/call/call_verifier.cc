// SPDX-License-Identifier: Apache-2.0
#include "src/gate/call/call_verifier.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/secret.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"

namespace forekey {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
// How many certificates a bad MAC is tried with, to say something helpful: bounds what it costs.
constexpr size_t kMaxMacGuesses = 8;

class Facts final : public CallFacts {
 public:
  Facts(const VerifiedCall& call, BootTime now, bool as_child)
      : call_(call), now_(now), as_child_(as_child) {}
  absl::string_view subject() const override { return call_.subject().name(); }
  bool HasRole(absl::string_view role) const override {
    const auto roles = call_.subject().roles();
    return std::find(roles->begin(), roles->end(), role) != roles->end();
  }
  std::optional<absl::Duration> FactorAge(absl::string_view factor) const override {
    std::optional<absl::Duration> age;
    for (const ProvedFactor& proved : call_.factors()) {
      if (proved.name != factor) continue;
      const absl::Duration of_this = now_ - proved.proved_boot;
      if (!age || of_this < *age) age = of_this;
    }
    return age;
  }
  bool SignedForThisCall() const override { return !as_child_ && call_.device() != nullptr; }
  bool FromChildSession() const override {
    return as_child_ || (call_.session() != nullptr && call_.session()->parent() != nullptr);
  }

 private:
  const VerifiedCall& call_;
  const BootTime now_;
  const bool as_child_;
};

// Which proof a method takes, and which further fields must be there: all others must be absent, so
// that nothing is signed that is not also used.
absl::Status CheckDeviceShape(const DeviceProofView& proof, absl::string_view path) {
  if (path == kOpenSessionMethod) {
    if (proof.key_share.empty() || proof.request_digest.empty()) {
      return Refuse(Reason::kPrefixMalformed, "OpenSession without key_share or request_digest");
    }
    return absl::OkStatus();
  }
  if (path == kOpenChildSessionMethod || path == kEndSessionMethod ||
      path == kReauthenticateCallMethod || path == kResumeSessionMethod) {
    return Refuse(Reason::kPrefixWrongKind, "the method takes a session's or a resumption proof");
  }
  if (!proof.key_share.empty() || !proof.request_digest.empty()) {
    return Refuse(Reason::kPrefixMalformed, "key_share or request_digest where there must be none");
  }
  return absl::OkStatus();
}

absl::Status CheckSessionShape(const SessionProofView& proof, absl::string_view path) {
  if (path == kOpenSessionMethod || path == kResumeSessionMethod) {
    return Refuse(Reason::kPrefixWrongKind, "the method takes a device or a resumption proof");
  }
  const bool takes_digest = path == kOpenChildSessionMethod || path == kReauthenticateCallMethod;
  if (proof.request_digest.empty() == takes_digest) {
    return Refuse(Reason::kPrefixMalformed,
                  proof.request_digest.empty()
                      ? "OpenChildSession or ReauthenticateCall without request_digest"
                      : "request_digest where there must be none");
  }
  return absl::OkStatus();
}

absl::Status CheckShape(const Prefix& prefix, absl::string_view path) {
  if (prefix.session() != nullptr) return CheckSessionShape(*prefix.session(), path);
  if (prefix.device() != nullptr) return CheckDeviceShape(*prefix.device(), path);
  return path == kResumeSessionMethod
             ? absl::OkStatus()
             : Refuse(Reason::kPrefixWrongKind, "a resumption proof is for ResumeSession alone");
}

absl::InlinedVector<absl::string_view, kMaxAssertions> SignerIds(const DeviceProofView& proof) {
  absl::InlinedVector<absl::string_view, kMaxAssertions> ids;
  for (const AssertionView& assertion : proof.assertions) ids.push_back(assertion.credential_id);
  return ids;
}

}  // namespace

absl::Status VerifiedCall::CheckDigest(absl::string_view payload) const {
  return ConstantTimeEqual(request_digest(), Sha256(payload))
             ? absl::OkStatus()
             : Refuse(Reason::kRequestDigestMismatch);
}

void VerifiedCall::TakeDigest(absl::string_view digest) {
  has_digest_ = !digest.empty();
  if (has_digest_) std::memcpy(request_digest_.data(), digest.data(), kRequestDigestSize);
}

CallVerifier::CallVerifier(CallVerifierNeeds needs) : needs_(std::move(needs)) {}

absl::Status CallVerifier::ReadPrefix(const CallInput& input, Prefix& prefix) {
  if (input.prefixes.size() != 1) {
    return Refuse(input.prefixes.empty() ? Reason::kPrefixMissing : Reason::kPrefixRepeated);
  }
  FOREKEY_RETURN_IF_ERROR(prefix.Read(input.prefixes[0]));
  if (!IsWellFormedMethod(input.path)) return Refuse(Reason::kPathMalformed);
  return CheckShape(prefix, input.path);
}

Verdict CallVerifier::Verify(const CallInput& input, BootTime now) {
  Prefix prefix;
  if (absl::Status read = ReadPrefix(input, prefix); !read.ok()) return Verdict(std::move(read));
  if (prefix.session() != nullptr) return VerifySession(*prefix.session(), input, now);
  if (prefix.device() != nullptr) return VerifyDevice(*prefix.device(), input, now);
  return VerifyResumption(*prefix.resumption(), input, now);
}

absl::StatusOr<VerifiedCall> CallVerifier::Recall(absl::Span<const absl::string_view> prefixes,
                                                  absl::string_view path) {
  if (prefixes.size() != 1) {
    return Refuse(prefixes.empty() ? Reason::kPrefixMissing : Reason::kPrefixRepeated);
  }
  Prefix prefix;
  FOREKEY_RETURN_IF_ERROR(prefix.Read(prefixes[0]));
  if (prefix.resumption() != nullptr) {
    return RecallResumption(*prefix.resumption(), prefixes[0], path);
  }
  return prefix.session() != nullptr ? RecallSession(*prefix.session())
                                     : RecallDevice(*prefix.device(), prefixes[0], path);
}

// ---- A session's proof ----

absl::Status CallVerifier::ReadSession(const SessionProofView& proof, BootTime now,
                                       VerifiedCall& call) const {
  call.session_ = needs_.sessions->Find(proof.session_id);
  if (call.session_ == nullptr) return needs_.sessions->WhyNotFound(proof.session_id);
  const Session& session = *call.session_;
  FOREKEY_RETURN_IF_ERROR(session.CheckAlive(now));
  if (!needs_.certificates->Accepts(session.channel_binding(), now)) {
    return Refuse(Reason::kChannelBindingUnknown,
                  "the session was opened under a TLS certificate that is no longer accepted");
  }
  call.sequence_ = proof.sequence;
  call.age_s_ = proof.age_s;
  call.TakeDigest(proof.request_digest);
  return absl::OkStatus();
}

absl::Status CallVerifier::CheckMac(const Session& session, const SessionProofView& proof,
                                    absl::string_view path) const {
  const CallMacInput input = {
      session.id(),        proof.sequence, proof.age_s, path, session.channel_binding(),
      proof.request_digest};
  return CallMacMatches(session.mac_key(), input, proof.mac)
             ? absl::OkStatus()
             : MacMismatch(session, input, proof.mac);
}

absl::Status CallVerifier::AcceptOnce(const Session& session, const SessionProofView& proof,
                                      BootTime now) const {
  const int64_t age = now.NanosSince(session.opened_at()) / kNanosPerSecond;
  const int64_t drift = age - int64_t{proof.age_s};
  if (drift > kMaxAgeDriftSeconds || drift < -kMaxAgeDriftSeconds) {
    return Refuse(Reason::kAgeDrift,
                  absl::StrCat("the proof says ", proof.age_s, " s since opening, the gate ", age));
  }
  return session.AcceptSequence(proof.sequence, now);
}

Verdict CallVerifier::VerifySession(const SessionProofView& proof, const CallInput& input,
                                    BootTime now) {
  Verdict verdict;
  absl::Status& status = verdict.status_;
  const BootTime lease_end = LeaseEnd();
  if (now >= lease_end) {
    status = LeaseEnded();
    return verdict;
  }
  status = ReadSession(proof, now, verdict.call_);
  if (!status.ok()) return verdict;
  const Session& session = *verdict.call_.session();
  status = CheckMac(session, proof, input.path);
  if (!status.ok()) return verdict;
  verdict.proved_ = true;
  status = AcceptOnce(session, proof, now);
  if (status.ok()) status = Authorize(input.path, verdict.call_, now);
  if (status.ok()) status = WithinLease(lease_end);
  return verdict;
}

absl::StatusOr<VerifiedCall> CallVerifier::RecallSession(const SessionProofView& proof) const {
  const BootTime lease_end = LeaseEnd();
  VerifiedCall call;
  FOREKEY_RETURN_IF_ERROR(ReadSession(proof, needs_.clock->BootNow(), call));
  FOREKEY_RETURN_IF_ERROR(WithinLease(lease_end));
  if (!call.session()->SequenceUsed(proof.sequence)) {
    return Refuse(Reason::kPrefixMissing, "the gate did not admit a call with this prefix");
  }
  return call;
}

absl::Status CallVerifier::MacMismatch(const Session& session, CallMacInput input,
                                       absl::string_view mac) const {
  size_t guesses = 0;
  for (const std::string& binding : needs_.certificates->Bindings(needs_.clock->BootNow())) {
    if (++guesses > kMaxMacGuesses) break;
    input.channel_binding = binding;
    if (binding != session.channel_binding() && CallMacMatches(session.mac_key(), input, mac)) {
      return Refuse(
          Reason::kMacInvalid,
          absl::StrCat("made for the accepted certificate ", absl::BytesToHexString(binding),
                       ", but the session was opened under ",
                       absl::BytesToHexString(session.channel_binding()),
                       ": the caller must open a session on each connection's certificate"));
    }
  }
  return Refuse(Reason::kMacInvalid);
}

// ---- A device proof ----

absl::StatusOr<CredentialList> CallVerifier::FindSigners(
    absl::Span<const absl::string_view> ids) const {
  CredentialList signers;
  for (absl::string_view id : ids) {
    FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<const LiveCredential> credential,
                             needs_.credentials->Find(id));
    signers.push_back(std::move(credential));
    FOREKEY_RETURN_IF_ERROR(CheckSigner(*signers.back(), *signers.front()));
  }
  return signers;
}

absl::Status CallVerifier::CheckSigner(const LiveCredential& credential,
                                       const LiveCredential& first) {
  if (credential.revoked()) return Refuse(Reason::kCredentialRevoked);
  if (credential.subject().disabled()) return Refuse(Reason::kSubjectDisabled);
  return credential.subject().name() == first.subject().name() ? absl::OkStatus()
                                                               : Refuse(Reason::kSubjectMismatch);
}

absl::StatusOr<CallVerifier::SignatureFacts> CallVerifier::VerifySignatures(
    const DeviceProofView& proof, absl::string_view path, DeviceCall& call) const {
  std::string statement =
      BuildStatement(CallStatement{needs_.audience, path, proof.challenge, proof.channel_binding,
                                   SignerIds(proof), proof.key_share, proof.request_digest});
  SignatureFacts facts;
  for (size_t i = 0; i < proof.assertions.size(); ++i) {
    const LiveCredential& credential = *call.credentials[i];
    const auto verifier = needs_.tokens->Find(credential.record().kind);
    if (verifier == nullptr) {
      return Refuse(Reason::kTokenKindNotAllowed, "this gate does not verify that kind of token");
    }
    FOREKEY_ASSIGN_OR_RETURN(AssertionFacts proved,
                             verifier->VerifyAssertion(proof.assertions[i], statement,
                                                       credential.record(), credential.key()));
    facts.push_back(std::move(proved));
  }
  if (!proof.key_share.empty()) {
    call.statement = std::move(statement);
    call.challenge = std::string(proof.challenge);
    call.key_share = std::string(proof.key_share);
  }
  return facts;
}

void CallVerifier::AddFactors(const SignatureFacts& facts, const CheckedChallenge& challenge,
                              BootTime now, DeviceCall& call) const {
  const absl::Time proved_at = needs_.clock->WallNow() - (now - challenge.issued_at);
  for (const AssertionFacts& proved : facts) {
    for (const std::string& name : proved.factors) {
      const auto same = [&](const ProvedFactor& factor) { return factor.name == name; };
      if (std::none_of(call.factors.begin(), call.factors.end(), same)) {
        call.factors.push_back({name, proved_at, challenge.issued_at});
      }
    }
  }
}

absl::Status CallVerifier::CheckBinding(absl::string_view binding, BootTime now) const {
  if (needs_.certificates->Accepts(binding, now)) return absl::OkStatus();
  return Refuse(Reason::kChannelBindingUnknown,
                absl::StrCat(ReasonMeaning(Reason::kChannelBindingUnknown), " (the caller saw ",
                             absl::BytesToHexString(binding), ")"));
}

absl::StatusOr<std::shared_ptr<DeviceCall>> CallVerifier::ReadDevice(
    const DeviceProofView& proof) const {
  auto device = std::make_shared<DeviceCall>();
  FOREKEY_ASSIGN_OR_RETURN(device->credentials, FindSigners(SignerIds(proof)));
  device->sessions_epoch = device->credentials.front()->subject().sessions_epoch();
  device->channel_binding = std::string(proof.channel_binding);
  return device;
}

struct CallVerifier::ProvedDevice {
  StrangerLimit::Host host;
  std::shared_ptr<DeviceCall> device;
  CheckedChallenge challenge;
  SignatureFacts facts;
};

absl::StatusOr<CallVerifier::ProvedDevice> CallVerifier::ProveDevice(const DeviceProofView& proof,
                                                                     const CallInput& input,
                                                                     BootTime now) const {
  FOREKEY_RETURN_IF_ERROR(CheckBinding(proof.channel_binding, now));
  ProvedDevice proved;
  FOREKEY_ASSIGN_OR_RETURN(proved.challenge,
                           needs_.challenges->Check(proof.challenge, ChallengePurpose::kCall));
  // Whoever makes up credential ids: none of them is looked up without a limit.
  proved.host = needs_.strangers->HostOf(input.peer);
  if (!needs_.strangers->AllowLookUp(proved.host, now)) {
    return Refuse(Reason::kRateLimited, "device proofs of an address that showed nothing yet");
  }
  absl::StatusOr<std::shared_ptr<DeviceCall>> device = ReadDevice(proof);
  if (!device.ok()) {
    needs_.strangers->Failed(proved.host, device.status());
    return device.status();
  }
  proved.device = *std::move(device);
  if (!needs_.strangers->AllowSignature(proved.host, now)) {
    return Refuse(Reason::kRateLimited, "signature checks for callers that showed nothing yet");
  }
  absl::StatusOr<SignatureFacts> facts = VerifySignatures(proof, input.path, *proved.device);
  if (!facts.ok()) {
    needs_.strangers->Failed(proved.host, facts.status());
    return facts.status();
  }
  proved.facts = *std::move(facts);
  AddFactors(proved.facts, proved.challenge, now, *proved.device);
  return proved;
}

absl::Status CallVerifier::Consume(const ProvedDevice& proved, BootTime now) {
  FOREKEY_RETURN_IF_ERROR(
      needs_.replay->Consume(proved.challenge.nonce, now, proved.challenge.expires_at));
  for (size_t i = 0; i < proved.facts.size(); ++i) {
    const AssertionFacts& facts = proved.facts[i];
    if (!facts.sign_count) continue;
    const std::string& id = proved.device->credentials[i]->record().id;
    absl::Status advanced = needs_.credentials->registry().AdvanceSignCount(id, *facts.sign_count);
    if (advanced.ok()) continue;
    if (ReasonOf(advanced) != Reason::kCounterRollback) return advanced;
    std::string remark = absl::StrCat(ReasonName(Reason::kCounterRollback), ": credential ",
                                      absl::BytesToHexString(id), " says ", *facts.sign_count,
                                      ", which is not beyond what it said before");
    if (facts.refuse_rollback) return Refuse(Reason::kCounterRollback, remark);
    proved.device->remarks.push_back(std::move(remark));
  }
  return absl::OkStatus();
}

Verdict CallVerifier::VerifyDevice(const DeviceProofView& proof, const CallInput& input,
                                   BootTime now) {
  if (absl::Status lease = CheckLease(now); !lease.ok()) return Verdict(std::move(lease));
  const absl::StatusOr<ProvedDevice> proved = ProveDevice(proof, input, now);
  if (!proved.ok()) return Verdict(proved.status());
  VerifiedCall call;
  call.device_ = proved->device;
  call.TakeDigest(proof.request_digest);
  absl::Status status = Consume(*proved, now);
  const BootTime lease_end = LeaseEnd();
  if (status.ok()) status = Authorize(input.path, call, now);
  if (status.ok()) status = CheckHeld(call);
  if (status.ok()) status = WithinLease(lease_end);
  if (status.ok()) {
    needs_.strangers->Succeeded(proved->host);
    admitted_.Add(input.prefixes[0], input.path, call.device_);
  }
  return Verdict(std::move(call), std::move(status));
}

absl::StatusOr<VerifiedCall> CallVerifier::RecallDevice(const DeviceProofView& proof,
                                                        absl::string_view prefix,
                                                        absl::string_view path) const {
  const BootTime now = needs_.clock->BootNow();
  FOREKEY_RETURN_IF_ERROR(CheckBinding(proof.channel_binding, now));
  FOREKEY_ASSIGN_OR_RETURN(
      const CheckedChallenge challenge,
      needs_.challenges->CheckAnyAge(proof.challenge, ChallengePurpose::kCall));
  VerifiedCall call;
  call.TakeDigest(proof.request_digest);
  call.device_ = admitted_.Find(prefix, path);
  // Only one that was admitted too long ago may have to wait for the registry here.
  if (call.device_ == nullptr) {
    FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<DeviceCall> device, ReadDevice(proof));
    FOREKEY_ASSIGN_OR_RETURN(const SignatureFacts facts, VerifySignatures(proof, path, *device));
    AddFactors(facts, challenge, now, *device);
    call.device_ = std::move(device);
  }
  const BootTime lease_end = LeaseEnd();
  FOREKEY_RETURN_IF_ERROR(CheckHeld(call));
  FOREKEY_RETURN_IF_ERROR(WithinLease(lease_end));
  return call;
}

absl::Status CallVerifier::LeaseEnded() { return Refuse(Reason::kLeaseEnded); }

absl::Status CallVerifier::CheckHeld(const VerifiedCall& call) const {
  for (const auto& credential : call.credentials()) {
    FOREKEY_RETURN_IF_ERROR(CheckSigner(*credential, *call.credentials().front()));
  }
  if (call.device_ != nullptr && call.device_->sessions_epoch < call.subject().sessions_epoch()) {
    return Refuse(Reason::kSessionEnded, "the subject was disabled meanwhile");
  }
  return absl::OkStatus();
}

absl::Status CallVerifier::StillAllowed(const VerifiedCall& call, absl::string_view path) const {
  const BootTime lease_end = LeaseEnd(), now = needs_.clock->BootNow();
  FOREKEY_RETURN_IF_ERROR(CheckHeld(call));
  if (!needs_.certificates->Accepts(call.channel_binding(), now)) {
    return Refuse(Reason::kChannelBindingUnknown, "its TLS certificate is no longer accepted");
  }
  FOREKEY_RETURN_IF_ERROR(Authorize(path, call, now));
  return WithinLease(lease_end);
}

absl::Status CallVerifier::Authorize(absl::string_view path, const VerifiedCall& call,
                                     BootTime now) const {
  return needs_.policy->Authorize(path, Facts(call, now, /*as_child=*/false));
}

absl::Status CallVerifier::WouldPermit(absl::string_view path, const VerifiedCall& call,
                                       bool as_child) const {
  return needs_.policy->Authorize(path, Facts(call, needs_.clock->BootNow(), as_child));
}

}  // namespace forekey

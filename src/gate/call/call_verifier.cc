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
  Facts(const VerifiedCall& call, int64_t now_boot_nanos, bool as_child)
      : call_(call), now_(now_boot_nanos), as_child_(as_child) {}
  absl::string_view subject() const override { return call_.subject().name(); }
  bool HasRole(absl::string_view role) const override {
    const auto roles = call_.subject().roles();
    return std::find(roles->begin(), roles->end(), role) != roles->end();
  }
  std::optional<absl::Duration> FactorAge(absl::string_view factor) const override {
    std::optional<absl::Duration> age;
    for (const ProvedFactor& proved : call_.factors()) {
      if (proved.name != factor) continue;
      const absl::Duration of_this = absl::Nanoseconds(now_ - proved.proved_boot_nanos);
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
  const int64_t now_;
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
      path == kReauthenticateCallMethod) {
    return Refuse(Reason::kPrefixWrongKind, "the method takes a session's proof");
  }
  if (!proof.key_share.empty() || !proof.request_digest.empty()) {
    return Refuse(Reason::kPrefixMalformed, "key_share or request_digest where there must be none");
  }
  return absl::OkStatus();
}

absl::Status CheckSessionShape(const SessionProofView& proof, absl::string_view path) {
  if (path == kOpenSessionMethod) {
    return Refuse(Reason::kPrefixWrongKind, "OpenSession takes a device proof");
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

void AddFactors(const AssertionFacts& facts, absl::Time proved_at, int64_t proved_boot_nanos,
                std::vector<ProvedFactor>& factors) {
  for (const std::string& name : facts.factors) {
    auto same = [&](const ProvedFactor& factor) { return factor.name == name; };
    if (std::none_of(factors.begin(), factors.end(), same)) {
      factors.push_back({name, proved_at, proved_boot_nanos});
    }
  }
}

void FillDeviceCall(const DeviceProofView& proof, absl::string_view audience,
                    absl::string_view path, DeviceCall& call) {
  absl::InlinedVector<absl::string_view, kMaxAssertions> ids;
  for (const AssertionView& assertion : proof.assertions) ids.push_back(assertion.credential_id);
  call.statement =
      BuildStatement(CallStatement{audience, path, proof.challenge, proof.channel_binding, ids,
                                   proof.key_share, proof.request_digest});
  call.challenge = std::string(proof.challenge);
  call.channel_binding = std::string(proof.channel_binding);
  call.key_share = std::string(proof.key_share);
}

}  // namespace

absl::Status VerifiedCall::CheckDigest(absl::string_view payload) const {
  return ConstantTimeEqual(request_digest(), Sha256(payload))
             ? absl::OkStatus()
             : Refuse(Reason::kRequestDigestMismatch);
}

CallVerifier::CallVerifier(CallVerifierParts parts) : parts_(std::move(parts)) {}

absl::StatusOr<VerifiedCall> CallVerifier::Verify(const CallInput& input) {
  return Judge(input, Mode::kVerify);
}

absl::StatusOr<VerifiedCall> CallVerifier::Recall(absl::Span<const absl::string_view> prefixes,
                                                  absl::string_view path) {
  return Judge(CallInput{prefixes, path, ""}, Mode::kRecall);
}

absl::StatusOr<VerifiedCall> CallVerifier::Judge(const CallInput& input, Mode mode) {
  if (input.prefixes.size() != 1) {
    return Refuse(input.prefixes.empty() ? Reason::kPrefixMissing : Reason::kPrefixRepeated);
  }
  FOREKEY_ASSIGN_OR_RETURN(const Prefix prefix, Prefix::Parse(input.prefixes[0]));
  if (!IsWellFormedMethod(input.path)) return Refuse(Reason::kPathMalformed);
  if (const SessionProofView* proof = prefix.session(); proof != nullptr) {
    FOREKEY_RETURN_IF_ERROR(CheckSessionShape(*proof, input.path));
    return JudgeSession(*proof, input, mode);
  }
  FOREKEY_RETURN_IF_ERROR(CheckDeviceShape(*prefix.device(), input.path));
  return JudgeDevice(*prefix.device(), input, mode);
}

absl::StatusOr<VerifiedCall> CallVerifier::JudgeSession(const SessionProofView& proof,
                                                        const CallInput& input, Mode mode) {
  VerifiedCall call;
  call.session_ = parts_.sessions->Find(proof.session_id);
  if (call.session_ == nullptr) return parts_.sessions->WhyNotFound(proof.session_id);
  const Session& session = *call.session_;
  const int64_t now = parts_.clock->BootNanos();
  FOREKEY_RETURN_IF_ERROR(session.CheckAlive(now));
  if (!parts_.certificates->Accepts(session.channel_binding(), now)) {
    return Refuse(Reason::kChannelBindingUnknown,
                  "the session was opened under a TLS certificate that is no longer accepted");
  }
  const CallMacInput mac_input = {
      session.id(),        proof.sequence, proof.age_s, input.path, session.channel_binding(),
      proof.request_digest};
  if (!CallMacMatches(session.mac_key(), mac_input, proof.mac)) {
    return MacMismatch(session, mac_input, proof.mac);
  }
  call.sequence_ = proof.sequence;
  call.age_s_ = proof.age_s;
  if (input.trace != nullptr) input.trace->proved = call;
  if (mode == Mode::kVerify) {
    const int64_t age = (now - session.opened_boot_nanos()) / kNanosPerSecond;
    const int64_t drift = age - int64_t{proof.age_s};
    if (drift > kMaxAgeDriftSeconds || drift < -kMaxAgeDriftSeconds) {
      return Refuse(Reason::kAgeDrift, absl::StrCat("the proof says ", proof.age_s,
                                                    " s since opening, the gate ", age));
    }
    FOREKEY_RETURN_IF_ERROR(session.AcceptSequence(proof.sequence, now));
  } else if (!session.SequenceUsed(proof.sequence)) {
    return Refuse(Reason::kPrefixMissing, "the gate did not admit a call with this prefix");
  }
  call.has_digest_ = !proof.request_digest.empty();
  if (call.has_digest_) {
    std::memcpy(call.request_digest_.data(), proof.request_digest.data(), kRequestDigestSize);
  }
  if (mode == Mode::kVerify) FOREKEY_RETURN_IF_ERROR(Authorize(input.path, call, now));
  return call;
}

absl::Status CallVerifier::MacMismatch(const Session& session, CallMacInput input,
                                       absl::string_view mac) const {
  size_t guesses = 0;
  for (const std::string& binding : parts_.certificates->Bindings(parts_.clock->BootNanos())) {
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

absl::StatusOr<CredentialList> CallVerifier::FindSigners(const DeviceProofView& proof) {
  CredentialList signers;
  for (const AssertionView& assertion : proof.assertions) {
    FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<const LiveCredential> credential,
                             parts_.credentials->Find(assertion.credential_id));
    if (credential->revoked()) return Refuse(Reason::kCredentialRevoked);
    if (credential->subject().disabled()) return Refuse(Reason::kSubjectDisabled);
    if (!signers.empty() && signers.front()->subject().name() != credential->subject().name()) {
      return Refuse(Reason::kSubjectMismatch);
    }
    signers.push_back(std::move(credential));
  }
  return signers;
}

absl::StatusOr<CallVerifier::SignatureFacts> CallVerifier::VerifySignatures(
    const DeviceProofView& proof, const DeviceCall& call) const {
  SignatureFacts facts;
  for (size_t i = 0; i < proof.assertions.size(); ++i) {
    const LiveCredential& credential = *call.credentials[i];
    const auto verifier = parts_.tokens->Find(credential.record().kind);
    if (verifier == nullptr) {
      return Refuse(Reason::kTokenKindNotAllowed, "this gate does not verify that kind of token");
    }
    FOREKEY_ASSIGN_OR_RETURN(AssertionFacts proved,
                             verifier->VerifyAssertion(proof.assertions[i], call.statement,
                                                       credential.record(), credential.key()));
    facts.push_back(std::move(proved));
  }
  return facts;
}

absl::Status CallVerifier::Consume(const CheckedChallenge& challenge, const SignatureFacts& facts,
                                   int64_t now, DeviceCall& call) {
  FOREKEY_RETURN_IF_ERROR(
      parts_.replay->Consume(challenge.nonce, now, challenge.expires_boot_nanos));
  for (size_t i = 0; i < facts.size(); ++i) {
    if (!facts[i].sign_count) continue;
    const std::string& id = call.credentials[i]->record().id;
    const absl::Status advanced =
        parts_.credentials->registry().AdvanceSignCount(id, *facts[i].sign_count);
    if (advanced.ok()) continue;
    if (ReasonOf(advanced) != Reason::kCounterRollback) return advanced;
    std::string remark = absl::StrCat(ReasonName(Reason::kCounterRollback), ": credential ",
                                      absl::BytesToHexString(id), " says ", *facts[i].sign_count,
                                      ", which is not beyond what it said before");
    if (facts[i].refuse_rollback) return Refuse(Reason::kCounterRollback, remark);
    call.remarks.push_back(std::move(remark));
  }
  return absl::OkStatus();
}

absl::StatusOr<VerifiedCall> CallVerifier::JudgeDevice(const DeviceProofView& proof,
                                                       const CallInput& input, Mode mode) {
  const int64_t now = parts_.clock->BootNanos();
  if (!parts_.certificates->Accepts(proof.channel_binding, now)) {
    return Refuse(Reason::kChannelBindingUnknown,
                  absl::StrCat(ReasonMeaning(Reason::kChannelBindingUnknown), " (the caller saw ",
                               absl::BytesToHexString(proof.channel_binding), ")"));
  }
  const bool verifying = mode == Mode::kVerify;
  FOREKEY_ASSIGN_OR_RETURN(
      const CheckedChallenge challenge,
      verifying ? parts_.challenges->Check(proof.challenge, ChallengePurpose::kCall)
                : parts_.challenges->CheckAnyAge(proof.challenge, ChallengePurpose::kCall));

  // Whoever makes up credential ids: none of them is looked up without a limit.
  if (verifying && !parts_.strangers->AllowLookUp(input.peer, now)) {
    return Refuse(Reason::kRateLimited, "device proofs of an address that showed nothing yet");
  }
  auto device = std::make_shared<DeviceCall>();
  absl::StatusOr<CredentialList> signers = FindSigners(proof);
  if (!signers.ok()) {
    if (verifying) parts_.strangers->Failed(input.peer);
    return signers.status();
  }
  device->credentials = *std::move(signers);
  FillDeviceCall(proof, parts_.audience, input.path, *device);
  const absl::Time proved_at =
      parts_.clock->WallNow() - absl::Nanoseconds(now - challenge.issued_boot_nanos);
  VerifiedCall call;
  call.has_digest_ = !proof.request_digest.empty();
  if (call.has_digest_) {
    std::memcpy(call.request_digest_.data(), proof.request_digest.data(), kRequestDigestSize);
  }
  if (!verifying) {
    FOREKEY_ASSIGN_OR_RETURN(call.device_, RecallDevice(proof, input, std::move(device), proved_at,
                                                        challenge.issued_boot_nanos));
    return call;
  }

  if (!parts_.strangers->AllowSignature(input.peer, now)) {
    return Refuse(Reason::kRateLimited, "signature checks for callers that showed nothing yet");
  }
  absl::StatusOr<SignatureFacts> facts = VerifySignatures(proof, *device);
  if (!facts.ok()) {
    parts_.strangers->Failed(input.peer);
    return facts.status();
  }
  for (const AssertionFacts& proved : *facts) {
    AddFactors(proved, proved_at, challenge.issued_boot_nanos, device->factors);
  }
  call.device_ = device;
  if (input.trace != nullptr) input.trace->proved = call;
  FOREKEY_RETURN_IF_ERROR(Consume(challenge, *facts, now, *device));
  FOREKEY_RETURN_IF_ERROR(Authorize(input.path, call, now));
  parts_.strangers->Succeeded(input.peer);
  admitted_.Add(input.prefixes[0], input.path, call.device_);
  return call;
}

absl::StatusOr<std::shared_ptr<const DeviceCall>> CallVerifier::RecallDevice(
    const DeviceProofView& proof, const CallInput& input, std::shared_ptr<DeviceCall> call,
    absl::Time proved_at, int64_t proved_boot_nanos) const {
  if (auto known = admitted_.Find(input.prefixes[0], input.path); known != nullptr) return known;
  FOREKEY_ASSIGN_OR_RETURN(const SignatureFacts facts, VerifySignatures(proof, *call));
  for (const AssertionFacts& proved : facts) {
    AddFactors(proved, proved_at, proved_boot_nanos, call->factors);
  }
  return call;
}

absl::Status CallVerifier::StillAllowed(const VerifiedCall& call, absl::string_view path) const {
  for (const auto& credential : call.credentials()) {
    if (credential->revoked()) return Refuse(Reason::kCredentialRevoked);
  }
  if (call.subject().disabled()) return Refuse(Reason::kSubjectDisabled);
  const int64_t now = parts_.clock->BootNanos();
  if (!parts_.certificates->Accepts(call.channel_binding(), now)) {
    return Refuse(Reason::kChannelBindingUnknown, "its TLS certificate is no longer accepted");
  }
  return Authorize(path, call, now);
}

absl::Status CallVerifier::Authorize(absl::string_view path, const VerifiedCall& call,
                                     int64_t now) const {
  return parts_.policy->Authorize(path, Facts(call, now, /*as_child=*/false));
}

absl::Status CallVerifier::WouldPermit(absl::string_view path, const VerifiedCall& call,
                                       bool as_child) const {
  return parts_.policy->Authorize(path, Facts(call, parts_.clock->BootNanos(), as_child));
}

}  // namespace forekey

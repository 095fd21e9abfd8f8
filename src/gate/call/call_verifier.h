// SPDX-License-Identifier: Apache-2.0
// Judges one call by its prefix: the heart of the gate (docs/PROTOCOL.md, "Order of checks").
//
// Threats, and the check that meets each:
//   a prefix seen before                       challenge consumed, or sequence window, after the
//                                              proof
//   a prefix of another method                 the method is in the statement and under the MAC
//   ... of another gate                        the audience is in the statement; sessions are the
//                                              gate's own
//   ... seen by a proxy with its own TLS key   the channel binding is in both, and must be accepted
//                                              here
//   an assertion taken away or added           the signers are in the statement; one subject for
//                                              all
//   a proof for another purpose                labels; key_share and request_digest exactly where
//                                              they belong
//   a proof that was held back                 challenge age; age_s within 30 s
//   a revoked credential, a disabled subject   asked at every call
//   ... that another replica revoked           the lease, before anything is asked, and after
//   a stolen ticket                            the MAC under the key inside it, over a fresh
//                                              challenge
//   two prefixes, of which one is good         refused before either is read
//   floods                                     HMAC before look-up, look-up before signature,
//                                              bucket before both
#ifndef FOREKEY_SRC_GATE_CALL_CALL_VERIFIER_H_
#define FOREKEY_SRC_GATE_CALL_CALL_VERIFIER_H_

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "src/base/clock.h"
#include "src/gate/call/admitted_calls.h"
#include "src/gate/call/certificates.h"
#include "src/gate/call/challenge.h"
#include "src/gate/call/session_ticket.h"
#include "src/gate/call/ticket_keys.h"
#include "src/gate/limits/stranger_limit.h"
#include "src/gate/token/gate_tokens.h"
#include "src/policy/call_policy.h"
#include "src/store/admission_lease.h"
#include "src/store/live_credentials.h"
#include "src/store/replay.h"
#include "src/store/session_table.h"
#include "src/wire/prefix.h"
#include "src/wire/statement.h"

namespace forekey {

struct CallInput {
  absl::Span<const absl::string_view> prefixes;  // every value of forekey-prefix-bin, decoded
  absl::string_view path;                        // the raw :path
  absl::string_view peer;                        // transport address, for the audit log and limits
};

inline constexpr int64_t kMaxAgeDriftSeconds = 30;

using CredentialList = absl::InlinedVector<std::shared_ptr<const LiveCredential>, 1>;

// What a device proof proved; or, with a ticket, a resumption proof. Immutable.
struct DeviceCall {
  // Of OpenSession and ResumeSession alone, for the keys of the session: what was signed or MACed,
  // and the 64 and 32 bytes in it. Others' would be kept for as long as AdmittedCalls knows them.
  std::string statement, challenge, key_share;
  std::string channel_binding;  // 32 bytes
  CredentialList credentials;   // 1..3, one subject
  uint64_t sessions_epoch = 0;  // of the subject, before it was proved; of a ticket: as it says
  // proved_at is when the challenge was issued: all that the gate knows is that the proof is no
  // older.
  std::vector<ProvedFactor> factors;
  // For the audit log: what would have been a reason to refuse, if the config did not say
  // otherwise.
  std::vector<std::string> remarks;
  // Of ResumeSession alone: nothing was signed by hardware, and the factors are the ticket's.
  std::shared_ptr<const SessionTicket> ticket;
};

// A call that was verified. Only CallVerifier builds one; there is no empty one. Copies are cheap
// and share what they point to.
class VerifiedCall {
 public:
  const LiveSubject& subject() const {
    return session_ ? session_->subject() : device_->credentials.front()->subject();
  }
  absl::Span<const std::shared_ptr<const LiveCredential>> credentials() const {
    return session_ ? session_->credentials() : absl::MakeConstSpan(device_->credentials);
  }
  absl::Span<const ProvedFactor> factors() const {
    return session_ ? absl::MakeConstSpan(session_->factors())
                    : absl::MakeConstSpan(device_->factors);
  }
  // Null for a call that hardware signed, and for ResumeSession.
  const Session* session() const { return session_.get(); }
  // What keeps all that this says alive: one of them is null.
  const std::shared_ptr<const Session>& shared_session() const { return session_; }
  const std::shared_ptr<const DeviceCall>& shared_proof() const { return device_; }
  // Null but for a call that hardware signed.
  const DeviceCall* device() const {
    return device_ == nullptr || device_->ticket != nullptr ? nullptr : device_.get();
  }
  // Null but for ResumeSession: then with its ticket.
  const DeviceCall* resumption() const {
    return device_ == nullptr || device_->ticket == nullptr ? nullptr : device_.get();
  }

  const std::string& channel_binding() const {
    return session_ ? session_->channel_binding() : device_->channel_binding;
  }

  // For Forekey's own services. 32 bytes or empty.
  absl::string_view request_digest() const {
    return absl::string_view(request_digest_.data(), has_digest_ ? request_digest_.size() : 0);
  }
  // OK, or kRequestDigestMismatch: `payload` is not what the proof is bound to.
  absl::Status CheckDigest(absl::string_view payload) const;
  uint64_t sequence() const { return sequence_; }  // 0 for a device proof
  uint32_t age_s() const { return age_s_; }

 private:
  friend class CallVerifier;
  friend class Verdict;
  VerifiedCall() = default;
  void TakeDigest(absl::string_view digest);  // 32 bytes or empty
  std::shared_ptr<const Session> session_;
  std::shared_ptr<const DeviceCall> device_;
  uint64_t sequence_ = 0;
  uint32_t age_s_ = 0;
  bool has_digest_ = false;
  std::array<char, kRequestDigestSize> request_digest_{};
};

// What became of one call: its caller, or why it was refused. Only CallVerifier builds one.
class Verdict {
 public:
  // OK: admitted.
  const absl::Status& status() const { return status_; }
  // The caller of an admitted call; asking for that of a refused one ends the process.
  const VerifiedCall& caller() const {
    CheckAdmitted();
    return call_;
  }
  VerifiedCall&& TakeCaller() && {
    CheckAdmitted();
    return std::move(call_);
  }
  // Whose call it was proved to be, also where it was refused after that: for the audit log alone.
  // Null where nothing was proved.
  const VerifiedCall* proved() const { return proved_ ? &call_ : nullptr; }

 private:
  friend class CallVerifier;
  // Of a call of which nothing is proved yet. It is filled in where it stands: each move of a
  // VerifiedCall costs a session's call a hundredth of what it costs in all.
  Verdict() = default;
  explicit Verdict(absl::Status refusal) : status_(std::move(refusal)) {}
  Verdict(VerifiedCall proved, absl::Status status)
      : status_(std::move(status)), proved_(true), call_(std::move(proved)) {}
  void CheckAdmitted() const {
    if (!status_.ok() || !proved_) std::abort();  // a handler must never see a refused caller
  }

  absl::Status status_{absl::StatusCode::kUnknown, ""};  // until it is judged; allocates nothing
  bool proved_ = false;
  VerifiedCall call_;  // whose it is, where `proved_`; else what its prefix says, which nobody sees
};

// Everything is borrowed and must outlive the verifier.
struct CallVerifierNeeds {
  std::string audience;
  const Clock* clock = nullptr;
  const ChallengeIssuer* challenges = nullptr;
  const AcceptedCertificates* certificates = nullptr;
  LiveCredentials* credentials = nullptr;
  ReplayStore* replay = nullptr;
  SessionTable* sessions = nullptr;
  const CallPolicy* policy = nullptr;
  const GateTokens* tokens = nullptr;
  StrangerLimit* strangers = nullptr;
  // Of a gate that shares its registry; null: nobody else changes it.
  const AdmissionLease* lease = nullptr;
  TicketKeys* tickets = nullptr;  // null: no session is resumed
};

// Safe from any thread; takes no lock of its own on the session path.
class CallVerifier {
 public:
  explicit CallVerifier(CallVerifierNeeds needs);

  // Refuses with the exact reason. Not to be asked for exempt methods. A session's proof costs no
  // allocation, whichever way it is decided up to its MAC. `now`: when the call came here. It is
  // judged as of then, but for the lease, which is asked once more at the end.
  Verdict Verify(const CallInput& input, BootTime now);
  Verdict Verify(const CallInput& input) { return Verify(input, needs_.clock->BootNow()); }

  // The caller of a call that Verify() of this very object admitted, for handlers. Whoever asks
  // vouches that the call came with this prefix and path and that Verify() admitted it so (CallGate
  // says why it may): a session's MAC is not computed again. A sequence that may still come is
  // refused (Session::SequenceUsed); a device proof must be known as admitted, or its signatures
  // are checked again.
  // Nothing is consumed, and age is not asked again. Fails as soon as the session ended or expired
  // or a credential was revoked (kSessionUnknown, kSessionEnded, kSessionExpired,
  // kCredentialRevoked, kSubjectDisabled) or the certificate is no longer accepted: a handler that
  // asks late learns so; one that asked before keeps its VerifiedCall.
  absl::StatusOr<VerifiedCall> Recall(absl::Span<const absl::string_view> prefixes,
                                      absl::string_view path);

  // Whether a call that was verified before may go on: none of its credentials is revoked, its
  // subject is not disabled, its certificate is still accepted, and the rules still allow it.
  // Whether its session lives is for the caller to ask.
  absl::Status StillAllowed(const VerifiedCall& call, absl::string_view path) const;
  // What the rules that are in force now would say to a call of `path` by that caller. `as_child`:
  // as a child session of the caller's would be judged. Asks nothing but the rules.
  absl::Status WouldPermit(absl::string_view path, const VerifiedCall& call, bool as_child) const;
  // OK, or kLeaseEnded: what this gate knows of revocations may be old. Nothing is admitted then.
  absl::Status CheckLease(BootTime now) const {
    if (needs_.lease == nullptr || needs_.lease->Holds(now)) return absl::OkStatus();
    return LeaseEnded();
  }
  // Until when a call may be admitted; BootTime::InfiniteFuture() where no lease is needed.
  BootTime LeaseEnd() const {
    return needs_.lease == nullptr ? BootTime::InfiniteFuture() : needs_.lease->end();
  }

 private:
  using SignatureFacts = absl::InlinedVector<AssertionFacts, 1>;
  struct ProvedDevice;

  // The one prefix of a call, of the shape that its method takes.
  static absl::Status ReadPrefix(const CallInput& input, Prefix& prefix);

  // Both: whose session's proof it says it is: that session lives, and its certificate is accepted.
  // The MAC is not checked yet, so `call` is not to be believed.
  absl::Status ReadSession(const SessionProofView& proof, BootTime now, VerifiedCall& call) const;
  absl::Status CheckMac(const Session& session, const SessionProofView& proof,
                        absl::string_view path) const;
  Verdict VerifySession(const SessionProofView& proof, const CallInput& input, BootTime now);
  absl::StatusOr<VerifiedCall> RecallSession(const SessionProofView& proof) const;
  // The proof is of now, and was not seen before.
  absl::Status AcceptOnce(const Session& session, const SessionProofView& proof,
                          BootTime now) const;
  absl::Status MacMismatch(const Session& session, CallMacInput input, absl::string_view mac) const;

  // Both: what a device proof says, by whom; its signatures are not verified yet.
  absl::StatusOr<std::shared_ptr<DeviceCall>> ReadDevice(const DeviceProofView& proof) const;
  absl::Status CheckBinding(absl::string_view binding, BootTime now) const;
  // All live, and of one subject.
  absl::StatusOr<CredentialList> FindSigners(absl::Span<const absl::string_view> ids) const;
  static absl::Status CheckSigner(const LiveCredential& credential, const LiveCredential& first);
  absl::StatusOr<SignatureFacts> VerifySignatures(const DeviceProofView& proof,
                                                  absl::string_view path, DeviceCall& call) const;
  void AddFactors(const SignatureFacts& facts, const CheckedChallenge& challenge, BootTime now,
                  DeviceCall& call) const;
  absl::StatusOr<ProvedDevice> ProveDevice(const DeviceProofView& proof, const CallInput& input,
                                           BootTime now) const;
  Verdict VerifyDevice(const DeviceProofView& proof, const CallInput& input, BootTime now);
  absl::StatusOr<VerifiedCall> RecallDevice(const DeviceProofView& proof, absl::string_view prefix,
                                            absl::string_view path) const;
  absl::Status Consume(const ProvedDevice& proved, BootTime now);

  static absl::Status LeaseEnded();
  // Asked last, with what LeaseEnd() was before anything of what replicas change was read (roles
  // and rules too): a process that was stopped in between, for however long, admits nothing by what
  // it knew then. Where the call waits for the registry, it is read after that, since the lease may
  // be another one by then.
  absl::Status WithinLease(BootTime end) const {
    if (needs_.lease == nullptr || needs_.clock->BootNow() < end) return absl::OkStatus();
    return LeaseEnded();
  }
  // That what vouches for the call holds now: the registry may have kept it waiting. Whoever asks
  // asks WithinLease(), too.
  absl::Status CheckHeld(const VerifiedCall& call) const;
  // In call_verifier_resumption.cc.
  Verdict VerifyResumption(const ResumptionProofView& proof, const CallInput& input, BootTime now);
  // Up to its MAC and its challenge, which is consumed: the credentials are not looked up yet.
  absl::StatusOr<std::shared_ptr<DeviceCall>> ProveResumption(const ResumptionProofView& proof,
                                                              const CallInput& input,
                                                              BootTime now) const;
  absl::StatusOr<VerifiedCall> RecallResumption(const ResumptionProofView& proof,
                                                absl::string_view prefix,
                                                absl::string_view path) const;
  absl::StatusOr<std::shared_ptr<const SessionTicket>> OpenTicket(
      const ResumptionProofView& proof, absl::string_view statement) const;
  // Whose ticket it is, whatever became of them since.
  absl::Status FindResumed(BootTime now, DeviceCall& call) const;
  // They are judged as of now.
  absl::Status CheckResumed(const DeviceCall& call) const;

  absl::Status Authorize(absl::string_view path, const VerifiedCall& call, BootTime now) const;

  const CallVerifierNeeds needs_;
  AdmittedCalls admitted_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CALL_CALL_VERIFIER_H_

// SPDX-License-Identifier: Apache-2.0
// The client's side of the Gate service (proto/forekey/v1/gate.proto; docs/PROTOCOL.md,
// "Sessions").
//
// Threats that are answered here, each with its test in tests/unit/client/gate_client_test.cc:
//   a rogue gate or a TLS-terminating proxy poses as the gate   -> confirmation MAC, checked first
//   it swaps key shares, or sends an all-zero one               -> the derived key differs; refused
//   it changes lifetimes, subject or next identity in between   -> they are under the confirmation
//   the connection changes its certificate in mid-protocol      -> the proof is not sent
//   it redirects a child to another subject                     -> compared with the parent's
//   ... or a session that is resumed                            -> compared with the old one's
//   who has a ticket, or relays a resumption                    -> the old key is in the new one
#ifndef FOREKEY_SRC_CLIENT_GATE_CLIENT_H_
#define FOREKEY_SRC_CLIENT_GATE_CLIENT_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "src/base/clock.h"
#include "src/client/client_session.h"
#include "src/client/device_proof.h"
#include "src/client/gate_diagnosis.h"
#include "src/client/tls_channel.h"

namespace forekey {

using ClientSessionPtr = std::shared_ptr<const ClientSession>;

// A TLS channel to one gate. Safe from any thread; every method blocks, each call to the gate for
// at most `rpc_timeout`.
//
// Errors: a gate's refusal has the code that the gate sent (kUnauthenticated, kPermissionDenied)
// and no Reason; what is refused here has a Reason (ReasonOf); kUnavailable and kDeadlineExceeded
// when the gate can't be reached; kAborted when the connection changed its certificate in between:
// try again.
class GateConnection {
 public:
  struct Options {
    GateTarget target;
    absl::Duration rpc_timeout = absl::Seconds(15);
    // Asking for a challenge changes nothing, so that it is tried twice: a connection that became a
    // black hole (another network, a long sleep) is given up after so long, and made anew.
    absl::Duration challenge_timeout = absl::Seconds(5);
    const Clock* clock = &Clock::System();  // outlives the sessions
    // Goes with every call, as kAffinityMetadataKey; empty: nothing does.
    std::string affinity;
    // For how long the machine has been suspended since it started; null: as the kernel says. When
    // it grew, the connection is made anew.
    std::function<int64_t()> asleep_nanos;
  };
  static absl::StatusOr<std::unique_ptr<GateConnection>> New(Options options);

  const GateTarget& target() const { return options_.target; }

  // Cancels the calls that are under way, at once; every later one fails with kCancelled.
  void Shutdown();

  struct Challenge {
    std::string bytes;            // 64
    std::string channel_binding;  // 32, of the connection that it came on
    // Whether the same process of the gate issued both (docs/PROTOCOL.md, "Challenges"): another
    // one refuses a proof over it, whoever made it.
    bool OfSameProcessAs(const Challenge& other) const;
  };
  absl::StatusOr<Challenge> GetChallenge(forekey::v1::GetChallengeRequest::Purpose purpose);

  struct OpenOptions {
    std::string gate_identity;    // 32 bytes: the pinned X25519 key
    std::vector<Signer> signers;  // 1..3
    uint32_t max_idle_s = 0;      // 0: as the gate has it
    uint32_t max_absolute_s = 0;
    Secret password;  // the subject's at the gate, as a further factor; empty: none
    // Gives an ID token with this nonce, as a further factor; null: none. Called once, before the
    // gate is asked for a challenge, so it may take its time.
    std::function<absl::StatusOr<Secret>(absl::string_view nonce)> id_token;
  };
  // Every signer signs once; and once more where the gate refused, and its next challenge is of
  // another process: behind a balancer, the proof may have come to one that did not issue its
  // challenge.
  absl::StatusOr<ClientSessionPtr> OpenSession(const OpenOptions& options);

  // Goes on with a session that the gate does not know (any more): no token signs. The old one is
  // not to be used afterwards, nor its ticket again, however this ends, but where the gate could
  // not be reached or answers kUnavailable. InvalidArgument where it has no ticket.
  absl::StatusOr<ClientSessionPtr> ResumeSession(const ClientSession& old,
                                                 const std::string& gate_identity);

  struct ChildOptions {
    std::string gate_identity;
    std::string channel_binding;  // of the connections that the child will be used on
    uint32_t max_idle_s = 0;
    uint32_t max_absolute_s = 0;
  };
  absl::StatusOr<ClientSessionPtr> OpenChildSession(const ClientSession& parent,
                                                    const ChildOptions& options);

  absl::Status EndSession(const ClientSession& session);
  // The session then has the newer ticket that came with the answer, if one did.
  absl::StatusOr<forekey::v1::WhoAmIResponse> WhoAmI(const ClientSession& session);
  // What the session lacks for `method`, itself or a child of it: src/wire/step_up.h, or empty.
  absl::StatusOr<std::string> GetRequirements(const ClientSession& session,
                                              absl::string_view method, bool child);

  // A device proof for one call of `method` on a connection with that binding; empty: this one's.
  // The caller keeps Forekey's own methods away from it.
  absl::StatusOr<std::string> MakeDevicePrefix(absl::string_view method,
                                               absl::string_view channel_binding,
                                               std::vector<Signer> signers);

  // Enrolment (src/client/enrollment.h drives it). `channel_binding`: what the payload claims; an
  // answer from another certificate is kAborted.
  absl::StatusOr<forekey::v1::BeginEnrollmentResponse> BeginEnrollment(
      const forekey::v1::BeginEnrollmentRequest& request, absl::string_view channel_binding);
  absl::StatusOr<forekey::v1::FinishEnrollmentResponse> FinishEnrollment(
      const forekey::v1::FinishEnrollmentRequest& request, absl::string_view channel_binding);

 private:
  GateConnection(Options options, std::shared_ptr<grpc::ChannelCredentials> credentials);

  // One connection to the gate; calls that run keep theirs.
  struct Wire {
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<forekey::v1::Gate::Stub> stub;
  };
  using WirePtr = std::shared_ptr<const Wire>;
  WirePtr MakeWire() const;
  // The one in use; another one after a suspend.
  WirePtr CurrentWire();
  // No later call uses it.
  void GiveUp(const WirePtr& wire);
  GateDiagnosis Diagnose(const grpc::Status& status) const;

  // What a call needs besides its messages. The prefix is sent only on a connection with that
  // binding.
  struct Proof {
    absl::string_view method;
    std::string prefix;
    std::string channel_binding;
  };
  // Makes a proof over a challenge and sends it: `attempt` gets the challenge, and says whether it
  // was the gate that refused. Once more, where another process than the challenge's did.
  template <typename Attempt>
  absl::StatusOr<ClientSessionPtr> WithChallenge(Attempt attempt);
  struct Prepared;
  absl::StatusOr<ClientSessionPtr> OpenOver(const Challenge& challenge, const OpenOptions& options,
                                            const Prepared& prepared, bool* sent);
  absl::StatusOr<ClientSessionPtr> ResumeOver(const Challenge& challenge, const ClientSession& old,
                                              const std::string& gate_identity, bool* sent);

  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (forekey::v1::Gate::Stub::*rpc)(grpc::ClientContext*,
                                                                 const Request&, Response*),
                    absl::string_view tried, const Request& request, Response* response,
                    std::optional<Proof> proof, std::string* channel_binding = nullptr,
                    std::optional<absl::Duration> timeout = std::nullopt,
                    std::string* tls_anchors = nullptr);

  const Options options_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  absl::Mutex mutex_;
  WirePtr wire_ ABSL_GUARDED_BY(mutex_);
  int64_t asleep_nanos_ ABSL_GUARDED_BY(mutex_) = 0;  // when the wire was made
  std::set<grpc::ClientContext*> calling_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> shut_down_{false};
};

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_GATE_CLIENT_H_

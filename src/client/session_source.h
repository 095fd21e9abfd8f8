// SPDX-License-Identifier: Apache-2.0
// The sessions of one channel: one a server certificate, opened by the agent as children of its
// own. One opening at a time for a certificate; everybody else waits for its result. Waiting costs
// no thread.
#ifndef FOREKEY_SRC_CLIENT_SESSION_SOURCE_H_
#define FOREKEY_SRC_CLIENT_SESSION_SOURCE_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "forekey/v1/agent.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "src/base/clock.h"
#include "src/base/lanes.h"
#include "src/base/single_flight.h"
#include "src/client/channel_binding.h"
#include "src/client/client_session.h"
#include "src/client/prefix_credentials.h"
#include "src/client/preflight.h"

namespace forekey {

using ClientSessionPtr = std::shared_ptr<const ClientSession>;

// Safe from any thread; made by std::make_shared, as what is asked of the agent shares it.
class SessionSource : public std::enable_shared_from_this<SessionSource> {
 public:
  struct Options {
    std::string gate;    // audience
    std::string socket;  // for messages
    std::shared_ptr<grpc::Channel> agent;
    std::shared_ptr<Lanes> lanes;
    absl::Duration open_timeout;
    const Clock* clock = &Clock::System();
  };
  explicit SessionSource(Options options);

  using Waiter = std::function<void(const absl::StatusOr<ClientSessionPtr>&)>;
  // A session that is good on connections with that leaf, for a call of `method`; never `rejected`
  // (may be null), which the gate no longer takes. Null when there is none: then, and only then,
  // `make_waiter` is called, and its result later, once, from another thread. Where the agent has
  // none either, and knows that hardware must sign calls of a method, what comes later is null:
  // ask SignIfKnown(), and where it isn't that method, Get() again. Never blocks.
  absl::StatusOr<ClientSessionPtr> Get(absl::string_view leaf_pem, const ClientSessionPtr& rejected,
                                       absl::string_view method,
                                       absl::FunctionRef<Waiter()> make_waiter);

  // One that ends later than `outlast`, for a live call: opened if need be, which blocks, for a
  // touch perhaps.
  absl::StatusOr<ClientSessionPtr> GetLater(absl::string_view leaf_pem, BootTime outlast);

  // What a call goes on with: a session, or a prefix that hardware made for it.
  struct Proof {
    ClientSessionPtr session;
    std::string prefix;
    std::shared_ptr<std::atomic_flag> used;  // a prefix is good for one call
    std::string affinity;                    // of a prefix; a session has its own
  };
  using ProofWaiter = std::function<void(const absl::StatusOr<Proof>&)>;
  // The gate refused a call of `method` with `rejected` (null: with a device proof): the agent asks
  // it what is lacking, and then opens another session, with more factors where those were lacking,
  // or has hardware sign the call. `waiter` is called once, from another thread. Calls of one
  // method that were refused with one session share the answer where it is a session.
  void Replace(absl::string_view leaf_pem, const ClientSessionPtr& rejected,
               absl::string_view method, ProofWaiter waiter);
  // Methods that hardware had to sign lately are not tried with a session first: asks at once, and
  // returns true. `waiter` is called later, from another thread.
  bool SignIfKnown(absl::string_view leaf_pem, absl::string_view method, const ProofWaiter& waiter);

  // Cancels what is asked of the agent. The channel is gone: nobody waits any more.
  void Shutdown();

 private:
  struct Slot {
    ClientSessionPtr session;
    BootTime refresh_not_before;  // after a failed refresh
    std::string rejected_id;
  };
  // What was answered last about calls of one method with one binding.
  struct Replacement {
    std::string rejected_id;
    ClientSessionPtr session;  // null: it was none
    std::string step_up;       // of the last device proof
    BootTime step_up_until;
  };
  using Openings = SingleFlight<absl::StatusOr<ClientSessionPtr>>;
  using Replacings = SingleFlight<absl::StatusOr<Proof>>;
  template <typename Result>
  using Done = std::function<void(absl::StatusOr<Result>)>;

  void StartOpening(const std::string& binding, const Openings::FlightPtr& flight,
                    const std::string& rejected_id, const std::string& method);
  // Hardware has to sign calls of that method, for now.
  void LearnStepUp(const std::string& binding, const std::string& method,
                   const std::string& step_up);
  void FinishOpening(const std::string& binding, const Openings::FlightPtr& flight,
                     const absl::StatusOr<ClientSessionPtr>& opened);
  // Null: see Get().
  void AskAgent(const std::string& binding, const std::string& rejected_id,
                const std::string& first_method, BootTime outlast, Done<ClientSessionPtr> done);
  // One call to the agent, that Shutdown() cancels. `done` is called from another thread.
  template <typename Request, typename Response>
  void CallAgent(void (forekey::v1::Agent::StubInterface::async_interface::*rpc)(
                     grpc::ClientContext*, const Request*, Response*,
                     std::function<void(grpc::Status)>),
                 absl::string_view tried, const Request& request, Done<Response> done);
  absl::StatusOr<ClientSessionPtr> MakeSession(
      const std::string& binding, forekey::v1::OpenLocalSessionResponse response) const;
  void AskWhatIsLacking(const std::string& binding, const std::string& rejected_id,
                        const std::string& method, Done<Proof> done);
  void AskForDeviceProof(const std::string& binding, const std::string& method,
                         const std::string& step_up, Done<Proof> done);
  void FinishReplacing(const std::string& binding, const std::string& rejected_id,
                       const std::string& method, const Replacings::FlightPtr& flight,
                       const absl::StatusOr<Proof>& proof);
  void Post(std::function<void()> task);

  const Options options_;
  const std::unique_ptr<forekey::v1::Agent::Stub> stub_;
  ChannelBindingCache bindings_;
  Openings openings_;      // by binding
  Replacings replacings_;  // by binding, method and rejected session
  std::atomic<bool> shut_down_{false};
  absl::Mutex mutex_;
  std::map<std::string, Slot, std::less<>> slots_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Replacement> replacements_
      ABSL_GUARDED_BY(mutex_);  // by binding and method
  std::set<grpc::ClientContext*> asking_ ABSL_GUARDED_BY(mutex_);
};

// The prefixes of one call of the application. Asked a second time, it takes the session of the
// first attempt for rejected: gRPC retries only what the gate refused (see the service config in
// channel.cc), or what never reached it, where a new session does no harm. gRPC doesn't say why the
// gate refused: the agent finds out, as the session may be unknown, or a factor lacking.
class CallPrefixes : public PrefixProvider, public std::enable_shared_from_this<CallPrefixes> {
 public:
  // `preflight`: of a streaming call, whose proved() will be asked; else null.
  CallPrefixes(std::shared_ptr<SessionSource> source, std::shared_ptr<Preflight> preflight)
      : source_(std::move(source)), preflight_(std::move(preflight)) {}
  std::optional<absl::StatusOr<std::string>> GetPrefix(const CallAttempt& attempt,
                                                       PrefixWaiter waiter) override;
  std::string affinity() const override;

  // What the gate knows a streaming call by; without a session where it was asked for none yet, or
  // hardware signed the call.
  struct Proved {
    ClientSessionPtr session;
    uint64_t sequence = 0;
    std::string method;
    std::string leaf_pem;
  };
  Proved proved() const;
  // Why no prefix could be made at the last attempt, as the application is to see it; nullopt where
  // one was.
  std::optional<grpc::Status> failure() const;
  // The gate took another session's proof for it.
  void SetProved(ClientSessionPtr session, uint64_t sequence);

 private:
  struct Answerer;
  std::optional<absl::StatusOr<std::string>> FirstPrefix(const CallAttempt& attempt,
                                                         const Answerer& answerer);
  std::string Prove(const ClientSessionPtr& session, absl::string_view method,
                    absl::string_view leaf_pem);
  void Failed(const absl::Status& why);

  const std::shared_ptr<SessionSource> source_;
  const std::shared_ptr<Preflight> preflight_;
  mutable absl::Mutex mutex_;
  bool asked_ ABSL_GUARDED_BY(mutex_) = false;
  Proved proved_ ABSL_GUARDED_BY(mutex_);
  std::string affinity_ ABSL_GUARDED_BY(mutex_);  // of the last prefix
  std::optional<grpc::Status> failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_SESSION_SOURCE_H_

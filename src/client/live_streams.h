// SPDX-License-Identifier: Apache-2.0
// The streaming calls of one channel, kept alive over the ends of their sessions: shortly before a
// session ends, the calls that it proved are proved again by the next one (docs/PROTOCOL.md, "Live
// calls"), where the gate's rule lets them. Where it does not, they end with the session.
#ifndef FOREKEY_SRC_CLIENT_LIVE_STREAMS_H_
#define FOREKEY_SRC_CLIENT_LIVE_STREAMS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "grpcpp/grpcpp.h"
#include "src/client/session_source.h"

namespace forekey {

// Safe from any thread; made by std::make_shared. Has a thread of its own as soon as there is a
// stream, and until Shutdown().
class LiveStreams : public std::enable_shared_from_this<LiveStreams> {
 public:
  // `gate`: a channel to the gate that adds no prefixes and tries nothing twice.
  LiveStreams(std::shared_ptr<SessionSource> sessions, std::shared_ptr<grpc::Channel> gate,
              const Clock* clock = &Clock::System());
  ~LiveStreams();

  void Add(const std::shared_ptr<CallPrefixes>& stream);
  // From the stream's destructor.
  void Remove(const CallPrefixes* stream);
  // Waits for what is under way, which it cancels.
  void Shutdown();

 private:
  struct Watched {
    std::weak_ptr<CallPrefixes> stream;
    BootTime due;  // no earlier than its session ages
    bool asked_for_more =
        false;  // the gate refused, and the agent was asked what is lacking; until OK
    bool given_up = false;
  };

  void Run();
  struct Stream {
    std::shared_ptr<CallPrefixes> prefixes;
    CallPrefixes::Proved proved;
    BootTime due;
  };
  // Those that are not given up. Held without the lock: letting go of the last reference comes back
  // here.
  std::vector<Stream> Streams();
  void Attempt(const std::shared_ptr<CallPrefixes>& stream, const CallPrefixes::Proved& proved);
  absl::Status Reauthenticate(const CallPrefixes::Proved& proved, const ClientSessionPtr& by,
                              uint64_t* sequence);
  // Has the agent meet what the rule wants, by a touch or a PIN where that is needed.
  void AskForMore(const std::shared_ptr<CallPrefixes>& stream, const CallPrefixes::Proved& proved,
                  const ClientSessionPtr& refused);
  // Tries that stream again so much later; not at all any more with InfiniteDuration.
  void Later(const std::shared_ptr<CallPrefixes>& stream, absl::Duration after);

  const std::shared_ptr<SessionSource> sessions_;
  const std::shared_ptr<grpc::Channel> gate_;
  const Clock* const clock_;
  absl::Mutex mutex_;
  std::map<const CallPrefixes*, Watched> streams_ ABSL_GUARDED_BY(mutex_);
  grpc::ClientContext* calling_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  BootTime waiting_until_ ABSL_GUARDED_BY(mutex_);
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_LIVE_STREAMS_H_

// SPDX-License-Identifier: Apache-2.0
#include "src/client/live_streams.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "forekey/v1/gate.grpc.pb.h"
#include "src/base/deadline.h"
#include "src/crypto/digest.h"
#include "src/rpc/call_deadline.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr BootTime kNever = BootTime::InfiniteFuture();
constexpr absl::Duration kCallTimeout = absl::Seconds(5);
// Attempts follow each other the closer the nearer the end is.
constexpr absl::Duration kShortestPause = absl::Milliseconds(100);
constexpr absl::Duration kLongestPause = absl::Seconds(5);
// A stream that has not been proved yet does not say when it will have to be again.
constexpr absl::Duration kLook = absl::Seconds(1);
// The clock that is waited by stands still while the machine sleeps.
constexpr absl::Duration kLongestWait = absl::Seconds(30);
// A session that ends no later, by the seconds that lifetimes are told in, is no gain.
constexpr absl::Duration kLeastGain = absl::Seconds(1);

}  // namespace

LiveStreams::LiveStreams(std::shared_ptr<SessionSource> sessions,
                         std::shared_ptr<grpc::Channel> gate, const Clock* clock)
    : sessions_(std::move(sessions)), gate_(std::move(gate)), clock_(clock) {}

LiveStreams::~LiveStreams() { Shutdown(); }

void LiveStreams::Add(const std::shared_ptr<CallPrefixes>& stream) {
  absl::MutexLock lock(&mutex_);
  if (shut_down_) return;
  streams_[stream.get()].stream = stream;
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  // Most streams end long before they matter here: the thread is not woken for each.
  if (clock_->BootNow() + kLook < waiting_until_) {
    woken_ = true;
  }
}

void LiveStreams::Remove(const CallPrefixes* stream) {
  absl::MutexLock lock(&mutex_);
  streams_.erase(stream);
}

void LiveStreams::Shutdown() {
  std::thread thread;
  {
    absl::MutexLock lock(&mutex_);
    shut_down_ = true;
    if (calling_ != nullptr) calling_->TryCancel();
    thread = std::move(thread_);
  }
  if (thread.joinable()) thread.join();
}

void LiveStreams::Run() {
  for (;;) {
    {
      absl::MutexLock lock(&mutex_);
      waiting_until_ = kNever;  // who is added from here on wakes it
    }
    BootTime next = kNever;
    for (const Stream& stream : Streams()) {
      if (stream.due <= clock_->BootNow()) {
        Attempt(stream.prefixes, stream.proved);
        next = BootTime();
      }
      next = std::min(next, stream.due);
    }
    absl::MutexLock lock(&mutex_);
    const BootTime now = clock_->BootNow();
    if (shut_down_) return;
    if (next <= now) continue;
    waiting_until_ = next;
    const absl::Duration wait = std::min(next - now, kLongestWait);
    const auto woken = [this]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return woken_ || shut_down_; };
    AwaitFor(mutex_, absl::Condition(&woken), wait);
    woken_ = false;
  }
}

std::vector<LiveStreams::Stream> LiveStreams::Streams() {
  std::vector<Stream> streams;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [key, watched] : streams_) {
      if (watched.given_up) continue;
      if (auto prefixes = watched.stream.lock())
        streams.push_back({std::move(prefixes), {}, watched.due});
    }
  }
  const BootTime now = clock_->BootNow();
  for (Stream& stream : streams) {
    stream.proved = stream.prefixes->proved();
    stream.due =
        std::max(stream.due,
                 stream.proved.session == nullptr ? now + kLook : stream.proved.session->ages_at());
  }
  return streams;
}

void LiveStreams::Attempt(const std::shared_ptr<CallPrefixes>& stream,
                          const CallPrefixes::Proved& proved) {
  const absl::Duration left = proved.session->expires_at() - clock_->BootNow();
  const absl::Duration pause = left <= absl::ZeroDuration()
                                   ? kLongestPause
                                   : std::clamp(left / 8, kShortestPause, kLongestPause);
  const auto session =
      sessions_->GetLater(proved.leaf_pem, proved.session->expires_at() + kLeastGain);
  if (!session.ok()) return Later(stream, pause);
  uint64_t sequence = 0;
  const absl::Status status = Reauthenticate(proved, *session, &sequence);
  if (status.ok()) {
    stream->SetProved(*session, sequence);
    {
      absl::MutexLock lock(&mutex_);
      if (auto found = streams_.find(stream.get()); found != streams_.end())
        found->second.asked_for_more = false;
    }
    return Later(stream, absl::ZeroDuration());
  }
  // As for calls: UNAUTHENTICATED where another session would do, PERMISSION_DENIED where none
  // would.
  if (absl::IsUnauthenticated(status)) return AskForMore(stream, proved, *session);
  Later(stream, absl::IsPermissionDenied(status) ? absl::InfiniteDuration() : pause);
}

absl::Status LiveStreams::Reauthenticate(const CallPrefixes::Proved& proved,
                                         const ClientSessionPtr& by, uint64_t* sequence) {
  forekey::v1::ReauthenticateCallPayload payload;
  payload.set_session_id(proved.session->id());
  payload.set_sequence(proved.sequence);
  forekey::v1::ReauthenticateCallRequest request;
  request.set_payload(payload.SerializeAsString());
  grpc::ClientContext context;
  context.set_deadline(CallDeadline(kCallTimeout));
  context.set_credentials(MakePrefixCredentials(std::make_shared<OnePrefix>(
      by->MakePrefix(kReauthenticateCallMethod, Sha256(request.payload()), sequence),
      by->affinity())));
  {
    absl::MutexLock lock(&mutex_);
    if (shut_down_) return absl::CancelledError("the channel is gone");
    calling_ = &context;
  }
  forekey::v1::ReauthenticateCallResponse response;
  const grpc::Status status =
      forekey::v1::Gate::NewStub(gate_)->ReauthenticateCall(&context, request, &response);
  absl::MutexLock lock(&mutex_);
  calling_ = nullptr;
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

void LiveStreams::AskForMore(const std::shared_ptr<CallPrefixes>& stream,
                             const CallPrefixes::Proved& proved, const ClientSessionPtr& refused) {
  {
    absl::MutexLock lock(&mutex_);
    auto found = streams_.find(stream.get());
    if (found == streams_.end()) return;
    // Once for each session that ends.
    found->second.given_up = std::exchange(found->second.asked_for_more, true);
    found->second.due = kNever;
    if (found->second.given_up) return;
  }
  sessions_->Replace(proved.leaf_pem, refused, proved.method,
                     [weak = weak_from_this(), weak_stream = std::weak_ptr<CallPrefixes>(stream)](
                         const absl::StatusOr<SessionSource::Proof>& proof) {
                       auto self = weak.lock();
                       auto stream = weak_stream.lock();
                       if (self == nullptr || stream == nullptr) return;
                       // What hardware signed is the method's call, of which there is one already.
                       const bool session = proof.ok() && proof->session != nullptr;
                       self->Later(stream,
                                   session ? absl::ZeroDuration() : absl::InfiniteDuration());
                     });
}

void LiveStreams::Later(const std::shared_ptr<CallPrefixes>& stream, absl::Duration after) {
  absl::MutexLock lock(&mutex_);
  auto found = streams_.find(stream.get());
  if (found == streams_.end()) return;
  if (after == absl::InfiniteDuration()) {
    found->second.given_up = true;
  } else {
    found->second.due = clock_->BootNow() + after;
  }
  woken_ = true;
}

}  // namespace forekey

#include "src/client/live_streams.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "src/crypto/digest.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr absl::Duration kCallTimeout = absl::Seconds(5);
// Attempts follow each other the closer the nearer the end is.
constexpr int64_t kShortestPause = 100'000'000, kLongestPause = 5'000'000'000;
// A stream that has not been proved yet does not say when it will have to be again.
constexpr int64_t kLook = 1'000'000'000;
// The clock that is waited by stands still while the machine sleeps.
constexpr absl::Duration kLongestWait = absl::Seconds(30);
// A session that ends no later, by the seconds that lifetimes are told in, is no gain.
constexpr int64_t kLeastGain = 1'000'000'000;

// One prefix, for one attempt: its sequence is used up then.
class OnePrefix : public PrefixProvider {
 public:
  explicit OnePrefix(std::string prefix) : prefix_(std::move(prefix)) {}
  std::optional<absl::StatusOr<std::string>> GetPrefix(absl::string_view, absl::string_view,
                                                       PrefixWaiter) override {
    if (prefix_.empty()) return absl::UnavailableError("the proof was used already");
    return std::exchange(prefix_, std::string());
  }

 private:
  std::string prefix_;
};

}  // namespace

LiveStreams::LiveStreams(std::shared_ptr<SessionSource> sessions,
                         std::function<std::shared_ptr<grpc::Channel>()> connect, const Clock* clock)
    : sessions_(std::move(sessions)), connect_(std::move(connect)), clock_(clock) {}

LiveStreams::~LiveStreams() { Shutdown(); }

void LiveStreams::Add(std::shared_ptr<CallPrefixes> stream) {
  absl::MutexLock lock(&mutex_);
  if (shut_down_) return;
  streams_.emplace(std::move(stream), Watched());
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  // Most streams end long before they matter here: the thread is not woken for each.
  if (clock_->BootNanos() + kLook < waiting_until_) {
    woken_ = true;
    changed_.Signal();
  }
}

void LiveStreams::Remove(const std::shared_ptr<CallPrefixes>& stream) {
  absl::MutexLock lock(&mutex_);
  streams_.erase(stream);
}

void LiveStreams::Shutdown() {
  std::thread thread;
  {
    absl::MutexLock lock(&mutex_);
    shut_down_ = true;
    if (calling_ != nullptr) calling_->TryCancel();
    changed_.Signal();
    thread = std::move(thread_);
  }
  if (thread.joinable()) thread.join();
}

void LiveStreams::Run() {
  for (;;) {
    {
      absl::MutexLock lock(&mutex_);
      while (!shut_down_) {
        const int64_t due = NextDue(), now = clock_->BootNanos();
        if (due <= now) break;
        woken_ = false;
        waiting_until_ = due;
        const absl::Duration wait = std::min(absl::Nanoseconds(due - now), kLongestWait);
        while (!woken_ && !shut_down_ && !changed_.WaitWithTimeout(&mutex_, wait)) {
        }
      }
      if (shut_down_) return;
    }
    ReproveDue();
  }
}

int64_t LiveStreams::NextDue() {
  int64_t next = kNever;
  for (const auto& [stream, watched] : streams_) {
    if (watched.given_up) continue;
    const CallPrefixes::Proved proved = stream->proved();
    const int64_t ages =
        proved.session == nullptr ? clock_->BootNanos() + kLook : proved.session->ages_boot_nanos();
    next = std::min(next, std::max(watched.due, ages));
  }
  return next;
}

void LiveStreams::ReproveDue() {
  std::vector<std::pair<std::shared_ptr<CallPrefixes>, CallPrefixes::Proved>> due;
  {
    absl::MutexLock lock(&mutex_);
    const int64_t now = clock_->BootNanos();
    for (const auto& [stream, watched] : streams_) {
      CallPrefixes::Proved proved = stream->proved();
      if (proved.session == nullptr || watched.given_up) continue;
      if (std::max(watched.due, proved.session->ages_boot_nanos()) <= now) {
        due.emplace_back(stream, std::move(proved));
      }
    }
  }
  for (const auto& [stream, proved] : due) Attempt(stream, proved);
}

void LiveStreams::Attempt(const std::shared_ptr<CallPrefixes>& stream,
                          const CallPrefixes::Proved& proved) {
  const int64_t left = proved.session->expires_boot_nanos() - clock_->BootNanos();
  const absl::Duration pause =
      absl::Nanoseconds(left <= 0 ? kLongestPause : std::clamp(left / 8, kShortestPause, kLongestPause));
  const auto session =
      sessions_->GetLater(proved.leaf_pem, proved.session->expires_boot_nanos() + kLeastGain);
  if (!session.ok()) return Later(stream, pause);
  uint64_t sequence = 0;
  const absl::Status status = Reprove(proved, *session, &sequence);
  if (status.ok()) {
    stream->SetProved(*session, sequence);
    {
      absl::MutexLock lock(&mutex_);
      if (auto found = streams_.find(stream); found != streams_.end()) found->second.asked_for_more = false;
    }
    return Later(stream, absl::ZeroDuration());
  }
  // As for calls: UNAUTHENTICATED where another session would do, PERMISSION_DENIED where none would.
  if (absl::IsUnauthenticated(status)) return AskForMore(stream, proved, *session);
  Later(stream, absl::IsPermissionDenied(status) ? absl::InfiniteDuration() : pause);
}

absl::Status LiveStreams::Reprove(const CallPrefixes::Proved& proved, const ClientSessionPtr& by,
                                  uint64_t* sequence) {
  forekey::v1::ReproveCallPayload payload;
  payload.set_session_id(proved.session->id());
  payload.set_sequence(proved.sequence);
  forekey::v1::ReproveCallRequest request;
  request.set_payload(payload.SerializeAsString());
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kCallTimeout));
  context.set_credentials(MakePrefixCredentials(std::make_shared<OnePrefix>(
      by->MakePrefix(kReproveCallMethod, Sha256(request.payload()), sequence))));
  if (channel_ == nullptr) channel_ = connect_();
  {
    absl::MutexLock lock(&mutex_);
    if (shut_down_) return absl::CancelledError("the channel is gone");
    calling_ = &context;
  }
  forekey::v1::ReproveCallResponse response;
  const grpc::Status status = forekey::v1::Gate::NewStub(channel_)->ReproveCall(&context, request, &response);
  absl::MutexLock lock(&mutex_);
  calling_ = nullptr;
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

void LiveStreams::AskForMore(const std::shared_ptr<CallPrefixes>& stream,
                             const CallPrefixes::Proved& proved, const ClientSessionPtr& refused) {
  {
    absl::MutexLock lock(&mutex_);
    auto found = streams_.find(stream);
    if (found == streams_.end()) return;
    // Once for each session that ends.
    found->second.given_up = std::exchange(found->second.asked_for_more, true);
    found->second.due = kNever;
    if (found->second.given_up) return;
  }
  sessions_->Replace(proved.leaf_pem, refused, proved.method,
                     [weak = weak_from_this(), stream](const absl::StatusOr<SessionSource::Proof>& proof) {
                       auto self = weak.lock();
                       if (self == nullptr) return;
                       // What hardware signed is the method's call, of which there is one already.
                       const bool session = proof.ok() && proof->session != nullptr;
                       self->Later(stream, session ? absl::ZeroDuration() : absl::InfiniteDuration());
                     });
}

void LiveStreams::Later(const std::shared_ptr<CallPrefixes>& stream, absl::Duration after) {
  absl::MutexLock lock(&mutex_);
  auto found = streams_.find(stream);
  if (found == streams_.end()) return;
  if (after == absl::InfiniteDuration()) {
    found->second.given_up = true;
  } else {
    found->second.due = clock_->BootNanos() + absl::ToInt64Nanoseconds(after);
  }
  woken_ = true;
  changed_.Signal();
}

}  // namespace forekey

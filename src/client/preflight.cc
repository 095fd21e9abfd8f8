#include "src/client/preflight.h"

#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr absl::Duration kCallTimeout = absl::Seconds(5);
// Who starts many streams doesn't wait for each. What the gate may have forgotten meanwhile on the
// same connection (a session among too many, a changed rule) the stream itself finds out.
constexpr int64_t kTakenFor = 1'000'000'000;
constexpr size_t kMaxEntries = 256;

}  // namespace

Preflight::Preflight(std::shared_ptr<grpc::Channel> gate, const Clock* clock)
    : gate_(std::move(gate)), clock_(clock) {}

bool Preflight::IsTaken(ConnectionPtr connection, absl::string_view method,
                        std::shared_ptr<const ClientSession> session, Waiter waiter) {
  Key key{connection.get(), session.get(), std::string(method)};
  absl::MutexLock lock(&mutex_);
  if (entries_.size() >= kMaxEntries) {
    const int64_t now = clock_->BootNanos();
    std::erase_if(entries_, [now](const auto& entry) {
      return entry.second.waiters.empty() && entry.second.taken_until <= now;
    });
  }
  Entry& entry = entries_[key];
  if (clock_->BootNanos() < entry.taken_until) return true;
  entry.waiters.push_back(std::move(waiter));
  if (entry.waiters.size() > 1) return false;
  entry.connection = std::move(connection);
  entry.session = session;
  // gRPC's own threads must not block, and the answer must come from another one than the one that
  // asked.
  std::thread([self = shared_from_this(), key = std::move(key), session = std::move(session)] {
    self->Finish(key, self->IsRefused(*session, std::get<std::string>(key)));
  }).detach();
  return false;
}

bool Preflight::IsRefused(const ClientSession& session, const std::string& method) {
  forekey::v1::GetRequirementsRequest request;
  request.set_method(method);
  request.set_child(true);
  forekey::v1::GetRequirementsResponse response;
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kCallTimeout));
  context.set_credentials(MakePrefixCredentials(
      std::make_shared<OnePrefix>(session.MakePrefix(kGetRequirementsMethod))));
  {
    absl::MutexLock lock(&mutex_);
    if (shut_down_) return false;
    asking_.insert(&context);
  }
  const grpc::Status status =
      forekey::v1::Gate::NewStub(gate_)->GetRequirements(&context, request, &response);
  absl::MutexLock lock(&mutex_);
  asking_.erase(&context);
  return status.error_code() == grpc::StatusCode::UNAUTHENTICATED || !response.step_up().empty();
}

void Preflight::Finish(const Key& key, bool refused) {
  std::vector<Waiter> waiters;
  {
    absl::MutexLock lock(&mutex_);
    Entry& entry = entries_[key];
    waiters.swap(entry.waiters);
    if (!refused) entry.taken_until = clock_->BootNanos() + kTakenFor;
  }
  for (const Waiter& waiter : waiters) waiter(refused);
}

void Preflight::Shutdown() {
  absl::MutexLock lock(&mutex_);
  shut_down_ = true;
  for (grpc::ClientContext* context : asking_) context->TryCancel();
}

}  // namespace forekey

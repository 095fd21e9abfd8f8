// SPDX-License-Identifier: Apache-2.0
#include "src/client/preflight.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/rpc/call_deadline.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr absl::Duration kAskTimeout = absl::Seconds(5);
// Who starts many streams doesn't wait for each. What the gate may have forgotten meanwhile on the
// same connection (a session among too many, a changed rule) the stream itself finds out.
constexpr absl::Duration kTakenFor = absl::Seconds(1);
constexpr size_t kMaxEntries = 256;

}  // namespace

Preflight::Preflight(const std::shared_ptr<grpc::Channel>& gate, std::shared_ptr<Lanes> lanes,
                     const Clock* clock)
    : stub_(forekey::v1::Gate::NewStub(gate)), lanes_(std::move(lanes)), clock_(clock) {}

bool Preflight::IsTaken(ConnectionPtr connection, absl::string_view method,
                        std::shared_ptr<const ClientSession> session, Waiter waiter) {
  const std::string key =
      absl::StrCat(absl::Hex(connection.get()), " ", absl::Hex(session.get()), " ", method);
  Flights::Ticket ticket;
  {
    absl::MutexLock lock(&mutex_);
    const BootTime now = clock_->BootNow();
    auto known = entries_.find(key);
    if (known != entries_.end() && now < known->second.taken_until) return true;
    if (entries_.size() >= kMaxEntries) {
      std::erase_if(entries_, [now](const auto& entry) { return entry.second.taken_until <= now; });
    }
    entries_[key] = Entry{std::move(connection), session, BootTime()};
    ticket = flights_.Join(
        key, [waiter = std::move(waiter)](const auto&, bool refused) { waiter(refused); });
  }
  if (ticket.started) {
    // gRPC's own threads must not block, and the answer must come from another one than the one
    // that asked.
    lanes_->Post("gate", 1,
                 [self = shared_from_this(), flight = ticket.flight, session = std::move(session),
                  method = std::string(method)] { self->Ask(flight, *session, method); });
  }
  return false;
}

void Preflight::Ask(const Flights::FlightPtr& flight, const ClientSession& session,
                    const std::string& method) {
  struct Asked {
    grpc::ClientContext context;
    forekey::v1::GetRequirementsRequest request;
    forekey::v1::GetRequirementsResponse response;
  };
  auto asked = std::make_shared<Asked>();
  asked->request.set_method(method);
  asked->request.set_child(true);
  asked->context.set_deadline(CallDeadline(kAskTimeout));
  asked->context.set_credentials(MakePrefixCredentials(
      std::make_shared<OnePrefix>(session.MakePrefix(kGetRequirementsMethod), session.affinity())));
  bool gone = false;
  {
    absl::MutexLock lock(&mutex_);
    gone = shut_down_;
    if (!gone) asking_.insert(&asked->context);
  }
  if (gone) return Finish(flight, false);
  stub_->async()->GetRequirements(
      &asked->context, &asked->request, &asked->response,
      [self = shared_from_this(), flight, asked](const grpc::Status& status) {
        {
          absl::MutexLock lock(&self->mutex_);
          self->asking_.erase(&asked->context);
        }
        self->Finish(flight, status.error_code() == grpc::StatusCode::UNAUTHENTICATED ||
                                 !asked->response.step_up().empty());
      });
}

void Preflight::Finish(const Flights::FlightPtr& flight, bool refused) {
  {
    absl::MutexLock lock(&mutex_);
    auto entry = entries_.find(flight->key());
    if (entry != entries_.end() && !refused) {
      entry->second.taken_until = clock_->BootNow() + kTakenFor;
    }
  }
  flights_.Finish(flight, refused);
}

void Preflight::Shutdown() {
  absl::MutexLock lock(&mutex_);
  shut_down_ = true;
  for (grpc::ClientContext* context : asking_) context->TryCancel();
}

}  // namespace forekey

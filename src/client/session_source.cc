#include "src/client/session_source.h"

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/status.h"
#include "src/client/agent_socket.h"
#include "src/client/tls_channel.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr int64_t kRefreshPause = 5'000'000'000;
constexpr absl::Duration kConnectTimeout = absl::Seconds(2);
// Certificates that are replaced leave a session each behind.
constexpr size_t kMaxSlots = 8;

bool Usable(const ClientSessionPtr& session) {
  return session != nullptr && session->state() != ClientSession::State::kExpired;
}

}  // namespace

SessionSource::SessionSource(Options options)
    : options_(std::move(options)), stub_(forekey::v1::Agent::NewStub(options_.agent)) {}

absl::StatusOr<ClientSessionPtr> SessionSource::Get(absl::string_view leaf_pem,
                                                    const ClientSessionPtr& rejected,
                                                    absl::FunctionRef<Waiter()> make_waiter) {
  FOREKEY_ASSIGN_OR_RETURN(auto binding, bindings_.Get(leaf_pem));
  absl::MutexLock lock(&mutex_);
  auto found = slots_.find(*binding);
  if (found == slots_.end()) {
    for (auto it = slots_.begin(); slots_.size() >= kMaxSlots && it != slots_.end();) {
      it = it->second.opening ? std::next(it) : slots_.erase(it);
    }
    found = slots_.emplace(*binding, Slot()).first;
  }
  Slot& slot = found->second;
  // Another call may have replaced it already: then that one is good.
  if (rejected != nullptr && slot.session == rejected) {
    slot.rejected_id = rejected->id();
    slot.session = nullptr;
  }
  if (Usable(slot.session)) {
    if (!slot.opening && slot.session->state() == ClientSession::State::kAging &&
        options_.clock->BootNanos() >= slot.refresh_not_before) {
      StartOpening(*binding, &slot);
    }
    return slot.session;
  }
  slot.session = nullptr;
  if (shut_down_) return absl::CancelledError("the channel is gone");
  slot.waiters.push_back(make_waiter());
  if (!slot.opening) StartOpening(*binding, &slot);
  return ClientSessionPtr();
}

void SessionSource::StartOpening(const std::string& binding, Slot* slot) {
  slot->opening = true;
  // A thread for each opening, as there are few: one a session. gRPC's own threads must not block, and
  // the answer must come from another one than the one that asked.
  std::thread([self = shared_from_this(), binding, rejected = slot->rejected_id] {
    self->FinishOpening(binding, self->AskAgent(binding, rejected));
  }).detach();
}

void SessionSource::FinishOpening(const std::string& binding,
                                  const absl::StatusOr<ClientSessionPtr>& opened) {
  std::vector<Waiter> waiters;
  {
    absl::MutexLock lock(&mutex_);
    Slot& slot = slots_[binding];
    slot.opening = false;
    if (opened.ok()) {
      slot.session = *opened;
      slot.rejected_id.clear();
    } else {
      slot.refresh_not_before = options_.clock->BootNanos() + kRefreshPause;
    }
    waiters.swap(slot.waiters);
  }
  for (const Waiter& waiter : waiters) waiter(opened);
}

absl::StatusOr<ClientSessionPtr> SessionSource::AskAgent(const std::string& binding,
                                                         const std::string& rejected_id) {
  forekey::v1::OpenLocalSessionRequest request;
  request.set_gate(options_.gate);
  request.set_channel_binding(binding);
  request.set_rejected_session(rejected_id);
  forekey::v1::OpenLocalSessionResponse response;
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + options_.open_timeout));
  {
    absl::MutexLock lock(&mutex_);
    if (shut_down_) return absl::CancelledError("the channel is gone");
    asking_.insert(&context);
  }
  WakeChannel(options_.agent, kConnectTimeout);  // the agent may just have been started again
  grpc::Status status = stub_->OpenSession(&context, request, &response);
  {
    absl::MutexLock lock(&mutex_);
    asking_.erase(&context);
  }
  if (!status.ok()) {
    absl::Status error = AgentError(status, options_.socket);
    return absl::Status(error.code(), absl::StrCat("forekey could not open a session at ",
                                                   options_.gate, ": ", error.message()));
  }
  if (response.session_id().size() != kSessionIdSize || response.key().size() != kSessionKeySize) {
    return absl::InternalError("the agent's answer holds no session");
  }
  ClientSession::Parts parts;
  parts.id = response.session_id();
  parts.key = Secret::CopyOf(response.key());
  Wipe(*response.mutable_key());
  parts.channel_binding = binding;
  parts.opened_boot_nanos = response.opened_boot_nanos();
  parts.idle_s = response.idle_s();
  parts.absolute_s = response.absolute_s();
  parts.subject = response.subject();
  return std::make_shared<const ClientSession>(std::move(parts), options_.clock);
}

void SessionSource::Shutdown() {
  absl::MutexLock lock(&mutex_);
  shut_down_ = true;
  for (grpc::ClientContext* context : asking_) context->TryCancel();
}

std::optional<absl::StatusOr<std::string>> CallPrefixes::GetPrefix(absl::string_view method,
                                                                   absl::string_view leaf_pem,
                                                                   PrefixWaiter waiter) {
  ClientSessionPtr rejected;
  {
    absl::MutexLock lock(&mutex_);
    rejected = used_;
  }
  absl::StatusOr<ClientSessionPtr> session = source_->Get(leaf_pem, rejected, [&] {
    return [self = shared_from_this(), method = std::string(method),
            waiter](const absl::StatusOr<ClientSessionPtr>& opened) {
      if (!opened.ok()) {
        waiter.Answer(opened.status());
        return;
      }
      {
        absl::MutexLock lock(&self->mutex_);
        self->used_ = *opened;
      }
      waiter.Answer((*opened)->MakePrefix(method));
    };
  });
  if (!session.ok()) return session.status();
  if (*session == nullptr) return std::nullopt;
  {
    absl::MutexLock lock(&mutex_);
    used_ = *session;
  }
  return (*session)->MakePrefix(method);
}

}  // namespace forekey

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
constexpr size_t kMaxReplacements = 256;
// How long a method that hardware had to sign is not tried with a session first.
constexpr int64_t kStepUpKnown = 60'000'000'000;

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

absl::StatusOr<ClientSessionPtr> SessionSource::GetLater(absl::string_view leaf_pem,
                                                         int64_t outlast_boot_nanos) {
  FOREKEY_ASSIGN_OR_RETURN(auto binding, bindings_.Get(leaf_pem));
  const auto is_later = [&](const ClientSessionPtr& session) {
    return Usable(session) && session->expires_boot_nanos() > outlast_boot_nanos;
  };
  {
    absl::MutexLock lock(&mutex_);
    auto found = slots_.find(*binding);
    if (found != slots_.end() && is_later(found->second.session)) return found->second.session;
  }
  FOREKEY_ASSIGN_OR_RETURN(ClientSessionPtr session, AskAgent(*binding, "", outlast_boot_nanos));
  if (!is_later(session))
    return absl::FailedPreconditionError("the agent has no session that ends later");
  absl::MutexLock lock(&mutex_);
  if (auto found = slots_.find(*binding); found != slots_.end()) found->second.session = session;
  return session;
}

void SessionSource::StartOpening(const std::string& binding, Slot* slot) {
  slot->opening = true;
  // A thread for each opening, as there are few: one a session. gRPC's own threads must not block,
  // and the answer must come from another one than the one that asked.
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

template <typename Request, typename Response>
absl::Status SessionSource::CallAgent(
    grpc::Status (forekey::v1::Agent::Stub::*rpc)(grpc::ClientContext*, const Request&, Response*),
    absl::string_view tried, const Request& request, Response* response) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + options_.open_timeout));
  {
    absl::MutexLock lock(&mutex_);
    if (shut_down_) return absl::CancelledError("the channel is gone");
    asking_.insert(&context);
  }
  WakeChannel(options_.agent, kConnectTimeout);  // the agent may just have been started again
  grpc::Status status = (stub_.get()->*rpc)(&context, request, response);
  {
    absl::MutexLock lock(&mutex_);
    asking_.erase(&context);
  }
  if (status.ok()) return absl::OkStatus();
  absl::Status error = AgentError(status, options_.socket);
  return absl::Status(error.code(), absl::StrCat("forekey could not ", tried, " at ", options_.gate,
                                                 ": ", error.message()));
}

absl::StatusOr<ClientSessionPtr> SessionSource::AskAgent(const std::string& binding,
                                                         const std::string& rejected_id,
                                                         int64_t outlast_boot_nanos) {
  forekey::v1::OpenLocalSessionRequest request;
  request.set_gate(options_.gate);
  request.set_channel_binding(binding);
  request.set_rejected_session(rejected_id);
  request.set_outlast_boot_nanos(outlast_boot_nanos);
  forekey::v1::OpenLocalSessionResponse response;
  FOREKEY_RETURN_IF_ERROR(
      CallAgent(&forekey::v1::Agent::Stub::OpenSession, "open a session", request, &response));
  return MakeSession(binding, std::move(response));
}

absl::StatusOr<ClientSessionPtr> SessionSource::MakeSession(
    const std::string& binding, forekey::v1::OpenLocalSessionResponse response) const {
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

void SessionSource::Replace(absl::string_view leaf_pem, const ClientSessionPtr& rejected,
                            absl::string_view method, ProofWaiter waiter) {
  auto binding = bindings_.Get(leaf_pem);
  if (!binding.ok()) return waiter(binding.status());
  const std::string rejected_id = rejected == nullptr ? "" : rejected->id();
  ClientSessionPtr known;
  {
    absl::MutexLock lock(&mutex_);
    if (replacements_.size() >= kMaxReplacements) {
      for (auto it = replacements_.begin(); it != replacements_.end();) {
        it = it->second.asking ? std::next(it) : replacements_.erase(it);
      }
    }
    Replacement& replacement = replacements_[absl::StrCat(**binding, method)];
    replacement.step_up.clear();  // what was done lately was not enough
    if (!replacement.asking) {
      if (rejected != nullptr && replacement.rejected_id == rejected_id &&
          Usable(replacement.session)) {
        known = replacement.session;
      } else {
        replacement.asking = true;
        replacement.rejected_id = rejected_id;
        replacement.session = nullptr;
        replacement.waiters.push_back(std::move(waiter));
        std::thread([self = shared_from_this(), binding = std::string(**binding), rejected_id,
                     method = std::string(method)] {
          self->FinishReplacing(binding, rejected_id, method,
                                self->AskWhatIsLacking(binding, rejected_id, method));
        }).detach();
      }
    } else if (replacement.rejected_id == rejected_id) {
      replacement.waiters.push_back(std::move(waiter));
    } else {
      // Two sessions of one method were refused at once: each finds out by itself.
      std::thread([self = shared_from_this(), binding = std::string(**binding), rejected_id,
                   method = std::string(method), waiter = std::move(waiter)] {
        waiter(self->AskWhatIsLacking(binding, rejected_id, method));
      }).detach();
    }
  }
  if (known != nullptr) waiter(Proof{std::move(known), ""});
}

void SessionSource::FinishReplacing(const std::string& binding, const std::string& rejected_id,
                                    const std::string& method, const absl::StatusOr<Proof>& proof) {
  std::vector<ProofWaiter> waiters;
  {
    absl::MutexLock lock(&mutex_);
    Replacement& replacement = replacements_[absl::StrCat(binding, method)];
    replacement.asking = false;
    waiters.swap(replacement.waiters);
    if (proof.ok() && proof->session != nullptr) {
      replacement.session = proof->session;
      Slot& slot = slots_[binding];
      // Stronger than what is there, or in the place of what the gate no longer takes.
      slot.session = proof->session;
    }
  }
  for (size_t i = 0; i < waiters.size(); ++i) {
    // A device proof is good for one call: the others have theirs made.
    if (i == 0 || !proof.ok() || proof->session != nullptr) {
      waiters[i](proof);
    } else {
      waiters[i](AskWhatIsLacking(binding, rejected_id, method));
    }
  }
}

absl::StatusOr<SessionSource::Proof> SessionSource::AskWhatIsLacking(const std::string& binding,
                                                                     const std::string& rejected_id,
                                                                     const std::string& method) {
  forekey::v1::OpenLocalSessionRequest request;
  request.set_gate(options_.gate);
  request.set_channel_binding(binding);
  request.set_rejected_session(rejected_id);
  request.set_method(method);
  forekey::v1::OpenLocalSessionResponse response;
  FOREKEY_RETURN_IF_ERROR(
      CallAgent(&forekey::v1::Agent::Stub::OpenSession, "open a session", request, &response));
  if (!response.step_up().empty()) return AskForDeviceProof(binding, method, response.step_up());
  FOREKEY_ASSIGN_OR_RETURN(ClientSessionPtr session, MakeSession(binding, std::move(response)));
  return Proof{std::move(session), ""};
}

absl::StatusOr<SessionSource::Proof> SessionSource::AskForDeviceProof(const std::string& binding,
                                                                      const std::string& method,
                                                                      const std::string& step_up) {
  forekey::v1::GetPrefixRequest request;
  request.set_gate(options_.gate);
  request.set_method(method);
  request.set_channel_binding(binding);
  request.set_device(true);
  request.set_step_up(step_up);
  forekey::v1::GetPrefixResponse response;
  FOREKEY_RETURN_IF_ERROR(CallAgent(&forekey::v1::Agent::Stub::GetPrefix,
                                    "have a call signed by hardware", request, &response));
  absl::MutexLock lock(&mutex_);
  Replacement& replacement = replacements_[absl::StrCat(binding, method)];
  replacement.step_up = step_up;
  replacement.step_up_until = options_.clock->BootNanos() + kStepUpKnown;
  return Proof{nullptr, std::move(*response.mutable_prefix())};
}

bool SessionSource::SignIfKnown(absl::string_view leaf_pem, absl::string_view method,
                                const ProofWaiter& waiter) {
  auto binding = bindings_.Get(leaf_pem);
  if (!binding.ok()) return false;
  std::string step_up;
  {
    absl::MutexLock lock(&mutex_);
    auto found = replacements_.find(absl::StrCat(**binding, method));
    if (found == replacements_.end() || found->second.step_up.empty() ||
        options_.clock->BootNanos() >= found->second.step_up_until) {
      return false;
    }
    step_up = found->second.step_up;
  }
  std::thread([self = shared_from_this(), binding = std::string(**binding),
               method = std::string(method), step_up, waiter] {
    waiter(self->AskForDeviceProof(binding, method, step_up));
  }).detach();
  return true;
}

void SessionSource::Shutdown() {
  absl::MutexLock lock(&mutex_);
  shut_down_ = true;
  for (grpc::ClientContext* context : asking_) context->TryCancel();
}

// What one attempt is answered with, later.
struct CallPrefixes::Answerer {
  std::shared_ptr<CallPrefixes> self;
  std::string method, leaf_pem;
  PrefixWaiter waiter;

  void operator()(const absl::StatusOr<SessionSource::Proof>& proof) const {
    if (!proof.ok()) return waiter.Answer(proof.status());
    std::string prefix = self->Prove(proof->session, method, leaf_pem);
    waiter.Answer(proof->session == nullptr ? proof->prefix : std::move(prefix));
  }

  // The gate refuses that session; any thread.
  void Replace(const ClientSessionPtr& rejected) const {
    // gRPC wants its answer from another thread than the one that asked.
    self->source_->Replace(leaf_pem, rejected, method,
                           [answer = *this, here = std::this_thread::get_id()](
                               const absl::StatusOr<SessionSource::Proof>& proof) {
                             if (std::this_thread::get_id() != here) return answer(proof);
                             std::thread([answer, proof] { answer(proof); }).detach();
                           });
  }

  // True when the call may go on with that session at once; else it is answered later.
  bool MayStart(const ConnectionPtr& connection, const ClientSessionPtr& session) const {
    if (self->preflight_ == nullptr) return true;
    return self->preflight_->IsTaken(connection, method, session,
                                     [answer = *this, session](bool refused) {
                                       if (refused) return answer.Replace(session);
                                       answer(SessionSource::Proof{session, ""});
                                     });
  }
};

std::optional<absl::StatusOr<std::string>> CallPrefixes::GetPrefix(const CallAttempt& attempt,
                                                                   PrefixWaiter waiter) {
  ClientSessionPtr rejected;
  bool again;
  {
    absl::MutexLock lock(&mutex_);
    rejected = proved_.session;
    again = std::exchange(asked_, true);
  }
  Answerer answerer{shared_from_this(), std::string(attempt.method), std::string(attempt.leaf_pem),
                    waiter};
  if (!again) return FirstPrefix(attempt, answerer);
  answerer.Replace(rejected);
  return std::nullopt;
}

std::optional<absl::StatusOr<std::string>> CallPrefixes::FirstPrefix(const CallAttempt& attempt,
                                                                     const Answerer& answerer) {
  if (source_->SignIfKnown(attempt.leaf_pem, attempt.method, answerer)) return std::nullopt;
  const ConnectionPtr connection = preflight_ == nullptr ? nullptr : attempt.connection();
  absl::StatusOr<ClientSessionPtr> session = source_->Get(attempt.leaf_pem, nullptr, [&] {
    return [answerer, connection](const absl::StatusOr<ClientSessionPtr>& opened) {
      if (!opened.ok()) return answerer(opened.status());
      if (answerer.MayStart(connection, *opened)) answerer(SessionSource::Proof{*opened, ""});
    };
  });
  if (!session.ok()) return session.status();
  if (*session == nullptr || !answerer.MayStart(connection, *session)) return std::nullopt;
  return Prove(*session, attempt.method, attempt.leaf_pem);
}

// Empty without a session.
std::string CallPrefixes::Prove(const ClientSessionPtr& session, absl::string_view method,
                                absl::string_view leaf_pem) {
  uint64_t sequence = 0;
  std::string prefix = session == nullptr ? "" : session->MakePrefix(method, {}, &sequence);
  absl::MutexLock lock(&mutex_);
  proved_.session = session;
  proved_.sequence = sequence;
  if (preflight_ != nullptr) {
    proved_.method = std::string(method);
    proved_.leaf_pem = std::string(leaf_pem);
  }
  return prefix;
}

CallPrefixes::Proved CallPrefixes::proved() const {
  absl::MutexLock lock(&mutex_);
  return proved_;
}

void CallPrefixes::SetProved(ClientSessionPtr session, uint64_t sequence) {
  absl::MutexLock lock(&mutex_);
  proved_.session = std::move(session);
  proved_.sequence = sequence;
}

}  // namespace forekey

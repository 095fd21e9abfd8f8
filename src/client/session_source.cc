// SPDX-License-Identifier: Apache-2.0
#include "src/client/session_source.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "src/base/status.h"
#include "src/client/agent_socket.h"
#include "src/client/refusal_details.h"
#include "src/client/tls_channel.h"
#include "src/rpc/call_deadline.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr absl::Duration kRefreshPause = absl::Seconds(5);
constexpr absl::Duration kConnectTimeout = absl::Seconds(2);
// Certificates that are replaced leave a session each behind.
constexpr size_t kMaxSlots = 8;
constexpr size_t kMaxReplacements = 256;
// How long a method that hardware had to sign is not tried with a session first.
constexpr absl::Duration kStepUpKnown = absl::Minutes(1);

bool Usable(const ClientSessionPtr& session) {
  return session != nullptr && session->state() != ClientSession::State::kExpired;
}

}  // namespace

SessionSource::SessionSource(Options options)
    : options_(std::move(options)), stub_(forekey::v1::Agent::NewStub(options_.agent)) {}

absl::StatusOr<ClientSessionPtr> SessionSource::Get(absl::string_view leaf_pem,
                                                    const ClientSessionPtr& rejected,
                                                    absl::string_view method,
                                                    absl::FunctionRef<Waiter()> make_waiter) {
  FOREKEY_ASSIGN_OR_RETURN(auto binding, bindings_.Get(leaf_pem));
  Openings::Ticket opening;
  ClientSessionPtr session;
  std::string rejected_id;
  {
    absl::MutexLock lock(&mutex_);
    if (slots_.size() >= kMaxSlots && !slots_.contains(*binding)) slots_.clear();
    Slot& slot = slots_[*binding];
    // Another call may have replaced it already: then that one is good.
    if (rejected != nullptr && slot.session == rejected) {
      slot.rejected_id = rejected->id();
      slot.session = nullptr;
    }
    session = Usable(slot.session) ? slot.session : nullptr;
    if (session == nullptr) {
      if (shut_down_) return absl::CancelledError("the channel is gone");
      slot.session = nullptr;
      opening = openings_.Join(
          *binding, [waiter = make_waiter()](const auto&, const auto& opened) { waiter(opened); });
    } else if (session->state() == ClientSession::State::kAging && !shut_down_ &&
               options_.clock->BootNow() >= slot.refresh_not_before) {
      opening = openings_.Join(*binding, [](const auto&, const auto&) {});
    }
    rejected_id = slot.rejected_id;
  }
  if (opening.started) {
    StartOpening(*binding, opening.flight, rejected_id,
                 session == nullptr ? std::string(method) : "");
  }
  return session;
}

absl::StatusOr<ClientSessionPtr> SessionSource::GetLater(absl::string_view leaf_pem,
                                                         BootTime outlast) {
  FOREKEY_ASSIGN_OR_RETURN(auto binding, bindings_.Get(leaf_pem));
  const auto is_later = [&](const ClientSessionPtr& session) {
    return Usable(session) && session->expires_at() > outlast;
  };
  {
    absl::MutexLock lock(&mutex_);
    auto found = slots_.find(*binding);
    if (found != slots_.end() && is_later(found->second.session)) return found->second.session;
  }
  struct Answer {
    absl::Notification there;
    absl::StatusOr<ClientSessionPtr> session;
  };
  auto answer = std::make_shared<Answer>();
  AskAgent(*binding, "", "", outlast, [answer](absl::StatusOr<ClientSessionPtr> session) {
    answer->session = std::move(session);
    answer->there.Notify();
  });
  answer->there.WaitForNotification();
  FOREKEY_ASSIGN_OR_RETURN(ClientSessionPtr session, answer->session);
  if (!is_later(session))
    return absl::FailedPreconditionError("the agent has no session that ends later");
  absl::MutexLock lock(&mutex_);
  if (auto found = slots_.find(*binding); found != slots_.end()) found->second.session = session;
  return session;
}

// gRPC's own threads must not block, and the answer must come from another one than the one that
// asked.
void SessionSource::Post(std::function<void()> task) {
  options_.lanes->Post("agent", 1, std::move(task));
}

void SessionSource::StartOpening(const std::string& binding, const Openings::FlightPtr& flight,
                                 const std::string& rejected_id, const std::string& method) {
  AskAgent(binding, rejected_id, method, BootTime(),
           [self = shared_from_this(), binding, flight](absl::StatusOr<ClientSessionPtr> opened) {
             self->FinishOpening(binding, flight, opened);
           });
}

void SessionSource::FinishOpening(const std::string& binding, const Openings::FlightPtr& flight,
                                  const absl::StatusOr<ClientSessionPtr>& opened) {
  {
    absl::MutexLock lock(&mutex_);
    Slot& slot = slots_[binding];
    if (opened.ok() && *opened != nullptr) {
      slot.session = *opened;
      slot.rejected_id.clear();
    } else if (!opened.ok()) {
      slot.refresh_not_before = options_.clock->BootNow() + kRefreshPause;
    }
  }
  openings_.Finish(flight, opened);
}

template <typename Request, typename Response>
void SessionSource::CallAgent(void (forekey::v1::Agent::StubInterface::async_interface::*rpc)(
                                  grpc::ClientContext*, const Request*, Response*,
                                  std::function<void(grpc::Status)>),
                              absl::string_view tried, const Request& request,
                              Done<Response> done) {
  struct Asked {
    grpc::ClientContext context;
    Request request;
    Response response;
  };
  auto asked = std::make_shared<Asked>();
  asked->request = request;
  Post([self = shared_from_this(), rpc, tried = std::string(tried), asked, done] {
    // The agent may just have been started again.
    WakeChannel(self->options_.agent, kConnectTimeout, &self->shut_down_);
    asked->context.set_deadline(CallDeadline(self->options_.open_timeout));
    bool gone = false;
    {
      absl::MutexLock lock(&self->mutex_);
      gone = self->shut_down_;
      if (!gone) self->asking_.insert(&asked->context);
    }
    if (gone) return done(absl::CancelledError("the channel is gone"));
    (self->stub_->async()->*rpc)(
        &asked->context, &asked->request, &asked->response,
        [self, tried, asked, done](const grpc::Status& status) {
          {
            absl::MutexLock lock(&self->mutex_);
            self->asking_.erase(&asked->context);
          }
          if (status.ok()) return done(std::move(asked->response));
          absl::Status error = AgentError(status, self->options_.socket);
          absl::Status told(error.code(), absl::StrCat("forekey could not ", tried, " at ",
                                                       self->options_.gate, ": ", error.message()));
          error.ForEachPayload([&told](absl::string_view url, const absl::Cord& payload) {
            told.SetPayload(url, payload);
          });
          done(std::move(told));
        });
  });
}

void SessionSource::AskAgent(const std::string& binding, const std::string& rejected_id,
                             const std::string& first_method, BootTime outlast,
                             Done<ClientSessionPtr> done) {
  forekey::v1::OpenLocalSessionRequest request;
  request.set_gate(options_.gate);
  request.set_channel_binding(binding);
  request.set_rejected_session(rejected_id);
  request.set_first_method(first_method);
  request.set_outlast_boot_nanos(outlast.nanos());
  CallAgent<forekey::v1::OpenLocalSessionRequest, forekey::v1::OpenLocalSessionResponse>(
      &forekey::v1::Agent::StubInterface::async_interface::OpenSession, "open a session", request,
      [self = shared_from_this(), binding, first_method,
       done](absl::StatusOr<forekey::v1::OpenLocalSessionResponse> response) {
        if (!response.ok()) return done(response.status());
        if (!first_method.empty() && !response->step_up().empty()) {
          self->LearnStepUp(binding, first_method, response->step_up());
          return done(ClientSessionPtr());
        }
        done(self->MakeSession(binding, *std::move(response)));
      });
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
  parts.opened_at = BootTime::FromNanos(response.opened_boot_nanos());
  parts.idle_s = response.idle_s();
  parts.absolute_s = response.absolute_s();
  parts.subject = response.subject();
  parts.affinity = response.affinity();
  return std::make_shared<const ClientSession>(std::move(parts), options_.clock);
}

void SessionSource::Replace(absl::string_view leaf_pem, const ClientSessionPtr& rejected,
                            absl::string_view method, ProofWaiter waiter) {
  auto found = bindings_.Get(leaf_pem);
  if (!found.ok()) return Post([waiter, status = found.status()] { waiter(status); });
  const std::string binding = **found;
  const std::string rejected_id = rejected == nullptr ? "" : rejected->id();
  ClientSessionPtr known;
  Replacings::Ticket asking;
  {
    absl::MutexLock lock(&mutex_);
    if (replacements_.size() >= kMaxReplacements) replacements_.clear();
    Replacement& replacement = replacements_[absl::StrCat(binding, method)];
    replacement.step_up.clear();  // what was done lately was not enough
    if (rejected != nullptr && replacement.rejected_id == rejected_id &&
        Usable(replacement.session)) {
      known = replacement.session;
    } else {
      asking = replacings_.Join(
          absl::StrCat(binding, method, rejected_id),
          [self = shared_from_this(), binding, rejected_id, method = std::string(method), waiter](
              const auto&, const absl::StatusOr<Proof>& proof) {
            // A device proof is good for one call: the others have theirs made.
            if (proof.ok() && proof->session == nullptr && proof->used->test_and_set()) {
              return self->AskWhatIsLacking(binding, rejected_id, method, waiter);
            }
            waiter(proof);
          });
    }
  }
  if (known != nullptr) return Post([waiter, known] { waiter(Proof{known, "", nullptr, ""}); });
  if (!asking.started) return;
  AskWhatIsLacking(binding, rejected_id, std::string(method),
                   [self = shared_from_this(), binding, rejected_id, method = std::string(method),
                    flight = asking.flight](absl::StatusOr<Proof> proof) {
                     self->FinishReplacing(binding, rejected_id, method, flight, proof);
                   });
}

void SessionSource::FinishReplacing(const std::string& binding, const std::string& rejected_id,
                                    const std::string& method, const Replacings::FlightPtr& flight,
                                    const absl::StatusOr<Proof>& proof) {
  if (proof.ok() && proof->session != nullptr) {
    absl::MutexLock lock(&mutex_);
    Replacement& replacement = replacements_[absl::StrCat(binding, method)];
    replacement.rejected_id = rejected_id;
    replacement.session = proof->session;
    // Stronger than what is there, or in the place of what the gate no longer takes.
    slots_[binding].session = proof->session;
  }
  replacings_.Finish(flight, proof);
}

void SessionSource::AskWhatIsLacking(const std::string& binding, const std::string& rejected_id,
                                     const std::string& method, Done<Proof> done) {
  forekey::v1::OpenLocalSessionRequest request;
  request.set_gate(options_.gate);
  request.set_channel_binding(binding);
  request.set_rejected_session(rejected_id);
  request.set_method(method);
  CallAgent<forekey::v1::OpenLocalSessionRequest, forekey::v1::OpenLocalSessionResponse>(
      &forekey::v1::Agent::StubInterface::async_interface::OpenSession, "open a session", request,
      [self = shared_from_this(), binding, method,
       done](absl::StatusOr<forekey::v1::OpenLocalSessionResponse> response) {
        if (!response.ok()) return done(response.status());
        if (!response->step_up().empty()) {
          return self->AskForDeviceProof(binding, method, response->step_up(), done);
        }
        absl::StatusOr<ClientSessionPtr> session = self->MakeSession(binding, *std::move(response));
        if (!session.ok()) return done(session.status());
        done(Proof{*std::move(session), "", nullptr, ""});
      });
}

void SessionSource::AskForDeviceProof(const std::string& binding, const std::string& method,
                                      const std::string& step_up, Done<Proof> done) {
  forekey::v1::GetPrefixRequest request;
  request.set_gate(options_.gate);
  request.set_method(method);
  request.set_channel_binding(binding);
  request.set_device(true);
  request.set_step_up(step_up);
  CallAgent<forekey::v1::GetPrefixRequest, forekey::v1::GetPrefixResponse>(
      &forekey::v1::Agent::StubInterface::async_interface::GetPrefix,
      "have a call signed by hardware", request,
      [self = shared_from_this(), binding, method, step_up,
       done](absl::StatusOr<forekey::v1::GetPrefixResponse> response) {
        if (!response.ok()) return done(response.status());
        self->LearnStepUp(binding, method, step_up);
        done(Proof{nullptr, std::move(*response->mutable_prefix()),
                   std::make_shared<std::atomic_flag>(), response->affinity()});
      });
}

void SessionSource::LearnStepUp(const std::string& binding, const std::string& method,
                                const std::string& step_up) {
  absl::MutexLock lock(&mutex_);
  if (replacements_.size() >= kMaxReplacements) replacements_.clear();
  Replacement& replacement = replacements_[absl::StrCat(binding, method)];
  replacement.step_up = step_up;
  replacement.step_up_until = options_.clock->BootNow() + kStepUpKnown;
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
        options_.clock->BootNow() >= found->second.step_up_until) {
      return false;
    }
    step_up = found->second.step_up;
  }
  AskForDeviceProof(std::string(**binding), std::string(method), step_up, waiter);
  return true;
}

void SessionSource::Shutdown() {
  {
    absl::MutexLock lock(&mutex_);
    shut_down_ = true;
    for (grpc::ClientContext* context : asking_) context->TryCancel();
  }
  options_.lanes->Stop();
}

// What one attempt is answered with, later.
struct CallPrefixes::Answerer {
  std::shared_ptr<CallPrefixes> self;
  std::string method, leaf_pem;
  PrefixWaiter waiter;

  void operator()(const absl::StatusOr<SessionSource::Proof>& proof) const {
    if (!proof.ok()) {
      self->Failed(proof.status());
      return waiter.Answer(proof.status());
    }
    const std::string prefix = self->Prove(proof->session, method, leaf_pem);
    if (proof->session == nullptr) {
      absl::MutexLock lock(&self->mutex_);
      self->affinity_ = proof->affinity;
    }
    waiter.Answer(proof->session == nullptr ? proof->prefix : prefix);
  }

  // The gate refuses that session; any thread.
  void Replace(const ClientSessionPtr& rejected) const {
    self->source_->Replace(leaf_pem, rejected, method, *this);
  }

  // What SessionSource::Get() answers later.
  SessionSource::Waiter OnOpened(const ConnectionPtr& connection) const {
    return [answerer = *this, connection](const absl::StatusOr<ClientSessionPtr>& opened) {
      if (!opened.ok()) return answerer(opened.status());
      ClientSessionPtr session = *opened;
      if (session == nullptr) {
        // Another method's call asked, where it isn't this one that hardware signs.
        SessionSource& source = *answerer.self->source_;
        if (source.SignIfKnown(answerer.leaf_pem, answerer.method, answerer)) return;
        auto again = source.Get(answerer.leaf_pem, nullptr, answerer.method,
                                [&] { return answerer.OnOpened(connection); });
        if (!again.ok()) return answerer(again.status());
        if (*again == nullptr) return;
        session = *std::move(again);
      }
      if (answerer.MayStart(connection, session))
        answerer(SessionSource::Proof{session, "", nullptr, ""});
    };
  }

  // True when the call may go on with that session at once; else it is answered later.
  bool MayStart(const ConnectionPtr& connection, const ClientSessionPtr& session) const {
    if (self->preflight_ == nullptr) return true;
    return self->preflight_->IsTaken(connection, method, session,
                                     [answer = *this, session](bool refused) {
                                       if (refused) return answer.Replace(session);
                                       answer(SessionSource::Proof{session, "", nullptr, ""});
                                     });
  }
};

std::optional<absl::StatusOr<std::string>> CallPrefixes::GetPrefix(const CallAttempt& attempt,
                                                                   PrefixWaiter waiter) {
  ClientSessionPtr rejected;
  bool again;
  {
    absl::MutexLock lock(&mutex_);
    // gRPC calls every failure of ours UNAVAILABLE, which an application's retry policy may try
    // again: but what a person has to mend is asked once a call.
    if (failure_.has_value() && failure_->error_code() != grpc::StatusCode::UNAVAILABLE) {
      return absl::Status(static_cast<absl::StatusCode>(failure_->error_code()),
                          failure_->error_message());
    }
    failure_.reset();
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
  absl::StatusOr<ClientSessionPtr> session = source_->Get(
      attempt.leaf_pem, nullptr, attempt.method, [&] { return answerer.OnOpened(connection); });
  if (!session.ok()) {
    Failed(session.status());
    return session.status();
  }
  if (*session == nullptr || !answerer.MayStart(connection, *session)) return std::nullopt;
  return Prove(*session, attempt.method, attempt.leaf_pem);
}

void CallPrefixes::Failed(const absl::Status& why) {
  absl::MutexLock lock(&mutex_);
  failure_ = CallFailure(why);
}

std::optional<grpc::Status> CallPrefixes::failure() const {
  absl::MutexLock lock(&mutex_);
  return failure_;
}

// Empty without a session.
std::string CallPrefixes::Prove(const ClientSessionPtr& session, absl::string_view method,
                                absl::string_view leaf_pem) {
  uint64_t sequence = 0;
  std::string prefix = session == nullptr ? "" : session->MakePrefix(method, {}, &sequence);
  absl::MutexLock lock(&mutex_);
  proved_.session = session;
  proved_.sequence = sequence;
  affinity_ = session == nullptr ? "" : session->affinity();
  if (preflight_ != nullptr) {
    proved_.method = std::string(method);
    proved_.leaf_pem = std::string(leaf_pem);
  }
  return prefix;
}

std::string CallPrefixes::affinity() const {
  absl::MutexLock lock(&mutex_);
  return affinity_;
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

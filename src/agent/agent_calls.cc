// SPDX-License-Identifier: Apache-2.0
// The agent's methods that may have to wait for a person.
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/agent/agent.h"
#include "src/agent/session_checks.h"
#include "src/base/reason.h"
#include "src/base/shell_word.h"
#include "src/base/status.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr absl::string_view kOwnPackage = "/forekey.v1.";
// Of one gate, so many calls are taken at the same time: each keeps some memory and a descriptor.
constexpr int kMaxCallsOfAGate = 2048;

absl::Status CheckSize(absl::string_view name, absl::string_view bytes, size_t size) {
  if (bytes.empty() || bytes.size() == size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " has ", bytes.size(), " bytes instead of ", size));
}

// What to do, where the person at the keyboard has to act.
absl::Status WithAdvice(const absl::Status& status, const std::string& gate) {
  auto error = DeviceErrorOf(status);
  if (error != DeviceError::kPinRequired && error != DeviceError::kWrongPin) return status;
  absl::Status advised(
      status.code(), absl::StrCat(status.message(), " (run: forekey login --gate ", ShellWord(gate),
                                  NamingAdviceOf(status), " --ask-key-password)"));
  status.ForEachPayload([&advised](absl::string_view url, const absl::Cord& payload) {
    advised.SetPayload(url, payload);
  });
  return advised;
}

// Answers with the advice where there is an error, and remembers what the person said to it.
template <typename Result>
GateAccount::Done<Result> Advising(PersonMemory* person, const std::string& gate,
                                   GateAccount::Done<Result> done) {
  return [person, gate, done = std::move(done)](absl::StatusOr<Result> result) {
    if (!result.ok()) {
      person->Ended(gate, result.status());
      return done(WithAdvice(result.status(), gate));
    }
    done(std::move(result));
  };
}

absl::Status CheckPrefixRequest(const v1::GetPrefixRequest& request) {
  FOREKEY_RETURN_IF_ERROR(CheckMethodForCallers(request.method()));
  FOREKEY_RETURN_IF_ERROR(
      CheckSize("channel_binding", request.channel_binding(), kChannelBindingSize));
  FOREKEY_RETURN_IF_ERROR(
      CheckSize("rejected_session", request.rejected_session(), kSessionIdSize));
  if (request.with_size() > 0 && !request.device()) {
    return absl::InvalidArgumentError("with is for prefixes that hardware signs (device)");
  }
  if (!request.step_up().empty() && (!request.device() || request.with_size() > 0)) {
    return absl::InvalidArgumentError("step_up goes with device, and not with with");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckMethodForCallers(absl::string_view method) {
  if (!IsWellFormedMethod(method)) {
    return absl::InvalidArgumentError("the method is not /package.Service/Method");
  }
  if (absl::StartsWith(method, kOwnPackage) && method != kWhoAmIMethod) {
    return Refuse(Reason::kMethodNotForAgent,
                  absl::StrCat(method, " is Forekey's own: the agent calls it by itself"));
  }
  return absl::OkStatus();
}

int64_t WallSecondsAt(BootTime at, const Clock& clock) {
  return absl::ToUnixSeconds(clock.WallNow() + (at - clock.BootNow()));
}

template <typename Response>
absl::StatusOr<Agent::Done<Response>> Agent::Admit(const AgentCallPtr& call,
                                                   const std::string& gate, Done<Response> done) {
  absl::MutexLock lock(&mutex_);
  if (stopping_) return absl::CancelledError("the agent ends");
  int& under_way = calls_[gate];
  if (under_way >= kMaxCallsOfAGate) {
    return absl::ResourceExhaustedError(
        absl::StrCat(under_way, " calls at ", gate, " wait already: try again later"));
  }
  ++under_way;
  return Done<Response>(
      [this, call, gate, done = std::move(done)](absl::StatusOr<Response> response) {
        {
          absl::MutexLock lock(&mutex_);
          if (--calls_[gate] == 0) calls_.erase(gate);
        }
        call->End();
        done(std::move(response));
      });
}

void Agent::Login(const AgentCallPtr& call, v1::LoginRequest request,
                  Done<v1::LoginResponse> done) {
  GateAccount::LoginWishes wishes;
  wishes.fresh = request.fresh();
  wishes.key_password = Secret::CopyOf(request.key_password());
  wishes.with = {request.with().begin(), request.with().end()};
  wishes.password = Secret::CopyOf(request.password());
  Wipe(*request.mutable_key_password());
  Wipe(*request.mutable_password());
  absl::StatusOr<AccountPtr> account = Find(request.gate());
  if (!account.ok()) return done(account.status());
  const std::string gate = (*account)->audience();
  person_.Forget(gate);  // by hand: whoever types this wants to be asked
  if (request.fresh()) person_.ForgetPins();
  auto answer = Admit<v1::LoginResponse>(call, gate, Advising(&person_, gate, done));
  if (!answer.ok()) return done(answer.status());
  (*account)->Login(
      call, std::move(wishes),
      [this, gate, answer = *answer](absl::StatusOr<GateAccount::LoggedIn> opened) {
        if (!opened.ok()) return answer(opened.status());
        const ClientSessionPtr& session = opened->session;
        v1::LoginResponse response;
        response.set_gate(gate);
        response.set_subject(session->subject());
        for (const std::string& note : opened->notes) response.add_notes(note);
        response.set_session_expires_unix_s(WallSecondsAt(session->expires_at(), *clock_));
        answer(std::move(response));
      });
}

void Agent::GetPrefix(const AgentCallPtr& call, const v1::GetPrefixRequest& request,
                      Done<v1::GetPrefixResponse> done) {
  if (absl::Status checked = CheckPrefixRequest(request); !checked.ok()) return done(checked);
  absl::StatusOr<StepUp> step_up =
      request.step_up().empty() ? StepUp() : StepUp::Parse(request.step_up());
  if (!step_up.ok()) return done(step_up.status());
  absl::StatusOr<AccountPtr> account = Find(request.gate());
  if (!account.ok()) return done(account.status());
  const std::string gate = (*account)->audience();
  auto answer = Admit<v1::GetPrefixResponse>(call, gate, Advising(&person_, gate, done));
  if (!answer.ok()) return done(answer.status());
  GateAccount::Done<GateAccount::Prefix> give =
      [answer = *answer,
       affinity = (*account)->affinity()](absl::StatusOr<GateAccount::Prefix> prefix) {
        if (!prefix.ok()) return answer(prefix.status());
        v1::GetPrefixResponse response;
        response.set_affinity(affinity);
        response.set_prefix(std::move(prefix->prefix));
        response.set_session_id(std::move(prefix->session_id));
        answer(std::move(response));
      };
  if (!step_up->empty()) {
    (*account)->StepUpPrefix(call, request.method(), request.channel_binding(), *std::move(step_up),
                             std::move(give));
  } else if (request.device()) {
    (*account)->DevicePrefix(call, request.method(), request.channel_binding(),
                             {request.with().begin(), request.with().end()}, std::move(give));
  } else {
    (*account)->SessionPrefix(call, request.method(), request.channel_binding(),
                              request.rejected_session(), std::move(give));
  }
}

void Agent::OpenSession(const AgentCallPtr& call, const v1::OpenLocalSessionRequest& request,
                        Done<v1::OpenLocalSessionResponse> done) {
  absl::Status checked =
      CheckSize("channel_binding", request.channel_binding(), kChannelBindingSize);
  for (const std::string& method : {request.method(), request.first_method()}) {
    if (checked.ok() && !method.empty()) checked = CheckMethodForCallers(method);
  }
  if (!checked.ok()) return done(checked);
  absl::StatusOr<AccountPtr> found = Find(request.gate());
  if (!found.ok()) return done(found.status());
  const std::string gate = (*found)->audience();
  auto admitted = Admit<v1::OpenLocalSessionResponse>(call, gate, Advising(&person_, gate, done));
  if (!admitted.ok()) return done(admitted.status());
  auto opening = std::make_shared<LocalOpening>(
      LocalOpening{call, *std::move(found), request, *std::move(admitted)});
  const auto go_on = [this, opening](absl::StatusOr<StepUp> lacking) {
    if (!lacking.ok()) return opening->done(lacking.status());
    if (lacking->empty()) return OpenOutlasting(opening);
    v1::OpenLocalSessionResponse response;
    response.set_step_up(lacking->Serialize());
    opening->done(std::move(response));
  };
  if (!request.method().empty()) {
    opening->account->MeetRequirements(call, request.method(), /*child=*/true, go_on);
  } else if (!request.first_method().empty()) {
    opening->account->OpenFor(call, request.first_method(), go_on);
  } else {
    OpenOutlasting(opening);
  }
}

void Agent::OpenOutlasting(const std::shared_ptr<LocalOpening>& opening) {
  if (opening->request.outlast_boot_nanos() == 0) return OpenChild(opening);
  opening->account->Outlast(opening->call,
                            BootTime::FromNanos(opening->request.outlast_boot_nanos()),
                            [this, opening](absl::Status renewed) {
                              if (!renewed.ok()) return opening->done(renewed);
                              OpenChild(opening);
                            });
}

void Agent::OpenChild(const std::shared_ptr<LocalOpening>& opening) {
  // A child that was rejected says nothing of its parent: opening the next child does.
  opening->account->OpenChild(opening->call, opening->request.channel_binding(),
                              [this, opening](absl::StatusOr<ClientSessionPtr> child) {
                                if (!child.ok()) return opening->done(child.status());
                                {
                                  absl::MutexLock lock(&mutex_);
                                  sessions_changed_ = true;
                                }
                                v1::OpenLocalSessionResponse response;
                                response.set_session_id((*child)->id());
                                response.set_key(std::string((*child)->key().view()));
                                response.set_idle_s((*child)->idle_s());
                                response.set_absolute_s((*child)->absolute_s());
                                response.set_opened_boot_nanos((*child)->opened_at().nanos());
                                response.set_subject((*child)->subject());
                                response.set_affinity(opening->account->affinity());
                                opening->done(std::move(response));
                              });
}

absl::StatusOr<v1::LoginResponse> Agent::Login(const v1::LoginRequest& request,
                                               const CallControl& control) {
  return Await<v1::LoginResponse>(
      control, [&](const AgentCallPtr& call, auto done) { Login(call, request, std::move(done)); });
}

absl::StatusOr<v1::GetPrefixResponse> Agent::GetPrefix(const v1::GetPrefixRequest& request,
                                                       const CallControl& control) {
  return Await<v1::GetPrefixResponse>(control, [&](const AgentCallPtr& call, auto done) {
    GetPrefix(call, request, std::move(done));
  });
}

absl::StatusOr<v1::OpenLocalSessionResponse> Agent::OpenSession(
    const v1::OpenLocalSessionRequest& request, const CallControl& control) {
  return Await<v1::OpenLocalSessionResponse>(control, [&](const AgentCallPtr& call, auto done) {
    OpenSession(call, request, std::move(done));
  });
}

}  // namespace forekey

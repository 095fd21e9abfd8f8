// SPDX-License-Identifier: Apache-2.0
// What a GateAccount gives to programs: children of its session, and prefixes.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"
#include "src/agent/gate_account.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr size_t kMaxPrefixChildren = 16;
constexpr int kOpenAttempts = 2;  // of a child: the gate may have forgotten its parent
constexpr int kSignWidth = 4;     // calls of one gate that hardware signs at the same time

}  // namespace

void GateAccount::Outlast(const AgentCallPtr& call, BootTime ended_at,
                          std::function<void(absl::Status)> done) {
  Opening opening;
  {
    absl::MutexLock lock(&mutex_);
    const ClientSessionPtr& session = parent_.session;
    if (!Usable(session) || session->expires_at() > ended_at) {
      opening.instead_of.clear();
    } else if (outlasted_ == session->id()) {
      return done(
          absl::FailedPreconditionError("the session ends, and the next one could not be opened"));
    } else {
      opening.instead_of = session->id();
    }
  }
  if (opening.instead_of.empty()) return done(absl::OkStatus());
  // Copied before the move: in which order arguments are made is the compiler's to choose.
  const std::string id = opening.instead_of;
  EnsureParent(call, std::move(opening),
               [self = shared_from_this(), id, done](absl::StatusOr<Parent> parent) {
                 if (!parent.ok()) {
                   absl::MutexLock lock(&self->mutex_);
                   self->outlasted_ = id;
                 }
                 done(parent.status());
               });
}

void GateAccount::OpenChild(const AgentCallPtr& call, std::string channel_binding,
                            Done<ClientSessionPtr> done) {
  OpenChildOf(call, std::move(channel_binding), "", /*over=*/false, kOpenAttempts, std::move(done));
}

void GateAccount::OpenChildOf(const AgentCallPtr& call, std::string channel_binding,
                              std::string rejected, bool over, int attempts,
                              Done<ClientSessionPtr> done) {
  Opening opening;
  opening.refused = !rejected.empty();
  opening.over = over;
  opening.instead_of = std::move(rejected);
  EnsureParent(call, std::move(opening),
               [self = shared_from_this(), call, binding = std::move(channel_binding), attempts,
                done](absl::StatusOr<Parent> parent) {
                 if (!parent.ok()) return done(parent.status());
                 GateConnection::ChildOptions options;
                 options.gate_identity = parent->gate_identity;
                 options.channel_binding =
                     binding.empty() ? parent->session->channel_binding() : binding;
                 auto child = self->connection()->OpenChildSession(*parent->session, options);
                 if (child.ok()) {
                   absl::MutexLock lock(&self->mutex_);
                   self->children_until_ = std::max(self->children_until_, (*child)->expires_at());
                 } else if (attempts > 1 && SessionRejected(child.status())) {
                   return self->OpenChildOf(call, binding, parent->session->id(),
                                            RefusedByGate(child.status()), attempts - 1, done);
                 } else if (ReasonOf(child.status()) == Reason::kSubjectMismatch) {
                   self->EndDoubtful(*parent, child.status());
                 }
                 done(std::move(child));
               });
}

void GateAccount::LearnIdentity(const AgentCallPtr& call, Done<ClientSessionPtr> done) {
  OpenChild(call, "", [self = shared_from_this(), done](absl::StatusOr<ClientSessionPtr> child) {
    if (child.ok()) (void)self->connection()->EndSession(**child);  // it has served
    done(std::move(child));
  });
}

void GateAccount::SessionPrefix(const AgentCallPtr& call, std::string method,
                                std::string channel_binding, std::string rejected_session,
                                Done<Prefix> done) {
  Opening opening;
  opening.refused = !rejected_session.empty();
  opening.instead_of = rejected_session;
  EnsureParent(call, std::move(opening),
               [self = shared_from_this(), call, method = std::move(method),
                binding = std::move(channel_binding), rejected = std::move(rejected_session),
                done](absl::StatusOr<Parent> parent) {
                 if (!parent.ok()) return done(parent.status());
                 if (binding.empty() || binding == parent->session->channel_binding()) {
                   return done(Prefix{parent->session->MakePrefix(method), parent->session->id()});
                 }
                 self->GiveChildPrefix(call, method, binding, rejected, done);
               });
}

void GateAccount::GiveChildPrefix(const AgentCallPtr& call, const std::string& method,
                                  const std::string& binding, const std::string& rejected,
                                  Done<Prefix> done) {
  ClientSessionPtr child;
  {
    absl::MutexLock lock(&mutex_);
    auto known = prefix_children_.find(binding);
    if (known != prefix_children_.end() && Usable(known->second) &&
        known->second->id() != rejected) {
      child = known->second;
    }
  }
  if (child != nullptr) return done(Prefix{child->MakePrefix(method), child->id()});
  OpenChild(
      call, binding,
      [self = shared_from_this(), method, binding, done](absl::StatusOr<ClientSessionPtr> opened) {
        if (!opened.ok()) return done(opened.status());
        {
          absl::MutexLock lock(&self->mutex_);
          if (self->prefix_children_.size() >= kMaxPrefixChildren) {
            self->prefix_children_.clear();
          }
          self->prefix_children_[binding] = *opened;
        }
        done(Prefix{(*opened)->MakePrefix(method), (*opened)->id()});
      });
}

absl::StatusOr<GateAccount::Prefix> GateAccount::SignCall(const AgentCallPtr& call,
                                                          const std::string& method,
                                                          const std::string& channel_binding,
                                                          std::vector<Candidates> candidates,
                                                          bool user_verification) {
  if (call->cancelled()) return CallerGone();
  uint64_t logouts;
  CallControl control;
  {
    absl::MutexLock lock(&mutex_);
    FOREKEY_RETURN_IF_ERROR(ended_);
    logouts = logouts_;
  }
  control.program = call->program();
  control.place = call->place();
  control.cancelled = [this, call, logouts] {
    if (call->cancelled()) return true;
    absl::MutexLock lock(&mutex_);
    return logouts != logouts_;
  };
  const Work work =
      MakeWork(std::move(control), absl::StrCat("to sign a call of ", method), user_verification);
  std::vector<std::string> notes;
  const auto sign = [&](const Candidates& credentials) -> absl::StatusOr<std::string> {
    FOREKEY_ASSIGN_OR_RETURN(std::vector<Signer> signers, MakeSigners(credentials, &work));
    return connection()->MakeDevicePrefix(method, channel_binding, std::move(signers));
  };
  absl::StatusOr<std::string> prefix = WithFallback(std::move(candidates), &notes, sign);
  TellNotes(notes);
  if (!prefix.ok()) return prefix.status();
  return Prefix{*std::move(prefix), ""};
}

void GateAccount::DevicePrefix(const AgentCallPtr& call, std::string method,
                               std::string channel_binding, std::vector<std::string> with,
                               Done<Prefix> done) {
  if (std::find(with.begin(), with.end(), kOidcFactor) != with.end()) {
    return done(
        absl::InvalidArgumentError("an ID token is proved for a session, it signs no call"));
  }
  auto credentials = Choose(std::move(with));
  if (!credentials.ok()) return done(credentials.status());
  Post("sign", kSignWidth,
       [self = shared_from_this(), call, method = std::move(method),
        binding = std::move(channel_binding), credentials = *std::move(credentials), done] {
         done(self->SignCall(call, method, binding, credentials, /*user_verification=*/false));
       });
}

void GateAccount::StepUpPrefix(const AgentCallPtr& call, std::string method,
                               std::string channel_binding, StepUp step_up, Done<Prefix> done) {
  absl::Status last = absl::NotFoundError("the gate wants what no token proves");
  for (const StepUp::Words& words : step_up.alternatives()) {
    if (HasWord(words, kPasswordFactor) || HasWord(words, kOidcFactor)) continue;
    absl::StatusOr<std::vector<Candidates>> credentials = CredentialsFor(words, {});
    last = credentials.status();
    if (!last.ok()) continue;
    Post("sign", kSignWidth,
         [self = shared_from_this(), call, method = std::move(method),
          binding = std::move(channel_binding), credentials = *std::move(credentials),
          verify = WantsUserVerification(words),
          done] { done(self->SignCall(call, method, binding, credentials, verify)); });
    return;
  }
  done(last);
}

}  // namespace forekey

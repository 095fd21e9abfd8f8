// SPDX-License-Identifier: Apache-2.0
#include "src/agent/gate_account.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"
#include "src/base/status.h"

namespace forekey {
absl::StatusOr<std::shared_ptr<GateConnection>> GateAccount::Connect(const GateTarget& target,
                                                                     const Clock* clock,
                                                                     const std::string& affinity) {
  GateConnection::Options options;
  options.target = target;
  options.affinity = affinity;
  options.clock = clock;
  return GateConnection::New(std::move(options));
}

absl::StatusOr<std::shared_ptr<GateAccount>> GateAccount::New(Options options) {
  std::string affinity = options.affinity ? NewAffinity() : "";
  FOREKEY_ASSIGN_OR_RETURN(auto connection,
                           Connect(options.record.target, options.clock, affinity));
  return std::shared_ptr<GateAccount>(
      new GateAccount(std::move(options), std::move(connection), std::move(affinity)));
}

GateAccount::GateAccount(Options options, std::shared_ptr<GateConnection> connection,
                         std::string affinity)
    : audience_(options.record.target.audience),
      affinity_(std::move(affinity)),
      state_(options.state),
      drivers_(options.drivers),
      clock_(options.clock),
      lanes_(options.lanes),
      prompter_(options.prompter),
      notices_(options.notices),
      refused_keys_(audience_, options.clock),
      connection_(std::move(connection)),
      record_(std::move(options.record)) {}

GateRecord GateAccount::record() const {
  absl::MutexLock lock(&mutex_);
  return record_;
}

absl::Status GateAccount::ended() const {
  absl::MutexLock lock(&mutex_);
  return ended_;
}

ClientSessionPtr GateAccount::session() const {
  absl::MutexLock lock(&mutex_);
  return Usable(parent_.session) ? parent_.session : nullptr;
}

std::shared_ptr<GateConnection> GateAccount::connection() const {
  absl::MutexLock lock(&mutex_);
  return connection_;
}

void GateAccount::Post(absl::string_view lane, int width, std::function<void()> task) {
  lanes_->Post(absl::StrCat(audience_, "/", lane), width, std::move(task));
}

void GateAccount::Login(const AgentCallPtr& call, LoginWishes wishes, Done<LoggedIn> done) {
  const auto chosen = Choose(wishes.with);
  if (!chosen.ok()) return done(chosen.status());
  refused_keys_.Forget();  // by hand: whoever types this wants to be asked
  const bool by_hand = !wishes.key_password.empty() || wishes.fresh;
  Opening opening;
  {
    absl::MutexLock lock(&mutex_);
    if (!wishes.key_password.empty()) {
      SetKeyPassword(std::move(wishes.key_password), FirstChoice(*chosen));
    }
    const bool others = !wishes.with.empty() && wishes.with != with_;
    const bool anew = wishes.fresh || others || !wishes.password.empty();
    if (anew && parent_.session != nullptr) opening.instead_of = parent_.session->id();
    opening.anew = wishes.fresh;
    opening.by_hand = by_hand;
  }
  opening.with = std::move(wishes.with);
  if (!wishes.password.empty()) opening.words = {std::string(kPasswordFactor)};
  opening.password = std::move(wishes.password);
  EnsureParent(call, std::move(opening), [done](absl::StatusOr<Parent> parent) {
    if (!parent.ok()) return done(parent.status());
    done(LoggedIn{parent->session, parent->notes});
  });
}

void GateAccount::SetKeyPassword(Secret password, const Candidates& credentials) {
  ++key_generation_;
  keys_.clear();
  key_password_ = std::move(password);
  key_password_for_.clear();
  for (const HeldCredential& credential : credentials) {
    // Of several tokens only one can be meant, and a wrong PIN costs a try.
    if (credentials.size() == 1 || credential.kind == forekey::v1::TOKEN_KIND_TPM) {
      key_password_for_.push_back(credential.id);
    }
  }
  if (key_password_for_.empty()) key_password_ = Secret();
}

void GateAccount::Stop() {
  const absl::Status why = absl::CancelledError("the agent ends");
  {
    absl::MutexLock lock(&mutex_);
    if (ended_.ok()) ended_ = why;
  }
  EndAll(why);
  connection()->Shutdown();
}

absl::Status GateAccount::Forget() {
  const absl::Status why =
      absl::AbortedError(absl::StrCat("the gate ", audience_, " was forgotten in the meantime"));
  {
    absl::MutexLock lock(&mutex_);
    if (!ended_.ok()) return ended_;
    // From here on nobody writes into the gate's folder.
    FOREKEY_RETURN_IF_ERROR(state_->RemoveGate(record_));
    ended_ = why;
  }
  if (absl::Status told = EndEverything(why); !told.ok()) {
    spdlog::warn("gate {}: forgotten, but its session could not be ended: {}", audience_,
                 std::string(told.message()));
  }
  return absl::OkStatus();
}

BootTime GateAccount::KeepAlive() {
  constexpr BootTime kNever = BootTime::InfiniteFuture();
  ClientSessionPtr session;
  bool children = false;
  BootTime now = clock_->BootNow();
  {
    absl::MutexLock lock(&mutex_);
    if (!Usable(parent_.session)) return kNever;
    session = parent_.session;
    children = children_until_ > now;
  }
  const absl::Duration interval = absl::Seconds(session->idle_s()) / 3;
  const ClientSession::Ticket ticket = session->ticket();
  BootTime next = children ? session->last_used() + interval : kNever;
  // What idles is not kept alive by this: it was used since.
  if (!ticket.bytes.empty() && session->last_used() > ticket.made_at) {
    next = std::min(next, ticket.made_at + interval);
  }
  if (now < next) return next;
  absl::Status alive = connection()->WhoAmI(*session).status();
  if (SessionRejected(alive)) {
    absl::MutexLock lock(&mutex_);
    if (parent_.session == session) DropParent(RefusedByGate(alive));
    return kNever;
  }
  return session->last_used() + interval;
}

}  // namespace forekey

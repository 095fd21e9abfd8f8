// SPDX-License-Identifier: Apache-2.0
#include "src/agent/gate_account.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "spdlog/spdlog.h"
#include "src/base/status.h"

namespace forekey {
namespace {

// Of the calls at one gate, so many do something that blocks (a call to the gate) at once.
constexpr int kCallWidth = 8;

}  // namespace

absl::StatusOr<std::shared_ptr<GateConnection>> GateAccount::Connect(const GateTarget& target,
                                                                     const Clock* clock) {
  GateConnection::Options options;
  options.target = target;
  options.clock = clock;
  return GateConnection::New(std::move(options));
}

absl::StatusOr<std::shared_ptr<GateAccount>> GateAccount::New(Options options) {
  FOREKEY_ASSIGN_OR_RETURN(auto connection, Connect(options.record.target, options.clock));
  return std::shared_ptr<GateAccount>(new GateAccount(std::move(options), std::move(connection)));
}

GateAccount::GateAccount(Options options, std::shared_ptr<GateConnection> connection)
    : audience_(options.record.target.audience),
      state_(options.state),
      drivers_(options.drivers),
      clock_(options.clock),
      lanes_(options.lanes),
      prompter_(options.prompter),
      notices_(options.notices),
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
  Opening opening;
  {
    absl::MutexLock lock(&mutex_);
    if (!wishes.key_password.empty()) {
      SetKeyPassword(std::move(wishes.key_password), FirstChoice(*chosen));
    }
    const bool others = !wishes.with.empty() && wishes.with != with_;
    const bool anew = wishes.fresh || others || !wishes.password.empty();
    if (anew && parent_.session != nullptr) opening.instead_of = parent_.session->id();
  }
  opening.with = std::move(wishes.with);
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

ClientSessionPtr GateAccount::EndAll(const absl::Status& why) {
  ClientSessionPtr session;
  {
    absl::MutexLock lock(&mutex_);
    ++logouts_;
    for (const auto& opening : waiting_) opening->password = Secret();
    waiting_.clear();
    session = std::exchange(parent_, Parent()).session;
    prefix_children_.clear();
    children_until_ = BootTime();
    SetKeyPassword(Secret(), {});
    with_.clear();
  }
  flights_.AbandonAll(why);
  return session;
}

absl::Status GateAccount::EndAtGate(const ClientSessionPtr& session) {
  if (!Usable(session)) return absl::OkStatus();
  absl::Status ended = connection()->EndSession(*session);
  return SessionRejected(ended) ? absl::OkStatus() : ended;  // it had ended by itself
}

absl::Status GateAccount::Logout() {
  return EndAtGate(EndAll(absl::CancelledError("logged out in the meantime")));
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
  if (absl::Status told = EndAtGate(EndAll(why)); !told.ok()) {
    spdlog::warn("gate {}: forgotten, but its session could not be ended: {}", audience_,
                 std::string(told.message()));
  }
  return absl::OkStatus();
}

std::string GateAccount::KeyOf(const Opening& opening) {
  if (!opening.password.empty()) return absl::StrCat("own ", ++own_openings_);
  return absl::StrCat(absl::StrJoin(opening.words, "&"), " with ",
                      absl::StrJoin(opening.with, ","));
}

bool GateAccount::Covered(const Opening& opening) const {
  if (!Usable(parent_.session) || !opening.password.empty() ||
      parent_.session->id() == opening.instead_of) {
    return false;
  }
  for (const std::string& word : opening.words) {
    if (std::find(parent_.words.begin(), parent_.words.end(), word) == parent_.words.end()) {
      return false;
    }
  }
  return opening.with.empty() || opening.with == parent_.with;
}

void GateAccount::EnsureParent(const AgentCallPtr& call, Opening opening, ParentDone done) {
  opening.program = call->program();
  Board(call, std::make_shared<Opening>(std::move(opening)), /*alone=*/false, std::move(done));
}

void GateAccount::Board(const AgentCallPtr& call, std::shared_ptr<Opening> wanted, bool alone,
                        ParentDone done) {
  if (call->cancelled()) return done(CallerGone());
  auto self = shared_from_this();
  absl::StatusOr<Parent> known = absl::UnknownError("");
  Flights::Ticket ticket;
  {
    absl::MutexLock lock(&mutex_);
    if (wanted->refused && parent_.session != nullptr &&
        parent_.session->id() == wanted->instead_of) {
      parent_ = Parent();
    }
    if (!ended_.ok()) {
      known = ended_;
    } else if (Covered(*wanted)) {
      known = parent_;
    } else {
      const std::string key = KeyOf(*wanted);
      Flights::Waiter waiter = [self, call, wanted, key, done](
                                   const Flights::Flight& flight,
                                   const absl::StatusOr<Parent>& opened) {
        // What was opened for the sake of another's wishes may have failed because of them.
        const bool unfit = opened.ok() ? opened->session->id() == wanted->instead_of
                                       : flight.key() != key && !flight.abandoned();
        self->Post("calls", kCallWidth, [self, call, wanted, done, opened, unfit] {
          if (!unfit) return done(opened);
          self->Board(call, wanted, /*alone=*/true, done);
        });
      };
      // Any opening will do for who has no wishes.
      ticket = wanted->plain() && !alone ? flights_.JoinAny(key, std::move(waiter))
                                         : flights_.Join(key, std::move(waiter));
      if (ticket.started) waiting_.insert(wanted);
    }
  }
  if (ticket.flight == nullptr) {
    return Post("calls", kCallWidth, [done, known] { done(known); });
  }
  if (ticket.started) {
    Post("open", 1, [self, flight = ticket.flight, wanted] { self->Fly(flight, wanted); });
  }
  call->OnCancel([self, ticket, wanted, done] {
    if (!self->flights_.Leave(ticket)) return;
    if (ticket.flight->abandoned()) {
      // Where it had not begun, its secrets need not wait for their turn to be wiped.
      absl::MutexLock lock(&self->mutex_);
      if (self->waiting_.erase(wanted) > 0) wanted->password = Secret();
    }
    done(CallerGone());
  });
}

void GateAccount::Fly(const Flights::FlightPtr& flight, const std::shared_ptr<Opening>& wanted) {
  absl::StatusOr<Parent> opened = CallerGone();
  Opening opening;
  bool open = false;
  uint64_t logouts = 0;
  {
    absl::MutexLock lock(&mutex_);
    waiting_.erase(wanted);
    logouts = logouts_;
    if (!flight->abandoned() && Covered(*wanted)) opened = parent_;
    open = !opened.ok() && !flight->abandoned();
    if (open) opening = std::move(*wanted);
    wanted->password = Secret();
  }
  const std::vector<std::string> with = opening.with;
  if (open) {
    CallControl control;
    control.cancelled = [flight] { return flight->abandoned(); };
    control.program = opening.program;
    opened = OpenParent(control, std::move(opening));
  }
  ClientSessionPtr stale;
  if (open && opened.ok()) {
    absl::MutexLock lock(&mutex_);
    if (logouts == logouts_ && ended_.ok()) {
      parent_ = *opened;
      prefix_children_.clear();
      if (!with.empty()) with_ = with;
    } else {
      stale = opened->session;
      opened = absl::CancelledError("logged out in the meantime");
    }
  }
  flights_.Finish(flight, opened);
  if (stale != nullptr) (void)EndAtGate(stale);
}

BootTime GateAccount::KeepAlive() {
  constexpr BootTime kNever = BootTime::InfiniteFuture();
  ClientSessionPtr session;
  BootTime now = clock_->BootNow();
  {
    absl::MutexLock lock(&mutex_);
    if (!Usable(parent_.session) || children_until_ <= now) return kNever;
    session = parent_.session;
  }
  const absl::Duration interval = absl::Seconds(session->idle_s()) / 3;
  if (now < session->last_used() + interval) {
    return session->last_used() + interval;
  }
  absl::Status alive = connection()->WhoAmI(*session).status();
  if (SessionRejected(alive)) {
    absl::MutexLock lock(&mutex_);
    if (parent_.session == session) parent_ = Parent();
    return kNever;
  }
  return session->last_used() + interval;
}

}  // namespace forekey

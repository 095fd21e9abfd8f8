// SPDX-License-Identifier: Apache-2.0
// Who waits for which opening of a GateAccount, and what becomes of it.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/agent/gate_account.h"
#include "src/base/status.h"

namespace forekey {
namespace {

// Of the calls at one gate, so many do something that blocks (a call to the gate) at once.
constexpr int kCallWidth = 8;

}  // namespace

bool GateAccount::Fulfils(const Asked& opened, const Asked& wanted) {
  const bool proved = std::all_of(wanted.words.begin(), wanted.words.end(),
                                  [&](const auto& word) { return HasWord(opened.words, word); });
  return proved && (wanted.with.empty() || wanted.with == opened.with);
}

std::string GateAccount::KeyOf(const Opening& opening) {
  if (!opening.password.empty()) return absl::StrCat("own ", ++own_openings_);
  // With their lengths: a label may have any character in it.
  std::string key;
  for (const auto* list : {&opening.words, &opening.with}) {
    absl::StrAppend(&key, list->size(), ";");
    for (const std::string& text : *list) absl::StrAppend(&key, text.size(), ":", text);
  }
  return key;
}

bool GateAccount::Covered(const Opening& opening) const {
  return Usable(parent_.session) && opening.password.empty() &&
         parent_.session->id() != opening.instead_of && Fulfils(parent_, opening);
}

GateAccount::Flights::Ticket GateAccount::TakeSeat(const Opening& wanted, bool alone,
                                                   const std::string& key,
                                                   const Flights::Waiter& waiter) {
  const bool own = !wanted.password.empty();
  Flights::Ticket ticket;
  if (!own && !alone) {
    for (const auto& [flight, under_way] : under_way_) {
      if (!Fulfils(under_way.asked, wanted)) continue;
      ticket = flights_.JoinFlight(flight, waiter);
      if (ticket.flight != nullptr) return ticket;
    }
  }
  ticket = flights_.Join(key, waiter);
  if (ticket.started) under_way_[ticket.flight] = UnderWay{wanted, own};
  return ticket;
}

std::vector<GateAccount::Flights::FlightPtr> GateAccount::TakeServed() {
  std::vector<Flights::FlightPtr> served;
  std::erase_if(under_way_, [&](const auto& entry) {
    const auto& [flight, under_way] = entry;
    if (under_way.own || !Fulfils(parent_, under_way.asked)) return false;
    served.push_back(flight);
    return true;
  });
  return served;
}

void GateAccount::EnsureParent(const AgentCallPtr& call, Opening opening, ParentDone done) {
  opening.program = call->program();
  opening.place = call->place();
  Board(call, std::make_shared<Opening>(std::move(opening)), /*alone=*/false, std::move(done));
}

void GateAccount::Board(const AgentCallPtr& call, std::shared_ptr<Opening> wanted, bool alone,
                        ParentDone done) {
  if (call->cancelled()) return done(CallerGone());
  auto self = shared_from_this();
  absl::StatusOr<Parent> known = absl::UnknownError("");
  Flights::Ticket ticket;
  absl::string_view lane = "open";
  {
    absl::MutexLock lock(&mutex_);
    if (wanted->refused && parent_.session != nullptr &&
        parent_.session->id() == wanted->instead_of) {
      DropParent(wanted->over);
    }
    if (!ended_.ok()) {
      known = ended_;
    } else if (Covered(*wanted)) {
      known = parent_;
    } else {
      const std::string key = KeyOf(*wanted);
      Flights::Waiter waiter =
          [self, call, wanted, key, done, asked = Asked(*wanted), instead_of = wanted->instead_of](
              const Flights::Flight& flight, const absl::StatusOr<Parent>& opened) {
            // What was opened for the sake of another's wishes may have failed because of them.
            const bool unfit = opened.ok()
                                   ? opened->session->id() == instead_of || !Fulfils(*opened, asked)
                                   : flight.key() != key && !flight.abandoned();
            self->Post("calls", kCallWidth, [self, call, wanted, done, opened, unfit] {
              if (!unfit) return done(opened);
              self->Board(call, wanted, /*alone=*/true, done);
            });
          };
      ticket = TakeSeat(*wanted, alone, key, waiter);
      // Who types a password does not wait behind what another is asked.
      if (!wanted->password.empty()) lane = "login";
      if (ticket.started) waiting_.insert(wanted);
    }
  }
  if (ticket.flight == nullptr) {
    return Post("calls", kCallWidth, [done, known] { done(known); });
  }
  if (ticket.started) {
    Post(lane, 1, [self, flight = ticket.flight, wanted] { self->Fly(flight, wanted); });
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

bool GateAccount::Land(const Flights::FlightPtr& flight, const Parent& opened, uint64_t logouts,
                       std::vector<Parent>* ending) {
  const bool wanted_still = under_way_.erase(flight) > 0;
  if (!wanted_still || logouts != logouts_ || !ended_.ok()) {
    ending->push_back(opened);
    return false;
  }
  EndLater(std::exchange(parent_, opened));
  // That which was resumed as `opened` is gone already.
  EndLater(std::exchange(resumable_, Parent()));
  *ending = TakeTooMany();
  prefix_children_.clear();
  return true;
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
    control.place = opening.place;
    std::optional<absl::StatusOr<Parent>> resumed;
    if (opening.plain() && !opening.anew) resumed = ResumeParent();
    opened = resumed.has_value() ? *std::move(resumed) : OpenParent(control, std::move(opening));
  }
  std::vector<Parent> ending;
  std::vector<Flights::FlightPtr> served;
  {
    absl::MutexLock lock(&mutex_);
    if (!open || !opened.ok()) {
      under_way_.erase(flight);  // nothing new
    } else if (Land(flight, *opened, logouts, &ending)) {
      if (!with.empty()) with_ = with;
      served = TakeServed();
    } else {
      opened = absl::CancelledError("logged out, or opened with more, in the meantime");
    }
  }
  flights_.Finish(flight, opened);
  for (const auto& other : served) flights_.FinishEarly(other, opened);
  for (Parent& one : ending) (void)EndAtGate(std::move(one));
}

}  // namespace forekey

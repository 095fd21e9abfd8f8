// SPDX-License-Identifier: Apache-2.0
// Who waits for which opening of a GateAccount, and what becomes of it.
#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "src/agent/gate_account.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr absl::string_view kTakenOverUrl = "forekey/opening-taken-over";

absl::Status TakenOver() {
  absl::Status status = absl::CancelledError("another opening will do for this one");
  status.SetPayload(kTakenOverUrl, absl::Cord("1"));
  return status;
}
bool IsTakenOver(const absl::Status& status) {
  return status.GetPayload(kTakenOverUrl).has_value();
}

// Of the calls at one gate, so many do something that blocks (a call to the gate) at once.
constexpr int kCallWidth = 8;

}  // namespace

bool GateAccount::Fulfils(const Asked& opened, const Asked& wanted) {
  const bool proved = std::all_of(wanted.words.begin(), wanted.words.end(),
                                  [&](const auto& word) { return HasWord(opened.words, word); });
  return proved && (wanted.with.empty() || wanted.with == opened.with);
}

std::string GateAccount::KeyOf(const Opening& opening) {
  if (opening.alone()) return absl::StrCat("own ", ++own_openings_);
  // With their lengths: a label may have any character in it.
  std::string key;
  for (const auto* list : {&opening.words, &opening.with}) {
    absl::StrAppend(&key, list->size(), ";");
    for (const std::string& text : *list) absl::StrAppend(&key, text.size(), ":", text);
  }
  return key;
}

bool GateAccount::Covered(const Opening& opening) const {
  return Usable(parent_.session) && !opening.own() && parent_.session->id() != opening.instead_of &&
         Fulfils(parent_, opening);
}

GateAccount::Flights::Ticket GateAccount::TakeSeat(const Opening& wanted, bool alone,
                                                   const std::string& key,
                                                   const Flights::Waiter& waiter) {
  Flights::Ticket ticket;
  if (!wanted.alone() && !alone) {
    for (const auto& [flight, under_way] : under_way_) {
      if (*under_way.taken_over || !Fulfils(under_way.asked, wanted)) continue;
      ticket = flights_.JoinFlight(flight, waiter);
      if (ticket.flight != nullptr) return ticket;
    }
  }
  ticket = flights_.Join(key, waiter);
  if (ticket.started) under_way_[ticket.flight] = UnderWay{wanted, wanted.own(), wanted.by_hand};
  return ticket;
}

void GateAccount::TakeOver(const Opening& wanted) {
  for (auto& [flight, under_way] : under_way_) {
    const bool will_do = !under_way.own && !under_way.by_hand && Fulfils(wanted, under_way.asked);
    if (will_do) *under_way.taken_over = true;
  }
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
            const bool taken_over = IsTakenOver(opened.status());
            self->Post("calls", kCallWidth, [self, call, wanted, done, opened, unfit, taken_over] {
              if (!unfit && !taken_over) return done(opened);
              self->Board(call, wanted, /*alone=*/!taken_over, done);
            });
          };
      ticket = TakeSeat(*wanted, alone, key, waiter);
      // Who types a password does not wait behind what another is asked.
      if (wanted->alone()) lane = "login";
      if (wanted->by_hand) TakeOver(*wanted);
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
  std::shared_ptr<std::atomic<bool>> taken_over = std::make_shared<std::atomic<bool>>(false);
  {
    absl::MutexLock lock(&mutex_);
    waiting_.erase(wanted);
    logouts = logouts_;
    if (const auto known = under_way_.find(flight); known != under_way_.end()) {
      taken_over = known->second.taken_over;
    }
    if (!flight->abandoned() && Covered(*wanted)) opened = parent_;
    open = !opened.ok() && !flight->abandoned() && !*taken_over;
    static_cast<Wishes&>(opening) = *wanted;
    opening.password = std::exchange(wanted->password, Secret());
  }
  const std::vector<std::string> with = opening.with;
  if (open) {
    CallControl control;
    control.cancelled = [flight, taken_over] { return flight->abandoned() || *taken_over; };
    control.program = opening.program;
    control.place = opening.place;
    std::optional<absl::StatusOr<Parent>> resumed;
    if (opening.plain() && !opening.alone()) resumed = ResumeParent();
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
  if (!opened.ok() && *taken_over) opened = TakenOver();
  flights_.Finish(flight, opened);
  for (const auto& other : served) flights_.FinishEarly(other, opened);
  for (Parent& one : ending) (void)EndAtGate(std::move(one));
}

}  // namespace forekey

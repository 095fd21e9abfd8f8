// SPDX-License-Identifier: Apache-2.0
// How a GateAccount ends sessions, here and at the gate.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"
#include "src/agent/gate_account.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr size_t kMostUnended = 64;

// When the gate ends the session by itself, where it is not used any more.
BootTime OverAt(const ClientSession& session) {
  return std::min(session.expires_at(), session.last_used() + absl::Seconds(session.idle_s()));
}

}  // namespace

void GateAccount::EndLater(Parent parent) {
  std::erase_if(unended_, [](const Parent& one) { return !Usable(one.session); });
  if (Usable(parent.session)) unended_.push_back(std::move(parent));
}

std::vector<GateAccount::Parent> GateAccount::TakeTooMany() {
  std::vector<Parent> taken;
  if (unended_.size() <= kMostUnended) return taken;
  const auto end = unended_.end() - kMostUnended;
  std::move(unended_.begin(), end, std::back_inserter(taken));
  unended_.erase(unended_.begin(), end);
  return taken;
}

void GateAccount::EndAll(const absl::Status& why) {
  {
    absl::MutexLock lock(&mutex_);
    ++logouts_;
    for (const auto& opening : waiting_) opening->password = Secret();
    waiting_.clear();
    EndLater(std::exchange(parent_, Parent()));
    EndLater(std::exchange(resumable_, Parent()));
    prefix_children_.clear();
    children_until_ = BootTime();
    SetKeyPassword(Secret(), {});
    with_.clear();
  }
  flights_.AbandonAll(why);
}

absl::Status GateAccount::EndAtGate(Parent parent) {
  absl::Status ended = TryToEndAtGate(parent);
  if (ended.ok()) return ended;
  absl::MutexLock lock(&mutex_);
  EndLater(std::move(parent));
  return ended;
}

absl::Status GateAccount::EndEverything(const absl::Status& why) {
  EndAll(why);
  absl::MutexLock one_at_a_time(&ending_);
  std::vector<Parent> ending;
  {
    absl::MutexLock lock(&mutex_);
    ending = std::exchange(unended_, {});
  }
  absl::Status first_error;
  for (Parent& one : ending) first_error.Update(EndAtGate(std::move(one)));
  return first_error;
}

absl::Status GateAccount::TryToEndAtGate(Parent& parent) {
  if (!Usable(parent.session) || clock_->BootNow() >= parent.over_at) return absl::OkStatus();
  BootTime over_at = OverAt(*parent.session);
  absl::Status ended = connection()->EndSession(*parent.session);
  if (!SessionRejected(ended)) return ended;
  bool over = RefusedByGate(ended);
  if (!parent.session->ticket().bytes.empty()) {
    // Else whoever has its key could still go on with it.
    auto resumed = connection()->ResumeSession(*parent.session, parent.gate_identity);
    ended = resumed.status();
    if (resumed.ok()) {
      parent.session = *std::move(resumed);
      over_at = OverAt(*parent.session);
      ended = connection()->EndSession(*parent.session);
      over = RefusedByGate(ended);
    }
    if (!SessionRejected(ended)) return ended;
    over = over && RefusedByGate(ended);
  }
  if (over) return absl::OkStatus();  // it had ended by itself
  // A proof leaves only for the certificate that it was made for: nothing was sent.
  parent.over_at = std::min(parent.over_at, over_at);
  return absl::UnavailableError(absl::StrCat(
      "the gate's TLS certificate is another than the session's, so it could not be told that the "
      "session ends; unused, it ends there within ",
      parent.session->idle_s(), " s"));
}

absl::Status GateAccount::Logout() {
  return EndEverything(absl::CancelledError("logged out in the meantime"));
}

void GateAccount::EndDoubtful(const Parent& parent, const absl::Status& why) {
  spdlog::warn("gate {}: its session is ended: {}", audience_, std::string(why.message()));
  {
    absl::MutexLock lock(&mutex_);
    if (parent_.session != nullptr && parent_.session->id() == parent.session->id()) {
      parent_ = Parent();
      prefix_children_.clear();
      children_until_ = BootTime();
    }
  }
  (void)EndAtGate(parent);
}

}  // namespace forekey

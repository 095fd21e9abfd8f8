// SPDX-License-Identifier: Apache-2.0
// Enrolment by the agent: whose turn it is, which device, and whether the invite is one of the gate
// that is pinned here. What an enrolment does then: agent_enroll_attempt.cc.
#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "spdlog/spdlog.h"
#include "src/agent/agent.h"
#include "src/base/deadline.h"
#include "src/base/printable.h"
#include "src/base/reason.h"
#include "src/base/shell_word.h"
#include "src/base/status.h"
#include "src/base/status_note.h"
#include "src/crypto/digest.h"

namespace forekey {

namespace {

constexpr size_t kMaxLabel = 64;
constexpr int kMostCallers = 8;  // of one kind, under way and waiting
constexpr absl::Duration kTurnPoll = absl::Milliseconds(50);

bool IsPinned(const Invite& invite, const GateRecord& record) {
  return std::any_of(
      record.identities.begin(), record.identities.end(),
      [&](const std::string& identity) { return Sha256(identity) == invite.identity_fingerprint; });
}

}  // namespace

absl::StatusOr<Driver*> Agent::ChooseDevice(std::string* uri) {
  if (!uri->empty()) {
    absl::string_view scheme = absl::string_view(*uri).substr(0, uri->find(':'));
    for (const auto& driver : drivers_) {
      if (driver->scheme() == scheme) return driver.get();
    }
    return absl::InvalidArgumentError(
        absl::StrCat("no driver for the device ", *uri, ": forekey devices lists what there is"));
  }
  std::vector<std::string> problems;
  std::vector<std::string> uris;
  Driver* chosen = nullptr;
  for (const auto& driver : drivers_) {
    for (const DeviceInfo& device : driver->List(&problems)) {
      uris.push_back(device.uri);
      chosen = driver.get();
    }
  }
  if (uris.size() == 1) {
    *uri = uris[0];
    return chosen;
  }
  std::string message = uris.empty() ? "no device was found"
                                     : "several devices were found, say which one with --device";
  for (const std::string& found : uris) absl::StrAppend(&message, "; ", found);
  for (const std::string& problem : problems) absl::StrAppend(&message, "; ", problem);
  return uris.empty() ? absl::NotFoundError(message) : absl::InvalidArgumentError(message);
}

absl::StatusOr<v1::GetHardwareCertificatesResponse> Agent::GetHardwareCertificates(
    const v1::GetHardwareCertificatesRequest& request, const CallControl& call) {
  FOREKEY_RETURN_IF_ERROR(TakeTurn(&listings_, call));
  const absl::Cleanup end = [this] { EndTurn(&listings_); };
  std::string uri = request.device_uri();
  FOREKEY_ASSIGN_OR_RETURN(Driver * driver, ChooseDevice(&uri));
  FOREKEY_ASSIGN_OR_RETURN(std::vector<std::string> certificates,
                           driver->HardwareCertificates(uri));
  v1::GetHardwareCertificatesResponse response;
  response.set_device_uri(uri);
  response.set_kind(driver->kind());
  for (std::string& one : certificates) response.add_certificates(std::move(one));
  for (const DeviceInfo& info : driver->List(nullptr)) {
    if (info.uri == uri) *response.mutable_device() = DeviceOf(info);
  }
  return response;
}

absl::Status Agent::CheckInviteAgainstRecord(const Invite& invite, const CallControl& control) {
  absl::StatusOr<AccountPtr> account = Find(invite.audience);
  if (!account.ok()) {
    // Only a gate that was never enrolled is new; one whose record is broken isn't overwritten.
    return ReasonOf(account.status()) == Reason::kGateNotEnrolled ? absl::OkStatus()
                                                                  : account.status();
  }
  if (IsPinned(invite, (*account)->record())) return absl::OkStatus();
  // A gate that changes its identity announces the new one in sessions, under the old one.
  const auto learn = [&](const AgentCallPtr& call, auto done) {
    (*account)->LearnIdentity(call, std::move(done));
  };
  const absl::Status learned = Await<ClientSessionPtr>(control, learn).status();
  if (IsPinned(invite, (*account)->record())) return absl::OkStatus();
  if (learned.ok()) {
    return Refuse(
        Reason::kGateIdentityMismatch,
        absl::StrCat("the invite names another identity of the gate ", invite.audience,
                     " than the one that is pinned here, and the gate announces no other: if its "
                     "administrator confirms that the gate was set up anew, run: forekey forget "
                     "--gate ",
                     ShellWord(invite.audience), ", and enrol again"));
  }
  return Refuse(
      Reason::kGateIdentityMismatch,
      absl::StrCat("the invite names another identity of the gate ", invite.audience,
                   " than the one that is pinned here. Whether the gate announces that one could "
                   "not be learned, as no session was opened (",
                   learned.message(), "): run forekey login --gate ", ShellWord(invite.audience),
                   ", then enrol again. If the gate's administrator confirms that it was set up "
                   "anew, run forekey forget --gate ",
                   ShellWord(invite.audience), " first"));
}

absl::Status Agent::TakeTurn(Turns* turns, const CallControl& control) {
  absl::MutexLock lock(&mutex_);
  if (turns->callers >= kMostCallers) {
    return absl::ResourceExhaustedError("several wait for the tokens already: try again later");
  }
  ++turns->callers;
  while (turns->taken && !stopping_ && !control.Cancelled()) {
    const auto free = [this, turns]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return !turns->taken || stopping_;
    };
    AwaitFor(mutex_, absl::Condition(&free), kTurnPoll);
  }
  if (!turns->taken && !stopping_ && !control.Cancelled()) {
    turns->taken = true;
    return absl::OkStatus();
  }
  --turns->callers;
  return stopping_ ? absl::CancelledError("the agent ends") : CallerGone();
}

void Agent::EndTurn(Turns* turns) {
  absl::MutexLock lock(&mutex_);
  turns->taken = false;
  --turns->callers;
}

absl::StatusOr<v1::EnrollResponse> Agent::Enroll(const v1::EnrollRequest& request,
                                                 const CallControl& call) {
  FOREKEY_ASSIGN_OR_RETURN(Invite invite, Invite::Parse(request.invite()));
  if (request.label().size() > kMaxLabel) {
    return absl::InvalidArgumentError("the label is longer than 64 bytes");
  }
  if (!IsPrintable(request.label())) {
    return absl::InvalidArgumentError("the label has characters that are not shown");
  }
  person_.Forget(invite.audience);  // by hand: whoever types this wants to be asked
  FOREKEY_RETURN_IF_ERROR(TakeTurn(&enrolments_, call));
  const absl::Cleanup end = [this] { EndTurn(&enrolments_); };
  CallControl waiting = call;
  waiting.cancelled = [this, &call] { return call.Cancelled() || Stopping(); };
  FOREKEY_RETURN_IF_ERROR(CheckInviteAgainstRecord(invite, waiting));
  AccountPtr account;
  {
    absl::MutexLock lock(&mutex_);
    if (auto known = accounts_.find(invite.audience); known != accounts_.end()) {
      account = known->second;
    }
  }
  CallControl control = call;
  control.cancelled = [this, &call, account] {
    return call.Cancelled() || Stopping() || (account != nullptr && !account->ended().ok());
  };
  absl::StatusOr<v1::EnrollResponse> response = EnrollWith(invite, request, account, control);
  const std::vector<std::string> left = LookForLeftKeys();
  for (const std::string& note : left) spdlog::warn("{}", note);
  if (response.ok()) {
    for (const std::string& note : left) response->add_notes(note);
  } else if (!left.empty()) {
    return WithNote(response.status(), absl::StrJoin(left, "; "));
  }
  return response;
}

}  // namespace forekey

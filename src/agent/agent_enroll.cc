// SPDX-License-Identifier: Apache-2.0
// Enrolment by the agent: between the invite, the token and the state directory. In an order such
// that a credential that the gate acknowledged is never lost: key and record are on the disk,
// marked pending, before the gate is asked to enrol.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "spdlog/spdlog.h"
#include "src/agent/agent.h"
#include "src/base/deadline.h"
#include "src/base/printable.h"
#include "src/base/reason.h"
#include "src/base/shell_word.h"
#include "src/base/status.h"
#include "src/client/enrollment.h"
#include "src/crypto/digest.h"

namespace forekey {

namespace {

constexpr size_t kMaxLabel = 64;
constexpr size_t kKeyFileDigits = 16;
constexpr int kMostCallers = 8;  // of one kind, under way and waiting
constexpr absl::Duration kTurnPoll = absl::Milliseconds(50);

std::string DefaultLabel() {
  char name[kMaxLabel + 1] = {};
  return gethostname(name, kMaxLabel) == 0 ? std::string(name) : std::string("workstation");
}

// Whether the gate may have enrolled the credential although it did not say so.
bool AnswerMayBeLost(const absl::Status& status) {
  if (ReasonOf(status).has_value()) return true;  // an answer came, and was not the gate's own
  switch (status.code()) {
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
      return false;
    default:
      return true;
  }
}

HeldCredential NewCredential(const Enrollment& enrollment, absl::string_view spki,
                             v1::TokenKind kind, const Driver& driver) {
  HeldCredential credential;
  credential.id = enrollment.CredentialIdOf(spki);
  credential.kind = kind;
  credential.key_file = absl::BytesToHexString(credential.id).substr(0, kKeyFileDigits) + ".key";
  credential.driver = std::string(driver.scheme());
  credential.rp_id = enrollment.demand().fido2().rp_id();
  credential.origin = enrollment.demand().fido2().origin();
  credential.pending = true;
  return credential;
}

bool IsPinned(const Invite& invite, const GateRecord& record) {
  return std::any_of(
      record.identities.begin(), record.identities.end(),
      [&](const std::string& identity) { return Sha256(identity) == invite.identity_fingerprint; });
}

// The status as it is, payloads and all, with more to say.
absl::Status WithNote(const absl::Status& status, absl::string_view note) {
  absl::Status noted(status.code(), absl::StrCat(status.message(), "; ", note));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { noted.SetPayload(url, payload); });
  return noted;
}

// A gate does not say why it refuses; the token may know what it has not shown.
absl::Status WithNoteOf(const KeyEnroller& enroller, const absl::Status& status) {
  const bool refused = absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status);
  const std::string note = enroller.Note();
  return refused && !note.empty() ? WithNote(status, note) : status;
}

void LogIfBad(const absl::Status& status) {
  if (!status.ok()) spdlog::error("{}", std::string(status.message()));
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

// One enrolment, as far as it has come.
struct Agent::Enrolling {
  AccountPtr account;  // null: the gate is new
  GateRecord record;   // of a new gate; else only the target matters
  HeldCredential credential;
  std::string reference, spki;
  v1::EnrollmentProof* proof = nullptr;
  Enrollment* enrollment = nullptr;
};

EnrollOptions Agent::MakeEnrollOptions(const v1::EnrollRequest& request, const CallControl& control,
                                       Prompt* prompt) const {
  EnrollOptions options;
  options.key_password = Secret::CopyOf(request.key_password());
  for (const auto& [name, value] : request.options()) options.named.Set(name, value);
  options.sign.prompt = prompt;
  options.sign.deadline = control.deadline;
  options.sign.cancelled = control.cancelled;
  return options;
}

absl::StatusOr<v1::EnrollResponse> Agent::EnrollWith(const Invite& invite,
                                                     const v1::EnrollRequest& request,
                                                     const AccountPtr& account,
                                                     const CallControl& control) {
  Enrolling enrolling;
  enrolling.account = account;
  GateRecord& record = enrolling.record;
  if (account != nullptr) record = account->record();
  record.target.audience = invite.audience;
  record.target.address = request.address().empty() ? invite.address : request.address();
  record.target.ca_pem =
      request.ca_pem().empty() ? PemBundle(invite.ca_certificates) : request.ca_pem();
  GateConnection::Options connection_options;
  connection_options.target = record.target;
  connection_options.clock = clock_;
  // Both steps and the challenge before them meet one process of the gate.
  if (affinity_) connection_options.affinity = NewAffinity();
  FOREKEY_ASSIGN_OR_RETURN(auto gate, GateConnection::New(std::move(connection_options)));

  std::string uri = request.device_uri();
  FOREKEY_ASSIGN_OR_RETURN(Driver * driver, ChooseDevice(&uri));
  std::unique_ptr<Prompt> prompt;
  if (prompter_ != nullptr) {
    prompt = prompter_->For(
        {invite.audience, "to enrol a key", control.program, control.cancelled, control.place});
  }
  EnrollOptions options = MakeEnrollOptions(request, control, prompt.get());
  std::optional<StateDirectory::LeftKey> made;
  const absl::Cleanup no_longer_making = [this] {
    absl::MutexLock lock(&mutex_);
    making_.reset();
  };
  options.before_key = [&](const std::string& place) {
    made = StateDirectory::LeftKey{std::string(driver->scheme()), place};
    absl::MutexLock lock(&mutex_);
    making_ = made;
    return state_->AddLeftKey(*made);
  };
  FOREKEY_ASSIGN_OR_RETURN(auto enroller, driver->Enroll(uri, std::move(options)));
  FOREKEY_ASSIGN_OR_RETURN(v1::EnrollmentOpening opening, enroller->Opening());
  if (control.Cancelled()) return CallerGone();
  auto begun = Enrollment::Begin(gate.get(), invite, opening, request.rp_id());
  if (!begun.ok()) return WithNoteOf(*enroller, begun.status());
  const auto enrollment = *std::move(begun);
  const v1::EnrollmentDemand& demand = enrollment->demand();
  if (!record.subject.empty() && record.subject != demand.subject()) {
    return Refuse(Reason::kSubjectMismatch,
                  absl::StrCat("this machine is enrolled at ", invite.audience, " as ",
                               record.subject, ", the invite is for ", demand.subject(),
                               ": run forekey forget first, if that is meant"));
  }
  if (request.look_only()) {
    v1::EnrollResponse seen;
    seen.set_gate(record.target.audience);
    seen.set_address(record.target.address);
    seen.set_subject(demand.subject());
    seen.set_device_uri(uri);
    return seen;
  }
  FOREKEY_ASSIGN_OR_RETURN(enrolling.spki, enroller->CreateKey(demand, enrollment->Statement("")));
  v1::EnrollmentProof proof;
  FOREKEY_RETURN_IF_ERROR(enroller->Prove(enrollment->Statement(enrolling.spki), &proof));
  FOREKEY_ASSIGN_OR_RETURN(enrolling.reference, enroller->KeyReference());
  if (control.Cancelled()) return CallerGone();

  enrolling.credential = NewCredential(*enrollment, enrolling.spki, opening.kind(), *driver);
  enrolling.credential.label = request.label().empty() ? DefaultLabel() : request.label();
  enrolling.credential.enrolled_unix_s = absl::ToUnixSeconds(clock_->WallNow());
  record.subject = demand.subject();
  if (account == nullptr) record.identities = {demand.gate_identity()};
  enrolling.proof = &proof;
  enrolling.enrollment = enrollment.get();
  if (absl::Status committed = Commit(enrolling); !committed.ok()) {
    return WithNoteOf(*enroller, committed);
  }
  if (made.has_value()) LogIfBad(state_->RemoveLeftKey(*made));
  v1::EnrollResponse response;
  response.set_gate(record.target.audience);
  response.set_subject(record.subject);
  response.set_credential_id(enrolling.credential.id);
  return response;
}

absl::Status Agent::Commit(const Enrolling& enrolling) {
  AccountPtr account = enrolling.account;
  if (account == nullptr) {
    FOREKEY_ASSIGN_OR_RETURN(account, MakeAccount(enrolling.record));
  }
  absl::Status pending = account->AddPending(enrolling.credential, enrolling.reference);
  if (!pending.ok()) {
    if (enrolling.account == nullptr) {
      LogIfBad(account->Forget());
      RemoveAccount(account);
    }
    return pending;
  }
  return Settle(enrolling, account,
                enrolling.enrollment->Finish(enrolling.spki, enrolling.credential.label,
                                             std::move(*enrolling.proof)));
}

absl::Status Agent::Settle(const Enrolling& enrolling, const AccountPtr& account,
                           const absl::Status& finished) {
  const std::string& audience = account->audience();
  if (finished.ok()) {
    absl::Status kept =
        account->Keep(enrolling.credential, /*pending=*/false, enrolling.record.target);
    if (kept.ok()) return kept;
    return absl::Status(kept.code(),
                        absl::StrCat(kept.message(), "; the credential ",
                                     absl::BytesToHexString(enrolling.credential.id),
                                     " is enrolled there until its administrator revokes it"));
  }
  if (AnswerMayBeLost(finished)) {
    LogIfBad(account->Keep(enrolling.credential, /*pending=*/true, enrolling.record.target));
    return absl::Status(
        finished.code(),
        absl::StrCat(finished.message(),
                     " (whether the gate enrolled the key is not known; it is "
                     "kept. Try: forekey login --gate ",
                     ShellWord(audience), "; if that is refused, ask for another invite)"));
  }
  if (enrolling.account == nullptr) {
    LogIfBad(account->Forget());
    RemoveAccount(account);
  } else {
    LogIfBad(account->Drop(enrolling.credential));
  }
  return finished;
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// One enrolment: between the invite, the token and the state directory. In an order such that a
// credential that the gate acknowledged is never lost: key and record are on the disk, marked
// pending, before the gate is asked to enrol. It begins anew once where its second step came to
// another process of the gate than its first.
#include <unistd.h>

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"
#include "src/agent/agent.h"
#include "src/base/reason.h"
#include "src/base/shell_word.h"
#include "src/base/status.h"
#include "src/base/status_note.h"
#include "src/client/enrollment.h"

namespace forekey {

namespace {

constexpr size_t kMaxHostName = 64;
constexpr size_t kKeyFileDigits = 16;

std::string DefaultLabel() {
  char name[kMaxHostName + 1] = {};
  return gethostname(name, kMaxHostName) == 0 ? std::string(name) : std::string("workstation");
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
                             const Driver& driver) {
  HeldCredential credential;
  credential.id = enrollment.CredentialIdOf(spki);
  credential.kind = driver.kind();
  credential.key_file = absl::BytesToHexString(credential.id).substr(0, kKeyFileDigits) + ".key";
  credential.driver = std::string(driver.scheme());
  credential.rp_id = enrollment.demand().fido2().rp_id();
  credential.origin = enrollment.demand().fido2().origin();
  credential.pending = true;
  return credential;
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

// What stays when it begins anew.
struct Agent::Enrolling {
  const Invite& invite;
  const v1::EnrollRequest& request;
  const CallControl& control;
  const AccountPtr account;  // null: the gate is new
  GateTarget target{};
  std::unique_ptr<GateConnection> gate{};
  std::string device_uri{};
  Driver* driver = nullptr;
  std::unique_ptr<Prompt> prompt{};
  std::optional<StateDirectory::LeftKey> made{};
  std::unique_ptr<KeyEnroller> enroller{};
};

// From the token's opening to the gate's answer.
struct Agent::EnrollAttempt {
  std::unique_ptr<Enrollment> enrollment;
  GateRecord record;  // of a new gate; else only the target matters
  std::string spki, reference;
  v1::EnrollmentProof proof;
  HeldCredential credential;
  bool elsewhere =
      false;  // its second step came to another process of the gate: it enrolled nothing
};

absl::StatusOr<v1::EnrollResponse> Agent::EnrollWith(const Invite& invite,
                                                     const v1::EnrollRequest& request,
                                                     const AccountPtr& account,
                                                     const CallControl& control) {
  const absl::Cleanup no_longer_making = [this] {
    absl::MutexLock lock(&mutex_);
    making_.reset();
  };
  Enrolling enrolling{invite, request, control, account};
  FOREKEY_RETURN_IF_ERROR(PrepareToEnroll(enrolling));
  EnrollAttempt first, second;
  absl::StatusOr<v1::EnrollResponse> response = TryToEnroll(enrolling, first);
  if (!first.elsewhere || !BeginAnew(enrolling)) return response;

  NoticeBoard::Place notices(&notices_, invite.audience);
  spdlog::warn("{}", notices.Post(absl::StrCat(
                         "the enrolment came to another process of the gate ", invite.audience,
                         " than it had begun at, which knows nothing of it: it begins anew, and "
                         "the token may ask for a touch or a PIN once more")));
  response = TryToEnroll(enrolling, second);
  if (response.ok()) return response;
  return WithNote(response.status(),
                  "this was the second attempt: the first came to another process of the gate");
}

absl::Status Agent::PrepareToEnroll(Enrolling& enrolling) {
  const v1::EnrollRequest& request = enrolling.request;
  const CallControl& control = enrolling.control;
  GateTarget& target = enrolling.target;
  if (enrolling.account != nullptr) target = enrolling.account->record().target;
  target.audience = enrolling.invite.audience;
  target.address = request.address().empty() ? enrolling.invite.address : request.address();
  target.ca_pem =
      request.ca_pem().empty() ? PemBundle(enrolling.invite.ca_certificates) : request.ca_pem();
  GateConnection::Options connection;
  connection.target = target;
  connection.clock = clock_;
  // Both steps and the challenge before them meet one process of the gate.
  if (affinity_) connection.affinity = NewAffinity();
  FOREKEY_ASSIGN_OR_RETURN(enrolling.gate, GateConnection::New(std::move(connection)));

  enrolling.device_uri = request.device_uri();
  FOREKEY_ASSIGN_OR_RETURN(enrolling.driver, ChooseDevice(&enrolling.device_uri));
  if (prompter_ != nullptr) {
    enrolling.prompt = prompter_->For(
        {target.audience, "to enrol a key", control.program, control.cancelled, control.place});
  }
  EnrollOptions options = MakeEnrollOptions(request, control, enrolling.prompt.get());
  options.before_key = [this, &enrolling](const std::string& place) {
    enrolling.made = StateDirectory::LeftKey{std::string(enrolling.driver->scheme()), place};
    absl::MutexLock lock(&mutex_);
    making_ = enrolling.made;
    return state_->AddLeftKey(*enrolling.made);
  };
  FOREKEY_ASSIGN_OR_RETURN(enrolling.enroller,
                           enrolling.driver->Enroll(enrolling.device_uri, std::move(options)));
  return absl::OkStatus();
}

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

bool Agent::BeginAnew(const Enrolling& enrolling) {
  const CallControl& control = enrolling.control;
  if (control.Cancelled() || control.deadline.Passed()) return false;
  const absl::Status ready = enrolling.enroller->BeginAnew();
  LogIfBad(ready);
  return ready.ok();
}

absl::StatusOr<v1::EnrollResponse> Agent::TryToEnroll(Enrolling& enrolling,
                                                      EnrollAttempt& attempt) {
  FOREKEY_RETURN_IF_ERROR(BeginAttempt(enrolling, attempt));
  v1::EnrollResponse response;
  response.set_gate(enrolling.target.audience);
  response.set_subject(attempt.record.subject);
  if (enrolling.request.look_only()) {
    response.set_address(enrolling.target.address);
    response.set_device_uri(enrolling.device_uri);
    return response;
  }
  FOREKEY_RETURN_IF_ERROR(MakeKey(enrolling, attempt));
  if (enrolling.control.Cancelled()) return CallerGone();
  if (absl::Status committed = Commit(enrolling, attempt); !committed.ok()) {
    return WithNoteOf(*enrolling.enroller, committed);
  }
  if (enrolling.made.has_value()) LogIfBad(state_->RemoveLeftKey(*enrolling.made));
  response.set_credential_id(attempt.credential.id);
  return response;
}

absl::Status Agent::BeginAttempt(Enrolling& enrolling, EnrollAttempt& attempt) {
  const Invite& invite = enrolling.invite;
  FOREKEY_ASSIGN_OR_RETURN(const v1::EnrollmentOpening opening, enrolling.enroller->Opening());
  if (enrolling.control.Cancelled()) return CallerGone();
  auto begun = Enrollment::Begin(enrolling.gate.get(), invite, opening, enrolling.request.rp_id());
  if (!begun.ok()) return WithNoteOf(*enrolling.enroller, begun.status());
  attempt.enrollment = *std::move(begun);
  const v1::EnrollmentDemand& demand = attempt.enrollment->demand();
  GateRecord& record = attempt.record;
  if (enrolling.account != nullptr) {
    record = enrolling.account->record();
  } else {
    record.identities = {demand.gate_identity()};
  }
  if (!record.subject.empty() && record.subject != demand.subject()) {
    return Refuse(Reason::kSubjectMismatch,
                  absl::StrCat("this machine is enrolled at ", invite.audience, " as ",
                               record.subject, ", the invite is for ", demand.subject(),
                               ": run forekey forget first, if that is meant"));
  }
  record.subject = demand.subject();
  record.target = enrolling.target;
  return absl::OkStatus();
}

absl::Status Agent::MakeKey(const Enrolling& enrolling, EnrollAttempt& attempt) {
  const Enrollment& enrollment = *attempt.enrollment;
  KeyEnroller& enroller = *enrolling.enroller;
  FOREKEY_ASSIGN_OR_RETURN(attempt.spki,
                           enroller.CreateKey(enrollment.demand(), enrollment.Statement("")));
  FOREKEY_RETURN_IF_ERROR(enroller.Prove(enrollment.Statement(attempt.spki), &attempt.proof));
  FOREKEY_ASSIGN_OR_RETURN(attempt.reference, enroller.KeyReference());
  const std::string& label = enrolling.request.label();
  attempt.credential = NewCredential(enrollment, attempt.spki, *enrolling.driver);
  attempt.credential.label = label.empty() ? DefaultLabel() : label;
  attempt.credential.enrolled_unix_s = absl::ToUnixSeconds(clock_->WallNow());
  return absl::OkStatus();
}

absl::Status Agent::Commit(const Enrolling& enrolling, EnrollAttempt& attempt) {
  FOREKEY_ASSIGN_OR_RETURN(const AccountPtr account, KeepPending(enrolling, attempt));
  const absl::Status finished =
      attempt.enrollment->Finish(attempt.spki, attempt.credential.label, std::move(attempt.proof));
  const absl::Status settled = Settle(enrolling, attempt, account, finished);
  attempt.elsewhere = !AnswerMayBeLost(finished) && !enrolling.control.Cancelled() &&
                      attempt.enrollment->CameToAnotherProcess(finished);
  return settled;
}

absl::StatusOr<Agent::AccountPtr> Agent::KeepPending(const Enrolling& enrolling,
                                                     const EnrollAttempt& attempt) {
  AccountPtr account = enrolling.account;
  if (account == nullptr) {
    FOREKEY_ASSIGN_OR_RETURN(account, MakeAccount(attempt.record));
  }
  const absl::Status pending = account->AddPending(attempt.credential, attempt.reference);
  if (pending.ok()) return account;
  if (enrolling.account == nullptr) {
    LogIfBad(account->Forget());
    RemoveAccount(account);
  }
  return pending;
}

absl::Status Agent::Settle(const Enrolling& enrolling, const EnrollAttempt& attempt,
                           const AccountPtr& account, const absl::Status& finished) {
  if (finished.ok()) {
    absl::Status kept = account->Keep(attempt.credential, /*pending=*/false, attempt.record.target);
    if (kept.ok()) return kept;
    return absl::Status(kept.code(),
                        absl::StrCat(kept.message(), "; the credential ",
                                     absl::BytesToHexString(attempt.credential.id),
                                     " is enrolled there until its administrator revokes it"));
  }
  if (AnswerMayBeLost(finished)) {
    LogIfBad(account->Keep(attempt.credential, /*pending=*/true, attempt.record.target));
    return absl::Status(finished.code(),
                        absl::StrCat(finished.message(),
                                     " (whether the gate enrolled the key is not known; it is "
                                     "kept. Try: forekey login --gate ",
                                     ShellWord(account->audience()),
                                     "; if that is refused, ask for another invite)"));
  }
  if (enrolling.account == nullptr) {
    LogIfBad(account->Forget());
    RemoveAccount(account);
  } else {
    LogIfBad(account->Drop(attempt.credential));
  }
  return finished;
}

}  // namespace forekey

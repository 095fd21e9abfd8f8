// Enrolment by the agent: between the invite, the token and the state directory. In an order such
// that a credential that the gate acknowledged is never lost: key and record are on the disk,
// marked pending, before the gate is asked to enrol.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"
#include "src/agent/agent.h"
#include "src/base/printable.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/client/enrollment.h"
#include "src/crypto/digest.h"

namespace forekey {

namespace {

constexpr size_t kMaxLabel = 64;
constexpr size_t kKeyFileDigits = 16;

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

HeldCredential* FindCredential(GateRecord* record, const std::string& id) {
  for (HeldCredential& credential : record->credentials) {
    if (credential.id == id) return &credential;
  }
  return nullptr;
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

absl::Status Agent::CheckInviteAgainstRecord(const Invite& invite) {
  absl::StatusOr<AccountPtr> account = Find(invite.audience);
  if (!account.ok()) {
    // Only a gate that was never enrolled is new; one whose record is broken isn't overwritten.
    return ReasonOf(account.status()) == Reason::kGateNotEnrolled ? absl::OkStatus()
                                                                  : account.status();
  }
  for (const std::string& identity : (*account)->record().identities) {
    if (Sha256(identity) == invite.identity_fingerprint) return absl::OkStatus();
  }
  return Refuse(
      Reason::kGateIdentityMismatch,
      absl::StrCat("the invite names another identity of the gate ", invite.audience,
                   " than the one that is pinned here: if its administrator confirms that "
                   "the gate was set up anew, run: forekey forget --gate ",
                   invite.audience, ", and enrol again"));
}

GateRecord Agent::RecordFor(const std::string& audience) {
  absl::MutexLock lock(&mutex_);
  auto known = accounts_.find(audience);
  if (known != accounts_.end()) return known->second->record();
  GateRecord record;
  record.target.audience = audience;
  return record;
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
  absl::MutexLock enrolling(&enroll_mutex_);
  FOREKEY_RETURN_IF_ERROR(CheckInviteAgainstRecord(invite));
  std::string uri = request.device_uri();
  FOREKEY_ASSIGN_OR_RETURN(Driver * driver, ChooseDevice(&uri));
  FOREKEY_ASSIGN_OR_RETURN(GateRecord record, EnrollWith(invite, request, driver, uri, call));
  v1::EnrollResponse response;
  response.set_gate(record.target.audience);
  response.set_subject(record.subject);
  response.set_credential_id(record.credentials.back().id);
  FOREKEY_RETURN_IF_ERROR(AddAccount(std::move(record)));
  return response;
}

absl::StatusOr<GateRecord> Agent::EnrollWith(const Invite& invite, const v1::EnrollRequest& request,
                                             Driver* driver, const std::string& uri,
                                             const CallControl& call) {
  const GateRecord before = RecordFor(invite.audience);
  GateRecord record = before;
  record.target.address = request.address().empty() ? invite.address : request.address();
  record.target.ca_pem =
      request.ca_pem().empty() ? PemBundle(invite.ca_certificates) : request.ca_pem();
  GateConnection::Options connection_options;
  connection_options.target = record.target;
  connection_options.clock = clock_;
  FOREKEY_ASSIGN_OR_RETURN(auto gate, GateConnection::New(std::move(connection_options)));

  EnrollOptions enroll_options;
  enroll_options.key_password = Secret::CopyOf(request.key_password());
  for (const auto& [name, value] : request.options()) enroll_options.named.Set(name, value);
  enroll_options.sign.prompt = prompt_.get();
  enroll_options.sign.deadline = call.deadline;
  enroll_options.sign.cancelled = call.cancelled;
  FOREKEY_ASSIGN_OR_RETURN(auto enroller, driver->Enroll(uri, std::move(enroll_options)));
  FOREKEY_ASSIGN_OR_RETURN(v1::EnrollmentOpening opening, enroller->Opening());
  if (call.Cancelled()) return absl::CancelledError("the caller gave up");
  FOREKEY_ASSIGN_OR_RETURN(auto enrollment, Enrollment::Begin(gate.get(), invite, opening));
  const v1::EnrollmentDemand& demand = enrollment->demand();
  if (!record.subject.empty() && record.subject != demand.subject()) {
    return Refuse(Reason::kSubjectMismatch,
                  absl::StrCat("this machine is enrolled at ", invite.audience, " as ",
                               record.subject, ", the invite is for ", demand.subject(),
                               ": run forekey forget first, if that is meant"));
  }
  FOREKEY_ASSIGN_OR_RETURN(std::string spki,
                           enroller->CreateKey(demand, enrollment->Statement("")));
  v1::EnrollmentProof proof;
  FOREKEY_RETURN_IF_ERROR(enroller->Prove(enrollment->Statement(spki), &proof));
  FOREKEY_ASSIGN_OR_RETURN(std::string reference, enroller->KeyReference());
  if (call.Cancelled()) return absl::CancelledError("the caller gave up");

  HeldCredential credential = NewCredential(*enrollment, spki, opening.kind(), *driver);
  credential.label = request.label().empty() ? DefaultLabel() : request.label();
  credential.enrolled_unix_s = absl::ToUnixSeconds(clock_->WallNow());
  record.subject = demand.subject();
  if (std::find(record.identities.begin(), record.identities.end(), demand.gate_identity()) ==
      record.identities.end()) {
    record.identities = {demand.gate_identity()};
  }
  // A key that existed already may be enrolled once more.
  if (FindCredential(&record, credential.id) == nullptr) record.credentials.push_back(credential);
  FOREKEY_RETURN_IF_ERROR(state_->SaveKey(invite.audience, credential.key_file, reference));
  FOREKEY_RETURN_IF_ERROR(state_->Save(record));
  absl::Status finished = enrollment->Finish(spki, credential.label, std::move(proof));
  FOREKEY_RETURN_IF_ERROR(Settle(before, credential, finished, &record));
  return record;
}

absl::Status Agent::Settle(const GateRecord& before, const HeldCredential& credential,
                           const absl::Status& finished, GateRecord* record) {
  const std::string& audience = record->target.audience;
  if (finished.ok()) {
    FindCredential(record, credential.id)->pending = false;
    // When this fails, it is pending on the disk, which the next session clears.
    LogIfBad(state_->Save(*record));
    return finished;
  }
  if (AnswerMayBeLost(finished)) {
    LogIfBad(AddAccount(*record));
    return absl::Status(finished.code(),
                        absl::StrCat(finished.message(),
                                     " (whether the gate enrolled the key is not known; it is "
                                     "kept. Try: forekey login --gate ",
                                     audience, "; if that is refused, ask for another invite)"));
  }
  if (before.credentials.empty()) {
    LogIfBad(state_->RemoveGate(*record));
    return finished;
  }
  absl::Status restored = state_->Save(before);
  LogIfBad(restored);
  bool was_known = std::any_of(before.credentials.begin(), before.credentials.end(),
                               [&](const HeldCredential& c) { return c.id == credential.id; });
  if (restored.ok() && !was_known) LogIfBad(state_->RemoveKey(audience, credential.key_file));
  return finished;
}

}  // namespace forekey

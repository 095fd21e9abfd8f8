#include "src/agent/gate_account.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/wire/token_kind.h"

namespace forekey {
namespace {

// How often a waiting caller looks whether its own client has gone away.
constexpr absl::Duration kCancelPoll = absl::Milliseconds(50);
constexpr size_t kMaxPrefixChildren = 16;
constexpr size_t kMaxSigners = 3;  // of one device proof
constexpr size_t kMinIdDigits = 6;

// Whether a name of LoginRequest.with means this credential; the empty one means any.
bool Answers(const HeldCredential& credential, const std::string& name) {
  return name.empty() || name == TokenKindName(credential.kind) || name == credential.label ||
         (name.size() >= kMinIdDigits &&
          absl::StartsWith(absl::BytesToHexString(credential.id), name));
}

absl::Status CallerGone() { return absl::CancelledError("the caller gave up"); }

bool Usable(const ClientSessionPtr& session) {
  return session != nullptr && session->state() != ClientSession::State::kExpired;
}

// The gate no longer takes the session (or the connection got another certificate, which comes to
// the same). A refusal with a Reason was made here, by a check of the gate's answer: never retried.
bool SessionRejected(const absl::Status& status) {
  if (ReasonOf(status).has_value()) return false;
  return absl::IsUnauthenticated(status) || absl::IsAborted(status);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GateAccount>> GateAccount::New(Options options) {
  GateConnection::Options connection_options;
  connection_options.target = options.record.target;
  connection_options.clock = options.clock;
  FOREKEY_ASSIGN_OR_RETURN(auto connection, GateConnection::New(std::move(connection_options)));
  return std::unique_ptr<GateAccount>(new GateAccount(std::move(options), std::move(connection)));
}

GateRecord GateAccount::record() const {
  absl::MutexLock lock(&mutex_);
  return record_;
}

ClientSessionPtr GateAccount::session() const {
  absl::MutexLock lock(&mutex_);
  return Usable(parent_.session) ? parent_.session : nullptr;
}

absl::StatusOr<ClientSessionPtr> GateAccount::Login(const CallControl& call, bool fresh,
                                                    Secret key_password,
                                                    const std::vector<std::string>& with,
                                                    Secret password) {
  std::string rejected;
  if (!with.empty()) FOREKEY_RETURN_IF_ERROR(Choose(with).status());
  {
    absl::MutexLock lock(&mutex_);
    if (!key_password.empty()) {
      key_password_ = std::move(key_password);
      keys_.clear();
    }
    const bool others = !with.empty() && with != with_;
    if (others) with_ = with;
    const bool anew = fresh || others || !password.empty();
    if (anew && parent_.session != nullptr) rejected = parent_.session->id();
    if (!password.empty()) next_opening_ = Opening{{}, std::move(password)};
  }
  FOREKEY_ASSIGN_OR_RETURN(Parent parent, EnsureParent(call, rejected));
  return parent.session;
}

absl::Status GateAccount::Logout() {
  ClientSessionPtr session;
  {
    absl::MutexLock lock(&mutex_);
    ++logouts_;
    session = std::exchange(parent_, Parent()).session;
    prefix_children_.clear();
    children_until_ = 0;
    keys_.clear();
    key_password_ = Secret();
    with_.clear();
  }
  if (!Usable(session)) return absl::OkStatus();
  absl::Status ended = connection_->EndSession(*session);
  return SessionRejected(ended) ? absl::OkStatus() : ended;  // it had ended by itself
}

absl::StatusOr<GateAccount::Parent> GateAccount::EnsureParent(const CallControl& call,
                                                              absl::string_view rejected) {
  uint64_t logouts;
  Opening opening;
  {
    absl::MutexLock lock(&mutex_);
    if (parent_.session != nullptr && parent_.session->id() == rejected) parent_ = Parent();
    while (true) {
      if (call.Cancelled()) return CallerGone();
      if (Usable(parent_.session)) return parent_;
      if (!opening_) break;
      uint64_t before = openings_;
      while (openings_ == before) {
        opened_.WaitWithTimeout(&mutex_, kCancelPoll);
        if (call.Cancelled()) return CallerGone();
      }
      // When the one who opened gave up, the next one takes over; any other failure is everybody's.
      if (!last_opening_.ok() && !absl::IsCancelled(last_opening_)) return last_opening_;
    }
    opening_ = true;
    logouts = logouts_;
    opening = std::exchange(next_opening_, Opening());
  }
  absl::StatusOr<Parent> opened = OpenParent(call, opening);
  absl::MutexLock lock(&mutex_);
  if (opened.ok() && logouts != logouts_) {
    opened = absl::CancelledError("logged out in the meantime");
  }
  if (opened.ok()) {
    parent_ = *opened;
    prefix_children_.clear();
  }
  opening_ = false;
  ++openings_;
  last_opening_ = opened.status();
  opened_.SignalAll();
  return opened;
}

absl::StatusOr<std::vector<HeldCredential>> GateAccount::Choose(
    std::vector<std::string> with) const {
  absl::MutexLock lock(&mutex_);
  if (with.empty()) with = with_;
  std::erase(with, kOidcFactor);  // no credential: WantsIdToken() asks for it
  if (with.empty()) with = {""};
  if (with.size() > kMaxSigners) {
    return absl::InvalidArgumentError("at most three credentials sign together");
  }
  std::vector<HeldCredential> chosen;
  for (const std::string& name : with) {
    // The newest that is known to be enrolled; else the newest whose enrolment may have succeeded.
    const HeldCredential* found = nullptr;
    for (auto it = record_.credentials.rbegin(); it != record_.credentials.rend(); ++it) {
      if (Answers(*it, name) && (found == nullptr || (found->pending && !it->pending)))
        found = &*it;
    }
    if (found == nullptr) {
      return name.empty()
                 ? absl::FailedPreconditionError("the record has no credential: enrol again")
                 : absl::InvalidArgumentError(absl::StrCat("no credential at ",
                                                           record_.target.audience,
                                                           " is of the kind, or has the "
                                                           "label or id ",
                                                           name, ": forekey status lists them"));
    }
    for (const HeldCredential& known : chosen) {
      if (known.id == found->id) {
        return absl::InvalidArgumentError(
            absl::StrCat(name, " names a credential that is named already"));
      }
    }
    chosen.push_back(*found);
  }
  return chosen;
}

absl::StatusOr<GateAccount::Parent> GateAccount::OpenParent(const CallControl& call,
                                                            const Opening& opening) {
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<HeldCredential> credentials,
                           CredentialsFor(opening.words));
  absl::Status refused;
  // Two identities are pinned while the gate rotates its own: the announced one, then the old one.
  for (const std::string& identity : record().identities) {
    absl::StatusOr<Parent> parent = OpenWithIdentity(identity, credentials, call, opening);
    // The gate's certificate was replaced in mid-opening: once more, on the new connection.
    if (absl::IsAborted(parent.status())) {
      parent = OpenWithIdentity(identity, credentials, call, opening);
    }
    if (parent.ok()) {
      Remember(*parent, credentials);
      return parent;
    }
    refused = parent.status();
    bool by_gate = absl::IsUnauthenticated(refused) && !DeviceErrorOf(refused).has_value();
    if (!by_gate || ReasonOf(refused).has_value()) return refused;
    // A password or a token that was wrong is not tried twice: the gate counts.
    if (!opening.password.empty()) {
      return absl::UnauthenticatedError(
          absl::StrCat("the password may be wrong: ", refused.message()));
    }
    if (WantsIdToken(opening)) {
      return absl::UnauthenticatedError(
          absl::StrCat("the gate may not take the ID token: ", refused.message()));
    }
  }
  return refused;
}

absl::StatusOr<GateAccount::Parent> GateAccount::OpenWithIdentity(
    const std::string& identity, const std::vector<HeldCredential>& credentials,
    const CallControl& call, const Opening& opening) {
  if (call.Cancelled()) return CallerGone();
  GateConnection::OpenOptions options;
  options.gate_identity = identity;
  options.password = opening.password.Clone();
  if (WantsIdToken(opening)) {
    options.id_token = [this, &call](absl::string_view nonce) {
      return RunTokenCommand(nonce, call);
    };
  }
  FOREKEY_ASSIGN_OR_RETURN(options.signers,
                           MakeSigners(credentials, call, WantsUserVerification(opening.words)));
  FOREKEY_ASSIGN_OR_RETURN(ClientSessionPtr session, connection_->OpenSession(options));
  std::string subject = record().subject;
  if (session->subject() != subject) {
    return Refuse(Reason::kSubjectMismatch,
                  absl::StrCat("the gate opened a session of ", session->subject(),
                               ", this machine enrolled ", subject));
  }
  return Parent{std::move(session), identity};
}

void GateAccount::Remember(const Parent& parent, const std::vector<HeldCredential>& credentials) {
  absl::MutexLock lock(&mutex_);
  // The announced identity, which the old one vouched for, comes first from now on; the old one
  // goes with the first session that the new one opened.
  std::vector<std::string> identities = {parent.gate_identity};
  const std::string& next = parent.session->next_gate_identity();
  if (!next.empty() && next != parent.gate_identity) identities.insert(identities.begin(), next);
  bool changed = identities != record_.identities;
  record_.identities = std::move(identities);
  for (HeldCredential& known : record_.credentials) {
    const bool signed_with = std::any_of(credentials.begin(), credentials.end(),
                                         [&](const HeldCredential& c) { return c.id == known.id; });
    if (!signed_with || !known.pending) continue;
    known.pending = false;
    changed = true;
  }
  if (!changed) return;
  absl::Status saved = state_->Save(record_);
  if (!saved.ok()) {
    spdlog::error("gate {}: the record could not be written, it is kept in memory: {}",
                  record_.target.audience, std::string(saved.message()));
  }
}

absl::StatusOr<std::shared_ptr<DeviceKey>> GateAccount::LoadKey(const HeldCredential& credential,
                                                                bool alone) {
  Secret password;
  std::string audience;
  {
    absl::MutexLock lock(&mutex_);
    auto known = keys_.find(credential.id);
    if (known != keys_.end()) return known->second;
    // Of several tokens only one can be meant, and a wrong PIN costs a try.
    if (alone || credential.kind == forekey::v1::TOKEN_KIND_TPM) password = key_password_.Clone();
    audience = record_.target.audience;
  }
  for (const auto& driver : *drivers_) {
    if (driver->scheme() != credential.driver) continue;
    FOREKEY_ASSIGN_OR_RETURN(std::string reference, state_->ReadKey(audience, credential.key_file));
    FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<DeviceKey> key,
                             driver->Load(reference, std::move(password)));
    absl::MutexLock lock(&mutex_);
    keys_[credential.id] = key;
    return key;
  }
  return absl::FailedPreconditionError(absl::StrCat("the key needs the driver '", credential.driver,
                                                    "', which this agent was built without"));
}

absl::StatusOr<std::vector<Signer>> GateAccount::MakeSigners(
    const std::vector<HeldCredential>& credentials, const CallControl& call,
    bool user_verification) {
  std::vector<Signer> signers;
  for (const HeldCredential& credential : credentials) {
    FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<DeviceKey> key,
                             LoadKey(credential, credentials.size() == 1));
    signers.push_back(SignerFor(credential, std::move(key), call, user_verification));
  }
  return signers;
}

Signer GateAccount::SignerFor(const HeldCredential& credential, std::shared_ptr<DeviceKey> key,
                              const CallControl& call, bool user_verification) {
  Signer signer;
  signer.credential_id = credential.id;
  signer.sign = [this, key, credential, &call, user_verification](
                    absl::string_view statement) -> absl::StatusOr<SignedStatement> {
    SignOptions options;
    options.rp_id = credential.rp_id;
    options.origin = credential.origin;
    options.user_verification = user_verification;
    options.deadline = call.deadline;
    options.cancelled = call.cancelled;
    options.prompt = prompt_;
    absl::StatusOr<DeviceSignature> signature = key->Sign(statement, options);
    if (!signature.ok()) {
      // Loaded anew next time: the token may have been pulled out and put back. A wrong password is
      // never tried twice: each try brings the token nearer to locking itself.
      absl::MutexLock lock(&mutex_);
      keys_.erase(credential.id);
      if (DeviceErrorOf(signature.status()) == DeviceError::kWrongPin) key_password_ = Secret();
      return signature.status();
    }
    return SignedStatement{std::move(signature->signature),
                           std::move(signature->authenticator_data),
                           std::move(signature->client_data_json)};
  };
  return signer;
}

absl::Status GateAccount::Outlast(const CallControl& call, int64_t boot_nanos) {
  Parent old;
  {
    absl::MutexLock lock(&mutex_);
    old = parent_;
    if (!Usable(old.session) || old.session->expires_boot_nanos() > boot_nanos)
      return absl::OkStatus();
    if (outlasted_ == old.session->id()) {
      return absl::FailedPreconditionError(
          "the session ends, and the next one could not be opened");
    }
    outlasted_ = old.session->id();
  }
  const absl::Status opened = EnsureParent(call, old.session->id()).status();
  absl::MutexLock lock(&mutex_);
  if (!opened.ok() && parent_.session == nullptr && !opening_ && Usable(old.session)) parent_ = old;
  return opened;
}

absl::StatusOr<ClientSessionPtr> GateAccount::OpenChild(const CallControl& call,
                                                        std::string channel_binding) {
  std::string rejected;
  absl::Status last;
  for (int attempt = 0; attempt < 2; ++attempt) {
    FOREKEY_ASSIGN_OR_RETURN(Parent parent, EnsureParent(call, rejected));
    GateConnection::ChildOptions options;
    options.gate_identity = parent.gate_identity;
    options.channel_binding =
        channel_binding.empty() ? parent.session->channel_binding() : channel_binding;
    auto child = connection_->OpenChildSession(*parent.session, options);
    if (child.ok()) {
      absl::MutexLock lock(&mutex_);
      children_until_ = std::max(children_until_, (*child)->expires_boot_nanos());
      return child;
    }
    last = child.status();
    if (!SessionRejected(last)) return last;
    rejected = parent.session->id();
  }
  return last;
}

absl::StatusOr<GateAccount::Prefix> GateAccount::SessionPrefix(const CallControl& call,
                                                               absl::string_view method,
                                                               absl::string_view channel_binding,
                                                               absl::string_view rejected_session) {
  FOREKEY_ASSIGN_OR_RETURN(Parent parent, EnsureParent(call, rejected_session));
  std::string binding(channel_binding);
  if (binding.empty() || binding == parent.session->channel_binding()) {
    return Prefix{parent.session->MakePrefix(method), parent.session->id()};
  }
  ClientSessionPtr child;
  {
    absl::MutexLock lock(&mutex_);
    auto known = prefix_children_.find(binding);
    if (known != prefix_children_.end() && Usable(known->second) &&
        known->second->id() != rejected_session) {
      child = known->second;
    }
  }
  if (child == nullptr) {
    FOREKEY_ASSIGN_OR_RETURN(child, OpenChild(call, binding));
    absl::MutexLock lock(&mutex_);
    if (prefix_children_.size() >= kMaxPrefixChildren) prefix_children_.clear();
    prefix_children_[binding] = child;
  }
  return Prefix{child->MakePrefix(method), child->id()};
}

absl::StatusOr<GateAccount::Prefix> GateAccount::DevicePrefix(
    const CallControl& call, absl::string_view method, absl::string_view channel_binding,
    const std::vector<std::string>& with) {
  if (std::find(with.begin(), with.end(), kOidcFactor) != with.end()) {
    return absl::InvalidArgumentError("an ID token is proved for a session, it signs no call");
  }
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<HeldCredential> credentials, Choose(with));
  FOREKEY_ASSIGN_OR_RETURN(std::vector<Signer> signers, MakeSigners(credentials, call));
  FOREKEY_ASSIGN_OR_RETURN(std::string prefix, connection_->MakeDevicePrefix(
                                                   method, channel_binding, std::move(signers)));
  return Prefix{std::move(prefix), ""};
}

int64_t GateAccount::KeepAlive() {
  constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  ClientSessionPtr session;
  int64_t now = clock_->BootNanos();
  {
    absl::MutexLock lock(&mutex_);
    if (!Usable(parent_.session) || children_until_ <= now) return kNever;
    session = parent_.session;
  }
  int64_t interval = int64_t{session->idle_s()} * 1'000'000'000 / 3;
  if (now < session->last_used_boot_nanos() + interval) {
    return session->last_used_boot_nanos() + interval;
  }
  absl::Status alive = connection_->WhoAmI(*session).status();
  if (SessionRejected(alive)) {
    absl::MutexLock lock(&mutex_);
    if (parent_.session == session) parent_ = Parent();
    return kNever;
  }
  return session->last_used_boot_nanos() + interval;
}

}  // namespace forekey

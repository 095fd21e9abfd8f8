// SPDX-License-Identifier: Apache-2.0
// How a GateAccount opens its session: which identity, which tokens, which further factors.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"
#include "src/agent/gate_account.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

// It opened no session for another reason, which is none of the token's either.
bool GateFailed(const absl::Status& status) {
  return !status.ok() && !DeviceErrorOf(status).has_value() && !RefusedByGate(status);
}

}  // namespace

absl::StatusOr<GateAccount::Parent> GateAccount::OpenParent(const CallControl& control,
                                                            Opening opening) {
  FOREKEY_ASSIGN_OR_RETURN(std::vector<Candidates> candidates,
                           CredentialsFor(opening.words, opening.with));
  const bool typed = opening.password.empty() && HasWord(opening.words, kPasswordFactor);
  if (typed) {
    FOREKEY_RETURN_IF_ERROR(refused_keys_.MayAskPassword());
    // Of what rests no session would be opened with it.
    FOREKEY_RETURN_IF_ERROR(SomeMayBeAsked(candidates));
    FOREKEY_ASSIGN_OR_RETURN(opening.password, AskPassword(control));
  }
  std::vector<std::string> notes;
  auto parent = WithFallback(std::move(candidates), &notes, [&](const Candidates& credentials) {
    return OpenWith(credentials, control, opening);
  });
  TellNotes(notes);
  if (parent.ok()) parent->notes = std::move(notes);
  if (typed && parent.ok()) refused_keys_.PasswordTaken();
  // Programs try again at once: the person is not asked each time, where the gate is away for a
  // moment, or refuses the password, whose wrong tries it counts.
  if (typed && !parent.ok() && !DeviceErrorOf(parent.status()).has_value() &&
      !control.Cancelled()) {
    refused_keys_.PasswordFailed(parent.status());
  }
  return parent;
}

absl::Status GateAccount::SomeMayBeAsked(const std::vector<Candidates>& places) const {
  std::vector<std::string> notes;
  return WithFallback(places, &notes,
                      [this](const Candidates& credentials) -> absl::StatusOr<bool> {
                        for (const HeldCredential& credential : credentials) {
                          FOREKEY_RETURN_IF_ERROR(refused_keys_.MayAsk(credential));
                        }
                        return true;
                      })
      .status();
}

void GateAccount::TellNotes(const std::vector<std::string>& notes) const {
  for (const std::string& note : notes) spdlog::info("gate {}: {}", audience_, note);
}

absl::StatusOr<GateAccount::Parent> GateAccount::OpenWith(const Candidates& credentials,
                                                          const CallControl& control,
                                                          const Opening& opening) {
  const Work work = MakeWork(control, "to open a session", WantsUserVerification(opening.words));
  absl::Status refused;
  // Two identities are pinned while the gate rotates its own: the announced one, then the old one.
  for (const std::string& identity : record().identities) {
    absl::StatusOr<Parent> parent = OpenWithIdentity(identity, credentials, work, opening);
    // The gate's certificate was replaced in mid-opening: once more, on the new connection.
    if (absl::IsAborted(parent.status())) {
      parent = OpenWithIdentity(identity, credentials, work, opening);
    }
    if (parent.ok()) {
      refused_keys_.Taken(credentials);
      Remember(*parent, credentials);
      return parent;
    }
    refused = parent.status();
    if (!RefusedByGate(refused)) {
      // Programs try again where the gate is away for a moment: the person is not asked each time.
      if (*work.asked && GateFailed(refused) && !work.control.Cancelled()) {
        refused_keys_.Failed(credentials, refused);
      }
      return refused;
    }
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
  // A gate that wants more than that knows the credential.
  if (StepUp::FromMessage(refused.message()).empty()) refused_keys_.Refused(credentials, refused);
  return refused;
}

absl::StatusOr<GateAccount::Parent> GateAccount::OpenWithIdentity(const std::string& identity,
                                                                  const Candidates& credentials,
                                                                  const Work& work,
                                                                  const Opening& opening) {
  if (work.control.Cancelled()) return CallerGone();
  GateConnection::OpenOptions options;
  options.gate_identity = identity;
  options.password = opening.password.Clone();
  if (WantsIdToken(opening)) {
    options.id_token = [this, &work](absl::string_view nonce) {
      return RunTokenCommand(nonce, work.control);
    };
  }
  FOREKEY_ASSIGN_OR_RETURN(options.signers, MakeSigners(credentials, &work));
  FOREKEY_ASSIGN_OR_RETURN(ClientSessionPtr session, connection()->OpenSession(options));
  if (const std::string enrolled = record().subject; session->subject() != enrolled) {
    const absl::Status refused = Refuse(
        Reason::kSubjectMismatch, absl::StrCat("the gate opened a session of ", session->subject(),
                                               ", this machine enrolled ", enrolled));
    (void)connection()->EndSession(*session);  // nobody will use it
    return refused;
  }
  Parent parent;
  static_cast<Asked&>(parent) = opening;
  parent.session = std::move(session);
  parent.gate_identity = identity;
  absl::MutexLock lock(&mutex_);
  if (opening.plain()) parent.with = with_;
  return parent;
}

bool GateAccount::LearnNext(const std::string& identity, const ClientSession& session) {
  // The announced identity, which the old one vouched for, comes first from now on; the old one
  // goes with the first session that the new one opened.
  std::vector<std::string> identities = {identity};
  const std::string& next = session.next_gate_identity();
  if (!next.empty() && next != identity) identities.insert(identities.begin(), next);
  if (identities == record_.identities) return false;
  record_.identities = std::move(identities);
  return true;
}

void GateAccount::Remember(const Parent& parent, const Candidates& credentials) {
  absl::MutexLock lock(&mutex_);
  bool changed = LearnNext(parent.gate_identity, *parent.session);
  changed = LearnTlsAnchors(*parent.session) || changed;
  for (HeldCredential& known : record_.credentials) {
    const bool signed_with = std::any_of(credentials.begin(), credentials.end(),
                                         [&](const HeldCredential& c) { return c.id == known.id; });
    if (!signed_with || !known.pending) continue;
    known.pending = false;
    changed = true;
  }
  if ((!changed && !unsaved_) || !ended_.ok()) return;
  const absl::Status saved = Save();
  unsaved_ = !saved.ok();
  if (unsaved_) {
    spdlog::error("gate {}: the record could not be written, it is kept in memory: {}", audience_,
                  std::string(saved.message()));
  }
}

absl::StatusOr<GateAccount::LoadedKey> GateAccount::LoadKey(const HeldCredential& credential) {
  const auto driver = std::find_if(drivers_->begin(), drivers_->end(), [&](const auto& candidate) {
    return candidate->scheme() == credential.driver;
  });
  if (driver == drivers_->end()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the key needs the driver '", credential.driver, "', which this agent was built without"));
  }
  while (true) {
    LoadedKey loaded;
    Secret password;
    {
      absl::MutexLock lock(&mutex_);
      loaded.generation = key_generation_;
      const auto known = keys_.find(credential.id);
      if (known != keys_.end()) return LoadedKey{known->second, key_generation_};
      if (HasWord(key_password_for_, credential.id)) password = key_password_.Clone();
    }
    FOREKEY_ASSIGN_OR_RETURN(std::string reference,
                             state_->ReadKey(audience_, credential.key_file));
    FOREKEY_ASSIGN_OR_RETURN(loaded.key, (*driver)->Load(reference, std::move(password)));
    absl::MutexLock lock(&mutex_);
    // What was forgotten or replaced in the meantime is neither kept nor tried.
    if (loaded.generation != key_generation_) continue;
    // One object for all calls: it knows whether a password that it holds was found wrong.
    loaded.key = keys_.emplace(credential.id, loaded.key).first->second;
    return loaded;
  }
}

GateAccount::Work GateAccount::MakeWork(CallControl control, std::string purpose,
                                        bool user_verification) const {
  Work work;
  work.control = std::move(control);
  work.user_verification = user_verification;
  if (prompter_ != nullptr) {
    work.prompt = prompter_->For({audience_, std::move(purpose), work.control.program,
                                  work.control.cancelled, work.control.place});
  }
  return work;
}

absl::StatusOr<std::vector<Signer>> GateAccount::MakeSigners(
    const std::vector<HeldCredential>& credentials, const Work* work) {
  std::vector<Signer> signers;
  const bool alone = credentials.size() == 1;
  for (const HeldCredential& credential : credentials) {
    FOREKEY_RETURN_IF_ERROR(refused_keys_.MayAsk(credential));
    auto loaded = LoadKey(credential);
    if (!loaded.ok()) return TokenFailure(credential, alone, loaded.status());
    signers.push_back(SignerFor(credential, *std::move(loaded), alone, work));
  }
  return signers;
}

absl::Status GateAccount::TokenFailure(const HeldCredential& credential, bool alone,
                                       absl::Status failure) const {
  NameCredential(credential, &failure);
  // A PIN that is given by hand goes to the first choice, unless a person names another.
  const auto first = Choose({});
  if (alone && (!first.ok() || FirstChoice(*first)[0].id != credential.id)) {
    AdviseToName(credential, &failure);
  }
  return failure;
}

void GateAccount::KeyFailed(const HeldCredential& credential, uint64_t generation,
                            const absl::Status& failed) {
  absl::MutexLock lock(&mutex_);
  if (generation != key_generation_) return;  // a password that was given since was not tried
  if (!HasWord(key_password_for_, credential.id)) {
    // Loaded anew next time: the token may have been pulled out and put back.
    keys_.erase(credential.id);
  } else if (PinIsNoGood(failed)) {
    // Never tried twice: each try brings the token nearer to locking itself. Until it is known to
    // be wrong its key stays, as a call beside this one may be about to find that out.
    SetKeyPassword(Secret(), {});
  }
}

bool GateAccount::NeedsPerson(const HeldCredential& credential) const {
  return prompter_ != nullptr &&
         (credential.kind == v1::TOKEN_KIND_FIDO2 || refused_keys_.ForPerson(credential));
}

// A touch is asked for by the token itself, at once: a person is left alone before that.
absl::StatusOr<std::unique_ptr<KeyTurn>> GateAccount::TurnOf(const HeldCredential& credential,
                                                             const CallControl& control) const {
  if (!NeedsPerson(credential)) return nullptr;
  if (credential.kind == v1::TOKEN_KIND_FIDO2) {
    return prompter_->TakeTurn(audience_, credential.id,
                               [&control] { return control.Cancelled(); });
  }
  FOREKEY_RETURN_IF_ERROR(prompter_->MayAsk(audience_));
  return nullptr;
}

Signer GateAccount::SignerFor(const HeldCredential& credential, LoadedKey loaded, bool alone,
                              const Work* work) {
  Signer signer;
  signer.credential_id = credential.id;
  signer.sign = [this, loaded = std::move(loaded), credential, alone,
                 work](absl::string_view statement) -> absl::StatusOr<SignedStatement> {
    const absl::StatusOr<std::unique_ptr<KeyTurn>> turn = TurnOf(credential, work->control);
    if (!turn.ok()) return TokenFailure(credential, alone, turn.status());
    SignOptions options;
    options.rp_id = credential.rp_id;
    options.origin = credential.origin;
    options.user_verification = work->user_verification;
    options.deadline = work->control.deadline;
    options.cancelled = work->control.cancelled;
    NotingPrompt prompt(work->prompt.get());
    if (work->prompt != nullptr) options.prompt = &prompt;
    if (work->prompt != nullptr) {
      prompter_->Begins(*work->prompt, credential.id, /*in_turn=*/*turn != nullptr);
    }
    absl::StatusOr<DeviceSignature> signature = loaded.key->Sign(statement, options);
    // A security key wants its touch even where a program's person could not be told.
    const bool touched = prompter_ != nullptr && credential.kind == v1::TOKEN_KIND_FIDO2;
    if (prompt.asked() || touched) {
      refused_keys_.NeedsPerson(credential);
      *work->asked = true;
    }
    if (work->prompt != nullptr) prompter_->Ended(*work->prompt, signature.status());
    if (*turn != nullptr) (*turn)->Ended(signature.status());
    if (!signature.ok()) {
      KeyFailed(credential, loaded.generation, signature.status());
      return TokenFailure(credential, alone, signature.status());
    }
    // What it would open, with a password beside it perhaps, nobody waits for.
    if (work->control.Cancelled()) return CallerGone();
    return SignedStatement{std::move(signature->signature),
                           std::move(signature->authenticator_data),
                           std::move(signature->client_data_json)};
  };
  return signer;
}

}  // namespace forekey

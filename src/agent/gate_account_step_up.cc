// What a GateAccount does when the gate wants more than the session has: stronger or fresher
// sessions, and calls that hardware signs.
#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "spdlog/spdlog.h"
#include "src/agent/gate_account.h"
#include "src/agent/token_command.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/wire/token_kind.h"

namespace forekey {
namespace {

bool HasWord(const StepUp::Words& words, absl::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// The kind of token that proves a factor, as GateAccount::Choose names it; empty for all else.
std::string KindOfFactor(absl::string_view factor) {
  const std::optional<TokenKind> kind = TokenKindOfFactor(factor);
  return kind ? std::string(TokenKindName(*kind)) : "";
}

}  // namespace

bool WantsUserVerification(const StepUp::Words& words) { return HasWord(words, "fido2+uv"); }

absl::StatusOr<std::vector<HeldCredential>> GateAccount::CredentialsFor(
    const StepUp::Words& words) const {
  std::vector<std::string> kinds;
  for (const std::string& word : words) {
    std::string kind = KindOfFactor(word);
    if (!kind.empty() && !HasWord(kinds, kind)) kinds.push_back(std::move(kind));
  }
  auto chosen = Choose(std::move(kinds));
  if (chosen.ok() || words.empty()) return chosen;
  return absl::Status(
      chosen.status().code(),
      absl::StrCat("the gate wants ", absl::StrJoin(words, "&"), ": ", chosen.status().message()));
}

absl::StatusOr<Secret> GateAccount::AskPassword() const {
  const GateRecord known = record();
  const std::string by_hand =
      absl::StrCat("run: forekey login --gate ", known.target.audience, " --password");
  if (prompt_ == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("the gate wants a password (", by_hand, ")"));
  }
  auto password = prompt_->AskSecret(
      absl::StrCat("the password of ", known.subject, " at ", known.target.audience));
  if (password.ok() && password->empty()) return absl::CancelledError("no password was given");
  if (password.ok() || absl::IsCancelled(password.status())) return password;
  return absl::FailedPreconditionError(absl::StrCat(
      "the gate wants a password, and ", password.status().message(), " (", by_hand, ")"));
}

bool GateAccount::WantsIdToken(const Opening& opening) const {
  if (HasWord(opening.words, kOidcFactor)) return true;
  absl::MutexLock lock(&mutex_);
  return HasWord(with_, kOidcFactor);
}

absl::StatusOr<Secret> GateAccount::RunTokenCommand(absl::string_view nonce,
                                                    const CallControl& call) const {
  const std::string audience = record().target.audience;
  const absl::StatusOr<std::string> file = state_->ReadIdTokenCommand(audience);
  if (!file.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the gate wants an ID token; which command gives one must stand in id-token.json: ",
        file.status().message()));
  }
  FOREKEY_ASSIGN_OR_RETURN(const TokenCommand command, TokenCommand::Parse(*file));
  NoticeBoard::Place place(notices_, audience);
  return command.Run(audience, nonce, call, [&](absl::string_view line) {
    if (const std::string text = place.Post(line); !text.empty()) {
      spdlog::info("the ID token command for {}: {}", audience, text);
    }
  });
}

absl::Status GateAccount::OpenStronger(const CallControl& call, const StepUp::Words& words,
                                       const std::string& instead_of) {
  Opening opening;
  opening.words = words;
  FOREKEY_RETURN_IF_ERROR(CredentialsFor(words).status());
  if (HasWord(words, kPasswordFactor)) {
    FOREKEY_ASSIGN_OR_RETURN(opening.password, AskPassword());
  }
  {
    absl::MutexLock lock(&mutex_);
    next_opening_ = std::move(opening);
  }
  return EnsureParent(call, instead_of).status();
}

absl::StatusOr<StepUp> GateAccount::MeetRequirements(const CallControl& call,
                                                     absl::string_view method, bool child) {
  std::string rejected;
  std::string last_wanted;
  absl::Status last;
  for (int attempt = 0; attempt < 3; ++attempt) {
    FOREKEY_ASSIGN_OR_RETURN(Parent parent, EnsureParent(call, rejected));
    rejected = parent.session->id();
    absl::StatusOr<std::string> text = connection_->GetRequirements(*parent.session, method, child);
    if (!text.ok()) {
      last = text.status();
      // The session is no longer known, or the connection got another certificate: once more.
      if (absl::IsUnauthenticated(last) || absl::IsAborted(last)) continue;
      return last;
    }
    if (text->empty()) return StepUp();
    if (*text == last_wanted) break;  // a session that should have it does not
    last_wanted = *text;
    FOREKEY_ASSIGN_OR_RETURN(StepUp wanted, StepUp::Parse(*text));
    std::vector<StepUp::Words> by_hardware;
    bool opened = false;
    for (const StepUp::Words& words : wanted.alternatives()) {
      if (HasWord(words, kStepUpCall)) {
        absl::Status possible = CredentialsFor(words).status();
        if (possible.ok()) by_hardware.push_back(words);
        last = possible;
        continue;
      }
      last = OpenStronger(call, words, rejected);
      opened = last.ok();
      if (opened) break;
    }
    if (!opened && !by_hardware.empty()) return StepUp(std::move(by_hardware));
    if (!opened) return last;
    rejected.clear();
  }
  if (!last.ok()) return last;
  return absl::FailedPreconditionError(
      absl::StrCat("the gate wants ", last_wanted, ", which a new session did not bring"));
}

absl::StatusOr<GateAccount::Prefix> GateAccount::StepUpPrefix(const CallControl& call,
                                                              absl::string_view method,
                                                              absl::string_view channel_binding,
                                                              const StepUp& step_up) {
  absl::Status last = absl::NotFoundError("the gate wants what no token proves");
  for (const StepUp::Words& words : step_up.alternatives()) {
    if (HasWord(words, kPasswordFactor) || HasWord(words, kOidcFactor)) continue;
    absl::StatusOr<std::vector<HeldCredential>> credentials = CredentialsFor(words);
    last = credentials.status();
    if (!last.ok()) continue;
    FOREKEY_ASSIGN_OR_RETURN(std::vector<Signer> signers,
                             MakeSigners(*credentials, call, WantsUserVerification(words)));
    FOREKEY_ASSIGN_OR_RETURN(std::string prefix, connection_->MakeDevicePrefix(
                                                     method, channel_binding, std::move(signers)));
    return Prefix{std::move(prefix), ""};
  }
  return last;
}

}  // namespace forekey

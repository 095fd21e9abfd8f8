// SPDX-License-Identifier: Apache-2.0
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
#include "src/base/shell_word.h"
#include "src/base/status.h"
#include "src/wire/step_up.h"
#include "src/wire/token_kind.h"

namespace forekey {
namespace {

// The kind of token that proves a factor, as GateAccount::Choose names it; empty for all else.
std::string KindOfFactor(absl::string_view factor) {
  const std::optional<TokenKind> kind = TokenKindOfFactor(factor);
  return kind ? std::string(TokenKindName(*kind)) : "";
}

// What needs no token of a certain kind, and the agent knows how to prove.
bool IsProvedBesides(absl::string_view word) {
  return word == kPasswordFactor || word == kOidcFactor || word == kStepUpCall ||
         word == kStepUpHardware;
}

constexpr absl::Duration kDemandKnown = absl::Hours(24);

}  // namespace

bool WantsUserVerification(const StepUp::Words& words) { return HasWord(words, "fido2+uv"); }

absl::StatusOr<std::vector<Candidates>> GateAccount::CredentialsFor(
    const StepUp::Words& words, const std::vector<std::string>& with) const {
  if (!with.empty()) return Choose(with);
  std::vector<std::string> kinds;
  for (const std::string& word : words) {
    std::string kind = KindOfFactor(word);
    // Without this, another token's signature would pass for a factor that nobody proved.
    if (kind.empty() && !IsProvedBesides(word)) {
      const std::string wanted = absl::StrJoin(words, "&");
      return WithLacking(absl::UnimplementedError(absl::StrCat(
                             "the gate wants ", wanted, ", and this agent can't prove ", word,
                             ": only a program that knows this factor opens such a session")),
                         wanted);
    }
    if (!kind.empty() && !HasWord(kinds, kind)) kinds.push_back(std::move(kind));
  }
  auto chosen = Choose(std::move(kinds));
  if (chosen.ok() || words.empty()) return chosen;
  return absl::Status(
      chosen.status().code(),
      absl::StrCat("the gate wants ", absl::StrJoin(words, "&"), ": ", chosen.status().message()));
}

absl::StatusOr<Secret> GateAccount::AskPassword(const CallControl& control) const {
  const GateRecord known = record();
  const std::string by_hand =
      absl::StrCat("run: forekey login --gate ", ShellWord(audience_), " --password");
  const Work work = MakeWork(control, "to open a session", /*user_verification=*/false);
  if (work.prompt == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("the gate wants a password (", by_hand, ")"));
  }
  auto password =
      work.prompt->AskSecret(absl::StrCat("the password of ", known.subject, " at ", audience_));
  if (password.ok() && password->empty()) return absl::CancelledError("no password was given");
  if (password.ok() || absl::IsCancelled(password.status())) return password;
  return absl::FailedPreconditionError(absl::StrCat(
      "the gate wants a password, and ", password.status().message(), " (", by_hand, ")"));
}

bool GateAccount::WantsIdToken(const Opening& opening) const {
  if (HasWord(opening.words, kOidcFactor)) return true;
  if (!opening.with.empty()) return HasWord(opening.with, kOidcFactor);
  absl::MutexLock lock(&mutex_);
  return HasWord(with_, kOidcFactor);
}

absl::StatusOr<Secret> GateAccount::RunTokenCommand(absl::string_view nonce,
                                                    const CallControl& control) const {
  const absl::StatusOr<std::string> file = state_->ReadIdTokenCommand(audience_);
  if (!file.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the gate wants an ID token; which command gives one must stand in id-token.json: ",
        file.status().message()));
  }
  FOREKEY_ASSIGN_OR_RETURN(const TokenCommand command, TokenCommand::Parse(*file));
  NoticeBoard::Place place(notices_, audience_);
  return command.Run(audience_, nonce, control, [&](absl::string_view line) {
    if (const std::string text = place.Post(line); !text.empty()) {
      spdlog::info("the ID token command for {}: {}", audience_, text);
    }
  });
}

void GateAccount::LearnDemand(const std::string& method, Demand demand) {
  constexpr size_t kMostDemands = 256;
  demand.until = clock_->BootNow() + kDemandKnown;
  absl::MutexLock lock(&mutex_);
  if (demands_.size() >= kMostDemands && !demands_.contains(method)) demands_.clear();
  demands_[method] = std::move(demand);
}

std::optional<GateAccount::Demand> GateAccount::DemandOfFirst(const std::string& method) {
  absl::MutexLock lock(&mutex_);
  if (parent_.session != nullptr || resumable_.session != nullptr) return std::nullopt;
  const auto known = demands_.find(method);
  if (known == demands_.end()) return std::nullopt;
  if (clock_->BootNow() >= known->second.until) {
    demands_.erase(known);
    return std::nullopt;
  }
  return known->second;
}

void GateAccount::OpenFor(const AgentCallPtr& call, const std::string& method, Done<StepUp> done) {
  std::optional<Demand> demand = DemandOfFirst(method);
  if (!demand.has_value()) return done(StepUp());
  if (!demand->by_hardware.empty()) return done(std::move(demand->by_hardware));
  Opening opening;
  opening.words = std::move(demand->words);
  EnsureParent(call, std::move(opening),
               [self = shared_from_this(), method, done](absl::StatusOr<Parent> parent) {
                 if (parent.ok()) return done(StepUp());
                 // It may be another token's turn, which the long way finds.
                 {
                   absl::MutexLock lock(&self->mutex_);
                   self->demands_.erase(method);
                 }
                 done(parent.status());
               });
}

// One caller's way to a session that meets what the gate wants for a method.
struct GateAccount::Meeting {
  AgentCallPtr call;
  std::string method;
  bool child = false;
  Done<StepUp> done;
  int attempts = 0;
  Opening next;             // how the session of the next attempt is opened
  std::string last_wanted;  // by the gate
  bool met = false;         // ... and a session was opened that should have it
  StepUp::Words met_with;   // with these words
  absl::Status last;
  // Of this attempt: the session that lacks something, and the ways to get it, one after the other.
  std::string lacking;
  std::vector<StepUp::Words> ways;
  std::vector<StepUp::Words> by_hardware;  // ways that hardware has to sign this very call for
};

void GateAccount::MeetRequirements(const AgentCallPtr& call, std::string method, bool child,
                                   Done<StepUp> done) {
  auto meeting = std::make_shared<Meeting>();
  meeting->call = call;
  meeting->method = std::move(method);
  meeting->child = child;
  meeting->done = std::move(done);
  GoOnMeeting(meeting);
}

void GateAccount::GoOnMeeting(const std::shared_ptr<Meeting>& meeting) {
  constexpr int kAttempts = 3;
  if (meeting->attempts++ == kAttempts) {
    if (!meeting->last.ok()) return meeting->done(meeting->last);
    return meeting->done(WithLacking(
        absl::FailedPreconditionError(absl::StrCat("the gate wanted something else each time, ",
                                                   meeting->last_wanted, " last")),
        meeting->last_wanted));
  }
  EnsureParent(meeting->call, std::exchange(meeting->next, Opening()),
               [self = shared_from_this(), meeting](absl::StatusOr<Parent> parent) {
                 if (!parent.ok()) return meeting->done(parent.status());
                 self->AskWhatIsLacking(meeting, *parent);
               });
}

void GateAccount::AskWhatIsLacking(const std::shared_ptr<Meeting>& meeting, const Parent& parent) {
  meeting->lacking = parent.session->id();
  absl::StatusOr<std::string> text =
      connection()->GetRequirements(*parent.session, meeting->method, meeting->child);
  if (!text.ok()) {
    meeting->last = text.status();
    // The session is no longer known, or the connection got another certificate: once more.
    if (!SessionRejected(meeting->last)) return meeting->done(meeting->last);
    meeting->next.instead_of = meeting->lacking;
    meeting->next.refused = true;
    meeting->next.over = RefusedByGate(meeting->last);
    return GoOnMeeting(meeting);
  }
  if (text->empty()) {
    if (meeting->met) LearnDemand(meeting->method, {.words = meeting->met_with});
    return meeting->done(StepUp());
  }
  if (meeting->met && *text == meeting->last_wanted) {
    return meeting->done(
        WithLacking(absl::FailedPreconditionError(absl::StrCat(
                        "the gate wants ", *text, ", which a new session did not bring")),
                    *text));
  }
  meeting->last = absl::OkStatus();
  meeting->last_wanted = *text;
  absl::StatusOr<StepUp> wanted = StepUp::Parse(*text);
  if (!wanted.ok()) return meeting->done(wanted.status());
  meeting->by_hardware.clear();
  meeting->ways = wanted->alternatives();
  std::reverse(meeting->ways.begin(), meeting->ways.end());
  TryAlternative(meeting);
}

void GateAccount::TryAlternative(const std::shared_ptr<Meeting>& meeting) {
  while (!meeting->ways.empty()) {
    StepUp::Words words = std::move(meeting->ways.back());
    meeting->ways.pop_back();
    absl::Status possible = CredentialsFor(words, {}).status();
    if (!possible.ok()) {
      meeting->last = possible;
      continue;
    }
    if (HasWord(words, kStepUpCall)) {
      meeting->by_hardware.push_back(std::move(words));
      continue;
    }
    Opening opening;
    meeting->met_with = words;
    opening.words = std::move(words);
    opening.instead_of = meeting->lacking;
    EnsureParent(meeting->call, std::move(opening),
                 [self = shared_from_this(), meeting](absl::StatusOr<Parent> parent) {
                   meeting->last = parent.status();
                   meeting->met = parent.ok();
                   if (parent.ok()) return self->GoOnMeeting(meeting);
                   if (meeting->call->cancelled()) return meeting->done(meeting->last);
                   self->TryAlternative(meeting);
                 });
    return;
  }
  if (!meeting->by_hardware.empty()) {
    LearnDemand(meeting->method, {.by_hardware = StepUp(meeting->by_hardware)});
    return meeting->done(StepUp(meeting->by_hardware));
  }
  meeting->done(meeting->last.ok() ? meeting->last
                                   : WithLacking(meeting->last, meeting->last_wanted));
}

}  // namespace forekey

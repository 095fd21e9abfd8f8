// SPDX-License-Identifier: Apache-2.0
// What the parts of GateAccount ask of sessions and credentials.
#ifndef FOREKEY_SRC_AGENT_SESSION_CHECKS_H_
#define FOREKEY_SRC_AGENT_SESSION_CHECKS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/agent/gate_record.h"
#include "src/client/gate_client.h"

namespace forekey {

bool HasWord(const std::vector<std::string>& words, absl::string_view word);

// What the calls of one agent at one gate carry for balancers: random, of this process.
std::string NewAffinity();

bool Usable(const ClientSessionPtr& session);

// The gate no longer takes the session (or the connection got another certificate, which comes to
// the same). A refusal with a Reason was made here, by a check of the gate's answer: never retried.
bool SessionRejected(const absl::Status& status);
// ... and that is the gate's own answer: it got the proof, and the session is over there.
bool RefusedByGate(const absl::Status& status);

// Who may sign in one place of a proof, the first choice first.
using Candidates = std::vector<HeldCredential>;

// The places that the names mean (LoginRequest.with), "oidc" passed over; none: one place, for any
// credential. Those that a kind means, or nothing, come in this order: the default, then the
// newest, and at the end those that the gate has not confirmed. InvalidArgument where a name means
// none, several, or one that another name means.
absl::StatusOr<std::vector<Candidates>> ChooseCandidates(const GateRecord& record,
                                                         std::vector<std::string> with);
// The one credential that a name means, no kind.
absl::StatusOr<HeldCredential> FindCredential(const GateRecord& record, const std::string& name);

// A failure of one credential's token.
void NameCredential(const HeldCredential& credential, absl::Status* status);
// ... whose PIN a person can give by hand only where the credential is named: " --with 9f3c5a7d".
void AdviseToName(const HeldCredential& credential, absl::Status* status);
// ... that is not asked (RefusedKeys): the next choice signs, as where a token is not there.
void MarkResting(absl::Status* status);
// Empty where nothing need be named.
std::string NamingAdviceOf(const absl::Status& status);

// Makes a proof with the first candidate of each place. Where a token is not there, rests, or is
// another one than the credential's, its place goes to the next candidate; `notes` gets a line
// that says so. No PIN went to it: drivers look for the credential first. Nor does one that was
// given for it go to the token in its place. `attempt` gives a StatusOr, whose errors went through
// NameCredential().
template <typename Attempt>
auto WithFallback(std::vector<Candidates> places, std::vector<std::string>* notes,
                  const Attempt& attempt) -> decltype(attempt(Candidates()));

// For WithFallback: the next choice after that failure, and what to say about it. Nullopt where
// there is none.
std::optional<std::string> FallBack(const absl::Status& failure, std::vector<Candidates>* places);
Candidates FirstChoice(const std::vector<Candidates>& places);

template <typename Attempt>
auto WithFallback(std::vector<Candidates> places, std::vector<std::string>* notes,
                  const Attempt& attempt) -> decltype(attempt(Candidates())) {
  while (true) {
    auto made = attempt(FirstChoice(places));
    if (made.ok()) return made;
    const std::optional<std::string> note = FallBack(made.status(), &places);
    if (!note.has_value()) return made;
    notes->push_back(*note);
  }
}

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_SESSION_CHECKS_H_

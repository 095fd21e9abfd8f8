// SPDX-License-Identifier: Apache-2.0
#include "src/agent/session_checks.h"

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "hw/device_key.h"
#include "src/base/printable.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/random.h"
#include "src/wire/step_up.h"
#include "src/wire/token_kind.h"

namespace forekey {
namespace {

constexpr size_t kMaxSigners = 3;  // of one device proof
constexpr absl::string_view kCredentialUrl = "forekey/credential";
constexpr absl::string_view kToNameUrl = "forekey/credential-to-name";
constexpr absl::string_view kRestingUrl = "forekey/credential-resting";
constexpr size_t kShownIdDigits = 8;

std::string ShownName(const HeldCredential& credential) {
  return absl::StrCat(TokenKindName(credential.kind), " ", Shown(credential.label), " (",
                      absl::BytesToHexString(credential.id).substr(0, kShownIdDigits), ")");
}

bool IsKind(const std::string& name) { return TokenKindFromName(name).has_value(); }

// The default, then the newest, then what is not confirmed.
Candidates InOrder(const GateRecord& record, absl::string_view kind) {
  Candidates found;
  for (const bool pending : {false, true}) {
    for (auto it = record.credentials.rbegin(); it != record.credentials.rend(); ++it) {
      if (it->pending == pending && (kind.empty() || TokenKindName(it->kind) == kind)) {
        found.push_back(*it);
      }
    }
  }
  std::stable_partition(found.begin(), found.end(), [&](const HeldCredential& credential) {
    return credential.id == record.default_credential;
  });
  return found;
}

absl::Status NoneIsMeant(const GateRecord& record, const std::string& name) {
  return name.empty() ? absl::FailedPreconditionError("the record has no credential: enrol again")
                      : absl::InvalidArgumentError(
                            absl::StrCat("no credential at ", record.target.audience,
                                         " is of the kind, or has a label or id that begins with ",
                                         name, ": forekey status lists them"));
}

absl::StatusOr<Candidates> MeantBy(const GateRecord& record, const std::string& name) {
  if (!name.empty() && !IsKind(name)) {
    FOREKEY_ASSIGN_OR_RETURN(HeldCredential found, FindCredential(record, name));
    return Candidates{std::move(found)};
  }
  Candidates found = InOrder(record, name);
  if (found.empty()) return NoneIsMeant(record, name);
  return found;
}

}  // namespace

std::string NewAffinity() { return absl::BytesToHexString(RandomBytes(8)); }

bool HasWord(const std::vector<std::string>& words, absl::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool Usable(const ClientSessionPtr& session) {
  return session != nullptr && session->state() != ClientSession::State::kExpired;
}

bool SessionRejected(const absl::Status& status) {
  return RefusedByGate(status) || (absl::IsAborted(status) && !ReasonOf(status).has_value());
}

bool RefusedByGate(const absl::Status& status) {
  return absl::IsUnauthenticated(status) && !DeviceErrorOf(status).has_value() &&
         !ReasonOf(status).has_value();
}

absl::StatusOr<HeldCredential> FindCredential(const GateRecord& record, const std::string& name) {
  Candidates labelled, beginning;
  for (const HeldCredential& known : record.credentials) {
    if (known.label == name) labelled.push_back(known);
    if (absl::StartsWith(known.label, name) ||
        absl::StartsWith(absl::BytesToHexString(known.id), name)) {
      beginning.push_back(known);
    }
  }
  Candidates& found = labelled.empty() ? beginning : labelled;
  if (name.empty() || found.empty()) return NoneIsMeant(record, name);
  if (found.size() == 1) return std::move(found[0]);
  std::string names = absl::StrJoin(found, ", ", [](std::string* out, const HeldCredential& known) {
    absl::StrAppend(out, ShownName(known));
  });
  return absl::InvalidArgumentError(
      absl::StrCat(name, " may mean several credentials: ", names, "; say more of the id"));
}

absl::StatusOr<std::vector<Candidates>> ChooseCandidates(const GateRecord& record,
                                                         std::vector<std::string> with) {
  std::erase(with, kOidcFactor);  // no credential: it is asked for besides
  if (with.empty()) with = {""};
  if (with.size() > kMaxSigners) {
    return absl::InvalidArgumentError("at most three credentials sign together");
  }
  std::vector<Candidates> places;
  for (const std::string& name : with) {
    FOREKEY_ASSIGN_OR_RETURN(Candidates meant, MeantBy(record, name));
    for (const Candidates& taken : places) {
      std::erase_if(meant, [&](const HeldCredential& known) { return known.id == taken[0].id; });
    }
    if (meant.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " names a credential that is named already"));
    }
    places.push_back(std::move(meant));
  }
  return places;
}

void NameCredential(const HeldCredential& credential, absl::Status* status) {
  status->SetPayload(kCredentialUrl, absl::Cord(credential.id));
}

void AdviseToName(const HeldCredential& credential, absl::Status* status) {
  status->SetPayload(kToNameUrl,
                     absl::Cord(absl::BytesToHexString(credential.id).substr(0, kShownIdDigits)));
}

void MarkResting(absl::Status* status) { status->SetPayload(kRestingUrl, absl::Cord("1")); }

std::string NamingAdviceOf(const absl::Status& status) {
  const auto name = status.GetPayload(kToNameUrl);
  return name ? absl::StrCat(" --with ", std::string(*name)) : "";
}

Candidates FirstChoice(const std::vector<Candidates>& places) {
  Candidates chosen;
  for (const Candidates& place : places) chosen.push_back(place[0]);
  return chosen;
}

std::optional<std::string> FallBack(const absl::Status& failure, std::vector<Candidates>* places) {
  const auto error = DeviceErrorOf(failure);
  if (error != DeviceError::kGone && error != DeviceError::kNoCredentials &&
      !failure.GetPayload(kRestingUrl).has_value()) {
    return std::nullopt;
  }
  const auto id = failure.GetPayload(kCredentialUrl);
  if (!id) return std::nullopt;
  for (Candidates& place : *places) {
    if (place[0].id != std::string(*id)) continue;
    const std::string gone = ShownName(place[0]);
    place.erase(place.begin());
    // Two places of one proof have different credentials.
    for (const Candidates& other : *places) {
      if (&other == &place) continue;
      std::erase_if(place, [&](const HeldCredential& known) { return known.id == other[0].id; });
    }
    if (place.empty()) return std::nullopt;
    return absl::StrCat(ShownName(place[0]), " is used in the place of ", gone, ": ",
                        failure.message());
  }
  return std::nullopt;
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// Keys that an enrolment made on a token and did not live to enrol: kill -9, or a machine that went
// off. Their places were noted before they were made.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"
#include "src/agent/agent.h"
#include "src/wire/statement.h"

namespace forekey {

bool Agent::IsHeld(absl::string_view spki) {
  std::vector<AccountPtr> accounts;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [audience, account] : accounts_) accounts.push_back(account);
  }
  return std::any_of(accounts.begin(), accounts.end(), [&](const AccountPtr& account) {
    const GateRecord record = account->record();
    const std::string id = CredentialId(record.target.audience, record.subject, spki);
    return std::any_of(record.credentials.begin(), record.credentials.end(),
                       [&](const HeldCredential& known) { return known.id == id; });
  });
}

std::vector<std::string> Agent::LookForLeftKeys() {
  const auto keys = state_->LeftKeys();
  if (!keys.ok()) return {std::string(keys.status().message())};
  std::vector<std::string> notes;
  for (const StateDirectory::LeftKey& key : *keys) {
    {
      absl::MutexLock lock(&mutex_);
      if (making_.has_value() && making_->place == key.place) continue;
    }
    const auto driver = std::find_if(drivers_.begin(), drivers_.end(), [&](const auto& candidate) {
      return candidate->scheme() == key.scheme;
    });
    if (driver == drivers_.end()) continue;
    const auto found = (*driver)->KeyAt(key.place);
    if (!found.ok()) continue;  // the token is not there
    if (!found->has_value() || IsHeld((*found)->spki)) {
      if (absl::Status removed = state_->RemoveLeftKey(key); !removed.ok()) {
        spdlog::error("{}", std::string(removed.message()));
      }
      continue;
    }
    notes.push_back(absl::StrCat("an enrolment was interrupted: ", key.place,
                                 (*found)->spki.empty() ? " may hold" : " holds",
                                 " a key that was never enrolled: ", (*found)->advice));
  }
  return notes;
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// What a registry does one by one that has no better way.
#include "src/store/registry.h"

#include <utility>

#include "src/base/reason.h"

namespace forekey {

absl::StatusOr<std::vector<std::string>> Registry::FindUnrevoked(
    absl::Span<const std::string> ids) {
  std::vector<std::string> unrevoked;
  for (const std::string& id : ids) {
    const absl::StatusOr<CredentialRecord> record = FindCredential(id);
    if (!record.ok() && ReasonOf(record.status()) != Reason::kCredentialUnknown) {
      return record.status();
    }
    if (record.ok() && !record->revoked_at) unrevoked.push_back(id);
  }
  return unrevoked;
}

absl::StatusOr<std::vector<SubjectRecord>> Registry::FindSubjects(
    absl::Span<const std::string> names) {
  std::vector<SubjectRecord> subjects;
  for (const std::string& name : names) {
    absl::StatusOr<SubjectRecord> record = FindSubject(name);
    if (!record.ok() && !absl::IsNotFound(record.status())) return record.status();
    if (record.ok()) subjects.push_back(*std::move(record));
  }
  return subjects;
}

}  // namespace forekey

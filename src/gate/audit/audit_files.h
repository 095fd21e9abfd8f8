// SPDX-License-Identifier: Apache-2.0
// The files of an audit log that has to be there whole: lines are numbered through all of them, so
// what is missing between them, or at the end, is known.
#ifndef FOREKEY_SRC_GATE_AUDIT_AUDIT_FILES_H_
#define FOREKEY_SRC_GATE_AUDIT_AUDIT_FILES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace forekey {

// The log at `path`, what was rotated away beside it (AuditFilesOf()) and `others`, which lie
// elsewhere: oldest first, and together every line from the first, or from one before `since`, to
// the last that <path>.head knows. FailedPrecondition that says which lines are missing, and which
// files could not be read (compressed ones are not), or that the log begins after `since`: it is
// another one than what was written then. InfinitePast: nothing was. Only the files' first and last
// lines are looked at: what is within them is for VerifyAudit().
absl::StatusOr<std::vector<std::string>> WholeAuditLog(const std::string& path,
                                                       const std::vector<std::string>& others,
                                                       absl::Time since);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_AUDIT_AUDIT_FILES_H_

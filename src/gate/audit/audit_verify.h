// SPDX-License-Identifier: Apache-2.0
// Checks an audit log offline: the chain over its files, and every device proof in it again, by the
// keys that the lines hold. A credential's id is a hash over subject and key, and the ids are under
// each signature, so a key that was put in the place of another is found without the registry.
#ifndef FOREKEY_SRC_GATE_AUDIT_AUDIT_VERIFY_H_
#define FOREKEY_SRC_GATE_AUDIT_AUDIT_VERIFY_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/gate/audit/audit_chain.h"
#include "src/gate/token/token_settings.h"

namespace forekey {

enum class AuditFault {
  kNotALine,      // a line that the log did not write
  kEdited,        // its hash is not that of its bytes
  kBrokenChain,   // lines are missing before it, or it stands in another's place
  kTruncated,     // the log ends before a head that is known
  kRewritten,     // a head that was noted elsewhere is not the log's
  kProofInvalid,  // the device proof does not verify for the line's method, subject and credentials
  // Of CheckAuditSpan():
  kResumedTwice,
  kInviteUsedTwice,
  kAdmittedAfterRevocation,
};
absl::string_view AuditFaultName(AuditFault fault);  // "edited", ...

struct AuditFinding {
  AuditFault fault;
  std::string file;
  uint64_t line = 0;  // in the file, from 1; 0: of the file as a whole
  std::string detail;
};

struct AuditVerification {
  uint64_t lines = 0;
  uint64_t proofs = 0;      // device proofs that were checked again, and verify
  uint64_t torn_lines = 0;  // cut short by a crash or a full disk, and marked: no fault
  uint64_t unwritten = 0;   // decisions that the log says it could not take
  AuditHead first, last;
  std::vector<AuditFinding> findings;
};

struct AuditVerifyOptions {
  std::vector<AuditHead> heads;  // known from elsewhere
  // Asked for each credential of a proof that the log itself does not enrol: whether it was ever
  // enrolled. A registry that was restored from a backup does not know the later ones. Empty: not
  // asked.
  std::function<bool(absl::string_view credential_id)> enrolled;
  // The number of the oldest line that must be there; nullopt: the first is taken as it is. 1 finds
  // that the oldest file of a rotated log was taken away.
  std::optional<uint64_t> first;
  TokenSettings tokens;  // the kinds whose signatures can be checked: all that are listed
};

// `files`: oldest first. The first line of all is taken as it is (older files may have been
// archived) but for what `heads` and `first` say. Errors: a file that can't be read.
absl::StatusOr<AuditVerification> VerifyAudit(const std::vector<std::string>& files,
                                              const AuditVerifyOptions& options);

// One line's device proof; OK with `checked` false where it has none. `json`: an untrusted object.
absl::Status VerifyAuditProof(absl::string_view json, const AuditVerifyOptions& options,
                              bool* checked);

// A heads file, or a log's own ".head": InvalidArgument where a line of it is none.
absl::StatusOr<std::vector<AuditHead>> ReadHeads(const std::string& path);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_AUDIT_AUDIT_VERIFY_H_

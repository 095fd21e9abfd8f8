// SPDX-License-Identifier: Apache-2.0
// deps: forekey_gate_service
// Lines of audit logs, as `forekey-gate audit verify` meets them: changed by anybody.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "src/gate/audit/audit_chain.h"
#include "src/gate/audit/audit_reader.h"
#include "src/gate/audit/audit_span.h"
#include "src/gate/audit/audit_verify.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)forekey::ParseAuditLine(bytes);
  (void)forekey::ParseHead(bytes);
  bool checked = false;
  (void)forekey::VerifyAuditProof(bytes, {}, &checked);
  forekey::SearchAudit(bytes, {.subject = "alice", .since = absl::UnixEpoch()},
                       [](absl::string_view) {});
  (void)forekey::CheckAuditSpanOf({{"one", bytes}, {"other", bytes}}, absl::ZeroDuration());
  // Whatever is chained is read back as it was written.
  forekey::AuditHead head;
  const std::string line = forekey::ChainLine(absl::StrCat("{", bytes, "}"), head);
  if (!forekey::ParseAuditLine(line) || !(forekey::ParseAuditLine(line)->head == head))
    std::abort();
  return 0;
}

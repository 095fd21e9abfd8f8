// SPDX-License-Identifier: Apache-2.0
// The chain over the audit log's lines. A line is
//   {"seq":N,"prev":"<hash of the line before>", ...the decision..., "hash":"<64 hex digits>"}
// and its hash is SHA-256("forekey/1 audit" 00 || every byte of the line before ',"hash":'). So a
// line that was edited has the wrong hash; one whose hash was made anew, that is missing or stands
// elsewhere breaks the next one's "prev" and "seq". Who can rewrite the log from some line to its
// end can make it whole again: against that the heads are noted elsewhere ([audit] heads_file).
//
// Lines are numbered through all files of a log: a file that begins names the head of the one
// before.
#ifndef FOREKEY_SRC_GATE_AUDIT_AUDIT_CHAIN_H_
#define FOREKEY_SRC_GATE_AUDIT_AUDIT_CHAIN_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/gate/audit/audit.h"

namespace forekey {

// Before the first line: number 0, and 64 zeros.
struct AuditHead {
  uint64_t seq = 0;
  std::string hash = std::string(64, '0');  // hex
  friend bool operator==(const AuditHead&, const AuditHead&) = default;
};

// The line that follows `head`, without its newline, for `json` (an object, of DecisionToJson or
// the like); `head` becomes its own.
std::string ChainLine(absl::string_view json, AuditHead& head);

// A line as it says that it is; its place in the chain is for the caller to check.
struct AuditLine {
  AuditHead head;    // its own number and hash
  std::string prev;  // hex
};
// From a line without its newline, untrusted. Nullopt where it is none of ChainLine's, or its hash
// is wrong (then `edited` is set: the form is right).
std::optional<AuditLine> ParseAuditLine(absl::string_view line, bool* edited = nullptr);

// "<20 digits> <64 hex>\n": the head beside the log (<file>.head), rewritten with every line.
inline constexpr size_t kHeadRecordSize = 20 + 1 + 64 + 1;
std::string SerializeHead(const AuditHead& head);
std::optional<AuditHead> ParseHead(absl::string_view record);

// How a head is noted in the file that options.heads_file names: opened anew each time. It may not
// come back (src/gate/audit/heads_file.h).
using AppendToFile = std::function<absl::Status(const std::string& path, absl::string_view record)>;
absl::Status AppendHeadToFile(const std::string& path, absl::string_view record);

// Appends chained lines to a file (made with mode 0600; an existing one must be this user's and
// private, and is locked: one process writes a log). A line is one write(2). The chain goes on
// where the file, or <file>.head, left it: after kill -9, and in a new file after the old one was
// renamed or removed (logrotate; noticed within a second). A line that was cut short (the machine
// went down, the disk was full) stays, and the next one says how long it was and what its SHA-256
// is. While one thread is held up in writing, others wait for it for at most options.slow, and
// fail. Errors at opening: the file's mode or owner, another writer, or a last line that is none of
// a log.
absl::StatusOr<std::unique_ptr<AuditSink>> OpenAuditFile(
    const std::string& path, const AuditOptions& options = {},
    AppendToFile append_head = AppendHeadToFile);

// Who reads logs: an uncompressed one that was rotated away lies beside it, with a name that begins
// with the log's. Sorted by the number of their first lines; the log itself comes last. `unread`
// (may be null) is told of files with such a name that can't be read, or don't begin with a line of
// a log (a compressed one), and why; empty ones hold nothing.
absl::StatusOr<std::vector<std::string>> AuditFilesOf(const std::string& path,
                                                      std::vector<std::string>* unread = nullptr);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_AUDIT_AUDIT_CHAIN_H_

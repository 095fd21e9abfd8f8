// SPDX-License-Identifier: Apache-2.0
#include "src/gate/audit/audit_files.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "src/base/status.h"
#include "src/gate/audit/audit_chain.h"
#include "src/gate/audit/audit_reader.h"
#include "src/gate/audit/audit_verify.h"

namespace forekey {
namespace {

struct Piece {
  uint64_t first = 0, last = 0;
  absl::Time begins;  // of the first line
  std::string file;
};

// Nullopt: no line of a log is in it. A line that was cut short may be the first or the last.
std::optional<Piece> PieceOf(absl::string_view content, const std::string& file) {
  Piece piece;
  piece.file = file;
  for (size_t at = 0; at < content.size() && piece.first == 0;) {
    const absl::string_view line = content.substr(at, content.find('\n', at) - at);
    if (const auto parsed = ParseAuditLine(line)) {
      piece.first = parsed->head.seq;
      piece.begins = AuditTimeOf(line).value_or(absl::InfiniteFuture());
    }
    at += line.size() + 1;
  }
  if (piece.first == 0) return std::nullopt;
  while (!content.empty() && piece.last == 0) {
    const size_t newline = content.rfind('\n');
    const size_t begin = newline == absl::string_view::npos ? 0 : newline + 1;
    if (const auto parsed = ParseAuditLine(content.substr(begin))) piece.last = parsed->head.seq;
    content = content.substr(0, begin == 0 ? 0 : newline);
  }
  return piece;
}

absl::Status Missing(const std::string& path, uint64_t from, uint64_t to,
                     const std::vector<std::string>& unread) {
  return absl::FailedPreconditionError(
      absl::StrCat("lines ", from, " to ", to, " of ", path, " are in no file that can be read",
                   unread.empty() ? "" : "; ", absl::StrJoin(unread, "; ")));
}

// What <path>.head says; number 0 where there is none.
absl::StatusOr<AuditHead> KnownEnd(const std::string& path) {
  const auto heads = ReadHeads(path + ".head");
  if (absl::IsNotFound(heads.status())) return AuditHead();
  FOREKEY_RETURN_IF_ERROR(heads.status());
  return heads->empty() ? AuditHead() : heads->back();
}

// A log that begins anew has no gap, however much an older one said: what was done between `since`
// and its first line is in neither. `pieces` are sorted.
absl::Status CheckBegin(const std::string& path, const std::vector<Piece>& pieces,
                        absl::Time since) {
  if (since == absl::InfinitePast()) return absl::OkStatus();
  absl::Time begins = absl::InfiniteFuture();
  for (const Piece& piece : pieces) {
    if (piece.first == pieces.front().first) begins = std::min(begins, piece.begins);
  }
  if (begins <= since) return absl::OkStatus();
  const auto text = [](absl::Time time) {
    return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
  };
  return absl::FailedPreconditionError(absl::StrCat(
      path, pieces.empty() ? " has no line" : absl::StrCat(" begins on ", text(begins)),
      ", and the backup's newest entry is of ", text(since),
      ": what was done in between is in no file of the log"));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> WholeAuditLog(const std::string& path,
                                                       const std::vector<std::string>& others,
                                                       absl::Time since) {
  FOREKEY_ASSIGN_OR_RETURN(const AuditHead end, KnownEnd(path));
  std::vector<std::string> unread;
  absl::StatusOr<std::vector<std::string>> files = AuditFilesOf(path, &unread);
  if (absl::IsNotFound(files.status()) && !others.empty()) files.emplace();
  FOREKEY_RETURN_IF_ERROR(files.status());
  files->insert(files->end(), others.begin(), others.end());
  std::vector<Piece> pieces;
  for (const std::string& file : *files) {
    FOREKEY_ASSIGN_OR_RETURN(const auto reader, AuditReader::Open(file));
    std::optional<Piece> piece = PieceOf(reader->content(), file);
    if (piece) {
      pieces.push_back(*std::move(piece));
    } else if (!reader->content().empty()) {
      unread.push_back(absl::StrCat(file, ": holds no line of an audit log"));
    }
  }
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return a.first < b.first; });
  uint64_t covered = 0;
  for (const Piece& piece : pieces) {
    if (piece.first > covered + 1 && piece.begins + kClockSteps > since) {
      return Missing(path, covered + 1, piece.first - 1, unread);
    }
    covered = std::max(covered, piece.last);
  }
  if (end.seq > covered) return Missing(path, covered + 1, end.seq, unread);
  FOREKEY_RETURN_IF_ERROR(CheckBegin(path, pieces, since));
  // Nothing says where the log ends: it may be in one of these.
  if (end.seq == 0 && !unread.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ".head is missing, and these can't be read: ", absl::StrJoin(unread, "; ")));
  }
  // What is said last counts: a copy of a part comes before the whole.
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const Piece& a, const Piece& b) { return a.last < b.last; });
  std::vector<std::string> sorted;
  for (Piece& piece : pieces) sorted.push_back(std::move(piece.file));
  return sorted;
}

}  // namespace forekey

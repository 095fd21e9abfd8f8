// SPDX-License-Identifier: Apache-2.0
#include "src/gate/audit/audit_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace forekey {
namespace {

// Clocks of machines are put right by small steps now and then: lines that much earlier are looked
// at.
constexpr absl::Duration kClockSteps = absl::Minutes(5);

std::optional<absl::Time> TimeOf(absl::string_view line) {
  constexpr absl::string_view kKey = "\"time\":\"";
  const size_t at = line.find(kKey);
  if (at == absl::string_view::npos) return std::nullopt;
  const size_t begin = at + kKey.size(), end = line.find('"', begin);
  absl::Time time;
  std::string error;
  if (end == absl::string_view::npos ||
      !absl::ParseTime(absl::RFC3339_full, line.substr(begin, end - begin), &time, &error)) {
    return std::nullopt;
  }
  return time;
}

absl::string_view LineAt(absl::string_view content, size_t begin) {
  return content.substr(begin, content.find('\n', begin) - begin);
}

// Where the first line begins that is not earlier than `since`.
size_t Bisect(absl::string_view content, absl::Time since) {
  size_t low = 0, high = content.size();
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    // The line that `middle` lies in.
    const size_t newline = middle == 0 ? absl::string_view::npos : content.rfind('\n', middle - 1);
    const size_t begin = newline == absl::string_view::npos ? 0 : newline + 1;
    const absl::string_view line = LineAt(content, begin);
    const auto time = TimeOf(line);
    if (time && *time < since) {
      low = std::min(content.size(), begin + line.size() + 1);
    } else {
      high = begin;
    }
  }
  return low;
}

bool Matches(absl::string_view text, const AuditQuery& query) {
  const auto line =
      nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!line.is_object()) return false;
  auto is = [&line](const char* key, const std::string& wanted) {
    if (wanted.empty()) return true;
    auto found = line.find(key);
    return found != line.end() && *found == wanted;
  };
  if (!is("subject", query.subject) || !is("reference", query.reference) ||
      !is("reason", query.reason)) {
    return false;
  }
  if (!query.since) return true;
  const auto time = TimeOf(text);
  return time && *time >= *query.since;
}

}  // namespace

absl::StatusOr<std::unique_ptr<AuditReader>> AuditReader::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, path);
  struct stat info;
  absl::Status status;
  void* data = nullptr;
  size_t size = 0;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    status = absl::InvalidArgumentError(absl::StrCat(path, ": not a file"));
  } else if (info.st_size > 0) {
    size = static_cast<size_t>(info.st_size);
    data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) status = absl::ErrnoToStatus(errno, absl::StrCat("map ", path));
  }
  close(fd);
  if (!status.ok()) return status;
  return std::unique_ptr<AuditReader>(new AuditReader(static_cast<const char*>(data), size));
}

AuditReader::~AuditReader() {
  if (size_ > 0) munmap(const_cast<char*>(data_), size_);
}

void SearchAudit(absl::string_view content, const AuditQuery& query,
                 const std::function<void(absl::string_view line)>& found) {
  if (query.since) content.remove_prefix(Bisect(content, *query.since - kClockSteps));
  // The rarest first: what is wanted occurs in few lines, and find() is fast.
  std::string needle;
  for (const std::string* wanted : {&query.reference, &query.subject, &query.reason}) {
    if (!wanted->empty() && needle.empty()) needle = absl::StrCat("\"", *wanted, "\"");
  }
  size_t at = 0;
  while (at < content.size()) {
    const size_t hit = needle.empty() ? at : content.find(needle, at);
    if (hit == absl::string_view::npos) return;
    const size_t newline = hit == 0 ? absl::string_view::npos : content.rfind('\n', hit - 1);
    const size_t begin =
        needle.empty() ? at : std::max(at, newline == absl::string_view::npos ? 0 : newline + 1);
    const absl::string_view line = LineAt(content, begin);
    if (Matches(line, query)) found(line);
    at = begin + line.size() + 1;
  }
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/gate/audit/audit_reader.h"
#include "src/wire/json_object.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"

namespace forekey {
namespace {

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
    const auto time = AuditTimeOf(line);
    if (time && *time < since) {
      low = std::min(content.size(), begin + line.size() + 1);
    } else {
      high = begin;
    }
  }
  return low;
}

using Json = nlohmann::json;

// Untrusted: a line may hold any types. Empty where it is absent or no text.
std::string StringIn(const Json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool Names(const Json& line, const std::set<std::string>& ids) {
  for (const char* key : {"session", "claimed_session"}) {
    if (ids.contains(StringIn(line, key))) return true;
  }
  for (const char* key : {"credentials", "claimed_credentials"}) {
    const auto list = line.find(key);
    if (list == line.end() || !list->is_array()) continue;
    for (const Json& id : *list) {
      if (id.is_string() && ids.contains(id.get<std::string>())) return true;
    }
  }
  // A change begins with what it changed.
  return StringIn(line, "event") == "admin" && ids.contains(StringIn(line, "detail").substr(0, 64));
}

bool IsOf(const Json& line, const AuditQuery& query) {
  return query.subject.empty() || StringIn(line, "subject") == query.subject ||
         Names(line, query.ids);
}

bool Matches(absl::string_view text, const AuditQuery& query) {
  const Json line = ParseBoundedJson(text);
  if (!line.is_object()) return false;
  auto is = [&line](const char* key, const std::string& wanted) {
    if (wanted.empty()) return true;
    auto found = line.find(key);
    return found != line.end() && *found == wanted;
  };
  if (!IsOf(line, query) || !is("reference", query.reference) || !is("reason", query.reason)) {
    return false;
  }
  if (!query.since && !query.until) return true;
  const auto time = AuditTimeOf(text);
  return time && (!query.since || *time >= *query.since) && (!query.until || *time <= *query.until);
}

template <typename Visit>
void ForEachLine(absl::string_view content, Visit visit) {
  for (size_t at = 0; at < content.size();) {
    const absl::string_view line = LineAt(content, at);
    visit(line);
    at += line.size() + 1;
  }
}

// The credential that a line says was revoked, in hex; empty where it says no such thing.
std::string RevokedIn(const Json& line) {
  const std::string method = StringIn(line, "method"), detail = StringIn(line, "detail");
  if (method == "RevokeCredential") return detail.substr(0, 64);
  constexpr absl::string_view kRecheck = "revoked: ",
                              kRecovery = "recovery: enrolled, and revoked ";
  if (method == "RecheckCredentials" && absl::StartsWith(detail, kRecheck)) {
    const auto ids = line.find("credentials");
    const bool one =
        ids != line.end() && ids->is_array() && ids->size() == 1 && (*ids)[0].is_string();
    return one ? (*ids)[0].get<std::string>() : "";
  }
  if (StringIn(line, "event") == "enrollment" && absl::StartsWith(detail, kRecovery)) {
    return detail.substr(kRecovery.size(), 64);
  }
  return "";
}

// Lines that AddRevocations() has no use for are not parsed: nearly all.
bool MayTakeAway(absl::string_view text) {
  for (const char* word :
       {"evoke", "SetSubject", "CancelInvite", "\"invite\":", "SetPassword", "SetOidcIdentity"}) {
    if (absl::StrContains(text, word)) return true;
  }
  return false;
}

bool IsId(absl::string_view hex) {
  return hex.size() == 64 && std::all_of(hex.begin(), hex.end(),
                                         [](unsigned char c) { return absl::ascii_isxdigit(c); });
}

// In a registry that was put back a key that was revoked may be new again.
void NoteEnrolledAgain(const Json& line, LoggedRevocations& found) {
  const auto ids = line.find("credentials");
  if (StringIn(line, "event") != "enrollment" || !line.contains("admitted") ||
      line["admitted"] != true || ids == line.end() || !ids->is_array()) {
    return;
  }
  for (const Json& id : *ids) {
    if (!id.is_string() || !IsId(id.get<std::string>())) continue;
    const std::string raw = absl::HexStringToBytes(id.get<std::string>());
    for (LoggedRevocations::Credential& one : found.credentials) {
      if (one.id == raw) one.enrolled_since = true;
    }
  }
}

void AddInvite(const Json& line, LoggedRevocations& found) {
  std::string id, how = "cancelled";
  if (StringIn(line, "event") == "admin" && StringIn(line, "method") == "CancelInvite") {
    id = StringIn(line, "detail").substr(0, 64);
  } else if (StringIn(line, "event") == "enrollment" && line.contains("admitted") &&
             line["admitted"] == true) {
    id = StringIn(line, "invite");
    how = "used";
  }
  if (IsId(id)) found.invites[absl::HexStringToBytes(id)] = how;
}

void AddSubject(const Json& line, absl::Time at, LoggedRevocations& found) {
  const std::string subject = StringIn(line, "subject"), method = StringIn(line, "method"),
                    detail = StringIn(line, "detail");
  if (StringIn(line, "event") != "admin" || subject.empty()) return;
  if (method == "SetPassword" || method == "SetOidcIdentity") {
    found.factors[{subject, method}] = {detail, at};
  }
  if (method != "SetSubject") return;
  constexpr absl::string_view kDisabled = "disabled ", kEnabled = "enabled ", kRoles = "roles: ";
  absl::string_view rest = detail;
  if (absl::ConsumePrefix(&rest, kDisabled)) {
    found.subjects[subject] = true;
  } else if (absl::ConsumePrefix(&rest, kEnabled)) {
    found.subjects[subject] = false;
  }
  if (absl::ConsumePrefix(&rest, kRoles)) found.roles[subject] = {std::string(rest), at};
}

}  // namespace

std::optional<absl::Time> AuditTimeOf(absl::string_view line) {
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
  if (!query.ids.empty()) {
    // Lines that name the subject by one of many ids: no one text to look for.
    ForEachLine(content, [&](absl::string_view line) {
      if (Matches(line, query)) found(line);
    });
    return;
  }
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

void AddSessionsOf(absl::string_view content, const std::string& subject,
                   std::set<std::string>& ids) {
  SearchAudit(content, {.subject = subject}, [&](absl::string_view text) {
    const Json line = ParseBoundedJson(text);
    if (std::string session = StringIn(line, "session"); !session.empty()) {
      ids.insert(std::move(session));
    }
  });
}

void AddRevocations(absl::string_view content, LoggedRevocations& found) {
  ForEachLine(content, [&](absl::string_view text) {
    if (!MayTakeAway(text)) return;
    const Json line = ParseBoundedJson(text);
    if (!line.is_object()) return;
    const absl::Time at = AuditTimeOf(text).value_or(absl::UnixEpoch());
    AddSubject(line, at, found);
    AddInvite(line, found);
    NoteEnrolledAgain(line, found);
    const std::string id = RevokedIn(line);
    if (!IsId(id)) return;
    found.credentials.push_back({absl::HexStringToBytes(id), StringIn(line, "detail"), at});
  });
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/gate/audit/audit_span.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/status.h"
#include "src/gate/audit/audit_reader.h"
#include "src/wire/json_object.h"

namespace forekey {
namespace {

using Json = nlohmann::json;

struct Place {
  std::string file;
  uint64_t line = 0;
};

std::string TextIn(const Json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_string() ? found->get<std::string>() : std::string();
}

class SpanCheck {
 public:
  SpanCheck(absl::Duration bound, AuditSpan& span) : bound_(bound), span_(span) {}

  void Revocations(absl::string_view content) {
    LoggedRevocations found;
    AddRevocations(content, found);
    for (const LoggedRevocations::Credential& credential : found.credentials) {
      const std::string id = absl::BytesToHexString(credential.id);
      const auto [known, is_new] = revoked_.emplace(id, credential.at);
      if (!is_new) known->second = std::min(known->second, credential.at);
    }
    span_.revoked = revoked_.size();
  }

  void Line(const Place& place, absl::string_view text) {
    if (!absl::StrContains(text, "\"admitted\":true")) return;
    const bool resumed = absl::StrContains(text, "\"resumed_session\":"),
               invited = absl::StrContains(text, "\"invite\":");
    if (!resumed && !invited && revoked_.empty()) return;
    const Json line = ParseBoundedJson(text);
    if (!line.is_object()) return;
    const std::string event = TextIn(line, "event");
    if (resumed && event == "session-opened") {
      Once(resumed_, TextIn(line, "resumed_session"), place, AuditFault::kResumedTwice, "session ");
      span_.resumed = resumed_.size();
    }
    if (invited && event == "enrollment") {
      Once(invites_, TextIn(line, "invite"), place, AuditFault::kInviteUsedTwice, "invite ");
      span_.enrolled = invites_.size();
    }
    if (event == "call" || event == "session-opened") AfterRevocation(place, line);
  }

 private:
  using Seen = absl::flat_hash_map<std::string, Place>;

  void Report(AuditFault fault, const Place& place, std::string detail) {
    constexpr size_t kMostFindings = 1000;
    if (span_.findings.size() < kMostFindings) {
      span_.findings.push_back({fault, place.file, place.line, std::move(detail)});
    }
  }

  void Once(Seen& seen, const std::string& what, const Place& place, AuditFault fault,
            absl::string_view kind) {
    if (what.empty()) return;
    const auto [first, is_new] = seen.emplace(what, place);
    if (is_new) return;
    Report(fault, place,
           absl::StrCat(kind, what.substr(0, 64), ": also in ", first->second.file, ", line ",
                        first->second.line));
  }

  void AfterRevocation(const Place& place, const Json& line) {
    const auto ids = line.find("credentials");
    if (ids == line.end() || !ids->is_array()) return;
    absl::Time at;
    std::string ignored;
    if (!absl::ParseTime(absl::RFC3339_full, TextIn(line, "time"), &at, &ignored)) return;
    for (const Json& id : *ids) {
      if (!id.is_string()) continue;
      const auto revoked = revoked_.find(id.get<std::string>());
      if (revoked == revoked_.end() || at <= revoked->second + bound_) continue;
      Report(AuditFault::kAdmittedAfterRevocation, place,
             absl::StrCat("credential ", revoked->first, " was revoked ",
                          absl::FormatDuration(at - revoked->second), " before"));
    }
  }

  const absl::Duration bound_;
  AuditSpan& span_;
  absl::flat_hash_map<std::string, absl::Time> revoked_;
  Seen resumed_, invites_;
};

}  // namespace

AuditSpan CheckAuditSpanOf(absl::Span<const AuditContent> contents, absl::Duration bound) {
  AuditSpan span;
  SpanCheck check(bound, span);
  for (const AuditContent& log : contents) check.Revocations(log.content);
  for (const AuditContent& log : contents) {
    Place place{log.file};
    for (absl::string_view rest = log.content; !rest.empty();) {
      const size_t end = rest.find('\n');
      ++place.line;
      check.Line(place, rest.substr(0, end));
      rest.remove_prefix(end == absl::string_view::npos ? rest.size() : end + 1);
    }
  }
  return span;
}

absl::StatusOr<AuditSpan> CheckAuditSpan(const std::vector<std::string>& files,
                                         absl::Duration bound) {
  std::vector<std::unique_ptr<AuditReader>> readers;
  std::vector<AuditContent> contents;
  for (const std::string& file : files) {
    FOREKEY_ASSIGN_OR_RETURN(auto reader, AuditReader::Open(file));
    contents.push_back({file, reader->content()});
    readers.push_back(std::move(reader));
  }
  return CheckAuditSpanOf(contents, bound);
}

}  // namespace forekey

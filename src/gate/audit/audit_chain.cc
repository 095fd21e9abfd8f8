// SPDX-License-Identifier: Apache-2.0
#include "src/gate/audit/audit_chain.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/crypto/digest.h"

namespace forekey {
namespace {

constexpr absl::string_view kLabel("forekey/1 audit\0", 16);
constexpr absl::string_view kHashKey = ",\"hash\":\"";
constexpr size_t kHexSize = 64;
constexpr size_t kTailSize = kHashKey.size() + kHexSize + 2;  // ,"hash":"..."}

std::string HashOf(absl::string_view covered) {
  return absl::BytesToHexString(Sha256(absl::StrCat(kLabel, covered)));
}

bool IsHex(absl::string_view text) {
  return text.size() == kHexSize && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// Digits without leading zeros, so that one number has one form.
std::optional<uint64_t> ConsumeNumber(absl::string_view* text) {
  size_t digits = 0;
  while (digits < text->size() && absl::ascii_isdigit(static_cast<unsigned char>((*text)[digits])))
    ++digits;
  uint64_t value = 0;
  if (digits == 0 || (digits > 1 && (*text)[0] == '0') ||
      !absl::SimpleAtoi(text->substr(0, digits), &value)) {
    return std::nullopt;
  }
  text->remove_prefix(digits);
  return value;
}

}  // namespace

std::string ChainLine(absl::string_view json, AuditHead& head) {
  std::string line = absl::StrCat("{\"seq\":", head.seq + 1, ",\"prev\":\"", head.hash, "\"",
                                  json.size() > 2 ? "," : "", json.substr(1, json.size() - 2));
  head = AuditHead{head.seq + 1, HashOf(line)};
  absl::StrAppend(&line, kHashKey, head.hash, "\"}");
  return line;
}

std::optional<AuditLine> ParseAuditLine(absl::string_view line, bool* edited) {
  if (edited != nullptr) *edited = false;
  if (line.size() < kTailSize || !absl::EndsWith(line, "\"}")) return std::nullopt;
  const absl::string_view covered = line.substr(0, line.size() - kTailSize);
  absl::string_view tail = line.substr(covered.size());
  if (!absl::ConsumePrefix(&tail, kHashKey) || !IsHex(tail.substr(0, kHexSize)))
    return std::nullopt;
  absl::string_view rest = covered;
  if (!absl::ConsumePrefix(&rest, "{\"seq\":")) return std::nullopt;
  const std::optional<uint64_t> seq = ConsumeNumber(&rest);
  if (!seq || *seq == 0 || !absl::ConsumePrefix(&rest, ",\"prev\":\"") || rest.size() <= kHexSize ||
      !IsHex(rest.substr(0, kHexSize)) || rest[kHexSize] != '"') {
    return std::nullopt;
  }
  AuditLine parsed{{*seq, std::string(tail.substr(0, kHexSize))},
                   std::string(rest.substr(0, kHexSize))};
  if (HashOf(covered) == parsed.head.hash) return parsed;
  if (edited != nullptr) *edited = true;
  return std::nullopt;
}

std::string SerializeHead(const AuditHead& head) {
  return absl::StrCat(absl::Dec(head.seq, absl::kZeroPad20), " ", head.hash, "\n");
}

std::optional<AuditHead> ParseHead(absl::string_view record) {
  if (record.size() != kHeadRecordSize || record[20] != ' ' || record.back() != '\n')
    return std::nullopt;
  AuditHead head;
  head.hash = std::string(record.substr(21, kHexSize));
  const absl::string_view digits = record.substr(0, 20);
  if (!std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(digits, &head.seq) || !IsHex(head.hash)) {
    return std::nullopt;
  }
  return head;
}

absl::StatusOr<std::vector<std::string>> AuditFilesOf(const std::string& path,
                                                      std::vector<std::string>* unread) {
  const std::filesystem::path log(path);
  const std::string name = log.filename().string();
  const std::string stem =
      log.stem().string();  // logrotate can keep the extension: audit-20270115.jsonl
  std::vector<std::pair<uint64_t, std::string>> found;
  std::error_code error;
  const auto folder = log.has_parent_path() ? log.parent_path() : std::filesystem::path(".");
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string other = entry.path().filename().string();
    if (other == name || !absl::StartsWith(other, stem) || other == name + ".head") continue;
    const auto miss = [&](absl::string_view why) {
      if (unread != nullptr) unread->push_back(absl::StrCat(entry.path().string(), ": ", why));
    };
    std::error_code unseen;
    const auto status = entry.status(unseen);
    if (!std::filesystem::is_regular_file(status)) {
      if (!std::filesystem::exists(status)) miss("can't be looked at");
      continue;
    }
    std::ifstream file(entry.path());
    std::string first;
    if (!std::getline(file, first)) {
      if (!file.is_open()) miss("can't be opened");
      continue;
    }
    bool edited = false;
    const auto line = ParseAuditLine(first, &edited);
    // One whose first line is broken belongs to the log by its name; it is judged with the rest.
    absl::string_view rest = first;
    if (line) {
      found.emplace_back(line->head.seq, entry.path().string());
    } else if (absl::ConsumePrefix(&rest, "{\"seq\":")) {
      found.emplace_back(ConsumeNumber(&rest).value_or(0), entry.path().string());
    } else {
      miss("does not begin with a line of the log");
    }
  }
  if (error) return absl::NotFoundError(absl::StrCat(folder.string(), ": ", error.message()));
  std::sort(found.begin(), found.end());
  std::vector<std::string> files;
  files.reserve(found.size() + 1);
  for (auto& [seq, file] : found) files.push_back(std::move(file));
  if (std::filesystem::exists(log, error)) files.push_back(path);
  if (files.empty()) return absl::NotFoundError(absl::StrCat(path, ": no audit log is there"));
  return files;
}

}  // namespace forekey

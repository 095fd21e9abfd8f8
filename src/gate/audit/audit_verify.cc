// SPDX-License-Identifier: Apache-2.0
#include "src/gate/audit/audit_verify.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/public_key.h"
#include "src/gate/audit/audit_reader.h"
#include "src/gate/token/token_verifier.h"
#include "src/wire/base64url.h"
#include "src/wire/json_object.h"
#include "src/wire/prefix.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxFindings = 1000;
constexpr size_t kMaxTorn = 256 * 1024;

absl::Status NotProof(absl::string_view what) { return absl::InvalidArgumentError(what); }

// Of an untrusted object: empty where it is absent or no text.
std::string TextOf(const Json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

absl::StatusOr<CredentialRecord> RecordOf(const Json& token, absl::string_view id,
                                          const std::string& subject, absl::string_view audience) {
  if (!token.is_object()) return NotProof("a token is no object");
  CredentialRecord record;
  record.id = std::string(id);
  record.subject = subject;
  const auto spki = Base64UrlDecode(TextOf(token, "spki"));
  if (!spki || spki->empty() || spki->size() > 4096) return NotProof("a token has no spki");
  record.spki = *spki;
  // Lengths are bounded before they go into a length field.
  if (subject.size() > kMaxSubjectSize ||
      CredentialId(audience, subject, record.spki) != record.id) {
    return NotProof("a token's key is not that of the credential's id and the subject");
  }
  const std::string kind = TextOf(token, "kind");
  record.kind = TokenKindFromName(kind).value_or(v1::TOKEN_KIND_UNSPECIFIED);
  record.rp_id = TextOf(token, "rp_id");
  record.origin = TextOf(token, "origin");
  return record;
}

absl::Status VerifyOne(const AssertionView& assertion, absl::string_view statement,
                       const CredentialRecord& record, const AuditVerifyOptions& options) {
  FOREKEY_ASSIGN_OR_RETURN(const PublicKey key, PublicKey::FromSpki(record.spki));
  const TokenSection* kind = options.tokens.Find(record.kind);
  if (kind == nullptr) return NotProof("a token of a kind that is not known");
  return kind->WithoutTrust({})
      ->VerifyAssertion(assertion, statement, record, key, AssertionPolicy::kOfTheProtocol)
      .status();
}

absl::Status VerifyProof(const Json& line, const AuditVerifyOptions& options) {
  const std::string audience = TextOf(line["proof"], "audience"), method = TextOf(line, "method"),
                    subject = TextOf(line, "subject");
  const auto bytes = Base64UrlDecode(TextOf(line["proof"], "prefix"));
  if (!IsWellFormedAudience(audience) || !IsWellFormedMethod(method) || !bytes) {
    return NotProof("audience, method or prefix is malformed");
  }
  FOREKEY_ASSIGN_OR_RETURN(const Prefix prefix, Prefix::Parse(*bytes));
  const DeviceProofView* proof = prefix.device();
  if (proof == nullptr) return NotProof("the prefix is no device proof");
  const auto ids = line.find("credentials"), tokens = line.find("tokens");
  const size_t count = proof->assertions.size();
  if (ids == line.end() || !ids->is_array() || ids->size() != count || tokens == line.end() ||
      !tokens->is_array() || tokens->size() != count) {
    return NotProof("the line does not name the credentials that signed");
  }
  std::vector<absl::string_view> signed_ids;
  for (const AssertionView& assertion : proof->assertions)
    signed_ids.push_back(assertion.credential_id);
  const std::string statement =
      BuildStatement(CallStatement{audience, method, proof->challenge, proof->channel_binding,
                                   signed_ids, proof->key_share, proof->request_digest});
  for (size_t i = 0; i < count; ++i) {
    if ((*ids)[i] != absl::BytesToHexString(signed_ids[i])) {
      return NotProof("the line names other credentials than those that signed");
    }
    FOREKEY_ASSIGN_OR_RETURN(const CredentialRecord record,
                             RecordOf((*tokens)[i], signed_ids[i], subject, audience));
    FOREKEY_RETURN_IF_ERROR(VerifyOne(proof->assertions[i], statement, record, options));
    if (options.enrolled && !options.enrolled(record.id)) {
      return NotProof("the registry never had the credential");
    }
  }
  return absl::OkStatus();
}

// Goes through the lines of all files in order.
class ChainCheck {
 public:
  ChainCheck(const AuditVerifyOptions& options, AuditVerification& result)
      : options_(options), result_(result) {
    if (options.enrolled) {
      options_.enrolled = [this, &options](absl::string_view id) {
        return enrolled_.contains(absl::BytesToHexString(id)) || options.enrolled(id);
      };
    }
    for (const AuditHead& head : options.heads) {
      // The first is the one that nobody who came later could write.
      const auto [noted, is_new] = heads_.emplace(head.seq, head.hash);
      if (is_new || noted->second == head.hash) continue;
      Report(AuditFault::kRewritten, "", 0,
             absl::StrCat("line ", head.seq, " was noted with two heads"));
    }
  }

  void Line(const std::string& file, uint64_t number, absl::string_view text) {
    bool edited = false;
    const auto line = ParseAuditLine(text, &edited);
    if (!line) {
      if (torn_file_.empty())
        torn_file_ = file, torn_number_ = number, torn_.clear();
      else
        torn_ += '\n';
      if (torn_.size() < kMaxTorn) torn_.append(text.data(), text.size());
      torn_edited_ = torn_edited_ || edited;
      return;
    }
    const bool marked = Torn(text);
    Place(file, number, *line, marked);
    result_.last = line->head;
    ++result_.lines;
    auto known = heads_.find(line->head.seq);
    if (known != heads_.end() && known->second != line->head.hash) {
      Report(AuditFault::kRewritten, file, number,
             "a head that was noted elsewhere says otherwise");
    }
    Content(file, number, text);
  }

  // A line that was being written when everything stopped has no newline.
  void EndOfFile(const std::string& file, bool ends_in_newline) {
    if (torn_file_.empty()) return;
    // The next file's first line can't mark what lies in this one.
    if (ends_in_newline || torn_edited_) return Unmarked();
    ++result_.torn_lines;
    Forget();
  }

  void End() {
    // A log without a line ends with line 0.
    if (heads_.empty() || heads_.rbegin()->first <= result_.last.seq) return;
    Report(AuditFault::kTruncated, "", 0,
           absl::StrCat("the log ends with line ", result_.last.seq, ", but line ",
                        heads_.rbegin()->first, " was written"));
  }

 private:
  void Report(AuditFault fault, const std::string& file, uint64_t line, std::string detail) {
    if (result_.findings.size() < kMaxFindings) {
      result_.findings.push_back({fault, file, line, std::move(detail)});
    }
  }

  void Forget() {
    torn_file_.clear();
    torn_.clear();
    torn_edited_ = false;
  }

  void Unmarked() {
    Report(torn_edited_ ? AuditFault::kEdited : AuditFault::kNotALine, torn_file_, torn_number_,
           torn_edited_ ? "the hash is not that of the line" : "not a line of the log");
    Forget();
  }

  // True where what lies before this line was cut short and this line says so.
  bool Torn(absl::string_view text) {
    if (torn_file_.empty()) return false;
    if (!torn_edited_ && absl::StrContains(text, "\"event\":\"log\"")) {
      const Json line = ParseBoundedJson(text);
      // Compared as JSON: a line of another type is no match, and no exception.
      if (line.is_object() && line.contains("torn_bytes") && line["torn_bytes"] == torn_.size() &&
          TextOf(line, "torn_sha256") == absl::BytesToHexString(Sha256(torn_))) {
        ++result_.torn_lines;
        Forget();
        return true;
      }
    }
    Unmarked();
    return false;
  }

  void Place(const std::string& file, uint64_t number, const AuditLine& line, bool marked) {
    if (result_.lines == 0) {
      result_.first = line.head;
      if (line.head.seq == 1 && line.prev != AuditHead().hash) {
        Report(AuditFault::kBrokenChain, file, number, "the first line names one before it");
      }
      if (options_.first && line.head.seq > *options_.first) {
        Report(
            AuditFault::kBrokenChain, file, number,
            absl::StrCat("lines ", *options_.first, " to ", line.head.seq - 1,
                         " are missing: the oldest file is not there. Where it was archived, name "
                         "all files, or say --first ",
                         line.head.seq));
      }
      auto before = heads_.find(line.head.seq - 1);
      if (before != heads_.end() && before->second != line.prev) {
        Report(AuditFault::kRewritten, file, number,
               "a head that was noted elsewhere says otherwise");
      }
      return;
    }
    if (line.head.seq == result_.last.seq + 1 && line.prev == result_.last.hash) return;
    std::string detail =
        line.head.seq > result_.last.seq + 1 ? absl::StrCat("lines ", result_.last.seq + 1, " to ",
                                                            line.head.seq - 1, " are missing")
        : line.head.seq == result_.last.seq + 1 ? "the line before is not the one that was written"
        : line.head.seq == 1                    ? "another log begins here"
                                                : "it stands behind a later line";
    if (marked) absl::StrAppend(&detail, "; what is there instead says that it was cut short");
    Report(AuditFault::kBrokenChain, file, number, std::move(detail));
  }

  void Content(const std::string& file, uint64_t number, absl::string_view text) {
    if (absl::StrContains(text, "\"event\":\"enrollment\"")) NoteEnrolled(text);
    const bool proof = absl::StrContains(text, "\"proof\":");
    if (!proof && !absl::StrContains(text, "\"unwritten\":")) return;
    const Json line = ParseBoundedJson(text);
    if (!line.is_object()) return;
    if (auto lost = line.find("unwritten"); lost != line.end() && lost->is_number_unsigned()) {
      result_.unwritten += lost->get<uint64_t>();
    }
    bool checked = false;
    const absl::Status valid = VerifyAuditProof(text, options_, &checked);
    if (!valid.ok()) {
      Report(AuditFault::kProofInvalid, file, number, std::string(valid.message()));
    } else if (checked) {
      ++result_.proofs;
    }
  }

  void NoteEnrolled(absl::string_view text) {
    const Json line = ParseBoundedJson(text);
    if (!line.is_object() || !line.contains("admitted") || line["admitted"] != true) return;
    const auto ids = line.find("credentials");
    if (ids == line.end() || !ids->is_array()) return;
    for (const Json& id : *ids) {
      if (id.is_string()) enrolled_.insert(id.get<std::string>());
    }
  }

  AuditVerifyOptions options_;  // `enrolled` asks the log, too
  std::set<std::string> enrolled_;
  AuditVerification& result_;
  std::map<uint64_t, std::string> heads_;
  std::string torn_file_, torn_;
  uint64_t torn_number_ = 0;
  bool torn_edited_ = false;
};

}  // namespace

absl::string_view AuditFaultName(AuditFault fault) {
  switch (fault) {
    case AuditFault::kNotALine:
      return "not-a-line";
    case AuditFault::kEdited:
      return "edited";
    case AuditFault::kBrokenChain:
      return "broken-chain";
    case AuditFault::kTruncated:
      return "truncated";
    case AuditFault::kRewritten:
      return "rewritten";
    case AuditFault::kProofInvalid:
      return "proof-invalid";
    case AuditFault::kResumedTwice:
      return "resumed-twice";
    case AuditFault::kInviteUsedTwice:
      return "invite-used-twice";
    case AuditFault::kAdmittedAfterRevocation:
      return "admitted-after-revocation";
  }
  return "unknown";
}

absl::Status VerifyAuditProof(absl::string_view json, const AuditVerifyOptions& options,
                              bool* checked) {
  *checked = false;
  const Json line = ParseBoundedJson(json);
  if (!line.is_object()) return NotProof("no JSON object");
  if (!line.contains("proof")) return absl::OkStatus();
  if (!line["proof"].is_object()) return NotProof("the proof is no object");
  *checked = true;
  return VerifyProof(line, options);
}

absl::StatusOr<AuditVerification> VerifyAudit(const std::vector<std::string>& files,
                                              const AuditVerifyOptions& options) {
  AuditVerification result;
  ChainCheck check(options, result);
  for (const std::string& file : files) {
    FOREKEY_ASSIGN_OR_RETURN(const auto reader, AuditReader::Open(file));
    uint64_t number = 0;
    absl::string_view rest = reader->content();
    const bool ends_in_newline = absl::EndsWith(rest, "\n");
    while (!rest.empty()) {
      const size_t end = rest.find('\n');
      check.Line(file, ++number, rest.substr(0, end));
      if (end == absl::string_view::npos) break;
      rest.remove_prefix(end + 1);
    }
    check.EndOfFile(file, ends_in_newline);
  }
  check.End();
  return result;
}

absl::StatusOr<std::vector<AuditHead>> ReadHeads(const std::string& path) {
  FOREKEY_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  std::vector<AuditHead> heads;
  for (size_t at = 0; at < content.size(); at += kHeadRecordSize) {
    const auto head = ParseHead(absl::string_view(content).substr(at, kHeadRecordSize));
    if (!head) return absl::InvalidArgumentError(absl::StrCat(path, ": not a list of audit heads"));
    heads.push_back(*head);
  }
  return heads;
}

}  // namespace forekey

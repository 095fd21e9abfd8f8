// SPDX-License-Identifier: Apache-2.0
// A decision as one JSON object. Written out by hand for the common case, because it lies on the
// way of every call that hardware signed; whatever is not plain ASCII goes through the JSON
// library.
#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/gate/audit/audit.h"
#include "src/wire/base64url.h"

namespace forekey {
namespace {

constexpr size_t kMaxText = 1024;

bool IsPlain(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; });
}

void AppendText(std::string& out, absl::string_view text) {
  std::string cut;
  if (text.size() > kMaxText) {
    cut = absl::StrCat(text.substr(0, kMaxText), "...(cut)");
    text = cut;
  }
  if (IsPlain(text)) {
    absl::StrAppend(&out, "\"", text, "\"");
    return;
  }
  out += nlohmann::json(std::string(text))
             .dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
}

// Keys are this file's own.
class JsonObject {
 public:
  explicit JsonObject(std::string& out) : out_(out) { out_ += '{'; }
  void End() { out_ += '}'; }
  std::string& Key(absl::string_view key) {
    absl::StrAppend(&out_, first_ ? "" : ",", "\"", key, "\":");
    first_ = false;
    return out_;
  }
  // Left out where it is empty.
  void Text(absl::string_view key, absl::string_view text) {
    if (!text.empty()) AppendText(Key(key), text);
  }
  // Printable by their making, and of any length.
  void Encoded(absl::string_view key, absl::string_view text) {
    if (!text.empty()) absl::StrAppend(&Key(key), "\"", text, "\"");
  }
  template <typename Each>
  void Array(absl::string_view key, size_t size, const Each& each) {
    if (size == 0) return;
    Key(key) += '[';
    for (size_t i = 0; i < size; ++i) {
      if (i > 0) out_ += ',';
      each(i);
    }
    out_ += ']';
  }
  void Hex(absl::string_view key, const std::vector<std::string>& ids) {
    Array(key, ids.size(),
          [&](size_t i) { absl::StrAppend(&out_, "\"", absl::BytesToHexString(ids[i]), "\""); });
  }

 private:
  std::string& out_;
  bool first_ = true;
};

void AppendToken(std::string& out, const TokenDescription& token, bool with_key) {
  JsonObject object(out);
  object.Text("kind", token.kind);
  object.Text("label", token.label);
  object.Text("model", token.model);
  object.Text("serial", token.serial);
  if (with_key) {
    absl::StrAppend(&object.Key("algorithm"), token.algorithm);
    object.Encoded("spki", Base64UrlEncode(token.spki));
    object.Text("rp_id", token.rp_id);
    object.Text("origin", token.origin);
  }
  object.End();
}

}  // namespace

std::string DecisionToJson(const Decision& decision) {
  std::string out;
  out.reserve(512);
  JsonObject line(out);
  line.Encoded("time",
               absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", decision.time, absl::UTCTimeZone()));
  line.Text("reference", decision.reference);
  line.Text("replica", decision.replica);
  line.Encoded("event", AuditEventName(decision.event));
  line.Key("admitted") += decision.admitted ? "true" : "false";
  if (decision.reason) line.Encoded("reason", ReasonName(*decision.reason));
  line.Text("detail", decision.detail);
  line.Text("peer", decision.peer);
  line.Text("method", decision.method);
  line.Text("subject", decision.subject);
  line.Hex("credentials", decision.credential_ids);
  line.Array("tokens", decision.tokens.size(),
             [&](size_t i) { AppendToken(out, *decision.tokens[i], decision.proof.has_value()); });
  line.Encoded("session", absl::BytesToHexString(decision.session));
  line.Encoded("resumed_session", absl::BytesToHexString(decision.resumed_session));
  line.Encoded("invite", absl::BytesToHexString(decision.invite));
  line.Hex("claimed_credentials", decision.claimed_credential_ids);
  line.Encoded("claimed_session", absl::BytesToHexString(decision.claimed_session));
  line.Array("factors", decision.factors.size(),
             [&](size_t i) { AppendText(out, decision.factors[i]); });
  if (decision.latency_nanos > 0)
    absl::StrAppend(&line.Key("latency_us"), decision.latency_nanos / 1000);
  if (decision.suppressed > 0) absl::StrAppend(&line.Key("suppressed"), decision.suppressed);
  if (decision.unwritten > 0) absl::StrAppend(&line.Key("unwritten"), decision.unwritten);
  if (decision.proof) {
    JsonObject proof(line.Key("proof"));
    proof.Text("audience", decision.proof->audience);
    proof.Encoded("prefix", Base64UrlEncode(decision.proof->prefix));
    proof.End();
  }
  line.End();
  return out;
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/wire/id_token.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/wire/base64url.h"
#include "src/wire/json_object.h"
#include "src/wire/sealed_factors.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

using TokenJson = nlohmann::json;

constexpr size_t kMaxTokenName = 255;  // OpenID Connect Core, section 2: of sub
constexpr size_t kMaxTokenAudiences = 16;
constexpr int64_t kLastSecond = 253402300799;  // of the year 9999

absl::Status TokenMalformed(absl::string_view what) {
  return Refuse(Reason::kIdTokenMalformed, what);
}

absl::StatusOr<TokenJson> TokenPart(absl::string_view part, absl::string_view name) {
  const std::optional<std::string> text = Base64UrlDecode(part);
  if (!text) return TokenMalformed(absl::StrCat("the ", name, " is not base64url"));
  absl::StatusOr<TokenJson> object = ParseJsonObject(*text);
  if (!object.ok())
    return TokenMalformed(absl::StrCat("the ", name, ": ", object.status().message()));
  return object;
}

// nullopt where it is not there.
absl::StatusOr<std::optional<std::string>> OptionalText(const TokenJson& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end()) return std::optional<std::string>();
  if (!member->is_string()) return TokenMalformed(absl::StrCat(name, " is no string"));
  std::string text = member->get<std::string>();
  if (text.empty() || text.size() > kMaxTokenName) {
    return TokenMalformed(absl::StrCat(name, " has not 1 to 255 bytes"));
  }
  return std::optional<std::string>(std::move(text));
}

absl::StatusOr<std::string> NeededText(const TokenJson& object, const char* name) {
  FOREKEY_ASSIGN_OR_RETURN(std::optional<std::string> text, OptionalText(object, name));
  if (!text) return TokenMalformed(absl::StrCat("no ", name));
  return *std::move(text);
}

// RFC 7519, NumericDate: seconds, perhaps with a fraction, which is dropped.
absl::StatusOr<std::optional<absl::Time>> OptionalTime(const TokenJson& claims, const char* name) {
  const auto member = claims.find(name);
  if (member == claims.end()) return std::optional<absl::Time>();
  if (!member->is_number()) return TokenMalformed(absl::StrCat(name, " is no number"));
  const double seconds = member->get<double>();
  if (!(seconds >= 0 && seconds <= static_cast<double>(kLastSecond))) {
    return TokenMalformed(absl::StrCat(name, " is out of range"));
  }
  return std::optional<absl::Time>(absl::FromUnixSeconds(static_cast<int64_t>(seconds)));
}

absl::StatusOr<absl::Time> NeededTime(const TokenJson& claims, const char* name) {
  FOREKEY_ASSIGN_OR_RETURN(std::optional<absl::Time> time, OptionalTime(claims, name));
  if (!time) return TokenMalformed(absl::StrCat("no ", name));
  return *time;
}

absl::Status ReadTokenHeader(const TokenJson& header, ParsedIdToken& token) {
  // RFC 7515 section 4.1.11: what is critical must be understood.
  if (header.contains("crit")) return TokenMalformed("a critical header parameter");
  FOREKEY_ASSIGN_OR_RETURN(token.algorithm, NeededText(header, "alg"));
  FOREKEY_ASSIGN_OR_RETURN(token.key_id, OptionalText(header, "kid"));
  FOREKEY_ASSIGN_OR_RETURN(const std::optional<std::string> type, OptionalText(header, "typ"));
  if (type && !absl::EqualsIgnoreCase(*type, "JWT")) {
    return TokenMalformed("its typ is not JWT: another kind of token than an ID token");
  }
  return absl::OkStatus();
}

absl::Status ReadTokenAudience(const TokenJson& claims, std::vector<std::string>& audience) {
  const auto member = claims.find("aud");
  if (member == claims.end()) return TokenMalformed("no aud");
  const TokenJson list = member->is_array() ? *member : TokenJson::array({*member});
  if (list.empty() || list.size() > kMaxTokenAudiences)
    return TokenMalformed("aud has not 1 to 16 members");
  for (const TokenJson& entry : list) {
    if (!entry.is_string())
      return TokenMalformed("aud is neither a string nor an array of strings");
    audience.push_back(entry.get<std::string>());
  }
  return absl::OkStatus();
}

absl::Status ReadTokenClaims(const TokenJson& claims, ParsedIdToken& token) {
  FOREKEY_ASSIGN_OR_RETURN(token.issuer, NeededText(claims, "iss"));
  FOREKEY_ASSIGN_OR_RETURN(token.subject, NeededText(claims, "sub"));
  FOREKEY_RETURN_IF_ERROR(ReadTokenAudience(claims, token.audience));
  FOREKEY_ASSIGN_OR_RETURN(token.authorized_party, OptionalText(claims, "azp"));
  FOREKEY_ASSIGN_OR_RETURN(token.nonce, OptionalText(claims, "nonce"));
  FOREKEY_ASSIGN_OR_RETURN(token.id, OptionalText(claims, "jti"));
  FOREKEY_ASSIGN_OR_RETURN(token.expires_at, NeededTime(claims, "exp"));
  FOREKEY_ASSIGN_OR_RETURN(token.issued_at, NeededTime(claims, "iat"));
  FOREKEY_ASSIGN_OR_RETURN(token.not_before, OptionalTime(claims, "nbf"));
  FOREKEY_ASSIGN_OR_RETURN(token.authenticated_at, OptionalTime(claims, "auth_time"));
  return absl::OkStatus();
}

}  // namespace

std::string IdTokenNonce(absl::string_view audience, absl::string_view key_share,
                         absl::Span<const absl::string_view> credential_ids) {
  ByteWriter writer;
  writer.Raw(label::kIdToken).U8(0).Len2(audience).Raw(key_share);
  writer.U8(static_cast<uint8_t>(credential_ids.size()));
  for (absl::string_view id : credential_ids) writer.Raw(id);
  return Base64UrlEncode(Sha256(writer.bytes()));
}

absl::StatusOr<ParsedIdToken> ParsedIdToken::Parse(absl::string_view text) {
  if (text.size() > kMaxIdTokenSize) return TokenMalformed("longer than 8192 bytes");
  const std::vector<absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('.', 3));
  if (parts.size() != 3) return TokenMalformed("not three parts");
  ParsedIdToken token;
  FOREKEY_ASSIGN_OR_RETURN(const TokenJson header, TokenPart(parts[0], "header"));
  FOREKEY_RETURN_IF_ERROR(ReadTokenHeader(header, token));
  FOREKEY_ASSIGN_OR_RETURN(token.claims, TokenPart(parts[1], "claims"));
  FOREKEY_RETURN_IF_ERROR(ReadTokenClaims(token.claims, token));
  std::optional<std::string> signature = Base64UrlDecode(parts[2]);
  if (!signature) return TokenMalformed("the signature is not base64url");
  token.signature = *std::move(signature);
  token.signing_input = text.substr(0, parts[0].size() + 1 + parts[1].size());
  return token;
}

std::optional<std::string> ParsedIdToken::StringClaim(const std::string& name) const {
  const auto member = claims.find(name);
  if (member == claims.end() || !member->is_string()) return std::nullopt;
  return member->get<std::string>();
}

}  // namespace forekey

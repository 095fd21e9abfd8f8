// SPDX-License-Identifier: Apache-2.0
#include "src/gate/caller/caller_token.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "src/base/bytes.h"
#include "src/crypto/digest.h"
#include "src/wire/base64url.h"

namespace forekey {
namespace {

constexpr absl::string_view kSessionLabel("forekey/1 caller-session\0", 25);

// All but the times.
nlohmann::json ClaimsOf(const CallerInfo& caller, absl::string_view method,
                        absl::string_view upstream, const std::string& issuer) {
  nlohmann::json claims = {{"iss", issuer},
                           {"sub", caller.subject},
                           {"aud", std::string(upstream)},
                           {"method", std::string(method)},
                           {"roles", caller.roles}};
  nlohmann::json factors = nlohmann::json::array();
  for (const CallerFactor& factor : caller.factors) {
    factors.push_back({{"name", factor.name}, {"at", absl::ToUnixSeconds(factor.proved_at)}});
  }
  claims["factors"] = std::move(factors);
  std::set<std::string> kinds;
  for (const CallerCredential& credential : caller.credentials) kinds.insert(credential.kind);
  claims["credentials"] = kinds;
  if (!caller.session_id.empty()) {
    claims["session"] = Base64UrlEncode(Sha256(absl::StrCat(kSessionLabel, caller.session_id)));
  }
  return claims;
}

// Differs for any two tokens that differ in more than their times. Lengths keep names apart.
std::string KeyOf(const CallerInfo& caller, absl::string_view method, absl::string_view upstream,
                  const std::string& key_id) {
  std::string key;
  const auto add = [&key](absl::string_view text) {
    absl::StrAppend(&key, text.size(), ":", text);
  };
  for (absl::string_view text : {absl::string_view(key_id), absl::string_view(caller.session_id),
                                 absl::string_view(caller.subject), method, upstream}) {
    add(text);
  }
  for (const std::string& role : caller.roles) add(role);
  for (const CallerFactor& factor : caller.factors) {
    absl::StrAppend(&key, "@", absl::ToUnixSeconds(factor.proved_at), ";");
    add(factor.name);
  }
  for (const CallerCredential& credential : caller.credentials) {
    absl::StrAppend(&key, "#");
    add(credential.kind);
  }
  return key;
}

std::string Dump(const nlohmann::json& claims) {
  return claims.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string HeaderText(absl::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string safe;
  safe.reserve(text.size());
  for (const unsigned char c : text) {
    if (c > 0x20 && c < 0x7f && c != ',' && c != '"' && c != '%') {
      safe += static_cast<char>(c);
    } else {
      safe += {'%', kHex[c >> 4], kHex[c & 15]};
    }
  }
  return safe;
}

CallerTokens::CallerTokens(const CallerKeys& keys, const Clock& clock, std::string issuer,
                           absl::Duration lifetime)
    : keys_(keys), clock_(clock), issuer_(std::move(issuer)), lifetime_(lifetime) {}

std::string CallerTokens::Token(const CallerInfo& caller, absl::string_view method,
                                absl::string_view upstream) {
  const std::shared_ptr<const CallerKey> key = keys_.current();
  const absl::Time now = clock_.WallNow();
  const bool kept = !caller.session_id.empty();
  const std::string says = kept ? KeyOf(caller, method, upstream, key->id()) : "";
  if (kept) {
    absl::MutexLock lock(&mutex_);
    auto found = kept_.find(says);
    // A clock that was set back makes old ones look young.
    if (found != kept_.end() && now < found->second.until &&
        found->second.until - now <= lifetime_ / 2) {
      return found->second.token;
    }
  }
  nlohmann::json claims = ClaimsOf(caller, method, upstream, issuer_);
  claims["iat"] = absl::ToUnixSeconds(now);
  claims["exp"] = absl::ToUnixSeconds(now + lifetime_);
  std::string token = key->Sign(Dump(claims));
  if (kept) {
    absl::MutexLock lock(&mutex_);
    if (kept_.size() >= kMostKept) kept_.clear();
    kept_[says] = {token, now + lifetime_ / 2};
  }
  return token;
}

HeaderList CallerTokens::Describe(const CallerInfo& caller, absl::string_view method,
                                  absl::string_view upstream) {
  const auto names = [](std::string* out, const std::string& name) {
    absl::StrAppend(out, HeaderText(name));
  };
  const auto factors = [](std::string* out, const CallerFactor& factor) {
    absl::StrAppend(out, HeaderText(factor.name));
  };
  return {{"forekey-subject", HeaderText(caller.subject)},
          {"forekey-roles", absl::StrJoin(caller.roles, ",", names)},
          {"forekey-factors", absl::StrJoin(caller.factors, ",", factors)},
          {"forekey-caller", Token(caller, method, upstream)}};
}

}  // namespace forekey

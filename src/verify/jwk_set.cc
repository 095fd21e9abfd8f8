// SPDX-License-Identifier: Apache-2.0
#include "src/verify/jwk_set.h"

#include <cjose/cjose.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/wire/base64url.h"
#include "src/wire/json_object.h"

namespace forekey {
namespace {

using JwkJson = nlohmann::json;

constexpr size_t kLeastModulus = 2048 / 8;
constexpr size_t kMostModulus = 4096 / 8;
constexpr absl::string_view kPublicExponent("\x01\x00\x01", 3);
constexpr size_t kMaxKeyId = 255;

struct JwkCurve {
  absl::string_view name;
  absl::string_view algorithm;
  cjose_jwk_ec_curve curve;
  int bytes;
};
// RFC 7518, section 3.4: each curve has one algorithm.
constexpr JwkCurve kJwkCurves[] = {{"P-256", "ES256", CJOSE_JWK_EC_P_256, 32},
                                   {"P-384", "ES384", CJOSE_JWK_EC_P_384, 48},
                                   {"P-521", "ES512", CJOSE_JWK_EC_P_521, 66}};
constexpr absl::string_view kEdDsa = "EdDSA";
constexpr absl::string_view kRsaAlgorithms[] = {"RS256", "RS384", "RS512",
                                                "PS256", "PS384", "PS512"};

// Empty: absent or no string.
std::string JwkText(const JwkJson& jwk, const char* name) {
  const auto member = jwk.find(name);
  return member != jwk.end() && member->is_string() ? member->get<std::string>() : std::string();
}

// Whether the key may verify signatures, by what it says of itself.
bool IsForVerifying(const JwkJson& jwk) {
  for (const char* secret : {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}) {
    if (jwk.contains(secret)) return false;
  }
  if (jwk.contains("use") && JwkText(jwk, "use") != "sig") return false;
  if (jwk.contains("kid") &&
      (JwkText(jwk, "kid").empty() || JwkText(jwk, "kid").size() > kMaxKeyId)) {
    return false;
  }
  if (jwk.contains("alg") && !IsIdTokenAlgorithm(JwkText(jwk, "alg"))) return false;
  const auto operations = jwk.find("key_ops");
  if (operations == jwk.end()) return true;
  return operations->is_array() &&
         std::find(operations->begin(), operations->end(), "verify") != operations->end();
}

std::shared_ptr<cjose_jwk_t> Owned(cjose_jwk_t* jwk) {
  return std::shared_ptr<cjose_jwk_t>(jwk, [](cjose_jwk_t* key) {
    if (key != nullptr) cjose_jwk_release(key);
  });
}

// Base64urlUInt values as they are found: RFC 7518 wants a coordinate in the full size of the curve
// and a modulus in the fewest bytes, and providers write one zero less or more now and then
// (libraries that keep numbers, not bytes). The number is the same, so the key is. Nullopt: no
// number of at most `size`.
std::optional<std::string> JwkNumber(const JwkJson& jwk, const char* name, size_t size) {
  std::optional<std::string> bytes = Base64UrlDecode(JwkText(jwk, name));
  if (!bytes || bytes->empty() || bytes->size() > size + 1) return std::nullopt;
  bytes->erase(0, std::min(bytes->find_first_not_of('\0'), bytes->size()));
  if (bytes->size() > size) return std::nullopt;
  return bytes;
}

std::shared_ptr<cjose_jwk_t> RsaKeyFrom(const JwkJson& jwk) {
  std::optional<std::string> n = JwkNumber(jwk, "n", kMostModulus);
  std::optional<std::string> e = Base64UrlDecode(JwkText(jwk, "e"));
  if (!n || !e || n->size() < kLeastModulus || n->size() > kMostModulus ||
      (static_cast<uint8_t>((*n)[0]) & 0x80) == 0 || *e != kPublicExponent) {
    return nullptr;
  }
  cjose_jwk_rsa_keyspec spec = {};
  spec.n = U8(*n);
  spec.nlen = n->size();
  spec.e = U8(*e);
  spec.elen = e->size();
  cjose_err error;
  return Owned(cjose_jwk_create_RSA_spec(&spec, &error));
}

std::shared_ptr<cjose_jwk_t> EcKeyFrom(const JwkJson& jwk, const JwkCurve& curve) {
  const size_t size = static_cast<size_t>(curve.bytes);
  std::optional<std::string> x = JwkNumber(jwk, "x", size), y = JwkNumber(jwk, "y", size);
  if (!x || !y) return nullptr;
  x->insert(0, size - x->size(), '\0');
  y->insert(0, size - y->size(), '\0');
  cjose_jwk_ec_keyspec spec = {};
  spec.crv = curve.curve;
  spec.x = U8(*x);
  spec.xlen = size;
  spec.y = U8(*y);
  spec.ylen = size;
  cjose_err error;
  return Owned(cjose_jwk_create_EC_spec(&spec, &error));
}

std::optional<PublicKey> Ed25519KeyFrom(const JwkJson& jwk) {
  if (JwkText(jwk, "crv") != "Ed25519") return std::nullopt;
  const std::optional<std::string> x = Base64UrlDecode(JwkText(jwk, "x"));
  absl::StatusOr<PublicKey> key = PublicKey::FromEd25519(x.value_or(""));
  if (!key.ok()) return std::nullopt;
  return *std::move(key);
}

}  // namespace

bool IsIdTokenAlgorithm(absl::string_view algorithm) {
  if (algorithm == kEdDsa) return true;
  for (const JwkCurve& curve : kJwkCurves) {
    if (curve.algorithm == algorithm) return true;
  }
  return std::find(std::begin(kRsaAlgorithms), std::end(kRsaAlgorithms), algorithm) !=
         std::end(kRsaAlgorithms);
}

JwkSet::~JwkSet() = default;

bool JwkSet::Key::IsFor(absl::string_view wanted) const {
  if (!algorithm.empty() && algorithm != wanted) return false;
  if (ed25519 || wanted == kEdDsa) return ed25519 && wanted == kEdDsa;
  for (const JwkCurve& curve : kJwkCurves) {
    if (curve.algorithm == wanted) return curve_bytes == curve.bytes;
  }
  return curve_bytes == 0 && IsIdTokenAlgorithm(wanted);
}

std::optional<JwkSet::Key> JwkSet::ReadKey(const void* json) {
  const JwkJson& jwk = *static_cast<const JwkJson*>(json);
  if (!jwk.is_object() || !IsForVerifying(jwk)) return std::nullopt;
  Key key;
  if (jwk.contains("kid")) key.id = JwkText(jwk, "kid");
  key.algorithm = JwkText(jwk, "alg");
  const std::string type = JwkText(jwk, "kty");
  if (type == "RSA") key.jwk = RsaKeyFrom(jwk);
  for (const JwkCurve& curve : kJwkCurves) {
    if (type != "EC" || JwkText(jwk, "crv") != curve.name) continue;
    key.curve_bytes = curve.bytes;
    key.jwk = EcKeyFrom(jwk, curve);
  }
  if (type == "OKP") key.ed25519 = Ed25519KeyFrom(jwk);
  if (key.jwk == nullptr && !key.ed25519) return std::nullopt;
  return key;
}

absl::StatusOr<std::shared_ptr<const JwkSet>> JwkSet::Parse(absl::string_view json) {
  if (json.size() > kMaxJwkSetSize)
    return absl::InvalidArgumentError("a JWK Set of more than 256 KiB");
  const absl::StatusOr<JwkJson> parsed = ParseJsonObject(json);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("not a JWK Set: ", parsed.status().message()));
  }
  const auto keys = parsed->find("keys");
  if (keys == parsed->end() || !keys->is_array()) {
    return absl::InvalidArgumentError("not a JWK Set: no array \"keys\"");
  }
  if (keys->size() > kMaxJwks) return absl::InvalidArgumentError("a JWK Set of more than 64 keys");
  std::shared_ptr<JwkSet> set(new JwkSet());
  for (const JwkJson& jwk : *keys) {
    if (std::optional<Key> key = ReadKey(&jwk)) set->keys_.push_back(*std::move(key));
  }
  if (set->keys_.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a JWK Set of ", keys->size(), " keys, none of which can verify an ID token"));
  }
  return std::shared_ptr<const JwkSet>(std::move(set));
}

absl::StatusOr<const JwkSet::Key*> JwkSet::Find(absl::string_view algorithm,
                                                const std::optional<std::string>& key_id) const {
  const Key* found = nullptr;
  bool has_id = false;
  for (const Key& key : keys_) {
    if (key_id && key.id != key_id) continue;
    has_id = has_id || key_id.has_value();
    if (!key.IsFor(algorithm)) continue;
    if (found != nullptr) {
      return Refuse(Reason::kIdTokenKeyUnknown,
                    "the provider has more than one key that it may mean");
    }
    found = &key;
  }
  if (found != nullptr) return found;
  if (has_id)
    return Refuse(Reason::kIdTokenAlgorithm, "the key of that id is not for the token's algorithm");
  return Refuse(Reason::kIdTokenKeyUnknown);
}

absl::Status JwkSet::Verify(absl::string_view jws, absl::string_view algorithm,
                            const std::optional<std::string>& key_id,
                            absl::string_view signature) const {
  FOREKEY_ASSIGN_OR_RETURN(const Key* key, Find(algorithm, key_id));
  if (key->ed25519) {
    const absl::string_view signing_input = jws.substr(0, jws.rfind('.'));
    return key->ed25519->Verify(signing_input, signature).ok() ? absl::OkStatus()
                                                               : Refuse(Reason::kIdTokenSignature);
  }
  if (key->curve_bytes != 0 && signature.size() != 2 * static_cast<size_t>(key->curve_bytes)) {
    return Refuse(Reason::kIdTokenSignature, "of another size than the algorithm's");
  }
  cjose_err error;
  const std::unique_ptr<cjose_jws_t, decltype(&cjose_jws_release)> parsed(
      cjose_jws_import(jws.data(), jws.size(), &error), cjose_jws_release);
  if (parsed == nullptr)
    return Refuse(Reason::kIdTokenMalformed, "the JOSE library does not read it");
  if (!cjose_jws_verify(parsed.get(), key->jwk.get(), &error))
    return Refuse(Reason::kIdTokenSignature);
  return absl::OkStatus();
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/verify/jws.h"

#include <openssl/core_names.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/openssl.h"
#include "src/crypto/public_key.h"
#include "src/wire/base64url.h"
#include "src/wire/json_object.h"

namespace forekey {
namespace {

constexpr size_t kMaxHeaderSize = 1 << 18;
constexpr size_t kMaxCertificates = 10;
constexpr int kMinRsaBits = 2048;
constexpr int kMaxRsaBits = 8192;
constexpr size_t kP256Size = 32;

absl::Status Invalid(absl::string_view why) {
  return Refuse(Reason::kMetadataInvalid, absl::StrCat("JWS: ", why));
}

// RFC 7518 section 3.4: r || s. OpenSSL wants DER.
absl::StatusOr<std::string> DerSignature(absl::string_view raw) {
  if (raw.size() != 2 * kP256Size) return Invalid("an ES256 signature of another size");
  EcdsaSigPtr signature(ECDSA_SIG_new());
  BIGNUM* r = BN_bin2bn(U8(raw), kP256Size, nullptr);
  BIGNUM* s = BN_bin2bn(U8(raw) + kP256Size, kP256Size, nullptr);
  if (signature == nullptr || r == nullptr || s == nullptr ||
      ECDSA_SIG_set0(signature.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return OpenSslError("ECDSA_SIG_set0");
  }
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size <= 0) return OpenSslError("i2d_ECDSA_SIG");
  std::string result(reinterpret_cast<char*>(der), size);
  OPENSSL_free(der);
  return result;
}

bool IsP256(EVP_PKEY* key) {
  char group[64] = {};
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
         EVP_PKEY_get_group_name(key, group, sizeof(group), nullptr) == 1 &&
         OBJ_sn2nid(group) == NID_X9_62_prime256v1;
}

}  // namespace

absl::StatusOr<Jws> Jws::Parse(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('.', 3));
  if (parts.size() != 3) return Invalid("not three parts");
  if (parts[0].size() > kMaxHeaderSize) return Invalid("the header is too long");
  const auto header_text = Base64UrlDecode(parts[0]);
  auto signature = Base64UrlDecode(parts[2]);
  if (!header_text || !signature) return Invalid("a part is not base64url");
  const auto header = ParseJsonObject(*header_text);
  if (!header.ok()) return Invalid(absl::StrCat("the header: ", header.status().message()));
  // RFC 7515 section 4.1.11: what is critical must be understood.
  if (header->contains("crit")) return Invalid("a critical header parameter");
  // What it says instead is unsigned, and nobody needs to read it.
  const auto alg = header->find("alg");
  if (alg == header->end() || (*alg != "RS256" && *alg != "ES256")) {
    return Invalid("the algorithm is neither RS256 nor ES256");
  }
  const auto x5c = header->find("x5c");
  if (x5c == header->end() || !x5c->is_array() || x5c->empty() || x5c->size() > kMaxCertificates) {
    return Invalid("no x5c, or too long a one");
  }
  Jws jws;
  jws.algorithm = alg->get<std::string>();
  for (const auto& element : *x5c) {
    std::string der;
    if (element.is_string() && absl::Base64Unescape(element.get<std::string>(), &der)) {
      if (auto certificate = Certificate::ParseDer(der); certificate.ok()) {
        jws.x5c.push_back(*std::move(certificate));
        continue;
      }
    }
    // A later one may be of no use to the path; a path that lacks it is refused then.
    if (jws.x5c.empty()) return Invalid("the signer's certificate does not parse");
  }
  jws.signing_input = text.substr(0, parts[0].size() + 1 + parts[1].size());
  jws.payload_text = parts[1];
  jws.signature = *std::move(signature);
  return jws;
}

absl::Status Jws::VerifySignature() const {
  EVP_PKEY* key = x5c.front().key();
  if (key == nullptr) return Invalid("the signer's key is not understood");
  std::string der = signature;
  if (algorithm == "ES256") {
    if (!IsP256(key)) return Invalid("ES256 with a key that is not P-256");
    FOREKEY_ASSIGN_OR_RETURN(der, DerSignature(signature));
  } else if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_get_bits(key) < kMinRsaBits ||
             EVP_PKEY_get_bits(key) > kMaxRsaBits || !HasSoundRsaExponent(key)) {
    return Invalid("RS256 with a key that is not RSA of 2048 to 8192 bits with a short exponent");
  }
  if (!VerifyWithHash(key, EVP_sha256(), /*rsa_pss=*/false, signing_input, der).ok()) {
    return Invalid("the signature does not verify");
  }
  return absl::OkStatus();
}

}  // namespace forekey

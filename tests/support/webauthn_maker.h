// SPDX-License-Identifier: Apache-2.0
// Registrations and assertions for tests, made by hand: an encoder of CBOR that knows nothing of
// the parser, and a token whose every field can be wrong on purpose.
#ifndef FOREKEY_TESTS_SUPPORT_WEBAUTHN_MAKER_H_
#define FOREKEY_TESTS_SUPPORT_WEBAUTHN_MAKER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "src/base/bytes.h"
#include "src/crypto/digest.h"
#include "src/crypto/openssl.h"
#include "src/crypto/public_key.h"
#include "tests/support/certificate_maker.h"

namespace forekey::testing {

// ---- CBOR, shortest lengths, entries in the order given ----
inline std::string CborHead(int major, uint64_t value) {
  const char top = static_cast<char>(major << 5);
  ByteWriter out;
  if (value < 24) return std::string(1, static_cast<char>(top | value));
  if (value < 0x100) return std::move(out.U8(top | 24).U8(value)).bytes();
  if (value < 0x10000) return std::move(out.U8(top | 25).U16(value)).bytes();
  return std::move(out.U8(top | 26).U32(value)).bytes();
}
inline std::string CborInt(int64_t value) {
  return value >= 0 ? CborHead(0, value) : CborHead(1, -1 - value);
}
inline std::string CborBytes(absl::string_view bytes) {
  return absl::StrCat(CborHead(2, bytes.size()), bytes);
}
inline std::string CborText(absl::string_view text) {
  return absl::StrCat(CborHead(3, text.size()), text);
}
inline std::string CborArray(const std::vector<std::string>& items) {
  std::string out = CborHead(4, items.size());
  for (const std::string& item : items) out += item;
  return out;
}
using CborEntries = std::vector<std::pair<std::string, std::string>>;
inline std::string CborMap(const CborEntries& entries) {
  std::string out = CborHead(5, entries.size());
  for (const auto& [key, value] : entries) out += key + value;
  return out;
}

// ---- Keys ----
inline std::string EcCoordinate(EVP_PKEY* key, const char* name, size_t size) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(key, name, &number);
  std::string out(size, '\0');
  BN_bn2binpad(number, U8(out), static_cast<int>(size));
  BN_free(number);
  return out;
}
inline std::string RsaNumber(EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(key, name, &number);
  std::string out(BN_num_bytes(number), '\0');
  BN_bn2bin(number, U8(out));
  BN_free(number);
  return out;
}
inline CborEntries CoseEntries(const PublicKey& key) {
  const std::string alg = CborInt(static_cast<int>(key.algorithm()));
  switch (key.algorithm()) {
    case Algorithm::kEdDsa:
    case Algorithm::kEd448: {
      const bool ed448 = key.algorithm() == Algorithm::kEd448;
      return {{CborInt(1), CborInt(1)},
              {CborInt(3), alg},
              {CborInt(-1), CborInt(ed448 ? 7 : 6)},
              {CborInt(-2), CborBytes(key.spki().substr(key.spki().size() - (ed448 ? 57 : 32)))}};
    }
    case Algorithm::kRs256:
      return {{CborInt(1), CborInt(3)},
              {CborInt(3), alg},
              {CborInt(-1), CborBytes(RsaNumber(key.evp(), "n"))},
              {CborInt(-2), CborBytes(RsaNumber(key.evp(), "e"))}};
    default: {
      const bool p256 = key.algorithm() == Algorithm::kEs256;
      const bool p521 = key.algorithm() == Algorithm::kEs512;
      const size_t size = p256 ? 32 : p521 ? 66 : 48;
      return {{CborInt(1), CborInt(2)},
              {CborInt(3), alg},
              {CborInt(-1), CborInt(p256   ? 1
                                    : p521 ? 3
                                           : 2)},
              {CborInt(-2), CborBytes(EcCoordinate(key.evp(), "qx", size))},
              {CborInt(-3), CborBytes(EcCoordinate(key.evp(), "qy", size))}};
    }
  }
}
// ECDSA (DER), RSA PKCS#1 v1.5 or Ed25519 (`md` null).
inline std::string SignWith(EVP_PKEY* key, const EVP_MD* md, absl::string_view message) {
  EvpMdCtxPtr context(EVP_MD_CTX_new());
  size_t size = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, md, nullptr, key) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, U8(message), message.size()) != 1) {
    std::abort();
  }
  std::string out(size, '\0');
  if (EVP_DigestSign(context.get(), U8(out), &size, U8(message), message.size()) != 1) std::abort();
  out.resize(size);
  return out;
}

// ---- A ceremony ----
inline constexpr absl::string_view kTestRpId = "gate.example";
inline constexpr absl::string_view kTestOrigin = "forekey://gate.example";

inline std::string ClientJson(absl::string_view type, absl::string_view challenge,
                              absl::string_view origin = kTestOrigin, absl::string_view more = "") {
  return absl::StrCat("{\"type\":\"", type, "\",\"challenge\":\"",
                      absl::WebSafeBase64Escape(challenge), "\",\"origin\":\"", origin, "\"", more,
                      "}");
}

struct TestToken {
  SoftwareKey credential = SoftwareKey::Generate(Algorithm::kEs256);
  std::string rp_id = std::string(kTestRpId);
  uint8_t flags = 0x41;
  uint32_t sign_count = 7;
  std::string aaguid = "ABCDEFGHIJKLMNOP";
  std::string credential_id = std::string(48, 'c');
  std::string cose;   // empty: of `credential`
  std::string after;  // extensions, or what must not be there

  std::string AuthData() const {
    ByteWriter out;
    out.Raw(Sha256(rp_id)).U8(flags).U32(sign_count);
    if (flags & 0x40) {
      out.Raw(aaguid).Len2(credential_id);
      out.Raw(cose.empty() ? CborMap(CoseEntries(credential.public_key())) : cose);
    }
    out.Raw(after);
    return std::move(out).bytes();
  }
};

inline std::string AttestationObjectBytes(absl::string_view format, const std::string& statement,
                                          absl::string_view auth_data) {
  return CborMap({{CborText("fmt"), CborText(format)},
                  {CborText("attStmt"), statement},
                  {CborText("authData"), CborBytes(auth_data)}});
}

// A vendor's attestation key and its certificate by `ca`, as section 8.2.1 wants it.
inline CertificateSpec PackedLeafSpec(const TestCa& ca, std::shared_ptr<EVP_PKEY> key) {
  CertificateSpec spec = ca.Spec("Token Attestation 1", std::move(key));
  spec.subject_fields = {{"C", "SE"}, {"O", "Tokens AB"}, {"OU", "Authenticator Attestation"}};
  spec.basic_constraints = "critical,CA:FALSE";
  return spec;
}

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_SUPPORT_WEBAUTHN_MAKER_H_

// SPDX-License-Identifier: Apache-2.0
// The signature of a certificate (RFC 5280 section 4.1.1.3), verified over the bytes that came.
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <optional>

#include "src/base/bytes.h"
#include "src/crypto/certificate.h"
#include "src/crypto/certificate_quirks.h"
#include "src/crypto/public_key.h"

namespace forekey {
namespace {

using AuthorityKeyIdPtr = std::unique_ptr<AUTHORITY_KEYID, OpenSslFree<AUTHORITY_KEYID_free>>;
using OctetStringPtr = std::unique_ptr<ASN1_OCTET_STRING, OpenSslFree<ASN1_OCTET_STRING_free>>;

// By RSA with PKCS#1 v1.5 or by ECDSA, with SHA-2: `key_nid` says which kind of key it must be.
bool IsPlain(int md_nid, int key_nid) {
  static constexpr std::array<int, 3> kHashes = {NID_sha256, NID_sha384, NID_sha512};
  return (key_nid == NID_rsaEncryption || key_nid == NID_X9_62_id_ecPublicKey) &&
         std::find(kHashes.begin(), kHashes.end(), md_nid) != kHashes.end();
}

// All else (PSS with its parameters, Edwards curves, SHA-3) is OpenSSL's to verify, with an object
// that has algorithms.
bool VerifiesWithOpenSsl(absl::string_view der, EVP_PKEY* key) {
  const uint8_t* at = U8(der);
  const X509Ptr x509(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  return x509 != nullptr && X509_verify(x509.get(), key) == 1;
}

std::string BytesOf(const ASN1_OCTET_STRING* octets) {
  return std::string(View(ASN1_STRING_get0_data(octets), ASN1_STRING_length(octets)));
}

}  // namespace

bool Certificate::IsSignedBy(EVP_PKEY* key) const {
  if (key == nullptr) return false;
  const X509_ALGOR* outer = nullptr;
  X509_get0_signature(nullptr, &outer, x509_.get());
  // The one that is under the signature decides, and both must be the same.
  const X509_ALGOR* inner = X509_get0_tbs_sigalg(x509_.get());
  const std::optional<std::string> fixed = RepairUnusedBits(der_);
  const absl::string_view bytes = fixed ? *fixed : der_;
  int md_nid = NID_undef;
  int key_nid = NID_undef;
  bool good = false;
  if (X509_ALGOR_cmp(outer, inner) != 0) {
    good = false;
  } else if (OBJ_find_sigid_algs(OBJ_obj2nid(outer->algorithm), &md_nid, &key_nid) == 1 &&
             IsPlain(md_nid, key_nid)) {
    const std::optional<CertificateParts> parts = SplitCertificate(bytes);
    good = parts && EVP_PKEY_get_base_id(key) == EVP_PKEY_type(key_nid) &&
           VerifyWithHash(key, EVP_get_digestbynid(md_nid), /*rsa_pss=*/false, parts->tbs,
                          parts->signature)
               .ok();
  } else if (!repaired_) {
    good = VerifiesWithOpenSsl(bytes, key);
  }
  ERR_clear_error();
  return good;
}

std::optional<std::string> Certificate::SubjectKeyId() const {
  const OctetStringPtr id(static_cast<ASN1_OCTET_STRING*>(
      X509_get_ext_d2i(x509_.get(), NID_subject_key_identifier, nullptr, nullptr)));
  ERR_clear_error();
  if (id == nullptr) return std::nullopt;
  return BytesOf(id.get());
}

std::optional<std::string> Certificate::AuthorityKeyId() const {
  const AuthorityKeyIdPtr id(static_cast<AUTHORITY_KEYID*>(
      X509_get_ext_d2i(x509_.get(), NID_authority_key_identifier, nullptr, nullptr)));
  ERR_clear_error();
  if (id == nullptr || id->keyid == nullptr) return std::nullopt;
  return BytesOf(id->keyid);
}

}  // namespace forekey

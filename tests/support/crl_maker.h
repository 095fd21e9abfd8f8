// SPDX-License-Identifier: Apache-2.0
// Revocation lists for tests, made with OpenSSL's builder: every field can be wrong on purpose.
#ifndef FOREKEY_TESTS_SUPPORT_CRL_MAKER_H_
#define FOREKEY_TESTS_SUPPORT_CRL_MAKER_H_

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "src/base/bytes.h"
#include "src/crypto/openssl.h"
#include "tests/support/certificate_maker.h"

namespace forekey::testing {

struct CrlSpec {
  TestCa ca;
  std::vector<long> serials;
  time_t from = 1'700'000'000;
  time_t to = 1'900'000'000;  // 0: no nextUpdate
  const EVP_MD* md = EVP_sha256();
  bool pss = false;  // RSASSA-PSS, as AD CS has it with AlternateSignatureAlgorithm
  std::vector<ExtensionSpec> extensions;        // of the list
  std::vector<ExtensionSpec> entry_extensions;  // of each entry
  bool numbered = false;                        // cRLNumber, as every CA writes it: not critical
};

inline std::shared_ptr<X509_CRL> MakeCrl(const CrlSpec& spec) {
  std::shared_ptr<X509_CRL> crl(X509_CRL_new(), X509_CRL_free);
  X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2);
  std::unique_ptr<X509_NAME, OpenSslFree<X509_NAME_free>> name(X509_NAME_new());
  X509_NAME_add_entry_by_txt(name.get(), "CN", MBSTRING_UTF8, U8(absl::string_view(spec.ca.name)),
                             -1, -1, 0);
  X509_CRL_set_issuer_name(crl.get(), name.get());
  std::unique_ptr<ASN1_TIME, OpenSslFree<ASN1_TIME_free>> time(ASN1_TIME_set(nullptr, spec.from));
  X509_CRL_set1_lastUpdate(crl.get(), time.get());
  for (long serial : spec.serials) {
    X509_REVOKED* entry = X509_REVOKED_new();
    std::unique_ptr<ASN1_INTEGER, OpenSslFree<ASN1_INTEGER_free>> number(ASN1_INTEGER_new());
    ASN1_INTEGER_set(number.get(), serial);
    X509_REVOKED_set_serialNumber(entry, number.get());
    X509_REVOKED_set_revocationDate(entry, time.get());
    for (const ExtensionSpec& extra : spec.entry_extensions) {
      const X509ExtensionPtr extension = MakeExtension(extra);
      X509_REVOKED_add_ext(entry, extension.get(), -1);
    }
    X509_CRL_add0_revoked(crl.get(), entry);
  }
  if (spec.to != 0) {
    ASN1_TIME_set(time.get(), spec.to);
    X509_CRL_set1_nextUpdate(crl.get(), time.get());
  }
  for (const ExtensionSpec& extra : spec.extensions) {
    const X509ExtensionPtr extension = MakeExtension(extra);
    X509_CRL_add_ext(crl.get(), extension.get(), -1);
  }
  if (spec.numbered) {
    std::unique_ptr<ASN1_INTEGER, OpenSslFree<ASN1_INTEGER_free>> number(ASN1_INTEGER_new());
    ASN1_INTEGER_set(number.get(), 12);
    X509_CRL_add1_ext_i2d(crl.get(), NID_crl_number, number.get(), /*crit=*/0, 0);
  }
  X509_CRL_sort(crl.get());
  const EVP_MD* md =
      EVP_PKEY_get_base_id(spec.ca.key.get()) == EVP_PKEY_ED25519 ? nullptr : spec.md;
  if (spec.pss) {
    const EvpMdCtxPtr context(EVP_MD_CTX_new());
    EVP_PKEY_CTX* settings = nullptr;
    EVP_DigestSignInit(context.get(), &settings, md, nullptr, spec.ca.key.get());
    EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING);
    EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_DIGEST);
    if (X509_CRL_sign_ctx(crl.get(), context.get()) <= 0) std::abort();
  } else if (X509_CRL_sign(crl.get(), spec.ca.key.get(), md) <= 0) {
    std::abort();
  }
  return crl;
}

inline std::string MakeCrlDer(const CrlSpec& spec) {
  uint8_t* der = nullptr;
  const int size = i2d_X509_CRL(MakeCrl(spec).get(), &der);
  std::string result(View(der, size));
  OPENSSL_free(der);
  return result;
}

inline std::string MakeCrlPem(const CrlSpec& spec) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_CRL(bio.get(), MakeCrl(spec).get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, size);
}

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_SUPPORT_CRL_MAKER_H_

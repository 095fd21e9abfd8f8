// SPDX-License-Identifier: Apache-2.0
// Certificates for tests, made with OpenSSL's builder: every field can be wrong on purpose.
#ifndef FOREKEY_TESTS_SUPPORT_CERTIFICATE_MAKER_H_
#define FOREKEY_TESTS_SUPPORT_CERTIFICATE_MAKER_H_

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "src/base/bytes.h"
#include "src/crypto/certificate.h"
#include "src/crypto/openssl.h"

namespace forekey::testing {

inline std::shared_ptr<EVP_PKEY> NewEcKey(const char* curve = "P-256") {
  return std::shared_ptr<EVP_PKEY>(EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve)));
}
inline std::shared_ptr<EVP_PKEY> NewRsaKey(size_t bits = 2048) {
  return std::shared_ptr<EVP_PKEY>(EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", bits)));
}

struct ExtensionSpec {
  std::string oid;
  bool critical = false;
  std::string der;  // what is inside the OCTET STRING
};

using X509ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpenSslFree<X509_EXTENSION_free>>;

inline X509ExtensionPtr MakeExtension(const ExtensionSpec& spec) {
  ASN1_OBJECT* object = OBJ_txt2obj(spec.oid.c_str(), 1);
  ASN1_OCTET_STRING* value = ASN1_OCTET_STRING_new();
  ASN1_OCTET_STRING_set(value, U8(absl::string_view(spec.der)), static_cast<int>(spec.der.size()));
  X509ExtensionPtr extension(
      X509_EXTENSION_create_by_OBJ(nullptr, object, spec.critical ? 1 : 0, value));
  ASN1_OCTET_STRING_free(value);
  ASN1_OBJECT_free(object);
  return extension;
}

// How a certificate is to be; what is empty is left out.
struct CertificateSpec {
  std::string subject;  // the common name; empty: an empty name
  int subject_type = MBSTRING_UTF8;
  std::vector<std::pair<std::string, std::string>>
      subject_fields;  // {"OU", "Sales"}, before the name
  std::string issuer;
  int issuer_type = MBSTRING_UTF8;
  std::shared_ptr<EVP_PKEY> key;
  std::shared_ptr<EVP_PKEY> signer;
  const EVP_MD* md = EVP_sha256();
  absl::Time not_before = absl::FromUnixSeconds(1'700'000'000);
  absl::Time not_after = absl::FromUnixSeconds(1'900'000'000);
  long serial = 7;
  // basicConstraints: "" none, else as in openssl.cnf ("critical,CA:TRUE,pathlen:0").
  std::string basic_constraints;
  std::string key_usage;           // "critical,keyCertSign"
  std::string extended_key_usage;  // "2.23.133.8.1"
  std::vector<ExtensionSpec> extensions;
  int version = 2;
  std::string key_algorithm;  // a dotted OID in the place of the key's own: one that nobody knows
};

inline void AddNamedExtension(X509* x509, int nid, const std::string& value) {
  if (value.empty()) return;
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, x509, x509, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) std::abort();
  X509_add_ext(x509, extension, -1);
  X509_EXTENSION_free(extension);
}

inline std::string MakeDer(const CertificateSpec& spec) {
  X509Ptr x509(X509_new());
  X509_set_version(x509.get(), spec.version);
  ASN1_INTEGER_set(X509_get_serialNumber(x509.get()), spec.serial);
  const auto set_name = [](X509_NAME* name, const std::string& text, int type) {
    if (text.empty()) return;
    X509_NAME_add_entry_by_txt(name, "CN", type, U8(absl::string_view(text)),
                               static_cast<int>(text.size()), -1, 0);
  };
  for (const auto& [field, value] : spec.subject_fields) {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x509.get()), field.c_str(), MBSTRING_UTF8,
                               U8(absl::string_view(value)), static_cast<int>(value.size()), -1, 0);
  }
  set_name(X509_get_subject_name(x509.get()), spec.subject, spec.subject_type);
  set_name(X509_get_issuer_name(x509.get()), spec.issuer, spec.issuer_type);
  ASN1_TIME_set(X509_getm_notBefore(x509.get()), absl::ToTimeT(spec.not_before));
  if (spec.not_after == absl::InfiniteFuture()) {
    ASN1_TIME_set_string(X509_getm_notAfter(x509.get()), "99991231235959Z");
  } else {
    ASN1_TIME_set(X509_getm_notAfter(x509.get()), absl::ToTimeT(spec.not_after));
  }
  X509_set_pubkey(x509.get(), spec.key.get());
  AddNamedExtension(x509.get(), NID_basic_constraints, spec.basic_constraints);
  AddNamedExtension(x509.get(), NID_key_usage, spec.key_usage);
  AddNamedExtension(x509.get(), NID_ext_key_usage, spec.extended_key_usage);
  for (const ExtensionSpec& extra : spec.extensions) {
    const X509ExtensionPtr extension = MakeExtension(extra);
    X509_add_ext(x509.get(), extension.get(), -1);
  }
  if (!spec.key_algorithm.empty()) {
    X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(x509.get()),
                           OBJ_txt2obj(spec.key_algorithm.c_str(), 1), V_ASN1_NULL, nullptr,
                           nullptr, 0);
  }
  const bool has_own_hash =
      EVP_PKEY_is_a(spec.signer.get(), "ED25519") || EVP_PKEY_is_a(spec.signer.get(), "ED448");
  if (X509_sign(x509.get(), spec.signer.get(), has_own_hash ? nullptr : spec.md) == 0) std::abort();
  uint8_t* der = nullptr;
  const int size = i2d_X509(x509.get(), &der);
  std::string result(View(der, size));
  OPENSSL_free(der);
  return result;
}

inline Certificate Make(const CertificateSpec& spec) {
  absl::StatusOr<Certificate> certificate = Certificate::ParseDer(MakeDer(spec));
  if (!certificate.ok()) {
    std::fprintf(stderr, "%s\n", certificate.status().ToString().c_str());
    std::abort();
  }
  return *certificate;
}

// A CA that issues `spec`s: sets issuer and signer.
struct TestCa {
  std::string name;
  std::shared_ptr<EVP_PKEY> key;

  static TestCa New(std::string name) { return {std::move(name), NewEcKey()}; }
  CertificateSpec Spec(std::string subject, std::shared_ptr<EVP_PKEY> subject_key) const {
    CertificateSpec spec;
    spec.subject = std::move(subject);
    spec.key = std::move(subject_key);
    spec.issuer = name;
    spec.signer = key;
    return spec;
  }
  // The CA's certificate by `issuer`, which may be itself.
  CertificateSpec CaSpec(const TestCa& issuer) const {
    CertificateSpec spec = issuer.Spec(name, key);
    spec.basic_constraints = "critical,CA:TRUE";
    spec.key_usage = "critical,keyCertSign,cRLSign";
    return spec;
  }
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_SUPPORT_CERTIFICATE_MAKER_H_

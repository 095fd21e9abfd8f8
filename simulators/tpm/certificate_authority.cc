// SPDX-License-Identifier: Apache-2.0
#include "simulators/tpm/certificate_authority.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>

#include "absl/strings/string_view.h"

namespace forekey {
namespace {

template <auto Function>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    Function(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Cert = std::unique_ptr<X509, Free<X509_free>>;
using Memory = std::unique_ptr<BIO, Free<BIO_free_all>>;

std::string Content(const Memory& memory) {
  char* data = nullptr;
  long size = BIO_get_mem_data(memory.get(), &data);
  return std::string(data, size);
}

std::string Pem(X509* cert) {
  Memory memory(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(memory.get(), cert);
  return Content(memory);
}

void AddExtension(X509* cert, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  if (extension != nullptr) X509_add_ext(cert, extension, -1);
  X509_EXTENSION_free(extension);
}

// `issuer` null: self-signed.
Cert MakeCa(EVP_PKEY* key, const char* name, X509* issuer, EVP_PKEY* issuer_key) {
  Cert cert(X509_new());
  X509_set_version(cert.get(), X509_VERSION_3);
  unsigned char serial[8];
  RAND_bytes(serial, sizeof serial);
  serial[0] = (serial[0] & 0x7f) | 0x40;
  std::unique_ptr<BIGNUM, Free<BN_free>> number(BN_bin2bn(serial, sizeof serial, nullptr));
  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(cert.get()));
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), -24 * 3600);
  ASN1_TIME_set_string(X509_getm_notAfter(cert.get()), "99991231235959Z");
  X509_NAME_add_entry_by_txt(X509_get_subject_name(cert.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  if (issuer == nullptr) issuer = cert.get();
  X509_set_issuer_name(cert.get(), X509_get_subject_name(issuer));
  X509_set_pubkey(cert.get(), key);
  AddExtension(cert.get(), issuer, NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(cert.get(), issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
  AddExtension(cert.get(), issuer, NID_subject_key_identifier, "hash");
  AddExtension(cert.get(), issuer, NID_authority_key_identifier, "keyid");
  if (X509_sign(cert.get(), issuer_key, EVP_sha256()) <= 0) return nullptr;
  return cert;
}

}  // namespace

absl::StatusOr<CertificateAuthority> MakeCertificateAuthority(bool intermediate) {
  CertificateAuthority authority;
  Key root_key(EVP_EC_gen("P-256"));
  Cert root = MakeCa(root_key.get(), "Forekey simulated TPM root CA", nullptr, root_key.get());
  if (root == nullptr) return absl::InternalError("OpenSSL could not make the root CA");
  authority.root_pem = Pem(root.get());
  authority.issuer_pem = authority.root_pem;
  Key signing_key = std::move(root_key);
  if (intermediate) {
    Key key(EVP_EC_gen("P-256"));
    Cert cert =
        MakeCa(key.get(), "Forekey simulated TPM issuing CA", root.get(), signing_key.get());
    if (cert == nullptr) return absl::InternalError("OpenSSL could not make the issuing CA");
    authority.issuer_pem = Pem(cert.get());
    unsigned char* der = nullptr;
    int size = i2d_X509(cert.get(), &der);
    authority.intermediate_der.assign(reinterpret_cast<char*>(der), size);
    OPENSSL_free(der);
    signing_key = std::move(key);
  }
  Memory memory(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(memory.get(), signing_key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  authority.signing_key_pem = Secret(Content(memory));
  return authority;
}

}  // namespace forekey

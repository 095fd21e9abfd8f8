// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/self_signed.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <algorithm>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"
#include "src/crypto/openssl.h"
#include "src/crypto/spki.h"

namespace forekey {
namespace {

std::string NameOf(const std::string& host) {
  unsigned char address[16];
  const bool is_address = inet_pton(AF_INET, host.c_str(), address) == 1 ||
                          inet_pton(AF_INET6, host.c_str(), address) == 1;
  return absl::StrCat(is_address ? "IP:" : "DNS:", host);
}

absl::Status AddExtension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) return OpenSslError(absl::StrCat("extension ", value));
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added ? absl::OkStatus() : OpenSslError("X509_add_ext");
}

std::string AlternativeNames(const std::vector<std::string>& hosts) {
  return absl::StrJoin(hosts, ",", [](std::string* out, const std::string& host) {
    absl::StrAppend(out, NameOf(host));
  });
}

// Version, serial number, dates, names and key. `issuer`: null for one that issues itself.
absl::Status Fill(X509* certificate, EVP_PKEY* key, const std::string& common_name, X509* issuer,
                  absl::Time now, absl::Time end) {
  unsigned char serial[16];
  if (RAND_bytes(serial, sizeof(serial)) != 1) return OpenSslError("RAND_bytes");
  serial[0] &= 0x7F;  // positive, RFC 5280 §4.1.2.2
  BignumPtr number(BN_bin2bn(serial, sizeof(serial), nullptr));
  X509_set_version(certificate, X509_VERSION_3);
  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate));
  ASN1_TIME_set(X509_getm_notBefore(certificate), absl::ToTimeT(now - absl::Hours(24)));
  ASN1_TIME_set(X509_getm_notAfter(certificate), absl::ToTimeT(end));
  X509_NAME* name = X509_get_subject_name(certificate);
  if (X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common_name.c_str()), -1,
                                 -1, 0) != 1 ||
      X509_set_issuer_name(certificate, issuer == nullptr ? name : X509_get_subject_name(issuer)) !=
          1 ||
      X509_set_pubkey(certificate, key) != 1) {
    return OpenSslError("certificate name");
  }
  return AddExtension(certificate, NID_subject_key_identifier, "hash");
}

// How much a certificate may do.
absl::Status AddUses(X509* certificate, const char* constraints, const char* usage) {
  FOREKEY_RETURN_IF_ERROR(AddExtension(certificate, NID_basic_constraints, constraints));
  FOREKEY_RETURN_IF_ERROR(AddExtension(certificate, NID_key_usage, usage));
  return AddExtension(certificate, NID_ext_key_usage, "serverAuth");
}

std::string Contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, size);
}

// Signs, and writes both as PEM.
absl::StatusOr<SelfSignedCertificate> Sign(X509* certificate, EVP_PKEY* key, EVP_PKEY* by) {
  if (X509_sign(certificate, by, EVP_sha256()) == 0) return OpenSslError("X509_sign");
  BioPtr certificate_bio(BIO_new(BIO_s_mem()));
  BioPtr key_bio(BIO_new(BIO_s_secmem()));
  if (PEM_write_bio_X509(certificate_bio.get(), certificate) != 1 ||
      PEM_write_bio_PrivateKey(key_bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpenSslError("PEM_write_bio");
  }
  return SelfSignedCertificate{Contents(certificate_bio.get()), Contents(key_bio.get())};
}

}  // namespace

absl::StatusOr<SelfSignedCertificate> MakeSelfSignedCertificate(
    const std::vector<std::string>& hosts, absl::Time now, absl::Duration lifetime) {
  if (hosts.empty()) return absl::InvalidArgumentError("a certificate needs at least one host");
  EvpPkeyPtr key(EVP_EC_gen("P-256"));
  X509Ptr certificate(X509_new());
  if (key == nullptr || certificate == nullptr) return OpenSslError("EVP_EC_gen");
  FOREKEY_RETURN_IF_ERROR(
      Fill(certificate.get(), key.get(), hosts.front(), nullptr, now, now + lifetime));
  FOREKEY_RETURN_IF_ERROR(AddUses(certificate.get(), "critical,CA:TRUE,pathlen:0",
                                  "critical,digitalSignature,keyCertSign"));
  FOREKEY_RETURN_IF_ERROR(
      AddExtension(certificate.get(), NID_subject_alt_name, AlternativeNames(hosts)));
  return Sign(certificate.get(), key.get(), key.get());
}

absl::StatusOr<SelfSignedCertificate> MakeGateCa(const std::string& name, absl::Time now,
                                                 absl::Duration lifetime) {
  EvpPkeyPtr key(EVP_EC_gen("P-256"));
  X509Ptr certificate(X509_new());
  if (key == nullptr || certificate == nullptr) return OpenSslError("EVP_EC_gen");
  // 64 characters: ub-common-name (RFC 5280, appendix A.1).
  FOREKEY_RETURN_IF_ERROR(
      Fill(certificate.get(), key.get(), name.substr(0, 64), nullptr, now, now + lifetime));
  FOREKEY_RETURN_IF_ERROR(
      AddUses(certificate.get(), "critical,CA:TRUE,pathlen:0", "critical,keyCertSign,cRLSign"));
  return Sign(certificate.get(), key.get(), key.get());
}

absl::StatusOr<SelfSignedCertificate> IssueGateCertificate(const SelfSignedCertificate& ca,
                                                           const std::vector<std::string>& hosts,
                                                           absl::Time now,
                                                           absl::Duration lifetime) {
  if (hosts.empty()) return absl::InvalidArgumentError("a certificate needs at least one host");
  FOREKEY_ASSIGN_OR_RETURN(const Certificate issuer, Certificate::Parse(ca.certificate_pem));
  BioPtr ca_bio(BIO_new_mem_buf(ca.key_pem.data(), static_cast<int>(ca.key_pem.size())));
  EvpPkeyPtr ca_key(PEM_read_bio_PrivateKey(ca_bio.get(), nullptr, nullptr, nullptr));
  // By the bytes: what Certificate parsed may have no key that OpenSSL has decoded.
  if (ca_key == nullptr || SpkiOfKey(ca_key.get()) != issuer.Spki()) {
    return absl::InvalidArgumentError("the CA's key is not that of its certificate");
  }
  EvpPkeyPtr key(EVP_EC_gen("P-256"));
  X509Ptr certificate(X509_new());
  if (key == nullptr || certificate == nullptr) return OpenSslError("EVP_EC_gen");
  FOREKEY_RETURN_IF_ERROR(Fill(certificate.get(), key.get(), hosts.front(), issuer.x509(), now,
                               std::min(now + lifetime, issuer.not_after())));
  FOREKEY_RETURN_IF_ERROR(
      AddUses(certificate.get(), "critical,CA:FALSE", "critical,digitalSignature"));
  FOREKEY_RETURN_IF_ERROR(
      AddExtension(certificate.get(), NID_subject_alt_name, AlternativeNames(hosts)));
  FOREKEY_ASSIGN_OR_RETURN(SelfSignedCertificate made,
                           Sign(certificate.get(), key.get(), ca_key.get()));
  made.certificate_pem += ca.certificate_pem;
  return made;
}

}  // namespace forekey

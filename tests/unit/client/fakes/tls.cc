// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/client/fakes/tls.h"

#include <openssl/pem.h>

#include "src/base/bytes.h"
#include "src/crypto/openssl.h"
#include "src/crypto/public_key.h"
#include "src/crypto/random.h"

namespace forekey::testing {
namespace {

void AddExtension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

std::string Drain(BIO* bio) {
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

}  // namespace

TlsIdentity MakeTlsIdentity(const std::string& dns_name, absl::Duration from,
                            absl::Duration until) {
  SoftwareKey key = SoftwareKey::Generate(Algorithm::kEs256);
  X509Ptr certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  std::string serial = RandomBytes(8);
  BignumPtr number(BN_bin2bn(U8(serial), 8, nullptr));
  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get()));
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), absl::ToInt64Seconds(from));
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), absl::ToInt64Seconds(until));
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(
      name, "CN", MBSTRING_ASC,
      reinterpret_cast<const unsigned char*>(dns_name.empty() ? "test gate" : dns_name.c_str()), -1,
      -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  X509_set_pubkey(certificate.get(), key.evp());
  AddExtension(certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(certificate.get(), NID_subject_alt_name,
               dns_name.empty() ? "DNS:localhost,IP:127.0.0.1" : "DNS:" + dns_name);
  X509_sign(certificate.get(), key.evp(), EVP_sha256());

  TlsIdentity identity;
  BioPtr pem(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(pem.get(), certificate.get());
  identity.certificate_pem = Drain(pem.get());
  BioPtr key_pem(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(key_pem.get(), key.evp(), nullptr, nullptr, 0, nullptr, nullptr);
  identity.key_pem = Drain(key_pem.get());
  BioPtr der(BIO_new(BIO_s_mem()));
  i2d_X509_bio(der.get(), certificate.get());
  identity.certificate_der = Drain(der.get());
  return identity;
}

}  // namespace forekey::testing

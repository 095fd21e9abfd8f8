// SPDX-License-Identifier: Apache-2.0
// The vendor of the simulated tokens: a CA, and attestation certificates as WebAuthn Level 3
// section 8.2.1 (packed) and the U2F message formats (fido-u2f) want them.
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "simulators/fido2/state.h"
#include "simulators/fido2/token_crypto.h"
#include "src/base/bytes.h"
#include "src/base/status.h"

namespace forekey::fido2sim {
namespace {

struct FreeX509 {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using CertificatePtr = std::unique_ptr<X509, FreeX509>;

CertificatePtr ReadDer(absl::string_view der) {
  const uint8_t* data = U8(der);
  return CertificatePtr(d2i_X509(nullptr, &data, static_cast<long>(der.size())));
}

void AddField(X509* certificate, const char* name, absl::string_view value) {
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), name, MBSTRING_UTF8, U8(value),
                             static_cast<int>(value.size()), -1, 0);
}

void AddConfigured(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  if (extension != nullptr) X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// `value`: the DER inside the extension's OCTET STRING. Not critical.
void AddRaw(X509* certificate, const char* oid, absl::string_view value) {
  ASN1_OBJECT* name = OBJ_txt2obj(oid, 1);
  ASN1_OCTET_STRING* octets = ASN1_OCTET_STRING_new();
  ASN1_OCTET_STRING_set(octets, U8(value), static_cast<int>(value.size()));
  X509_EXTENSION* extension = X509_EXTENSION_create_by_OBJ(nullptr, name, 0, octets);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
  ASN1_OCTET_STRING_free(octets);
  ASN1_OBJECT_free(name);
}

CertificatePtr Begin(EVP_PKEY* key) {
  CertificatePtr certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  std::string serial = RandomOf(8);
  serial[0] = static_cast<char>((serial[0] & 0x3f) | 0x40);  // positive, without leading zeros
  BIGNUM* number = BN_bin2bn(U8(serial), static_cast<int>(serial.size()), nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  BN_free(number);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -24 * 3600);
  ASN1_TIME_set_string(X509_getm_notAfter(certificate.get()), "20991231235959Z");
  X509_set_pubkey(certificate.get(), key);
  return certificate;
}

absl::StatusOr<std::string> Finish(CertificatePtr certificate, X509* issuer, EVP_PKEY* issuer_key) {
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer));
  unsigned char* der = nullptr;
  int size = X509_sign(certificate.get(), issuer_key, EVP_sha256()) > 0
                 ? i2d_X509(certificate.get(), &der)
                 : -1;
  if (size <= 0) return absl::InternalError("OpenSSL could not make a certificate");
  std::string out(View(der, size));
  OPENSSL_free(der);
  return out;
}

absl::StatusOr<std::string> MakeRoot(EVP_PKEY* key) {
  CertificatePtr root = Begin(key);
  AddField(root.get(), "CN", "Forekey simulated FIDO root CA");
  AddConfigured(root.get(), root.get(), NID_basic_constraints, "critical,CA:TRUE");
  AddConfigured(root.get(), root.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  AddConfigured(root.get(), root.get(), NID_subject_key_identifier, "hash");
  X509* raw = root.get();
  return Finish(std::move(root), raw, key);
}

// `aaguid`: empty: without the extension.
absl::StatusOr<std::string> MakePackedLeaf(EVP_PKEY* key, X509* root, EVP_PKEY* root_key,
                                           absl::string_view aaguid) {
  CertificatePtr leaf = Begin(key);
  AddField(leaf.get(), "C", "ZZ");
  AddField(leaf.get(), "O", "Forekey simulators");
  AddField(leaf.get(), "OU", "Authenticator Attestation");
  AddField(leaf.get(), "CN", "Simulated FIDO2 token");
  AddConfigured(leaf.get(), root, NID_basic_constraints, "critical,CA:FALSE");
  AddConfigured(leaf.get(), root, NID_authority_key_identifier, "keyid");
  // id-fido-gen-ce-aaguid: an OCTET STRING inside the extension's own.
  if (!aaguid.empty())
    AddRaw(leaf.get(), "1.3.6.1.4.1.45724.1.1.4", absl::StrCat("\x04\x10", aaguid));
  return Finish(std::move(leaf), root, root_key);
}

absl::StatusOr<std::string> MakeU2fLeaf(EVP_PKEY* key, X509* root, EVP_PKEY* root_key) {
  CertificatePtr leaf = Begin(key);
  AddField(leaf.get(), "CN", "Simulated U2F token");
  AddRaw(leaf.get(), "1.3.6.1.4.1.45724.2.1.1",
         absl::string_view("\x03\x02\x05\x20", 4));  // transports: USB
  return Finish(std::move(leaf), root, root_key);
}

}  // namespace

absl::Status State::EnsureVendor(const Config& config) {
  if (root.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(TokenKey key, TokenKey::Generate(kEs256));
    FOREKEY_ASSIGN_OR_RETURN(TokenKey leaf_key, TokenKey::Generate(kEs256));
    FOREKEY_ASSIGN_OR_RETURN(root, MakeRoot(key.evp()));
    root_key = key.Der();
    attestation_key = leaf_key.Der();
    packed_leaf.clear();
  }
  const std::string wanted = config.aaguid_extension ? config.aaguid : "";
  if (!packed_leaf.empty() && leaf_for == wanted) return absl::OkStatus();
  FOREKEY_ASSIGN_OR_RETURN(TokenKey key, TokenKey::FromDer(kEs256, root_key.view()));
  FOREKEY_ASSIGN_OR_RETURN(TokenKey leaf_key, TokenKey::FromDer(kEs256, attestation_key.view()));
  CertificatePtr issuer = ReadDer(root);
  if (issuer == nullptr)
    return absl::InvalidArgumentError("the state's root certificate can't be read");
  FOREKEY_ASSIGN_OR_RETURN(packed_leaf,
                           MakePackedLeaf(leaf_key.evp(), issuer.get(), key.evp(), wanted));
  FOREKEY_ASSIGN_OR_RETURN(u2f_leaf, MakeU2fLeaf(leaf_key.evp(), issuer.get(), key.evp()));
  leaf_for = wanted;
  return absl::OkStatus();
}

std::string State::RootPem() const {
  CertificatePtr certificate = ReadDer(root);
  std::unique_ptr<BIO, decltype(&BIO_free_all)> memory(BIO_new(BIO_s_mem()), BIO_free_all);
  if (certificate == nullptr || PEM_write_bio_X509(memory.get(), certificate.get()) != 1) return "";
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return std::string(data, size);
}

}  // namespace forekey::fido2sim

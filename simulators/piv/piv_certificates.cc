// SPDX-License-Identifier: Apache-2.0
#include "simulators/piv/piv_certificates.h"

#include <openssl/bio.h>
#include <openssl/conf.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "simulators/piv/piv_keys.h"
#include "src/base/bytes.h"
#include "src/base/status.h"

namespace forekey::piv {
namespace {

using CertPtr = std::unique_ptr<X509, Freed<X509_free>>;
using BioPtr = std::unique_ptr<BIO, Freed<BIO_free_all>>;

std::string CertDer(X509* cert) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(cert, &der);
  std::string bytes(reinterpret_cast<char*>(der), size > 0 ? size : 0);
  OPENSSL_free(der);
  return bytes;
}

std::string CertPem(X509* cert) {
  BioPtr memory(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(memory.get(), cert);
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return std::string(data, size);
}

CertPtr CertFromDer(absl::string_view der) {
  const uint8_t* at = U8(der);
  return CertPtr(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
}

CertPtr CertFromPem(const std::string& pem) {
  BioPtr memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return CertPtr(PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
}

const EVP_MD* DigestFor(EVP_PKEY* key) {
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_bits(key) == 384 ? EVP_sha384()
                                                                                   : EVP_sha256();
}

struct CertTemplate {
  std::string common_name;
  std::string not_after = "20520417000000Z";
  std::vector<std::pair<int, std::string>> extensions;              // as openssl.cnf writes them
  std::vector<std::pair<std::string, std::string>> raw_extensions;  // OID, bytes; never critical
};

bool AddConfigured(X509* cert, X509* issuer, int nid, const std::string& value) {
  std::unique_ptr<CONF, Freed<NCONF_free>> empty(
      NCONF_new(nullptr));  // certificatePolicies demand one
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509V3_set_nconf(&context, empty.get());
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  const bool added = extension != nullptr && X509_add_ext(cert, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

void AddRaw(X509* cert, const std::string& oid, const std::string& bytes) {
  std::unique_ptr<ASN1_OBJECT, Freed<ASN1_OBJECT_free>> object(OBJ_txt2obj(oid.c_str(), 1));
  std::unique_ptr<ASN1_OCTET_STRING, Freed<ASN1_OCTET_STRING_free>> value(ASN1_OCTET_STRING_new());
  ASN1_OCTET_STRING_set(value.get(), U8(bytes), static_cast<int>(bytes.size()));
  X509_EXTENSION* extension = X509_EXTENSION_create_by_OBJ(nullptr, object.get(), 0, value.get());
  X509_add_ext(cert, extension, -1);
  X509_EXTENSION_free(extension);
}

// `issuer` null: self-signed.
absl::StatusOr<CertPtr> Sign(const CertTemplate& content, EVP_PKEY* key, X509* issuer,
                             EVP_PKEY* issuer_key) {
  CertPtr cert(X509_new());
  X509_set_version(cert.get(), X509_VERSION_3);
  std::string serial = RandomBytes(16);
  serial[0] = static_cast<char>((serial[0] & 0x3f) | 0x40);
  std::unique_ptr<BIGNUM, Freed<BN_free>> number(BN_bin2bn(U8(serial), 16, nullptr));
  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(cert.get()));
  ASN1_TIME_set_string_X509(X509_getm_notBefore(cert.get()), "20160314000000Z");
  ASN1_TIME_set_string_X509(X509_getm_notAfter(cert.get()), content.not_after.c_str());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(cert.get()), "CN", MBSTRING_UTF8,
                             U8(content.common_name), -1, -1, 0);
  if (issuer == nullptr) issuer = cert.get();
  X509_set_issuer_name(cert.get(), X509_get_subject_name(issuer));
  X509_set_pubkey(cert.get(), key);
  for (const auto& [nid, value] : content.extensions) {
    if (!AddConfigured(cert.get(), issuer, nid, value)) {
      return absl::InternalError(
          absl::StrCat("OpenSSL could not make the extension ", OBJ_nid2sn(nid)));
    }
  }
  for (const auto& [oid, bytes] : content.raw_extensions) AddRaw(cert.get(), oid, bytes);
  if (X509_sign(cert.get(), issuer_key, DigestFor(issuer_key)) <= 0) {
    return absl::InternalError("OpenSSL could not sign a certificate");
  }
  return cert;
}

CertTemplate CaTemplate(std::string name, const char* constraints, bool modern) {
  CertTemplate content;
  content.common_name = std::move(name);
  if (modern) content.not_after = "99991231235959Z";
  // Yubico's old root has basicConstraints that are not critical and no key usage.
  content.extensions = {{NID_basic_constraints, constraints}, {NID_subject_key_identifier, "hash"}};
  if (modern) content.extensions.emplace_back(NID_key_usage, "critical,keyCertSign,cRLSign");
  return content;
}

// A vendor, or an agency: what signs its cards' certificates.
struct Hierarchy {
  std::string root_pem, intermediates_pem;
  CertPtr issuer;
  PkeyPtr issuer_key;
};

absl::StatusOr<Hierarchy> FoundOldVendor() {
  Hierarchy vendor;
  FOREKEY_ASSIGN_OR_RETURN(vendor.issuer_key, GenerateKey(Algorithm::kRsa2048));
  FOREKEY_ASSIGN_OR_RETURN(
      vendor.issuer,
      Sign(CaTemplate("Simulated PIV Root CA Serial 263751", "CA:TRUE,pathlen:1", false),
           vendor.issuer_key.get(), nullptr, vendor.issuer_key.get()));
  vendor.root_pem = CertPem(vendor.issuer.get());
  return vendor;
}

// From the root down: each allows as many CAs below it as there are, an F9 included where
// `f9_below`.
absl::StatusOr<Hierarchy> FoundModern(const std::vector<std::string>& names, Algorithm algorithm,
                                      bool f9_below) {
  Hierarchy vendor;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string& name = names[i];
    const size_t below = names.size() - 1 - i + (f9_below ? 1 : 0);
    const std::string constraints = absl::StrCat("critical,CA:TRUE,pathlen:", below);
    FOREKEY_ASSIGN_OR_RETURN(PkeyPtr key, GenerateKey(algorithm));
    EVP_PKEY* signer = vendor.issuer_key ? vendor.issuer_key.get() : key.get();
    FOREKEY_ASSIGN_OR_RETURN(CertPtr cert, Sign(CaTemplate(name, constraints.c_str(), true),
                                                key.get(), vendor.issuer.get(), signer));
    (vendor.root_pem.empty() ? vendor.root_pem : vendor.intermediates_pem) += CertPem(cert.get());
    vendor.issuer = std::move(cert);
    vendor.issuer_key = std::move(key);
  }
  return vendor;
}

enum class Era { kOldVendor, kModernVendor, kAgency };

// The process's vendors; made when first asked for.
absl::StatusOr<const Hierarchy*> Founded(Era era, int number) {
  static absl::Mutex mutex(absl::kConstInit);
  static auto* founded = new std::map<std::pair<Era, int>, Hierarchy>;
  absl::MutexLock lock(&mutex);
  auto found = founded->find({era, number});
  if (found != founded->end()) return &found->second;
  auto made =
      era == Era::kOldVendor ? FoundOldVendor()
      : era == Era::kModernVendor
          ? FoundModern({"Simulated Attestation Root 1", "Simulated Attestation Intermediate B 1",
                         "Simulated PIV Attestation B 1"},
                        Algorithm::kRsa2048, true)
          : FoundModern({absl::StrCat("Simulated Agency Root CA ", number),
                         absl::StrCat("Simulated Agency Issuing CA ", number)},
                        Algorithm::kP256, false);
  if (!made.ok()) return made.status();
  return &founded->emplace(std::pair(era, number), *std::move(made)).first->second;
}

std::string Raw(std::initializer_list<uint8_t> bytes) {
  return std::string(bytes.begin(), bytes.end());
}

constexpr char kYubicoArc[] = "1.3.6.1.4.1.41482.3.";

std::string SerialInteger(uint32_t serial) {
  std::string digits = ByteWriter().U32(serial).bytes();
  digits.erase(0, std::min(digits.find_first_not_of('\0'), digits.size() - 1));
  if ((digits[0] & 0x80) != 0) digits.insert(0, 1, '\0');
  return MakeTlv(0x02, digits);
}

}  // namespace

absl::Status CertifyAttestationKey(PivState* state) {
  const PivConfig& config = state->config;
  const bool modern = config.AtLeast(5, 7, 4);
  FOREKEY_ASSIGN_OR_RETURN(const Hierarchy* vendor,
                           Founded(modern ? Era::kModernVendor : Era::kOldVendor, config.vendor));
  PivKey key;
  key.algorithm = config.attestation_algorithm.value_or(Algorithm::kRsa2048);
  key.pin_policy = PinPolicy::kNever;
  FOREKEY_ASSIGN_OR_RETURN(PkeyPtr pkey, GenerateKey(key.algorithm));
  key.private_der = StoreKey(pkey.get());
  CertTemplate content;
  content.common_name = modern ? "Simulated YubiKey PIV Attestation" : "Simulated PIV Attestation";
  if (modern) content.not_after = "99991231235959Z";
  // F9 of the first firmware with attestation says nowhere that it is a CA.
  if (config.AtLeast(4, 4, 0)) {
    content.extensions.emplace_back(NID_basic_constraints,
                                    modern ? "critical,CA:TRUE,pathlen:0" : "CA:TRUE,pathlen:0");
  }
  const Firmware& firmware = config.firmware;
  content.raw_extensions.emplace_back(absl::StrCat(kYubicoArc, 3),
                                      Raw({firmware.major, firmware.minor, firmware.patch}));
  if (config.fips) content.raw_extensions.emplace_back(absl::StrCat(kYubicoArc, 10), Raw({0x01}));
  if (config.cspn) content.raw_extensions.emplace_back(absl::StrCat(kYubicoArc, 11), Raw({0x01}));
  FOREKEY_ASSIGN_OR_RETURN(
      CertPtr cert, Sign(content, pkey.get(), vendor->issuer.get(), vendor->issuer_key.get()));
  state->f9_certificate_der = CertDer(cert.get());
  state->objects[CertificateObjectTag(0xf9)] = CertificateObject(state->f9_certificate_der);
  state->keys[0xf9] = std::move(key);
  state->root_pem = vendor->root_pem;
  state->intermediates_pem = vendor->intermediates_pem;
  return absl::OkStatus();
}

absl::StatusOr<std::string> MakeSlotAttestation(const PivState& state, uint8_t slot,
                                                const PivKey& key, EVP_PKEY* public_key,
                                                EVP_PKEY* issuer_key) {
  const PivConfig& config = state.config;
  CertPtr issuer = CertFromDer(state.f9_certificate_der);
  if (issuer == nullptr) return absl::DataLossError("F9's certificate is damaged");
  CertTemplate content;
  content.common_name = absl::StrFormat("YubiKey PIV Attestation %02x", slot);
  if (config.AtLeast(5, 7, 4)) content.not_after = "99991231235959Z";
  const Firmware& firmware = config.firmware;
  content.raw_extensions.emplace_back(absl::StrCat(kYubicoArc, 3),
                                      Raw({firmware.major, firmware.minor, firmware.patch}));
  if (config.serial_in_attestation) {
    content.raw_extensions.emplace_back(absl::StrCat(kYubicoArc, 7), SerialInteger(config.serial));
  }
  content.raw_extensions.emplace_back(
      absl::StrCat(kYubicoArc, 8),
      Raw({static_cast<uint8_t>(key.pin_policy), static_cast<uint8_t>(key.touch_policy)}));
  if (config.AtLeast(5, 0, 0)) {
    content.raw_extensions.emplace_back(
        absl::StrCat(kYubicoArc, 9),
        Raw({static_cast<uint8_t>(static_cast<uint8_t>(config.form_factor) |
                                  (config.fips ? 0x80 : 0))}));
  }
  FOREKEY_ASSIGN_OR_RETURN(CertPtr cert, Sign(content, public_key, issuer.get(), issuer_key));
  return CertDer(cert.get());
}

absl::Status FoundAgency(PivState* state) {
  FOREKEY_ASSIGN_OR_RETURN(const Hierarchy* agency, Founded(Era::kAgency, state->config.vendor));
  state->root_pem = agency->root_pem;
  state->intermediates_pem = agency->intermediates_pem;
  state->issuer_key_der = StoreKey(agency->issuer_key.get());
  return absl::OkStatus();
}

absl::StatusOr<std::string> IssueSlotCertificate(const PivState& state, uint8_t slot,
                                                 EVP_PKEY* public_key,
                                                 const IssueOptions& options) {
  CertPtr issuer = CertFromPem(state.intermediates_pem);
  FOREKEY_ASSIGN_OR_RETURN(PkeyPtr issuer_key, LoadKey(state.issuer_key_der.view()));
  if (issuer == nullptr) return absl::FailedPreconditionError("this card has no issuing CA");
  const bool x25519 = EVP_PKEY_get_base_id(public_key) == EVP_PKEY_X25519;
  CertTemplate content;
  content.common_name = options.common_name;
  content.extensions = {
      {NID_key_usage, slot == 0x9d || x25519 ? "critical,keyEncipherment,keyAgreement"
                                             : "critical,digitalSignature"},
      {NID_ext_key_usage, slot == 0x9a ? "clientAuth,1.3.6.1.4.1.311.20.2.2" : "clientAuth"},
      {NID_certificate_policies,
       slot == 0x9e ? "2.16.840.1.101.3.2.1.3.17" : "2.16.840.1.101.3.2.1.3.13"},
      {NID_authority_key_identifier, "keyid"},
      {NID_subject_key_identifier, "hash"}};
  FOREKEY_ASSIGN_OR_RETURN(CertPtr cert, Sign(content, public_key, issuer.get(), issuer_key.get()));
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), 86400L * options.valid_from_days);
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), 86400L * options.valid_to_days);
  if (X509_sign(cert.get(), issuer_key.get(), DigestFor(issuer_key.get())) <= 0) {
    return absl::InternalError("OpenSSL could not sign a certificate");
  }
  return CertDer(cert.get());
}

absl::StatusOr<std::string> IssueCrl(const PivState& state,
                                     const std::vector<std::string>& revoked_der) {
  CertPtr issuer = CertFromPem(state.intermediates_pem);
  FOREKEY_ASSIGN_OR_RETURN(PkeyPtr issuer_key, LoadKey(state.issuer_key_der.view()));
  if (issuer == nullptr) return absl::FailedPreconditionError("this card has no issuing CA");
  std::unique_ptr<X509_CRL, Freed<X509_CRL_free>> crl(X509_CRL_new());
  X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2);
  X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer.get()));
  std::unique_ptr<ASN1_TIME, Freed<ASN1_TIME_free>> now(X509_gmtime_adj(nullptr, -60)),
      next(X509_gmtime_adj(nullptr, 30 * 86400L));
  X509_CRL_set1_lastUpdate(crl.get(), now.get());
  X509_CRL_set1_nextUpdate(crl.get(), next.get());
  for (const std::string& der : revoked_der) {
    CertPtr cert = CertFromDer(der);
    if (cert == nullptr) return absl::InvalidArgumentError("no certificate to revoke");
    X509_REVOKED* revoked = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(cert.get()));
    X509_REVOKED_set_revocationDate(revoked, now.get());
    X509_CRL_add0_revoked(crl.get(), revoked);
  }
  X509_CRL_sort(crl.get());
  unsigned char* der = nullptr;
  const int size = X509_CRL_sign(crl.get(), issuer_key.get(), DigestFor(issuer_key.get())) > 0
                       ? i2d_X509_CRL(crl.get(), &der)
                       : 0;
  if (size <= 0) return absl::InternalError("OpenSSL could not sign a CRL");
  std::string bytes(reinterpret_cast<char*>(der), size);
  OPENSSL_free(der);
  return bytes;
}

uint32_t CertificateObjectTag(uint8_t slot) {
  if (slot >= 0x82 && slot <= 0x95) return 0x5fc10d + (slot - 0x82);
  switch (slot) {
    case 0x9a:
      return 0x5fc105;
    case 0x9c:
      return 0x5fc10a;
    case 0x9d:
      return 0x5fc10b;
    case 0x9e:
      return 0x5fc101;
    case 0xf9:
      return 0x5fff01;
    default:
      return 0;
  }
}

std::string CertificateObject(absl::string_view der) {
  return MakeTlv(0x53, absl::StrCat(MakeTlv(0x70, der), MakeTlv(0x71, std::string(1, '\0')),
                                    MakeTlv(0xfe, "")));
}

}  // namespace forekey::piv

// SPDX-License-Identifier: Apache-2.0
#include "src/verify/tpm_quirks.h"

#include <openssl/err.h>

#include <array>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/wire/firmware_list.h"

namespace forekey {
namespace {

using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, OpenSslFree<GENERAL_NAMES_free>>;

constexpr absl::string_view kSubjectAltName = "2.5.29.17";
constexpr absl::string_view kSubjectDirectoryAttributes = "2.5.29.9";
constexpr absl::string_view kExtKeyUsage = "2.5.29.37";
constexpr absl::string_view kEkCertificateUsage = "2.23.133.8.1";  // tcg-kp-EKCertificate

absl::Status Profile(absl::string_view detail) {
  ERR_clear_error();
  return Refuse(Reason::kCertificateProfile, detail);
}

std::string Utf8(const ASN1_STRING* string) {
  uint8_t* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, string);
  if (size < 0) return "";
  absl::Cleanup free_utf8 = [utf8] { OPENSSL_free(utf8); };
  return std::string(View(utf8, size));
}

// Stores one RDN's value; false when the attribute had another value before.
bool Store(const X509_NAME_ENTRY* entry, TpmAttributes* attributes) {
  char oid[64];
  OBJ_obj2txt(oid, sizeof(oid), X509_NAME_ENTRY_get_object(entry), 1);
  std::string* target = nullptr;
  if (absl::string_view(oid) == "2.23.133.2.1") target = &attributes->manufacturer;
  if (absl::string_view(oid) == "2.23.133.2.2") target = &attributes->model;
  if (absl::string_view(oid) == "2.23.133.2.3") target = &attributes->version;
  if (target == nullptr) return true;
  std::string value = Utf8(X509_NAME_ENTRY_get_data(entry));
  if (!target->empty() && *target != value) return false;
  *target = std::move(value);
  return true;
}

}  // namespace

absl::StatusOr<TpmAttributes> ReadTpmAttributes(const Certificate& certificate) {
  TpmAttributes attributes;
  const std::optional<std::string> extension = certificate.Extension(kSubjectAltName);
  if (!extension) return attributes;
  const uint8_t* at = U8(absl::string_view(*extension));
  GeneralNamesPtr names(d2i_GENERAL_NAMES(nullptr, &at, static_cast<long>(extension->size())));
  if (names == nullptr || at != U8(absl::string_view(*extension)) + extension->size()) {
    return Profile("the subjectAltName does not parse");
  }
  bool has_directory_name = false;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DIRNAME) continue;
    has_directory_name = true;
    // Entries of all RDNs, whether they share one or not.
    for (int j = 0; j < X509_NAME_entry_count(name->d.directoryName); ++j) {
      if (!Store(X509_NAME_get_entry(name->d.directoryName, j), &attributes)) {
        return Profile("a TPM attribute is there twice, with different values");
      }
    }
  }
  if (!has_directory_name && certificate.ExtensionIsCritical(kSubjectAltName)) {
    return Profile("a critical subjectAltName without a directoryName");
  }
  return attributes;
}

bool IsEkByItsIssuersPurpose(const Certificate& leaf, const Certificate& issuer) {
  if (leaf.Extension(kExtKeyUsage)) return false;
  const std::vector<std::string> purposes = issuer.ExtendedKeyUsages();
  if (purposes.size() != 1 || purposes.front() != kEkCertificateUsage) return false;
  constexpr uint32_t kSigns =
      KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION | KU_KEY_CERT_SIGN | KU_CRL_SIGN;
  return (leaf.KeyUsage().value_or(kSigns) & kSigns) == 0;
}

std::string TpmVendorName(absl::string_view manufacturer) {
  static constexpr std::array<std::pair<absl::string_view, absl::string_view>, 22> kVendors = {{
      {"AMD", "AMD"},
      {"ANT", "Ant Group"},
      {"ATML", "Atmel"},
      {"BRCM", "Broadcom"},
      {"CSCO", "Cisco"},
      {"FLYS", "Flyslice"},
      {"GOOG", "Google"},
      {"HISI", "Huawei"},
      {"HPE", "HPE"},
      {"HPI", "HPI"},
      {"IBM", "IBM"},
      {"IFX", "Infineon"},
      {"INTC", "Intel"},
      {"MSFT", "Microsoft"},
      {"NSM", "National Semiconductor"},
      {"NTC", "Nuvoton"},
      {"NTZ", "Nationz"},
      {"QCOM", "Qualcomm"},
      {"ROCC", "Fuzhou Rockchip"},
      {"SMSN", "Samsung"},
      {"STM", "STMicroelectronics"},
      {"VMW", "VMware"},
  }};
  const std::string id = TpmMakerOf(manufacturer);
  if (id == manufacturer || absl::StartsWith(id, "id:")) return std::string(manufacturer);
  for (const auto& [vendor_id, name] : kVendors) {
    if (id == vendor_id) return std::string(name);
  }
  return id;
}

bool IsTpm12Certificate(const Certificate& certificate) {
  ASN1_OBJECT* algorithm = nullptr;  // borrowed
  X509_PUBKEY_get0_param(&algorithm, nullptr, nullptr, nullptr,
                         X509_get_X509_PUBKEY(certificate.x509()));
  if (OBJ_obj2nid(algorithm) == NID_rsaesOaep) return true;
  // SubjectDirectoryAttributes: the DER of { 2.23.133.2.16, SET { SEQUENCE { "1.2", ...: read as
  // bytes, since OpenSSL has no type for it and the vendor signed it.
  const std::string attributes = certificate.Extension(kSubjectDirectoryAttributes).value_or("");
  const size_t at = attributes.find(std::string("\x06\x05\x67\x81\x05\x02\x10", 7));
  if (at == std::string::npos) return false;
  return absl::StrContains(attributes.substr(at, 24), std::string("\x0c\x03"
                                                                  "1.2",
                                                                  5));
}

}  // namespace forekey

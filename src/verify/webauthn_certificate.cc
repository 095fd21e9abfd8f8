// SPDX-License-Identifier: Apache-2.0
#include "src/verify/webauthn_certificate.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/openssl.h"
#include "src/wire/authenticator_data.h"

namespace forekey {
namespace {

constexpr absl::string_view kSubjectAltName = "2.5.29.17";
constexpr absl::string_view kBasicConstraints = "2.5.29.19";
constexpr absl::string_view kCertificatePolicies = "2.5.29.32";
constexpr absl::string_view kExtendedKeyUsage = "2.5.29.37";
constexpr absl::string_view kManufacturer =
    "2.23.133.2.1";  // TPM attributes (TCG EK profile 3.2.9)
constexpr absl::string_view kModel = "2.23.133.2.2";
constexpr absl::string_view kVersion = "2.23.133.2.3";
constexpr absl::string_view kFidoFirmware = "1.3.6.1.4.1.45724.1.1.5";  // id-fido-gen-ce-fw-version
constexpr absl::string_view kYubicoFirmware = "1.3.6.1.4.1.41482.13.1";

using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, OpenSslFree<GENERAL_NAMES_free>>;

absl::Status Breaks(absl::string_view section, absl::string_view what) {
  return Refuse(Reason::kCertificateProfile,
                absl::StrCat("attestation certificate, section ", section, ": ", what));
}

// The values of an attribute, in UTF-8.
std::vector<std::string> NameValues(const X509_NAME* name, const ASN1_OBJECT* type) {
  std::vector<std::string> values;
  for (int at = X509_NAME_get_index_by_OBJ(name, type, -1); at >= 0;
       at = X509_NAME_get_index_by_OBJ(name, type, at)) {
    unsigned char* text = nullptr;
    const int size =
        ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (size < 0) continue;
    values.emplace_back(reinterpret_cast<char*>(text), size);
    OPENSSL_free(text);
  }
  return values;
}

std::vector<std::string> SubjectValues(const Certificate& certificate, int nid) {
  return NameValues(X509_get_subject_name(certificate.x509()), OBJ_nid2obj(nid));
}

// Sections 8.2.1 and 8.3.1 alike: version 3, no CA, and the AAGUID where it is told.
absl::Status CheckCommon(const Certificate& certificate, absl::string_view aaguid,
                         absl::string_view section) {
  if (X509_get_version(certificate.x509()) != X509_VERSION_3)
    return Breaks(section, "not version 3");
  if (!certificate.Extension(kBasicConstraints)) return Breaks(section, "no basicConstraints");
  if (certificate.IsCa()) return Breaks(section, "a CA");
  if (!certificate.Extension(kAaguidExtension)) return absl::OkStatus();
  if (certificate.ExtensionIsCritical(kAaguidExtension)) {
    return Breaks(section, "a critical AAGUID extension");
  }
  const std::string told = CertifiedAaguid(certificate);
  if (told.empty()) return Breaks(section, "a malformed AAGUID extension");
  if (told != aaguid) {
    return Refuse(Reason::kAaguidMismatch, absl::StrCat("the certificate is for ", AaguidText(told),
                                                        ", not ", AaguidText(aaguid)));
  }
  return absl::OkStatus();
}

bool IsCountryCode(absl::string_view text) {
  return text.size() == 2 && absl::ascii_isalpha(static_cast<unsigned char>(text[0])) &&
         absl::ascii_isalpha(static_cast<unsigned char>(text[1]));
}

// The one directory name of the subject alternative name; the names must outlive it.
const X509_NAME* DirectoryName(const GENERAL_NAMES* names) {
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DIRNAME) return name->d.directoryName;
  }
  return nullptr;
}

std::optional<std::string> TpmAttribute(const X509_NAME* name, absl::string_view oid) {
  ASN1_OBJECT* object = OBJ_txt2obj(std::string(oid).c_str(), 1);
  const std::vector<std::string> values = NameValues(name, object);
  ASN1_OBJECT_free(object);
  if (values.size() != 1 || values.front().empty()) return std::nullopt;
  return values.front();
}

}  // namespace

absl::Status CheckPackedCertificate(const Certificate& certificate, absl::string_view aaguid) {
  constexpr absl::string_view kSection = "8.2.1";
  FOREKEY_RETURN_IF_ERROR(CheckCommon(certificate, aaguid, kSection));
  const auto country = SubjectValues(certificate, NID_countryName);
  if (country.size() != 1 || !IsCountryCode(country.front())) {
    return Breaks(kSection, "the subject's country is no two letters");
  }
  const auto organization = SubjectValues(certificate, NID_organizationName);
  if (organization.empty() || organization.front().empty()) {
    return Breaks(kSection, "the subject names no organization");
  }
  const auto unit = SubjectValues(certificate, NID_organizationalUnitName);
  if (std::find(unit.begin(), unit.end(), "Authenticator Attestation") == unit.end()) {
    return Breaks(kSection, "the subject's unit is not \"Authenticator Attestation\"");
  }
  const auto name = SubjectValues(certificate, NID_commonName);
  if (name.empty() || name.front().empty()) return Breaks(kSection, "the subject has no name");
  return absl::OkStatus();
}

absl::Status CheckAikCertificate(const Certificate& certificate, absl::string_view aaguid,
                                 nlohmann::json& facts) {
  constexpr absl::string_view kSection = "8.3.1";
  FOREKEY_RETURN_IF_ERROR(CheckCommon(certificate, aaguid, kSection));
  if (X509_NAME_entry_count(X509_get_subject_name(certificate.x509())) != 0) {
    return Breaks(kSection, "the subject is not empty");
  }
  // RFC 5280 section 4.1.2.6: critical where the subject is empty.
  if (!certificate.ExtensionIsCritical(kSubjectAltName)) {
    return Breaks(kSection, "no critical subject alternative name");
  }
  GeneralNamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate.x509(), NID_subject_alt_name, nullptr, nullptr)));
  const X509_NAME* tpm = names == nullptr ? nullptr : DirectoryName(names.get());
  if (tpm == nullptr) return Breaks(kSection, "the alternative name holds no directory name");
  const auto manufacturer = TpmAttribute(tpm, kManufacturer);
  const auto model = TpmAttribute(tpm, kModel);
  const auto version = TpmAttribute(tpm, kVersion);
  if (!manufacturer || !model || !version) {
    return Breaks(kSection, "the alternative name lacks the TPM's manufacturer, model or version");
  }
  facts["tpm_manufacturer"] = *manufacturer;
  facts["tpm_model"] = *model;
  facts["tpm_version"] = *version;
  if (certificate.HasExtendedKeyUsage(kAikPurpose) != true) {
    return Refuse(Reason::kCertificatePurpose,
                  absl::StrCat("the AIK certificate's extended key usage lacks ", kAikPurpose));
  }
  return absl::OkStatus();
}

std::vector<std::string> AikCriticalExtensions() {
  return {std::string(kSubjectAltName), std::string(kExtendedKeyUsage),
          std::string(kCertificatePolicies)};
}

std::string CertifiedAaguid(const Certificate& certificate) {
  const auto extension = certificate.Extension(kAaguidExtension);
  // An OCTET STRING of 16 bytes inside the extension's own.
  if (!extension || extension->size() != kAaguidSize + 2 ||
      (*extension)[0] != V_ASN1_OCTET_STRING || (*extension)[1] != static_cast<char>(kAaguidSize)) {
    return "";
  }
  return extension->substr(2);
}

std::optional<uint64_t> FidoFirmwareFromInteger(absl::string_view der) {
  // Tag, length and content; DER has no zero before what needs none, and no sign here.
  if (der.size() < 3 || der[0] != V_ASN1_INTEGER || U8(der)[1] != der.size() - 2) {
    return std::nullopt;
  }
  absl::string_view content = der.substr(2);
  if ((U8(content)[0] & 0x80) != 0) return std::nullopt;
  if (content.size() > 1 && content[0] == 0) {
    if ((U8(content)[1] & 0x80) == 0) return std::nullopt;
    content.remove_prefix(1);
  }
  if (content.size() > sizeof(uint32_t)) return std::nullopt;
  uint64_t version = 0;
  for (const char c : content) version = version << 8 | static_cast<uint8_t>(c);
  return version;
}

std::optional<uint64_t> FidoFirmwareFromOctets(absl::string_view der) {
  if (der.size() != 5 || der[0] != V_ASN1_OCTET_STRING || der[1] != 3) return std::nullopt;
  return uint64_t{U8(der)[2]} << 16 | uint64_t{U8(der)[3]} << 8 | U8(der)[4];
}

std::optional<uint64_t> CertifiedFirmware(const Certificate& certificate) {
  // One that is there and malformed proves nothing, whatever the other one says.
  if (const auto fido = certificate.Extension(kFidoFirmware)) return FidoFirmwareFromInteger(*fido);
  const auto yubico = certificate.Extension(kYubicoFirmware);
  return yubico ? FidoFirmwareFromOctets(*yubico) : std::nullopt;
}

std::string AttestationKeyId(const Certificate& certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (X509_pubkey_digest(certificate.x509(), EVP_sha1(), digest, &size) != 1) return "";
  return std::string(View(digest, size));
}

}  // namespace forekey

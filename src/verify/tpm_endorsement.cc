// SPDX-License-Identifier: Apache-2.0
// Threats to the endorsement, and what stands against each:
//  E1 a certificate made by anyone                     VerifyPath to the administrator's anchors
//  E2 another certificate of the same vendor (an AK's, a platform's, a CA's) shown as an EK's
//                                                      EKU, keyUsage, cA
//  E8 a CA for AKs, or for anything else, that issues EK certificates
//                                                      EKU of every CA below the anchor
//  E3 a true certificate of another TPM                the public area must have the certificate's
//                                                      key; who holds it is MakeCredential's
//                                                      question
//  E4 an EK that also signs or can be duplicated       the template's attributes
//  E5 a certificate smuggled behind the certificate    only filler may follow it
//  E6 work: chains made to cost                        max_intermediates, VerifyPath's budget
//  E7 an EK listed by hand, shown with a stranger's certificate
//                                                      kEkMismatch comes before the allow-list
//  E9 an EK whose private key follows from the public one: who has it activates what he likes
//                                                      roca_modulus.h, listed by hand or not
#include "src/verify/tpm_endorsement.h"

#include <openssl/core_names.h>
#include <openssl/err.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/public_key.h"
#include "src/verify/roca_modulus.h"
#include "src/verify/tpm_quirks.h"
#include "src/wire/tpm_nv_certificate.h"

namespace forekey {
namespace {

constexpr absl::string_view kSubjectAltName = "2.5.29.17";
constexpr absl::string_view kExtKeyUsage = "2.5.29.37";
constexpr absl::string_view kEkCertificateUsage = "2.23.133.8.1";  // tcg-kp-EKCertificate
// Intel's firmware TPMs have six certificates from the EK to the root.
constexpr size_t kMaxPath = 8;

// The key of the certificate as an EK may have it, in the canonical encoding, so that a certificate
// that encodes it otherwise names the same device.
absl::StatusOr<PublicKey> EkOf(const Certificate& certificate) {
  if (IsTpm12Certificate(certificate)) {
    return Refuse(Reason::kEkUnsupported, "the certificate is of a TPM 1.2");
  }
  EVP_PKEY* key = certificate.key();
  if (key == nullptr) return Refuse(Reason::kEkUnsupported, "the EK's algorithm is not known");
  absl::StatusOr<PublicKey> ek = PublicKey::FromEvp(key);
  if (!ek.ok()) return Refuse(Reason::kEkUnsupported, ek.status().message());
  const bool can_be_ek = ek->algorithm() == Algorithm::kRs256 ||
                         ek->algorithm() == Algorithm::kEs256 ||
                         ek->algorithm() == Algorithm::kEs384;
  if (!can_be_ek) {
    return Refuse(Reason::kEkUnsupported,
                  absl::StrCat("an EK of ", FactsOf(ek->algorithm()).curve));
  }
  return ek;
}

// E2. EK Credential Profile §3.5: keyUsage is required; keyEncipherment for RSA, keyAgreement for
// ECC (Intel's and AMD's ECC certificates say keyEncipherment).
absl::Status CheckEkProfile(const VerifiedPath& path, const PublicKey& ek) {
  const Certificate& certificate = path.leaf();
  if (certificate.IsCa()) {
    return Refuse(Reason::kCertificateProfile, "the EK certificate is a CA's");
  }
  const std::optional<bool> usage = certificate.HasExtendedKeyUsage(kEkCertificateUsage);
  if (usage != true && !IsEkByItsIssuersPurpose(certificate, path.certificates()[1])) {
    return Refuse(Reason::kCertificatePurpose,
                  absl::StrCat("extKeyUsage ", usage ? "lacks " : "is absent, it must hold ",
                               kEkCertificateUsage, " (EK certificate)"));
  }
  const std::optional<uint32_t> key_usage = certificate.KeyUsage();
  if (!key_usage) return Refuse(Reason::kCertificatePurpose, "keyUsage is absent");
  uint32_t decrypting = KU_KEY_ENCIPHERMENT;
  if (ek.algorithm() != Algorithm::kRs256) decrypting |= KU_KEY_AGREEMENT;
  if ((*key_usage & decrypting) == 0) {
    return Refuse(Reason::kCertificatePurpose,
                  "keyUsage is not a decrypting key's: this is an AK's certificate, or a CA's");
  }
  if ((*key_usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) != 0) {
    return Refuse(Reason::kCertificateProfile, "keyUsage is a CA's");
  }
  return absl::OkStatus();
}

// E4. TCG EK Credential Profile, annex B: templates L-1, L-2 (policy) and H-1 to H-7 (policy, user
// auth). The policy itself is not compared: vendors have their own templates in NV. Nothing vouches
// for these claims but MakeCredential, which works with restricted decryption keys alone.
absl::Status CheckEkTemplate(const TpmPublic& ek) {
  using namespace tpm;  // NOLINT: the constants of Part 2
  constexpr uint32_t kRequired =
      kRestricted | kDecrypt | kFixedTpm | kFixedParent | kSensitiveDataOrigin;
  constexpr uint32_t kForbidden = kSign | kX509Sign | kEncryptedDuplication | kStClear;
  const auto refuse = [&ek](absl::string_view why) {
    return Refuse(Reason::kEkTemplate,
                  absl::StrCat(why, " (", AttributesText(ek.attributes()), ")"));
  };
  if (!ek.Has(kRequired)) return refuse("it is no restricted, fixed, TPM-born decryption key");
  if ((ek.attributes() & kForbidden) != 0) return refuse("it may do what no EK may");
  if (!ek.Has(kAdminWithPolicy) && !ek.Has(kUserWithAuth)) return refuse("nobody may use it");
  const bool name_hash = ek.name_algorithm() == kAlgSha256 || ek.name_algorithm() == kAlgSha384 ||
                         ek.name_algorithm() == kAlgSha512;
  if (!name_hash) return refuse(absl::StrCat("nameAlg is ", AlgorithmText(ek.name_algorithm())));
  const TpmPublic::Symmetric& symmetric = ek.symmetric();
  if (symmetric.algorithm != kAlgAes || symmetric.mode != kAlgCfb ||
      (symmetric.key_bits != 128 && symmetric.key_bits != 192 && symmetric.key_bits != 256)) {
    return refuse("its symmetric algorithm is not AES in CFB mode");
  }
  if (ek.scheme().algorithm != kAlgNull) return refuse("a storage key has no scheme");
  return absl::OkStatus();
}

nlohmann::json DescribePath(const VerifiedPath& path) {
  nlohmann::json subjects = nlohmann::json::array();
  for (const Certificate& certificate : path.certificates()) {
    const std::string subject = certificate.SubjectText();
    subjects.push_back(subject.empty() ? "(empty subject)" : subject);
  }
  return subjects;
}

// E1, E2, E5.
absl::StatusOr<nlohmann::json> CheckCertificate(const Certificate& certificate, const PublicKey& ek,
                                                const EndorsementEvidence& evidence,
                                                const EndorsementPolicy& policy) {
  PathOptions options;
  options.time = policy.time;
  options.max_length = kMaxPath;
  options.understood_critical = {std::string(kSubjectAltName), std::string(kExtKeyUsage)};
  options.purpose = std::string(kEkCertificateUsage);
  FOREKEY_ASSIGN_OR_RETURN(VerifiedPath path,
                           VerifyPath(certificate, evidence.intermediates, *policy.trust, options));
  FOREKEY_RETURN_IF_ERROR(CheckRocaIssuers(path));
  FOREKEY_RETURN_IF_ERROR(CheckEkProfile(path, ek));
  FOREKEY_ASSIGN_OR_RETURN(TpmAttributes attributes, ReadTpmAttributes(certificate));
  nlohmann::json proved = {
      {"ek_certificate_sha256", absl::BytesToHexString(certificate.Fingerprint())},
      {"ek_certificate_serial", certificate.SerialHex()},
      {"path", DescribePath(path)},
      {"anchor_sha256", absl::BytesToHexString(path.anchor().Fingerprint())},
  };
  if (!attributes.manufacturer.empty()) {
    proved["manufacturer"] = TpmVendorName(attributes.manufacturer);
    proved["manufacturer_id"] = attributes.manufacturer;
  }
  if (!attributes.model.empty()) proved["model"] = attributes.model;
  if (!attributes.version.empty()) proved["version"] = attributes.version;
  return proved;
}

struct CertifiedEk {
  Certificate certificate;
  PublicKey ek;
};

absl::StatusOr<CertifiedEk> ReadEkCertificate(absl::string_view nv) {
  FOREKEY_ASSIGN_OR_RETURN(absl::string_view der, TrimNvCertificate(nv));
  FOREKEY_ASSIGN_OR_RETURN(Certificate certificate, Certificate::ParseDer(der));
  FOREKEY_ASSIGN_OR_RETURN(PublicKey ek, EkOf(certificate));
  return CertifiedEk{std::move(certificate), std::move(ek)};
}

std::string DeviceIdOf(const PublicKey& ek) { return Sha256(ek.spki()); }

bool IsAllowed(const std::string& device_id, const EndorsementPolicy& policy) {
  return std::find(policy.allowed_ek_hashes.begin(), policy.allowed_ek_hashes.end(), device_id) !=
         policy.allowed_ek_hashes.end();
}

std::string KeyText(const PublicKey& key) {
  const absl::string_view curve = FactsOf(key.algorithm()).curve;
  return curve.empty() ? absl::StrCat("RSA-", EVP_PKEY_get_bits(key.evp())) : std::string(curve);
}

// E9, and what the administrator asks for.
absl::Status CheckEkAlgorithm(const PublicKey& ek, const EndorsementPolicy& policy) {
  FOREKEY_RETURN_IF_ERROR(CheckRocaModulus(ek.evp(), Reason::kEkUnsupported, "the EK's"));
  if (policy.ek_algorithms.empty() || policy.ek_algorithms.count(KeyText(ek)) != 0) {
    return absl::OkStatus();
  }
  return Refuse(Reason::kEkUnsupported,
                absl::StrCat("the EK is ", KeyText(ek), ", and ek_algorithms takes ",
                             absl::StrJoin(policy.ek_algorithms, ", "), " alone"));
}

// E3, E7.
absl::Status CheckSameEk(const PublicKey& certified, const PublicKey& ek) {
  if (ek.spki() == certified.spki()) return absl::OkStatus();
  return Refuse(
      Reason::kEkMismatch,
      absl::StrCat("the certificate is for EK ", absl::BytesToHexString(DeviceIdOf(certified)),
                   ", the public area is of EK ", absl::BytesToHexString(DeviceIdOf(ek))));
}

}  // namespace

const std::vector<std::string>& EkAlgorithms() {
  static const auto* const all =
      new std::vector<std::string>{"RSA-2048", "RSA-3072", "RSA-4096", "P-256", "P-384"};
  return *all;
}

absl::StatusOr<VerifiedEndorsement> VerifyEndorsement(const EndorsementEvidence& evidence,
                                                      const EndorsementPolicy& policy) {
  if (evidence.intermediates.size() > policy.max_intermediates) {  // E6
    return Refuse(Reason::kEvidenceMalformed,
                  absl::StrCat("more than ", policy.max_intermediates, " intermediates"));
  }
  VerifiedEndorsement result;
  std::optional<PublicKey> ek;
  if (!evidence.ek_public.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(result.ek_public_, TpmPublic::Parse(evidence.ek_public));
    FOREKEY_RETURN_IF_ERROR(CheckEkTemplate(*result.ek_public_));
    absl::StatusOr<PublicKey> key = result.ek_public_->Key();
    if (!key.ok()) return Refuse(Reason::kEkUnsupported, key.status().message());
    ek = *std::move(key);
  }
  std::optional<Certificate> certificate;
  std::string unread;
  if (!evidence.ek_certificate.empty()) {
    absl::StatusOr<CertifiedEk> certified = ReadEkCertificate(evidence.ek_certificate);
    if (certified.ok()) {
      if (ek) FOREKEY_RETURN_IF_ERROR(CheckSameEk(certified->ek, *ek));
      ek = std::move(certified->ek);
      certificate = std::move(certified->certificate);
    } else if (ek && IsAllowed(DeviceIdOf(*ek), policy)) {
      unread = std::string(certified.status().message());  // an EK that is listed needs none
    } else {
      return certified.status();
    }
  }
  if (!ek) return Refuse(Reason::kEkCertificateMissing, "neither a certificate nor an EK");
  FOREKEY_RETURN_IF_ERROR(CheckEkAlgorithm(*ek, policy));
  result.device_id_ = DeviceIdOf(*ek);
  const std::string hash = absl::BytesToHexString(result.device_id_);
  const bool allowed = IsAllowed(result.device_id_, policy);
  if (!certificate && !allowed) {
    return Refuse(Reason::kEkCertificateMissing, absl::StrCat("the EK's hash is ", hash));
  }
  result.proved_ = {{"ek_sha256", hash}, {"ek", KeyText(*ek)}};
  if (allowed) result.proved_["ek_allowed_by_hash"] = true;
  if (!unread.empty()) result.proved_["ek_certificate_refused"] = std::move(unread);
  if (certificate) {
    absl::StatusOr<nlohmann::json> checked = CheckCertificate(*certificate, *ek, evidence, policy);
    if (checked.ok()) {
      result.has_certificate_ = true;
      result.proved_.update(*checked);
    } else if (!allowed) {
      return checked.status();
    } else {
      result.proved_["ek_certificate_refused"] = std::string(checked.status().message());
    }
  }
  return result;
}

}  // namespace forekey

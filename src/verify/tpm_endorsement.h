// SPDX-License-Identifier: Apache-2.0
// A TPM's endorsement key (EK), checked without a TPM: TCG EK Credential Profile for TPM
// Family 2.0, version 2.x, and RFC 5280.
#ifndef FOREKEY_SRC_VERIFY_TPM_ENDORSEMENT_H_
#define FOREKEY_SRC_VERIFY_TPM_ENDORSEMENT_H_

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "src/crypto/certificate.h"
#include "src/wire/tpm_public.h"

namespace forekey {

// "RSA-2048", "RSA-3072", "RSA-4096", "P-256", "P-384": as proved() tells them.
const std::vector<std::string>& EkAlgorithms();

// What a client sends, all of it untrusted.
struct EndorsementEvidence {
  // As read from NV, or clean DER; empty where the TPM has none.
  absl::string_view ek_certificate;
  std::vector<Certificate> intermediates;
  // TPMT_PUBLIC or TPM2B_PUBLIC of the EK. May be empty only for a check of a certificate alone;
  // then nothing can be activated.
  absl::string_view ek_public;
};

// What the gate has decided.
struct EndorsementPolicy {
  const TrustAnchors* trust = nullptr;  // vendors' roots; borrowed
  // SHA-256 of the EK's SubjectPublicKeyInfo, 32 bytes each: TPMs that are trusted by an
  // administrator's own word, with or without a certificate.
  std::vector<std::string> allowed_ek_hashes;
  // EkAlgorithms() that are taken, of listed EKs, too; empty: all. A TPM with certificates for
  // several EKs is several devices by device_id(), unless one alone is taken.
  std::set<std::string> ek_algorithms;
  absl::Time time;
  // More than this refuse (kEvidenceMalformed): strangers send them.
  size_t max_intermediates = 8;
};

// An EK of which a vendor's certificate, or an administrator's allow-list, says that it is in a
// TPM. Only VerifyEndorsement makes one. Nothing is known yet of who holds it: MakeCredential asks
// that.
class VerifiedEndorsement {
 public:
  // SHA-256 of the EK's SubjectPublicKeyInfo in its canonical encoding: names the TPM.
  const std::string& device_id() const { return device_id_; }
  // Whether the vendor's certificate was verified (else the EK is on the allow-list).
  bool has_certificate() const { return has_certificate_; }
  // Absent when the evidence had none.
  const std::optional<TpmPublic>& ek_public() const { return ek_public_; }
  // Manufacturer, model, version, path, ...: an object for administrators.
  const nlohmann::json& proved() const { return proved_; }

 private:
  friend absl::StatusOr<VerifiedEndorsement> VerifyEndorsement(const EndorsementEvidence&,
                                                               const EndorsementPolicy&);
  VerifiedEndorsement() = default;
  std::string device_id_;
  bool has_certificate_ = false;
  std::optional<TpmPublic> ek_public_;
  nlohmann::json proved_;
};

// Refuses with:
//   kEkCertificateMissing  no certificate, and the EK is not on the allow-list
//   kCertificate*          the certificate does not parse, chain to an anchor, or is no EK's
//                          (noted in proved() where the EK in the public area is on the allow-list)
//   kEkUnsupported         TPM 1.2, or an algorithm other than RSA 2048..4096, P-256, P-384, or an
//                          RSA modulus that can be factored (CVE-2017-15361), or one that the
//                          policy does not take
//   kEkMismatch            the public area is not of the certificate's key
//   kEkTemplate            the public area is not that of an EK
//   kEvidenceMalformed     the public area does not parse
// Revocation is not checked: vendors' EK revocation lists are out of reach for most gates.
absl::StatusOr<VerifiedEndorsement> VerifyEndorsement(const EndorsementEvidence& evidence,
                                                      const EndorsementPolicy& policy);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_TPM_ENDORSEMENT_H_

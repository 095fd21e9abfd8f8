// SPDX-License-Identifier: Apache-2.0
// TPM attestation, the server's half (verb pairs as in go-attestation: client Certify, server
// Verify; client ActivateCredential, server MakeCredential). No TPM, no I/O: pure functions of
// bytes.
//
// The whole of an enrolment, and what each step proves:
//   1. VerifyEndorsement (tpm_endorsement.h)   the EK is in a TPM of a known vendor
//   2. VerifyAkPublic                          the AK claims to sign nothing but what a TPM made
//   3. MakeCredential, and the activated secret compared in constant time: the AK is in the TPM of
//      that EK, and 2 is true, since the AK's Name covers its attributes
//   4. VerifyTpmKey                            the device key is in the TPM of that AK
// Leave one out and the others prove nothing of hardware.
#ifndef FOREKEY_SRC_VERIFY_TPM_ATTESTATION_H_
#define FOREKEY_SRC_VERIFY_TPM_ATTESTATION_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "src/verify/verified_attestation.h"
#include "src/wire/firmware_list.h"
#include "src/wire/tpm_public.h"

namespace forekey {

// An attestation key whose public area is as it must be. Only VerifyAkPublic makes one.
class AttestationKey {
 public:
  const TpmPublic& public_area() const { return public_area_; }
  const PublicKey& key() const { return key_; }
  // What MakeCredential binds to.
  const std::string& name() const { return name_; }

 private:
  friend absl::StatusOr<AttestationKey> VerifyAkPublic(absl::string_view);
  AttestationKey(TpmPublic public_area, PublicKey key)
      : public_area_(std::move(public_area)), key_(std::move(key)), name_(public_area_.Name()) {}
  TpmPublic public_area_;
  PublicKey key_;
  std::string name_;
};

// `ak_public`: TPMT_PUBLIC or TPM2B_PUBLIC. Refuses with kEvidenceMalformed, kAkAttributes
// (restricted, sign, fixedTPM, fixedParent, sensitiveDataOrigin set; decrypt, encryptedDuplication,
// x509sign and reserved bits clear), kKeyAlgorithm (RSA 2048..4096 with RSASSA or RSAPSS, P-256 or
// P-384 with ECDSA; SHA-256, SHA-384, SHA-512; no SHA-1, not even for the Name; no RSA modulus as
// in CVE-2017-15361).
absl::StatusOr<AttestationKey> VerifyAkPublic(absl::string_view ak_public);

// What TPM2_Certify gave.
struct TpmKeyEvidence {
  absl::string_view key_public;    // TPMT_PUBLIC or TPM2B_PUBLIC of the device key
  absl::string_view certify_info;  // TPMS_ATTEST
  absl::string_view signature;     // TPMT_SIGNATURE by the AK
};

// What step 1 and 3 proved of the TPM; the gate keeps it from one to the other.
struct TpmDevice {
  std::string device_id;                             // VerifiedEndorsement::device_id()
  nlohmann::json proved = nlohmann::json::object();  // VerifiedEndorsement::proved()
  const FirmwareList* firmware = nullptr;            // the organisation's; null asks nothing
};

// `extra_data`: what qualifyingData must have been, from the caller's own records and never from
// the evidence: SHA-256 of the enrolment statement. It must not be empty (InvalidArgument). Refuses
// with kEvidenceMalformed, kAttestMagic, kAttestType, kAttestExtraData, kAttestName, kKeyAttributes
// (sign, fixedTPM, fixedParent, sensitiveDataOrigin set; restricted, decrypt, encryptedDuplication,
// x509sign and reserved bits clear), kKeyAlgorithm, kAttestSignature, and the reasons of
// firmware_check.h. The factor is "tpm": it never implies a user.
//
// The firmware's version is proved where the AK is a primary key of the endorsement or the platform
// hierarchy: what other keys sign has it obfuscated (Part 1, "Attestation"; Part 2 §10.12.12). That
// it is one follows from its qualified name, which the TPM signed.
absl::StatusOr<VerifiedAttestation> VerifyTpmKey(const AttestationKey& ak,
                                                 const TpmKeyEvidence& evidence,
                                                 absl::string_view extra_data,
                                                 const TpmDevice& device);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_TPM_ATTESTATION_H_

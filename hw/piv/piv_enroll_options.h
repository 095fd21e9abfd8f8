// SPDX-License-Identifier: Apache-2.0
// What an enrolment with a PIV card can be told besides what all drivers take. Private to hw/piv.
#ifndef FOREKEY_HW_PIV_PIV_ENROLL_OPTIONS_H_
#define FOREKEY_HW_PIV_PIV_ENROLL_OPTIONS_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "hw/device_key.h"
#include "src/base/secret.h"

namespace forekey {

inline constexpr char kProofAttestation[] = "attestation";
inline constexpr char kProofCertificate[] = "certificate";

struct PivEnrollOptions {
  // "slot": "9c", "82", ...; empty: the first free dedicated one, or the only one that has a key.
  std::string slot;
  // "existing": enrol the key (and certificate) that is there; the card isn't written to.
  bool existing_key = false;
  // "overwrite": the new key may destroy what is in the slot.
  bool overwrite = false;
  // "management-key": in hex; empty: the factory's, or the one that the PIN protects.
  Secret management_key;
  // "pin-policy" of a new key: "always" (where empty), "once", "never".
  std::string pin_policy;
  // "touch-policy": "always" (where empty), "cached", "never".
  std::string touch_policy;
  // "algorithm": "eccp256", "eccp384", "rsa2048", "rsa3072", "rsa4096", "ed25519"; empty: the
  // driver's choice for the card.
  std::string algorithm;
  // "write-certificate": the new key's attestation becomes the slot's certificate, for programs
  // that see no key without one.
  bool write_certificate = false;

  // "proof" of an existing key: "attestation", the card's own; "certificate", the slot's; empty:
  // the attestation, where the card can make it, else the certificate.
  std::string proof;

  Secret key_password;
  SignOptions sign;
  std::function<absl::Status(const std::string& place)> before_key;  // as in EnrollOptions

  // InvalidArgument for a name that is not one of the above, and for a flag or a proof that is
  // none.
  static absl::StatusOr<PivEnrollOptions> From(EnrollOptions options);
};

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_PIV_ENROLL_OPTIONS_H_

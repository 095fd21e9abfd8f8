// SPDX-License-Identifier: Apache-2.0
// What an administrator may choose about FIDO2 keys. The defaults are the gate's: an attested key
// in hardware that it can't leave.
#ifndef FOREKEY_SRC_VERIFY_WEBAUTHN_POLICY_H_
#define FOREKEY_SRC_VERIFY_WEBAUTHN_POLICY_H_

#include <set>
#include <string>

namespace forekey {

struct WebAuthnPolicy {
  // Packed self attestation, and no attestation at all: the key proves possession, not where it
  // lives.
  bool allow_self = false;
  bool allow_none = false;
  // Keys that can be backed up or synchronised (BE): they live in more than one place.
  bool allow_backup_eligible = false;
  // Credentials made in a frame of another origin (crossOrigin true).
  bool allow_cross_origin = false;
  bool require_user_verification = false;
  // tpm statements: the operating system composes what the TPM signs, and says itself that it
  // verified the user. False: that proves no user (LAW 9).
  bool platform_user_verification = false;
  // tpm statements: fixedTPM, fixedParent and sensitiveDataOrigin of the key. Without them the TPM
  // has certified a key that it may have got from software (WebAuthn itself does not ask).
  bool require_fixed_tpm_key = true;
  // Models, by AAGUID (16 bytes). An allow-list that is not empty takes nothing whose AAGUID is not
  // proved: self, none and fido-u2f, and tpm unless the AIK's certificate names the model or the
  // model's own roots vouch for it.
  std::set<std::string> aaguid_allow;
  std::set<std::string> aaguid_deny;
  // FIDO certification level (1 to 3) that the metadata service must report; 0: none is asked for.
  int min_certification_level = 0;
  // Refuse models that the metadata service reports as revoked or compromised.
  bool refuse_bad_status = true;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_WEBAUTHN_POLICY_H_

// SPDX-License-Identifier: Apache-2.0
// Public areas that the driver asks the TPM to make. Private to hw/tpm.
#ifndef FOREKEY_HW_TPM_TEMPLATES_H_
#define FOREKEY_HW_TPM_TEMPLATES_H_

#include <tss2/tss2_tpm2_types.h>

#include "absl/strings/string_view.h"

namespace forekey {

// The P-256 storage key under the owner hierarchy that TSS2 key files mean by parent 0x40000001:
// TCG Provisioning Guidance's ECC SRK, with an empty unique field.
TPM2B_PUBLIC StorageRootTemplate();
// The AK: restricted P-256 signing key, ECDSA with SHA-256, without password; a primary key, which
// `diversifier` (32 bytes) tells from others of the same hierarchy.
TPM2B_PUBLIC AttestationKeyTemplate(absl::string_view diversifier);
// The device key: unrestricted P-256 signing key, ECDSA with SHA-256. Without password it is exempt
// from the dictionary-attack lockout (noDA), so that a stranger's wrong passwords can't stop it;
// with one it is not, so that the TPM slows guessing down.
TPM2B_PUBLIC DeviceKeyTemplate(bool has_password);

enum class EkShape {
  kRsa2048,      // L-1
  kP256,         // L-2
  kRsa2048High,  // H-1
  kP256High,     // H-2
  kP384High,     // H-3
  kRsa3072High,  // H-6
  kRsa4096High,  // H-7
};
// TCG EK Credential Profile for TPM family 2.0, appendix B.
TPM2B_PUBLIC EndorsementKeyTemplate(EkShape shape);

// EK Credential Profile B.6: PolicySecret(endorsement) and its PolicyOR, for nameAlg SHA-256 and
// SHA-384. `policy` must have the size of the digest; see EkPolicyOf().
enum class EkPolicy { kUnknown, kPolicyA, kPolicyB };
EkPolicy EkPolicyOf(const TPMT_PUBLIC& ek);
// The two branches of PolicyB for that nameAlg (policies A and C).
TPML_DIGEST EkPolicyBranches(TPMI_ALG_HASH name_alg);

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_TEMPLATES_H_

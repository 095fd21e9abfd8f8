// SPDX-License-Identifier: Apache-2.0
// TPMS_ATTEST (TPM 2.0 Library, Part 2 §10.12.12) of type TPM_ST_ATTEST_CERTIFY: what a TPM signs
// when it certifies another of its keys.
#ifndef FOREKEY_SRC_WIRE_TPM_ATTEST_H_
#define FOREKEY_SRC_WIRE_TPM_ATTEST_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

struct TpmAttest {
  std::string qualified_signer;  // can be recomputed for a primary key alone
  std::string extra_data;
  uint64_t clock_ms = 0;
  uint32_t reset_count = 0;
  uint32_t restart_count = 0;
  bool safe = false;
  // Obfuscated, as both counts are, where the signer is of neither the endorsement nor the platform
  // hierarchy (Part 2 §10.12.12).
  uint64_t firmware_version = 0;
  std::string name;            // of the certified key
  std::string qualified_name;  // not to be trusted alone: it depends on the parents
  std::string bytes;           // the TPMS_ATTEST as it was given: what the signature covers

  // TPMS_ATTEST, or TPM2B_ATTEST (the same with its size before it), of at most 1 KiB, consumed
  // whole. Refuses with kAttestMagic (not made by a TPM: a TPM signs nothing else that begins so
  // with a restricted key), kAttestType (another type than certify), kEvidenceMalformed.
  // `any_safe`: clockInfo.safe, a TPMI_YES_NO, may be any octet (0x33 in the published test vector
  // of WebAuthn's tpm format); what is not YES is read as NO.
  static absl::StatusOr<TpmAttest> ParseCertify(absl::string_view bytes, bool any_safe = false);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_TPM_ATTEST_H_

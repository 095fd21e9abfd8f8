// SPDX-License-Identifier: Apache-2.0
// The endorsement key: its certificate in NV, the key itself, and what authorises its use (TCG EK
// Credential Profile for TPM family 2.0). Private to hw/tpm.
#ifndef FOREKEY_HW_TPM_ENDORSEMENT_H_
#define FOREKEY_HW_TPM_ENDORSEMENT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hw/tpm/esys.h"

namespace forekey {

struct EndorsementKey {
  std::string certificate;                 // DER; empty where the TPM has none of it
  std::vector<std::string> intermediates;  // DER, at most 8
  std::string public_area;                 // TPM2B_PUBLIC
  TPM2B_PUBLIC creation{};  // what CreatePrimary makes it from, where `persistent` is 0
  TPM2_HANDLE persistent = 0;
  std::string note;  // without a certificate, for people: why, and the hash that a gate may list
};

// Which one an enrolment shows; of several that are left, as FindEndorsementKey() looks.
struct EkChoice {
  std::string type;            // empty: any
  TPM2_HANDLE persistent = 0;  // where not 0: this object and no other
};
// "p256", "rsa2048", "p384", "rsa3072", "rsa4096", "rsa" (any of these), a persistent handle
// ("0x81010001"), or nothing. InvalidArgument for anything else.
absl::StatusOr<EkChoice> ParseEkChoice(absl::string_view text);

// Looks at the certificates in this order: P-256 (0x01c0000a), RSA-2048 (0x01c00002), then the high
// range, P-256 (0x01c00014), RSA-2048 (0x01c00012), P-384 (0x01c00016), RSA-3072 (0x01c0001c),
// RSA-4096 (0x01c0001e): a P-256 EK takes the TPM milliseconds where an RSA one may take it ten
// seconds. Takes the first whose key the TPM really has: as a persistent object, or made anew from
// the template in NV or the profile's own. A certificate that can't be read, or whose key can't be
// found, is passed over. Where none is left: the first of these EKs that the TPM makes, without a
// certificate, and a note.
absl::StatusOr<EndorsementKey> FindEndorsementKey(Esys& esys, const EkChoice& choice);

// Loads it (flushed when it goes, unless it is persistent).
absl::StatusOr<EsysHandle> LoadEndorsementKey(Esys& esys, const EndorsementKey& ek);

// A primary key of the endorsement hierarchy, made of `creation` (flushed when it goes). The same
// template makes the same key for as long as the hierarchy's seed is the same.
absl::StatusOr<EsysHandle> CreateEndorsementPrimary(Esys& esys, const TPM2B_PUBLIC& creation,
                                                    TPM2B_PUBLIC* made);

// The authorisation for the USER role of `ek`, by its own policy: a policy session that has passed
// PolicySecret(endorsement) and, for PolicyB, PolicyOR; or none (empty password) for an EK that has
// neither and takes its password.
absl::StatusOr<EsysHandle> AuthorizeEndorsementKey(Esys& esys, const TPMT_PUBLIC& ek);

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_ENDORSEMENT_H_

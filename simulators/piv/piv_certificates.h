// SPDX-License-Identifier: Apache-2.0
// Certificates of the simulated cards: a vendor with its attestation hierarchy, and an agency with
// an issuing CA. Yubico's shapes are kept (extensions .3, .7, .8, .9, .10, .11
// under 1.3.6.1.4.1.41482.3, no criticality, the slot in the common name alone); the names say that
// the vendor is simulated.
//
// Keys of the CAs live as long as the process, and are written nowhere, so that nobody can make
// more of its cards later.
#ifndef FOREKEY_SIMULATORS_PIV_PIV_CERTIFICATES_H_
#define FOREKEY_SIMULATORS_PIV_PIV_CERTIFICATES_H_

#include <openssl/evp.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "simulators/piv/piv_card.h"

namespace forekey::piv {

// Gives the state its F9 key, F9's certificate (object 5FFF01), the root and, from firmware 5.7.4
// on, the intermediates, which are not on the card: path slot, F9, "PIV Attestation B 1",
// "Attestation Intermediate B 1", root.
absl::Status CertifyAttestationKey(PivState* state);

// DER of a slot's attestation. `issuer_key`: F9's own key, or, for a forger, another.
absl::StatusOr<std::string> MakeSlotAttestation(const PivState& state, uint8_t slot,
                                                const PivKey& key, EVP_PKEY* public_key,
                                                EVP_PKEY* issuer_key);

// What an issuing CA is told about a slot certificate.
struct IssueOptions {
  std::string common_name = "Simulated Cardholder";
  int valid_from_days = -1;
  int valid_to_days = 3 * 365;
};

// Gives a plain card its issuing CA; its root is the state's root, the CA itself the intermediate.
absl::Status FoundAgency(PivState* state);
// DER of a certificate for a slot of a plain card by its issuing CA: policy
// OID 2.16.840.1.101.3.2.1.3.13 (hardware), 3.17 for 9E; EKU client authentication, and smart card
// logon for 9A.
absl::StatusOr<std::string> IssueSlotCertificate(const PivState& state, uint8_t slot,
                                                 EVP_PKEY* public_key,
                                                 const IssueOptions& options = {});
// DER of a CRL of that CA, naming the serial numbers of these certificates.
absl::StatusOr<std::string> IssueCrl(const PivState& state,
                                     const std::vector<std::string>& revoked_der);

// The data object of a slot's certificate (SP 800-73-4 part 1, table 10).
uint32_t CertificateObjectTag(uint8_t slot);  // 0 where the slot has none
std::string CertificateObject(absl::string_view der);

}  // namespace forekey::piv

#endif  // FOREKEY_SIMULATORS_PIV_PIV_CERTIFICATES_H_

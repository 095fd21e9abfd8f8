// SPDX-License-Identifier: Apache-2.0
// Firmware and keys that are publicly known to be weak, as far as PIV signatures and attestations
// are concerned. The list ships with Forekey; each entry says why, and how bad it is.
#ifndef FOREKEY_SRC_VERIFY_PIV_ADVISORIES_H_
#define FOREKEY_SRC_VERIFY_PIV_ADVISORIES_H_

#include <optional>
#include <string>
#include <vector>

#include "src/crypto/public_key.h"
#include "src/wire/piv_attestation.h"

namespace forekey {

struct PivAdvisory {
  std::string id;  // "YSA-2017-01"
  std::string why;
  // The private key can be computed from what everybody sees (the public key, or signatures): it
  // does not matter any more where it lives. Else it takes the card in hand and a laboratory.
  bool key_recoverable = false;
};

// Those that apply to a key of this algorithm, made on a card of this firmware and form factor:
//   YSA-2017-01  RSA, 4.2.6 to 4.3.4 (CVE-2017-15361, ROCA): the private key follows from the
//   public YSA-2019-02  ECDSA, FIPS 4.4.2 and 4.4.4: biased nonces after power-up; key follows
//                from a few signatures. (RSA keys of these lose 80 of 2048 bits: not listed.)
//   YSA-2024-03  ECDSA, YubiKey 5 before 5.7.0, Bio before 5.7.2 (CVE-2024-45678, EUCLEAK): needs
//   the
//                opened card, an oscilloscope and, where there is one, the PIN
std::vector<PivAdvisory> PivAdvisoriesFor(const PivFirmware& firmware,
                                          std::optional<uint8_t> form_factor, const PublicKey& key);

// The modulus was made by Infineon's RSA library (CVE-2017-15361), whatever the firmware says:
// modulo each of a set of small primes it is a power of 65537. True for one other modulus in 2^27.
bool HasRocaModulus(const PublicKey& key);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_PIV_ADVISORIES_H_

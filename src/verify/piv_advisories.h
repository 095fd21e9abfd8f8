// SPDX-License-Identifier: Apache-2.0
// What is publicly known against a PIV key: the firmware that made it (src/wire/weak_firmware.h,
// which ships with Forekey), or its modulus.
#ifndef FOREKEY_SRC_VERIFY_PIV_ADVISORIES_H_
#define FOREKEY_SRC_VERIFY_PIV_ADVISORIES_H_

#include <optional>
#include <string>
#include <vector>

#include "src/crypto/public_key.h"
#include "src/wire/firmware_list.h"
#include "src/wire/piv_attestation.h"

namespace forekey {

struct PivAdvisory {
  std::string id;  // "YSA-2017-01"
  std::string why;
  // The private key can be computed from what everybody sees (the public key, or signatures): it
  // does not matter any more where it lives. Else it takes the card in hand and a laboratory.
  bool key_recoverable = false;
};

// A card of this firmware and form factor with this key, as lists of firmware know it.
TokenFirmware PivTokenFirmware(const PivFirmware& firmware, std::optional<uint8_t> form_factor,
                               const PublicKey& key);

std::vector<PivAdvisory> PivAdvisoriesFor(const TokenFirmware& token, const PublicKey& key);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_PIV_ADVISORIES_H_

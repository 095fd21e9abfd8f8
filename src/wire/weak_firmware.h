// SPDX-License-Identifier: Apache-2.0
// Firmware that is publicly known to be weak, as far as keys and attestations of tokens are
// concerned. It ships with Forekey; an organisation's own list (firmware_list.h) goes beyond it.
//
//   YSA-2017-01     RSA keys of YubiKeys 4.2.6 to 4.3.4 (CVE-2017-15361, ROCA): the private key
//                   follows from the public one
//   YSA-2019-02     ECDSA, YubiKey FIPS 4.4.2 and 4.4.4: biased nonces after power-up; the key
//                   follows from a few signatures. (RSA keys of these lose 80 of 2048 bits: not
//                   listed.)
//   YSA-2024-03     ECDSA, YubiKey 5 before 5.7.0, Bio before 5.7.2 (CVE-2024-45678, EUCLEAK):
//                   needs the opened card, an oscilloscope and, where there is one, the PIN
//   CVE-2017-15361  RSA keys of Infineon's TPMs 2.0 until 5.61 and 7.61 (ROCA)
#ifndef FOREKEY_SRC_WIRE_WEAK_FIRMWARE_H_
#define FOREKEY_SRC_WIRE_WEAK_FIRMWARE_H_

#include <string>
#include <vector>

#include "src/wire/firmware_list.h"

namespace forekey {

struct WeakFirmware {
  std::string id;  // "YSA-2017-01"
  std::string why;
  // The private key can be computed from what everybody sees (the public key, or signatures): it
  // does not matter any more where it lives. Else it takes the token in hand and a laboratory.
  bool key_recoverable = false;
  FirmwareEntry entry;
};

// Those that concern the token; none where its version is not known.
std::vector<WeakFirmware> WeaknessesOf(const TokenFirmware& token);

// What a person does about weak or old firmware of such a token.
std::string FirmwareAdvice(TokenKind kind);

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_WEAK_FIRMWARE_H_

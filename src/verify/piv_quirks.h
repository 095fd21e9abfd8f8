// SPDX-License-Identifier: Apache-2.0
// What real YubiKeys' PIV certificates do that specifications don't say, in one place. Each
// allowance names the cards that need it and asks for everything that tells them from other
// certificates.
#ifndef FOREKEY_SRC_VERIFY_PIV_QUIRKS_H_
#define FOREKEY_SRC_VERIFY_PIV_QUIRKS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/types/span.h"
#include "src/crypto/certificate.h"

namespace forekey {

// The slot that a slot's attestation is of: it stands in the subject's common name alone, as two
// hex digits in a word of their own ("YubiKey PIV Attestation 9a"); the words around them have
// changed between firmwares. 9a, 9c, 9d, 9e, 82 to 95, and f9, which is the attestation key's own.
// nullopt where there is none, or two that differ.
std::optional<uint8_t> PivSlotOf(const Certificate& certificate);

// F9 certificates of 4.3.x, and some of 4.4.5 and 5.2.4, have no basicConstraints. True for an
// issuer that is one: it issued the leaf itself; it has no PIN and touch policy and its name names
// no slot (so that a slot's attestation, which has no basicConstraints either, never becomes an
// issuer, though its owner signs what he likes with the slot's key); its firmware is one of those.
// Where it says another firmware of the same generation, or none but calls itself a PIV
// attestation, the card's own, in the leaf, decides: F9 certificates are made for batches.
bool IsF9WithoutConstraints(const Certificate& issuer, absl::Span<const Certificate* const> below);

// The F9 of some 4.3.7 was issued by Yubico's U2F root, which allows no CA below it. True for that
// root directly above an F9 (no slot's attestation) of a 4.3.7 alone.
bool IsU2fRootOverF9(const Certificate& anchor, absl::Span<const Certificate* const> below);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_PIV_QUIRKS_H_

// SPDX-License-Identifier: Apache-2.0
// Key references: what is kept to find a card's key again. Text, no secret:
//
//   Forekey-Device: piv:serial=12345678#82
//   Forekey-Card: 3f5a...        (hex of SHA-256 of the CHUID; only for cards without serial
//                                number)
//   Forekey-Pin: always
//   Forekey-Touch: never
//   -----BEGIN PUBLIC KEY-----
//
// Private to hw/piv.
#ifndef FOREKEY_HW_PIV_KEY_REFERENCE_H_
#define FOREKEY_HW_PIV_KEY_REFERENCE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hw/piv/piv_data.h"
#include "hw/piv/piv_uri.h"
#include "src/crypto/public_key.h"

namespace forekey {

struct PivKeyReference {
  PivUri uri;                // with a slot
  std::string chuid_digest;  // 32 bytes, or empty
  // What the card will ask of the person; for prompts alone.
  PinPolicy pin_policy = PinPolicy::kUnknown;
  TouchPolicy touch_policy = TouchPolicy::kUnknown;
  PublicKey public_key;
};

std::string SerializeKeyReference(const PivKeyReference& reference);
// InvalidArgument, with what is wrong, for anything that SerializeKeyReference() would not write.
absl::StatusOr<PivKeyReference> ParseKeyReference(absl::string_view text);

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_KEY_REFERENCE_H_

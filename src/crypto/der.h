// SPDX-License-Identifier: Apache-2.0
// DER elements (X.690 section 10), as far as our own readers need them.
#ifndef FOREKEY_SRC_CRYPTO_DER_H_
#define FOREKEY_SRC_CRYPTO_DER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "src/base/bytes.h"

namespace forekey {

inline constexpr uint8_t kDerInteger = 0x02;
inline constexpr uint8_t kDerBitString = 0x03;
inline constexpr uint8_t kDerSequence = 0x30;

struct DerElement {
  uint8_t tag = 0;
  absl::string_view whole;
  absl::string_view value;
};

// The next element of `reader`, which reads `all`: a tag of one byte, and a minimal length of at
// most three. Nullopt for anything else, and for one that is cut short.
std::optional<DerElement> ReadDer(ByteReader& reader, absl::string_view all);

// The value of the one element that `der` is, of this tag; nullopt where it is none or more.
std::optional<absl::string_view> OnlyDer(absl::string_view der, uint8_t tag);

// `value` of less than 2^24 bytes.
std::string WriteDer(uint8_t tag, absl::string_view value);

}  // namespace forekey

#endif  // FOREKEY_SRC_CRYPTO_DER_H_

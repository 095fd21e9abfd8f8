// SPDX-License-Identifier: Apache-2.0
// BER-TLV as ISO/IEC 7816-4 §5.2.2 and SP 800-73-4 use it: tags of one to three bytes, definite
// lengths. Private to hw/piv. Input comes from a card, or from somebody between it and us: nothing
// is trusted.
#ifndef FOREKEY_HW_PIV_TLV_H_
#define FOREKEY_HW_PIV_TLV_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace forekey {

struct Tlv {
  uint32_t tag = 0;         // the bytes of the tag, big endian: 0x7F49
  absl::string_view value;  // borrows from what was parsed
};

// Every element of `bytes`, one after the other; the elements of constructed ones are not looked
// at. InvalidArgument for a tag of more than three bytes or that is not minimal, an indefinite
// length, one of more than three bytes, an element that ends behind the bytes, or bytes left over.
// Lengths longer than needed are taken: cards write them.
absl::StatusOr<std::vector<Tlv>> ParseTlvs(absl::string_view bytes);

// The value of the element with that tag. NotFound when there is none, InvalidArgument when there
// are several: which one counts must not depend on who reads.
absl::StatusOr<absl::string_view> FindTlv(absl::Span<const Tlv> elements, uint32_t tag);

// `bytes` is one element with that tag and nothing else.
absl::StatusOr<absl::string_view> SoleTlv(absl::string_view bytes, uint32_t tag);

// The pair of ParseTlvs, with minimal lengths. `value` has less than 2^24 bytes.
std::string EncodeTlv(uint32_t tag, absl::string_view value);
std::string EncodeTlvs(std::initializer_list<Tlv> elements);

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_TLV_H_

// SPDX-License-Identifier: Apache-2.0
// Command APDUs, short and extended (ISO/IEC 7816-4, section 5.1), and BER-TLV as PIV uses it (tags
// of one to three bytes, definite lengths). The simulator's own reading of the format: the
// product's lives in src/wire, so that a mistake in one does not hide the same mistake in the
// other.
//
// Inputs are untrusted. Views point into the bytes that were given.
#ifndef FOREKEY_SIMULATORS_PIV_APDU_H_
#define FOREKEY_SIMULATORS_PIV_APDU_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey::piv {

struct CommandApdu {
  uint8_t cla = 0, ins = 0, p1 = 0, p2 = 0;
  absl::string_view data;
  std::optional<size_t> le;  // as a number of bytes: 256 for a short 00, 65536 for an extended 0000
  bool extended = false;

  // InvalidArgument when the lengths don't fit the bytes exactly.
  static absl::StatusOr<CommandApdu> Parse(absl::string_view bytes);
};

struct Tlv {
  uint32_t tag = 0;
  absl::string_view value;
};

// All data objects, one behind the other; InvalidArgument for anything that is left over.
absl::StatusOr<std::vector<Tlv>> ParseTlvs(absl::string_view bytes);
// The value of the first object with that tag.
std::optional<absl::string_view> FindTlv(const std::vector<Tlv>& tlvs, uint32_t tag);
std::string MakeTlv(uint32_t tag, absl::string_view value);

}  // namespace forekey::piv

#endif  // FOREKEY_SIMULATORS_PIV_APDU_H_

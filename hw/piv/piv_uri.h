// SPDX-License-Identifier: Apache-2.0
// PIV URIs. Private to hw/piv.
//
//   piv:                            the only card there is
//   piv:serial=12345678             by the serial number that the card gives: follows it from port
//                                   to port
//   piv:Yubico%20YubiKey%2000%2000  by the reader's name, as pcscd has it, percent-encoded
//   ...#82                          one slot of it, in hexadecimal
#ifndef FOREKEY_HW_PIV_PIV_URI_H_
#define FOREKEY_HW_PIV_PIV_URI_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hw/piv/piv_data.h"

namespace forekey {

struct PivUri {
  std::optional<uint32_t> serial;
  std::string reader;  // empty, with no serial: any
  std::optional<PivSlot> slot;

  // InvalidArgument for anything but the above. A reader's name may stand there as it is, too, as
  // long as it has neither '%' nor '#'.
  static absl::StatusOr<PivUri> Parse(absl::string_view uri);
  std::string Text() const;        // with the slot, if any
  std::string DeviceText() const;  // without
};

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_PIV_URI_H_

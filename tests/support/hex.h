// SPDX-License-Identifier: Apache-2.0
#ifndef FOREKEY_TESTS_SUPPORT_HEX_H_
#define FOREKEY_TESTS_SUPPORT_HEX_H_

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace forekey {
namespace testing {

inline std::string FromHex(absl::string_view hex) { return absl::HexStringToBytes(hex); }
inline std::string ToHex(absl::string_view bytes) { return absl::BytesToHexString(bytes); }

}  // namespace testing
}  // namespace forekey

#endif  // FOREKEY_TESTS_SUPPORT_HEX_H_

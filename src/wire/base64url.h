// SPDX-License-Identifier: Apache-2.0
// base64url without padding (RFC 4648 section 5), as JOSE and WebAuthn use it.
#ifndef FOREKEY_SRC_WIRE_BASE64URL_H_
#define FOREKEY_SRC_WIRE_BASE64URL_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace forekey {

std::string Base64UrlEncode(absl::string_view bytes);
// nullopt for padding, white space, other characters, and unused bits that are not zero: of the
// encodings of some bytes exactly one is accepted.
std::optional<std::string> Base64UrlDecode(absl::string_view text);

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_BASE64URL_H_

// SPDX-License-Identifier: Apache-2.0
// clientDataJSON (WebAuthn Level 3 section 5.8.1, CollectedClientData): what the client says of the
// ceremony. The authenticator signs its SHA-256, so its bytes are kept as they are; what it says is
// parsed, never matched as a string.
#ifndef FOREKEY_SRC_WIRE_CLIENT_DATA_H_
#define FOREKEY_SRC_WIRE_CLIENT_DATA_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

inline constexpr absl::string_view kClientDataCreate = "webauthn.create";
inline constexpr absl::string_view kClientDataGet = "webauthn.get";
inline constexpr size_t kMaxClientDataSize = 8192;

struct ClientData {
  std::string type;
  std::string challenge;  // base64url text as it stands there
  std::string origin;
  std::optional<bool> cross_origin;
  std::optional<std::string> top_origin;

  // One JSON object in UTF-8 (a byte order mark before it is skipped, section 7.1 step 5). Unknown
  // members are ignored, as the specification wants, tokenBinding with them. Refuses with
  // kEvidenceMalformed: other JSON, a duplicate member at any depth, a NUL byte, more than
  // kMaxClientDataSize bytes, a member missing or of another type.
  static absl::StatusOr<ClientData> Parse(absl::string_view json);

  // The bytes that a client of our own sends: members in the order of section 5.8.1.1, with
  // crossOrigin false. `challenge`: raw bytes.
  static std::string Serialize(absl::string_view type, absl::string_view challenge,
                               absl::string_view origin);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_CLIENT_DATA_H_

// SPDX-License-Identifier: Apache-2.0
// The end of opening a session, for both kinds: derive the key, check the gate's confirmation, and
// only then believe what the answer says.
#ifndef FOREKEY_SRC_CLIENT_KEY_CONFIRMATION_H_
#define FOREKEY_SRC_CLIENT_KEY_CONFIRMATION_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "forekey/v1/gate.pb.h"
#include "src/base/clock.h"
#include "src/client/client_session.h"
#include "src/crypto/key_agreement.h"

namespace forekey {

// What the client knows of an opening (see SessionKeyInput in src/wire/session_keys.h).
struct SessionOpening {
  const X25519PrivateKey* ephemeral = nullptr;
  absl::string_view gate_identity;  // 32 bytes, pinned
  absl::string_view parent_key;
  absl::string_view salt;
  absl::string_view transcript;
  absl::string_view channel_binding;  // that the session is for
  BootTime sent_at;                   // when the request left
  // Of the answer's trailers: kTlsAnchorsMetadataKey, or empty.
  absl::string_view tls_anchors;
};

// Refuses with kGateConfirmationInvalid (the gate doesn't hold the pinned identity, or the answer
// was changed on its way) and kKeyShareInvalid (a share that makes the secret all zero).
absl::StatusOr<std::shared_ptr<const ClientSession>> ConfirmSession(
    const SessionOpening& opening, const forekey::v1::OpenSessionResponse& response,
    const Clock* clock);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_KEY_CONFIRMATION_H_

// SPDX-License-Identifier: Apache-2.0
// What registration and assertion have in common (WebAuthn Level 3 sections 7.1 and 7.2): who
// asked, and what the client says it was asked. For src/verify/webauthn_*.cc.
#ifndef FOREKEY_SRC_VERIFY_WEBAUTHN_CEREMONY_H_
#define FOREKEY_SRC_VERIFY_WEBAUTHN_CEREMONY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/wire/client_data.h"

namespace forekey {

// A relying party, pinned at enrolment: the hash is made once.
struct RelyingParty {
  std::string rp_id_hash;  // SHA-256 of the rpId
  std::string origin;      // compared whole

  static RelyingParty Of(absl::string_view rp_id, absl::string_view origin);
};

// Refuses with kClientDataType, kClientDataChallenge or kClientDataOrigin. `challenge`: raw bytes,
// not empty (an empty one would match a client that was asked nothing).
absl::Status CheckClientData(const ClientData& data, absl::string_view type,
                             absl::string_view challenge, absl::string_view origin,
                             bool allow_cross_origin);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_WEBAUTHN_CEREMONY_H_

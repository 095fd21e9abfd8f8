// SPDX-License-Identifier: Apache-2.0
#include "src/verify/webauthn_ceremony.h"

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/secret.h"
#include "src/crypto/digest.h"
#include "src/wire/base64url.h"

namespace forekey {

RelyingParty RelyingParty::Of(absl::string_view rp_id, absl::string_view origin) {
  return {Sha256(rp_id), std::string(origin)};
}

absl::Status CheckClientData(const ClientData& data, absl::string_view type,
                             absl::string_view challenge, absl::string_view origin,
                             bool allow_cross_origin) {
  if (data.type != type) {
    return Refuse(Reason::kClientDataType, absl::StrCat("type \"", data.type, "\", not ", type));
  }
  // The text is compared, so that of a challenge's encodings only the right one passes.
  if (challenge.empty() || !ConstantTimeEqual(data.challenge, Base64UrlEncode(challenge))) {
    return Refuse(Reason::kClientDataChallenge);
  }
  if (data.origin != origin) {
    return Refuse(Reason::kClientDataOrigin,
                  absl::StrCat("origin \"", data.origin, "\", not ", origin));
  }
  const bool cross_origin = data.cross_origin.value_or(false) || data.top_origin.has_value();
  if (cross_origin && !allow_cross_origin) {
    return Refuse(Reason::kClientDataOrigin,
                  absl::StrCat("made in a frame of another origin ",
                               data.top_origin.value_or("(topOrigin is not told)")));
  }
  return absl::OkStatus();
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// OpenID Connect Discovery 1.0: where an identity provider keeps its keys.
//
// Threats, and what meets each (tests/unit/verify/oidc_discovery_test.cc):
//   a provider, or who answers in its place,     the document's issuer is the configured one, byte
//                                                by
//   that claims another's name                   byte (section 4.3)
//   keys over a connection that anybody can      jwks_uri is https
//   change
#ifndef FOREKEY_SRC_VERIFY_OIDC_DISCOVERY_H_
#define FOREKEY_SRC_VERIFY_OIDC_DISCOVERY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

// InvalidArgument, with what is wrong, for an issuer of which there can be no document: not https,
// with a query or a fragment (section 2).
absl::Status CheckDiscoverable(absl::string_view issuer);

// Section 4: the issuer, without a slash at its end, and "/.well-known/openid-configuration".
std::string DiscoveryUrl(absl::string_view issuer);

// jwks_uri of a document whose size the caller bounded. InvalidArgument, with what is wrong: no
// JSON object, another issuer, no jwks_uri or one that is not https.
absl::StatusOr<std::string> ParseDiscovery(absl::string_view document, absl::string_view issuer);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_OIDC_DISCOVERY_H_

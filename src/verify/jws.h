// SPDX-License-Identifier: Apache-2.0
// A compact JWS (RFC 7515) whose signer comes with it in x5c. For fido_metadata.cc.
#ifndef FOREKEY_SRC_VERIFY_JWS_H_
#define FOREKEY_SRC_VERIFY_JWS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/crypto/certificate.h"

namespace forekey {

struct Jws {
  std::string algorithm;            // "RS256" or "ES256"
  std::vector<Certificate> x5c;     // the signer first; not verified
  absl::string_view signing_input;  // a view into the text that was parsed
  absl::string_view payload_text;   // base64url, likewise
  std::string signature;

  // Refuses with kMetadataInvalid: other than three base64url parts, a header that is no JSON
  // object, or one in which a member is there twice or that is nested too deep, another algorithm,
  // no x5c, more than 10 certificates, a first certificate that does not parse (later ones are left
  // out), any "crit".
  static absl::StatusOr<Jws> Parse(absl::string_view text);

  // By the key of x5c[0]: kMetadataInvalid when it does not verify, or when the key is not one for
  // the algorithm (RSA of 2048 to 8192 bits with a short exponent, P-256). Says nothing of who the
  // signer is.
  absl::Status VerifySignature() const;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_JWS_H_

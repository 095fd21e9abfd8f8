// SPDX-License-Identifier: Apache-2.0
// An identity provider's public keys: a JWK Set (RFC 7517, section 5), of which those that can
// verify an ID token are kept.
//
// A key is kept when it is RSA (2048 to 4096 bits, e = 65537), EC (P-256, P-384, P-521, the point
// on the curve) or OKP (RFC 8037, Ed25519), its "use" is absent or "sig", its "key_ops" absent or
// with "verify", and its "alg" absent or one below. All others are left out: symmetric ones, so
// that no public value ever serves as an HMAC key; and keys whose private half was published with
// them.
//
// Signatures are verified by cjose, but for EdDSA, which it does not know: those by OpenSSL, over
// the very bytes that RFC 7515 (section 5.2) names.
#ifndef FOREKEY_SRC_VERIFY_JWK_SET_H_
#define FOREKEY_SRC_VERIFY_JWK_SET_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "src/crypto/public_key.h"

struct _cjose_jwk_int;  // NOLINT(bugprone-reserved-identifier): cjose names it so

namespace forekey {

inline constexpr size_t kMaxJwkSetSize = 256 * 1024;
inline constexpr size_t kMaxJwks = 64;

// RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA (Ed25519 alone). Never
// "none", never HMAC.
bool IsIdTokenAlgorithm(absl::string_view algorithm);

// Immutable, so safe from any thread.
class JwkSet {
 public:
  // InvalidArgument, with what is wrong: too large, no JSON object with "keys", too many of them,
  // none that is kept.
  static absl::StatusOr<std::shared_ptr<const JwkSet>> Parse(absl::string_view json);
  ~JwkSet();
  JwkSet(const JwkSet&) = delete;
  JwkSet& operator=(const JwkSet&) = delete;

  size_t size() const { return keys_.size(); }

  // Verifies a whole compact JWS of that algorithm, whose last part is `signature` in base64url, by
  // the key of that id; without an id, by the only key that is for the algorithm.
  // kIdTokenKeyUnknown: there is none, or more than one. kIdTokenAlgorithm: the key is of another
  // type or curve than the algorithm's, or for another algorithm. kIdTokenSignature.
  absl::Status Verify(absl::string_view jws, absl::string_view algorithm,
                      const std::optional<std::string>& key_id, absl::string_view signature) const;

 private:
  struct Key {
    std::optional<std::string> id;
    std::string algorithm;                // empty: any that its type is for
    int curve_bytes = 0;                  // of EC
    std::shared_ptr<_cjose_jwk_int> jwk;  // RSA and EC
    std::optional<PublicKey> ed25519;     // OKP; either this or that

    bool IsFor(absl::string_view wanted) const;
  };
  JwkSet() = default;
  static std::optional<Key> ReadKey(const void* json);
  absl::StatusOr<const Key*> Find(absl::string_view algorithm,
                                  const std::optional<std::string>& key_id) const;

  std::vector<Key> keys_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_JWK_SET_H_

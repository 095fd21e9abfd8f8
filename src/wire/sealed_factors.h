// SPDX-License-Identifier: Apache-2.0
// Further factors of an OpenSession: a password, an ID token, sealed to the gate's identity so that
// who ends TLS in between learns nothing of them (docs/PROTOCOL.md, "Further factors").
//
//   sealed   = version (1, = 1) || ephemeral share (32) || AEAD(key, plain, associated)
//   key      = HKDF(ikm = DH(ephemeral, gate identity), salt = empty, info = "forekey/1 factors" 00
//            || ephemeral share || gate identity, 32 bytes)
//   associated = "forekey/1 factors" 00 || len2 audience || challenge (64) || n (1) || n *
//   credential id
//   plain    = blinder (32) || len2 password || len2 ID token || others
//            || zeros to the next multiple of 256
//   others   = n * (len1 name || len2 evidence): factors that are neither; a name is never empty,
//            so that a zero begins the filling
//
// The associated data binds it to one opening by these very signers, and SHA-256 of the payload
// that holds it is under their signatures: so it can be neither moved to another proof nor
// exchanged under this one. The zeros hide how long a password is. The blinder keeps the digest
// that a reader of the prefix sees from being a test for guessed passwords, even if the ephemeral
// key were known.
#ifndef FOREKEY_SRC_WIRE_SEALED_FACTORS_H_
#define FOREKEY_SRC_WIRE_SEALED_FACTORS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "src/base/secret.h"
#include "src/crypto/key_agreement.h"

namespace forekey {

inline constexpr size_t kMaxPasswordSize = 1024;
inline constexpr size_t kMaxIdTokenSize = 8192;
inline constexpr size_t kMaxSealedFactors = 12 * 1024;

inline constexpr size_t kMaxOtherFactors = 4;
inline constexpr size_t kMaxOtherFactorSize = 1024;

struct FurtherFactors {
  Secret password;  // empty: none
  Secret id_token;  // empty: none
  struct Other {
    std::string name;  // IsOtherFactorName() (src/wire/step_up.h); each once
    Secret evidence;   // not empty
  };
  std::vector<Other> others;

  bool empty() const { return password.empty() && id_token.empty() && others.empty(); }
  // What was sent for the factor of this name (kPasswordFactor, kOidcFactor, another); null: none.
  const Secret* Find(absl::string_view name) const;
  // The names of all factors that were sent.
  std::vector<absl::string_view> Names() const;
};

// The opening that the factors belong to. Borrowed.
struct FactorContext {
  absl::string_view audience;
  absl::string_view challenge;                         // 64 bytes
  absl::Span<const absl::string_view> credential_ids;  // of the signers, ascending
};

// InvalidArgument for factors that are too long; what Agree() refuses for a bad identity.
absl::StatusOr<std::string> SealFactors(const FurtherFactors& factors, const FactorContext& context,
                                        absl::string_view gate_identity);
// The same with a given ephemeral key and blinder (32 bytes): for test vectors.
absl::StatusOr<Secret> SerializeFactors(const FurtherFactors& factors, absl::string_view blinder);

// Refuses with kFactorsMalformed: another identity or context, changed bytes, another version,
// nothing in it, something left over.
absl::StatusOr<FurtherFactors> OpenFactors(absl::string_view sealed, const FactorContext& context,
                                           const X25519PrivateKey& gate_identity);
absl::StatusOr<FurtherFactors> ParseFactors(absl::string_view plain);

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_SEALED_FACTORS_H_

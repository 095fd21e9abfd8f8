// SPDX-License-Identifier: Apache-2.0
// Private keys of the simulated card: made, imported, used, and written as PIV writes them.
#ifndef FOREKEY_SIMULATORS_PIV_PIV_KEYS_H_
#define FOREKEY_SIMULATORS_PIV_PIV_KEYS_H_

#include <openssl/evp.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "simulators/piv/apdu.h"
#include "simulators/piv/piv_card.h"

namespace forekey::piv {

template <auto Function>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    Function(object);
  }
};
using PkeyPtr = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

bool IsRsa(Algorithm algorithm);
bool IsEc(Algorithm algorithm);
bool IsKeyAlgorithm(Algorithm algorithm);
// Bytes of a modulus, of a coordinate, of an RFC 8032 key.
size_t FieldSize(Algorithm algorithm);

absl::StatusOr<PkeyPtr> GenerateKey(Algorithm algorithm);
absl::StatusOr<PkeyPtr> LoadKey(absl::string_view pkcs8);
Secret StoreKey(EVP_PKEY* key);
// From IMPORT's data objects (RSA: 01 p, 02 q; EC: 06; Ed25519: 07; X25519: 08).
absl::StatusOr<PkeyPtr> ImportKey(Algorithm algorithm, const std::vector<Tlv>& parts);

// SP 800-73-4 part 2, table 11: 81 modulus and 82 exponent, or 86 point, without the 7F49 around.
absl::StatusOr<std::string> PublicKeyObject(Algorithm algorithm, EVP_PKEY* key);

// What GENERAL AUTHENTICATE does with 81: the raw RSA operation, or a signature over a digest, or,
// for Ed25519, over the message. InvalidArgument where the input's size does not fit the key.
absl::StatusOr<std::string> UseKey(Algorithm algorithm, EVP_PKEY* key, absl::string_view input);
// What it does with 85: the shared secret with a peer's point.
absl::StatusOr<std::string> AgreeKey(Algorithm algorithm, EVP_PKEY* key, absl::string_view peer);

// One block of the management key's cipher, or several.
absl::StatusOr<std::string> CipherBlocks(Algorithm algorithm, absl::string_view key,
                                         absl::string_view in, bool encrypt);
size_t BlockSize(Algorithm algorithm);
// Bytes of a management key; 0 where the algorithm is none for it.
size_t ManagementKeySize(Algorithm algorithm);
std::string RandomBytes(size_t size);

}  // namespace forekey::piv

#endif  // FOREKEY_SIMULATORS_PIV_PIV_KEYS_H_

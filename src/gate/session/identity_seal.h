// SPDX-License-Identifier: Apache-2.0
// A gate identity on its way to another replica's machine: sealed by a passphrase.
//
//   "forekey-gate-identity-sealed 1\n" || salt (16) || AES-256-GCM(key, the identity's file)
//
// key = Argon2id(passphrase, salt) with the fixed cost of src/crypto/password_hash.h; the first
// line is the associated data.
#ifndef FOREKEY_SRC_GATE_SESSION_IDENTITY_SEAL_H_
#define FOREKEY_SRC_GATE_SESSION_IDENTITY_SEAL_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/secret.h"

namespace forekey {

struct SealedIdentity {
  std::string salt;    // 16 bytes
  std::string sealed;  // nonce, ciphertext, tag

  // Untrusted bytes; nothing may be left over. InvalidArgument.
  static absl::StatusOr<SealedIdentity> Parse(absl::string_view bytes);
  std::string Serialize() const;
};

// `content`: of <state.directory>/identity/keys. InvalidArgument for a passphrase of less than 12
// bytes: whoever gets the file can try as long as they like.
absl::StatusOr<std::string> SealIdentity(const Secret& content, const Secret& passphrase);
// PermissionDenied where the passphrase is another one, or the file was changed.
absl::StatusOr<Secret> OpenSealedIdentity(absl::string_view bytes, const Secret& passphrase);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SESSION_IDENTITY_SEAL_H_

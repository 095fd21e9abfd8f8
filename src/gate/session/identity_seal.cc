// SPDX-License-Identifier: Apache-2.0
#include "src/gate/session/identity_seal.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/status.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/password_hash.h"
#include "src/crypto/random.h"

namespace forekey {
namespace {

constexpr absl::string_view kSealedFirstLine = "forekey-gate-identity-sealed 1\n";
constexpr size_t kSealOverhead = 28;  // AeadSeal's nonce and tag
constexpr size_t kMostSealed = 8192;  // an identity's file has some hundred bytes
constexpr size_t kLeastPassphrase = 12;

}  // namespace

absl::StatusOr<SealedIdentity> SealedIdentity::Parse(absl::string_view bytes) {
  if (!absl::ConsumePrefix(&bytes, kSealedFirstLine)) {
    return absl::InvalidArgumentError("this is no sealed gate identity of this version");
  }
  if (bytes.size() <= kPassphraseSaltSize + kSealOverhead || bytes.size() > kMostSealed) {
    return absl::InvalidArgumentError("the sealed identity is cut short, or too long");
  }
  return SealedIdentity{std::string(bytes.substr(0, kPassphraseSaltSize)),
                        std::string(bytes.substr(kPassphraseSaltSize))};
}

std::string SealedIdentity::Serialize() const {
  return absl::StrCat(kSealedFirstLine, salt, sealed);
}

absl::StatusOr<std::string> SealIdentity(const Secret& content, const Secret& passphrase) {
  if (passphrase.size() < kLeastPassphrase) {
    return absl::InvalidArgumentError(absl::StrCat("a passphrase has at least ", kLeastPassphrase,
                                                   " bytes: whoever gets the file can try at "
                                                   "leisure"));
  }
  SealedIdentity made;
  made.salt = RandomBytes(kPassphraseSaltSize);
  FOREKEY_ASSIGN_OR_RETURN(const Secret key, KeyFromPassphrase(passphrase, made.salt));
  made.sealed = AeadSeal(key, content.view(), kSealedFirstLine);
  return made.Serialize();
}

absl::StatusOr<Secret> OpenSealedIdentity(absl::string_view bytes, const Secret& passphrase) {
  FOREKEY_ASSIGN_OR_RETURN(const SealedIdentity parsed, SealedIdentity::Parse(bytes));
  FOREKEY_ASSIGN_OR_RETURN(const Secret key, KeyFromPassphrase(passphrase, parsed.salt));
  absl::StatusOr<Secret> content = AeadOpen(key, parsed.sealed, kSealedFirstLine);
  if (content.ok()) return content;
  return absl::PermissionDeniedError(
      "the sealed identity does not open: another passphrase, or the file was changed");
}

}  // namespace forekey

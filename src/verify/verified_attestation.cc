#include "src/verify/verified_attestation.h"

namespace forekey {

absl::string_view TokenKindName(TokenKind kind) {
  switch (kind) {
    case TokenKind::kTpm:
      return "tpm";
    case TokenKind::kFido2:
      return "fido2";
    case TokenKind::kPiv:
      return "piv";
  }
  return "unknown";
}

}  // namespace forekey

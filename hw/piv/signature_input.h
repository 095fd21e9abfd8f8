// SPDX-License-Identifier: Apache-2.0
// What GENERAL AUTHENTICATE gets as the challenge to sign (SP 800-73-4 part 2 appendix A.4).
// Private to hw/piv.
#ifndef FOREKEY_HW_PIV_SIGNATURE_INPUT_H_
#define FOREKEY_HW_PIV_SIGNATURE_INPUT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "src/crypto/public_key.h"

namespace forekey {

// P-256: SHA-256. P-384: SHA-384. RSA: the EMSA-PKCS1-v1_5 block (RFC 8017 §9.2) of SHA-256, as
// long as the modulus. Ed25519: the message itself.
std::string SignatureInput(const PublicKey& key, absl::string_view message);

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_SIGNATURE_INPUT_H_

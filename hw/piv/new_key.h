// SPDX-License-Identifier: Apache-2.0
// Which kind of key a card is asked to make. Private to hw/piv.
#ifndef FOREKEY_HW_PIV_NEW_KEY_H_
#define FOREKEY_HW_PIV_NEW_KEY_H_

#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hw/piv/piv_data.h"

namespace forekey {

// "eccp256", "eccp384", "rsa2048", "rsa3072", "rsa4096", "ed25519"; InvalidArgument, with all of
// them, for another (RSA-1024 and X25519 among them: no signature of theirs is taken by a gate).
absl::StatusOr<PivAlgorithm> NewKeyAlgorithmFromName(absl::string_view name);
absl::string_view NewKeyAlgorithmName(PivAlgorithm algorithm);

// `wanted`, or, where nobody said, P-256: every card has it, it is made at once, and its signatures
// are the shortest. `version`: a YubiKey's, or nothing for cards that tell none: those are asked
// for what is wanted, and answer by themselves. kNotSetUp, with what to do, for an algorithm
//   - that came with later firmware (P-384 with 4.0; RSA-3072, RSA-4096 and Ed25519 with 5.7);
//   - whose keys this firmware gives away (src/wire/weak_firmware.h); where that is ECDSA, RSA-2048
//     is made when nobody said. The gate refuses such keys anyway.
absl::StatusOr<PivAlgorithm> ChooseNewKeyAlgorithm(std::optional<PivAlgorithm> wanted,
                                                   const std::optional<PivVersion>& version);

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_NEW_KEY_H_

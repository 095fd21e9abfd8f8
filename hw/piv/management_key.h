// SPDX-License-Identifier: Apache-2.0
// The client's side of mutual authentication with the management key (slot 9B; SP 800-73-4 part 2
// appendix A.1), for 3DES and AES. Private to hw/piv.
#ifndef FOREKEY_HW_PIV_MANAGEMENT_KEY_H_
#define FOREKEY_HW_PIV_MANAGEMENT_KEY_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/secret.h"

namespace forekey {

// "010203..." to bytes; InvalidArgument unless it is the hex of 16, 24 or 32 bytes.
absl::StatusOr<Secret> ParseManagementKey(absl::string_view hex);

class ManagementCipher {
 public:
  // `key`: 16, 24 or 32 bytes; empty: what cards leave the factory with. `algorithm`: as the card's
  // metadata say; without, AES by the key's size, and 3DES for 24 bytes. InvalidArgument when they
  // don't fit.
  static absl::StatusOr<ManagementCipher> New(const Secret& key, std::optional<uint8_t> algorithm);
  uint8_t algorithm() const { return algorithm_; }

  struct Answers {
    std::string witness;    // the card's, decrypted: proves us to the card
    std::string challenge;  // random, for the card
    std::string expected;   // its encryption: what proves the card to us
  };
  // InvalidArgument unless `encrypted_witness` is one block.
  absl::StatusOr<Answers> Answer(absl::string_view encrypted_witness) const;

 private:
  ManagementCipher(Secret key, uint8_t algorithm) : key_(std::move(key)), algorithm_(algorithm) {}
  absl::StatusOr<std::string> Block(absl::string_view input, bool encrypt) const;
  size_t BlockSize() const;

  Secret key_;
  uint8_t algorithm_;
};

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_MANAGEMENT_KEY_H_

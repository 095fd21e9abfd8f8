// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/management_key.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "hw/piv/piv_data.h"
#include "src/base/bytes.h"
#include "src/base/status.h"
#include "src/crypto/openssl.h"
#include "src/crypto/random.h"

namespace forekey {
namespace {

// The same 24 bytes for 3DES (until firmware 5.6) and AES-192 (from 5.7 on): public, no secret.
constexpr absl::string_view kFactoryKey(
    "\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07"
    "\x08",
    24);

constexpr uint8_t Id(PivAlgorithm algorithm) { return static_cast<uint8_t>(algorithm); }

struct CipherKind {
  uint8_t algorithm;
  size_t key_size;
  size_t block_size;
  const EVP_CIPHER* (*cipher)();
};
constexpr CipherKind kCipherKinds[] = {
    {Id(PivAlgorithm::kTripleDes), 24, 8, EVP_des_ede3_ecb},
    {Id(PivAlgorithm::kAes128), 16, 16, EVP_aes_128_ecb},
    {Id(PivAlgorithm::kAes192), 24, 16, EVP_aes_192_ecb},
    {Id(PivAlgorithm::kAes256), 32, 16, EVP_aes_256_ecb},
};

const CipherKind* CipherKindOf(uint8_t algorithm) {
  for (const CipherKind& kind : kCipherKinds) {
    if (kind.algorithm == algorithm) return &kind;
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<Secret> ParseManagementKey(absl::string_view hex) {
  for (char c : hex) {
    if (!absl::ascii_isxdigit(c))
      return absl::InvalidArgumentError("a management key is given in hex");
  }
  if (hex.size() != 32 && hex.size() != 48 && hex.size() != 64) {
    return absl::InvalidArgumentError(
        "a management key has 16, 24 or 32 bytes, in hex twice as many digits");
  }
  return Secret(absl::HexStringToBytes(hex));
}

absl::StatusOr<ManagementCipher> ManagementCipher::New(const Secret& key,
                                                       std::optional<uint8_t> algorithm) {
  Secret used = key.empty() ? Secret::CopyOf(kFactoryKey) : key.Clone();
  if (!algorithm.has_value()) {
    switch (used.size()) {
      case 16:
        algorithm = Id(PivAlgorithm::kAes128);
        break;
      case 32:
        algorithm = Id(PivAlgorithm::kAes256);
        break;
      default:
        algorithm = Id(PivAlgorithm::kTripleDes);
    }
  }
  const CipherKind* kind = CipherKindOf(*algorithm);
  if (kind == nullptr)
    return absl::InvalidArgumentError("the card's management key is of an unknown kind");
  if (kind->key_size != used.size()) {
    return absl::InvalidArgumentError("the management key has another size than the card's");
  }
  return ManagementCipher(std::move(used), *algorithm);
}

size_t ManagementCipher::BlockSize() const { return CipherKindOf(algorithm_)->block_size; }

absl::StatusOr<std::string> ManagementCipher::Block(absl::string_view input, bool encrypt) const {
  EvpCipherCtxPtr context(EVP_CIPHER_CTX_new());
  std::string output(input.size() + BlockSize(), '\0');
  int size = 0;
  if (context == nullptr ||
      EVP_CipherInit_ex(context.get(), CipherKindOf(algorithm_)->cipher(), nullptr, U8(key_.view()),
                        nullptr, encrypt ? 1 : 0) != 1 ||
      EVP_CIPHER_CTX_set_padding(context.get(), 0) != 1 ||
      EVP_CipherUpdate(context.get(), U8(output), &size, U8(input),
                       static_cast<int>(input.size())) != 1 ||
      static_cast<size_t>(size) != input.size()) {
    return OpenSslError("EVP_CipherUpdate");
  }
  output.resize(input.size());
  return output;
}

absl::StatusOr<ManagementCipher::Answers> ManagementCipher::Answer(
    absl::string_view encrypted_witness) const {
  if (encrypted_witness.size() != BlockSize()) {
    return absl::InvalidArgumentError("the card's witness is not one block");
  }
  Answers answers;
  FOREKEY_ASSIGN_OR_RETURN(answers.witness, Block(encrypted_witness, /*encrypt=*/false));
  answers.challenge = RandomBytes(BlockSize());
  FOREKEY_ASSIGN_OR_RETURN(answers.expected, Block(answers.challenge, /*encrypt=*/true));
  return answers;
}

}  // namespace forekey

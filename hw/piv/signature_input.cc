// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/signature_input.h"

#include "absl/strings/str_cat.h"
#include "src/crypto/digest.h"

namespace forekey {
namespace {

// DigestInfo of SHA-256 up to the hash (RFC 8017 §9.2 note 1).
constexpr absl::string_view kSha256DigestInfo(
    "\x30\x31\x30\x0D\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20", 19);

}  // namespace

std::string SignatureInput(const PublicKey& key, absl::string_view message) {
  switch (key.algorithm()) {
    case Algorithm::kEs256:
      return Sha256(message);
    case Algorithm::kEs384:
      return Sha384(message);
    case Algorithm::kEs512:
      return Sha512(message);
    case Algorithm::kEdDsa:
    case Algorithm::kEd448:
      return std::string(message);
    case Algorithm::kRs256:
      break;
  }
  const size_t size = static_cast<size_t>(EVP_PKEY_get_size(key.evp()));
  std::string block("\x00\x01", 2);
  block.resize(size - 1 - kSha256DigestInfo.size() - kSha256Size, '\xFF');
  block.push_back('\0');
  absl::StrAppend(&block, kSha256DigestInfo, Sha256(message));
  return block;
}

}  // namespace forekey

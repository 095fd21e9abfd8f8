// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/digest.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <cstring>

#include "src/base/bytes.h"
#include "src/base/secret.h"
#include "src/crypto/openssl.h"

// OpenSSL 3 deprecates SHA256_Init and its kind in favour of EVP, whose MAC of a short message
// costs between a third more (a context kept per key, 1 KB each) and six times as much (EVP_Q_mac).
// A gate holds a key per session and makes one MAC per call, so the plain functions are what is
// wanted: 64 bytes a session and nothing but compressions per call. They are still in every
// OpenSSL 3.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace forekey {
namespace {

constexpr size_t kBlockSize = SHA256_CBLOCK;

std::string Hash(const EVP_MD* md, absl::string_view data) {
  std::string digest(EVP_MD_get_size(md), '\0');
  OrDie(EVP_Digest(data.data(), data.size(), U8(digest), nullptr, md, nullptr) == 1, "EVP_Digest");
  return digest;
}

// Fetched once: EVP_sha384() and its kind look the algorithm up at every use.
const EVP_MD* Fetch(const char* name) {
  const EVP_MD* md = EVP_MD_fetch(nullptr, name, nullptr);
  OrDie(md != nullptr, "EVP_MD_fetch");
  return md;
}

// SHA-256 that has already eaten one block, and stands at `state`.
void Resume(SHA256_CTX* context, const std::array<uint32_t, 8>& state) {
  static_assert(sizeof(context->h) == sizeof(state));
  std::memcpy(context->h, state.data(), sizeof(context->h));
  context->Nl = kBlockSize * 8;  // bits so far
  context->Nh = 0;
  context->num = 0;
  context->md_len = SHA256_DIGEST_LENGTH;
}

std::array<uint32_t, 8> AbsorbKeyBlock(const uint8_t (&key)[kBlockSize], uint8_t pad) {
  uint8_t block[kBlockSize];
  for (size_t i = 0; i < kBlockSize; ++i) block[i] = key[i] ^ pad;
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Transform(&context, block);
  std::array<uint32_t, 8> state;
  std::memcpy(state.data(), context.h, sizeof(state));
  OPENSSL_cleanse(block, sizeof(block));
  OPENSSL_cleanse(&context, sizeof(context));
  return state;
}

}  // namespace

std::string Sha1(absl::string_view data) {
  static const EVP_MD* const md = Fetch("SHA1");
  return Hash(md, data);
}

std::string Sha256(absl::string_view data) {
  std::string digest(kSha256Size, '\0');
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, data.data(), data.size());
  SHA256_Final(U8(digest), &context);
  return digest;
}

std::string Sha384(absl::string_view data) {
  static const EVP_MD* const md = Fetch("SHA384");
  return Hash(md, data);
}

std::string Sha512(absl::string_view data) {
  static const EVP_MD* const md = Fetch("SHA512");
  return Hash(md, data);
}

HmacSha256::HmacSha256(absl::string_view key) {
  uint8_t block[kBlockSize] = {};
  if (key.size() > kBlockSize) {
    SHA256_CTX context;
    SHA256_Init(&context);
    SHA256_Update(&context, key.data(), key.size());
    SHA256_Final(block, &context);
    OPENSSL_cleanse(&context, sizeof(context));
  } else if (!key.empty()) {
    std::memcpy(block, key.data(), key.size());
  }
  inner_ = AbsorbKeyBlock(block, 0x36);
  outer_ = AbsorbKeyBlock(block, 0x5c);
  OPENSSL_cleanse(block, sizeof(block));
}

HmacSha256::~HmacSha256() {
  OPENSSL_cleanse(inner_.data(), sizeof(inner_));
  OPENSSL_cleanse(outer_.data(), sizeof(outer_));
}

std::array<uint8_t, kSha256Size> HmacSha256::Mac(absl::Span<const absl::string_view> parts) const {
  std::array<uint8_t, kSha256Size> mac;
  SHA256_CTX context;
  Resume(&context, inner_);
  for (absl::string_view part : parts) SHA256_Update(&context, part.data(), part.size());
  SHA256_Final(mac.data(), &context);
  Resume(&context, outer_);
  SHA256_Update(&context, mac.data(), mac.size());
  SHA256_Final(mac.data(), &context);
  OPENSSL_cleanse(&context, sizeof(context));
  return mac;
}

bool HmacSha256::Matches(absl::Span<const absl::string_view> parts, absl::string_view mac) const {
  if (mac.empty() || mac.size() > kSha256Size) return false;
  std::array<uint8_t, kSha256Size> expected = Mac(parts);
  bool equal = ConstantTimeEqual(View(expected.data(), mac.size()), mac);
  // The right MAC of a refused message is a forgery in waiting.
  OPENSSL_cleanse(expected.data(), expected.size());
  return equal;
}

}  // namespace forekey

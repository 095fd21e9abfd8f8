// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/algorithm.h"

#include <openssl/obj_mac.h>

#include <cstdlib>

namespace forekey {
namespace {

constexpr AlgorithmFacts kAlgorithms[] = {
    {Algorithm::kEs256, "ES256", KeyFamily::kNistCurve, "P-256", NID_X9_62_prime256v1, 1, 32, 0,
     absl::string_view("\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48"
                       "\xce\x3d\x03\x01\x07\x03\x42\x00\x04",
                       27)},
    {Algorithm::kEdDsa, "EdDSA", KeyFamily::kEdwards, "Ed25519", 0, 6, 32, 64,
     absl::string_view("\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", 12)},
    {Algorithm::kEs384, "ES384", KeyFamily::kNistCurve, "P-384", NID_secp384r1, 2, 48, 0,
     absl::string_view("\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04"
                       "\x00\x22\x03\x62\x00\x04",
                       24)},
    {Algorithm::kRs256, "RS256", KeyFamily::kRsa, "", 0, 0, 0, 0, ""},
    {Algorithm::kEs512, "ES512", KeyFamily::kNistCurve, "P-521", NID_secp521r1, 3, 66, 0,
     absl::string_view("\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81"
                       "\x04\x00\x23\x03\x81\x86\x00\x04",
                       26)},
    {Algorithm::kEd448, "Ed448", KeyFamily::kEdwards, "Ed448", 0, 7, 57, 114,
     absl::string_view("\x30\x43\x30\x05\x06\x03\x2b\x65\x71\x03\x3a\x00", 12)},
};

}  // namespace

absl::Span<const AlgorithmFacts> AllAlgorithms() { return kAlgorithms; }

const AlgorithmFacts& FactsOf(Algorithm algorithm) {
  for (const AlgorithmFacts& facts : kAlgorithms) {
    if (facts.algorithm == algorithm) return facts;
  }
  std::abort();  // no enumerator
}

absl::string_view AlgorithmName(Algorithm algorithm) { return FactsOf(algorithm).name; }

std::optional<Algorithm> AlgorithmFromCose(int value) {
  for (const AlgorithmFacts& facts : kAlgorithms) {
    if (static_cast<int>(facts.algorithm) == value) return facts.algorithm;
  }
  return std::nullopt;
}

}  // namespace forekey

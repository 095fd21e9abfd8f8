// SPDX-License-Identifier: Apache-2.0
#include "src/verify/piv_advisories.h"

#include <openssl/core_names.h>

#include <cstdint>
#include <utility>

#include "src/crypto/openssl.h"
#include "src/wire/weak_firmware.h"

namespace forekey {
namespace {

bool IsPowerOf65537(uint64_t residue, uint64_t prime) {
  uint64_t power = 1;
  do {
    if (power == residue) return true;
    power = power * 65537 % prime;
  } while (power != 1);
  return false;
}

}  // namespace

TokenFirmware PivTokenFirmware(const PivFirmware& firmware, std::optional<uint8_t> form_factor,
                               const PublicKey& key) {
  using Keys = TokenFirmware::Keys;
  TokenFirmware token;
  token.kind = v1::TOKEN_KIND_PIV;
  token.maker = form_factor == 6 || form_factor == 7 ? "yubikey-bio" : "yubikey";
  token.version = uint64_t{firmware.major} << 16 | uint64_t{firmware.minor} << 8 | firmware.patch;
  token.keys = key.algorithm() == Algorithm::kRs256                       ? Keys::kRsa
               : FactsOf(key.algorithm()).family == KeyFamily::kNistCurve ? Keys::kEcdsa
                                                                          : Keys::kOther;
  return token;
}

std::vector<PivAdvisory> PivAdvisoriesFor(const TokenFirmware& token, const PublicKey& key) {
  std::vector<PivAdvisory> result;
  for (WeakFirmware& known : WeaknessesOf(token)) {
    result.push_back({std::move(known.id), std::move(known.why), known.key_recoverable});
  }
  if (result.empty() && HasRocaModulus(key)) {
    result.push_back(
        {"YSA-2017-01", "the modulus is of the kind that can be factored (CVE-2017-15361)", true});
  }
  return result;
}

bool HasRocaModulus(const PublicKey& key) {
  if (key.algorithm() != Algorithm::kRs256) return false;
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key.evp(), OSSL_PKEY_PARAM_RSA_N, &raw) != 1) return false;
  const BignumPtr modulus(raw);
  // The primes of which 65537 generates less than the whole group.
  for (const uint64_t prime :
       {11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157}) {
    if (!IsPowerOf65537(BN_mod_word(modulus.get(), prime), prime)) return false;
  }
  return true;
}

}  // namespace forekey

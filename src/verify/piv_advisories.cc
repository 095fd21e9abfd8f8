// SPDX-License-Identifier: Apache-2.0
#include "src/verify/piv_advisories.h"

#include <openssl/core_names.h>

#include <cstdint>

#include "src/crypto/openssl.h"

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

std::vector<PivAdvisory> PivAdvisoriesFor(const PivFirmware& firmware,
                                          std::optional<uint8_t> form_factor,
                                          const PublicKey& key) {
  std::vector<PivAdvisory> result;
  const bool rsa = key.algorithm() == Algorithm::kRs256;
  const bool ecdsa = FactsOf(key.algorithm()).family == KeyFamily::kNistCurve;
  if (rsa && firmware >= PivFirmware{4, 2, 6} && firmware <= PivFirmware{4, 3, 4}) {
    result.push_back(
        {"YSA-2017-01", "RSA keys made by this firmware can be factored (CVE-2017-15361)", true});
  } else if (rsa && HasRocaModulus(key)) {
    result.push_back(
        {"YSA-2017-01", "the modulus is of the kind that can be factored (CVE-2017-15361)", true});
  }
  // The form factor is absent on 4.x, so that FIPS can't always be told: there is no 4.4.2 or 4.4.4
  // that is not FIPS.
  if (ecdsa && (firmware == PivFirmware{4, 4, 2} || firmware == PivFirmware{4, 4, 4})) {
    result.push_back(
        {"YSA-2019-02",
         "ECDSA nonces of this firmware are biased after power-up: the key follows from "
         "a few signatures",
         true});
  }
  const bool bio = form_factor == 6 || form_factor == 7;
  if (ecdsa && firmware >= PivFirmware{5, 0, 0} &&
      firmware < (bio ? PivFirmware{5, 7, 2} : PivFirmware{5, 7, 0})) {
    result.push_back({"YSA-2024-03",
                      "who has the opened card can measure ECDSA keys out of this firmware "
                      "(CVE-2024-45678)",
                      false});
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

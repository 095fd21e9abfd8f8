// SPDX-License-Identifier: Apache-2.0
#include "src/verify/piv_advisories.h"

#include <cstdint>
#include <utility>

#include "src/verify/roca_modulus.h"
#include "src/wire/weak_firmware.h"

namespace forekey {

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
  if (result.empty() && HasRocaModulus(key.evp())) {
    result.push_back(
        {"YSA-2017-01", "the modulus is of the kind that can be factored (CVE-2017-15361)", true});
  }
  return result;
}

}  // namespace forekey

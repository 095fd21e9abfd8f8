// SPDX-License-Identifier: Apache-2.0
// deps: forekey_cli_verify
// The signed file around a bundle. As a file: whatever is taken was signed by the key, and its
// payload is a bundle. As a payload that the key signs: the file is taken where the payload is a
// bundle, and then says the same; no change of one bit makes it say anything else.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/status/statusor.h"
#include "src/base/bytes.h"
#include "src/cli/verify/trust_bundle.h"

namespace {

using forekey::SoftwareKey;
using forekey::TrustBundle;
using forekey::VerifiedTrustBundle;

// The key of the corpus: its seed is 32 times 'k'.
const SoftwareKey& Key() {
  static const auto* const key =
      new SoftwareKey(*SoftwareKey::Ed25519FromSeed(std::string(32, 'k')));
  return *key;
}

bool Same(const TrustBundle& a, const TrustBundle& b) {
  return a.number == b.number && a.name == b.name && a.made == b.made && a.files == b.files;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input = forekey::View(data, size);
  const auto taken = forekey::VerifyTrustBundle(input, Key().public_key());
  if (taken.ok()) {
    const auto again = TrustBundle::Parse(taken->bundle().Serialize());
    if (!again.ok() || !Same(*again, taken->bundle()) || taken->sha256().size() != 64) std::abort();
  }

  const auto bundle = TrustBundle::Parse(input);
  std::string file = forekey::SignTrustBundle(input, Key());
  const auto verified = forekey::VerifyTrustBundle(file, Key().public_key());
  if (verified.ok() != bundle.ok()) std::abort();
  if (!verified.ok()) return 0;
  if (!Same(verified->bundle(), *bundle)) std::abort();
  // Where the bit is: as the input says, so that the fuzzer finds them all.
  size_t at = size;
  for (size_t i = 0; i < size; ++i) at = at * 31 + data[i];
  file[at % file.size()] ^= static_cast<char>(1 << (at / file.size() % 8));
  const auto changed = forekey::VerifyTrustBundle(file, Key().public_key());
  if (changed.ok() &&
      (changed->sha256() != verified->sha256() || !Same(changed->bundle(), verified->bundle()))) {
    std::abort();
  }
  return 0;
}

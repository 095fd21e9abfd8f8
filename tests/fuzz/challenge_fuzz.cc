// SPDX-License-Identifier: Apache-2.0
// deps: forekey_gate_service
// Challenges: nothing that this process did not issue is taken for one.
#include <cstdint>
#include <cstdlib>

#include "src/base/bytes.h"
#include "src/gate/call/challenge.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto& issuer = *new forekey::ChallengeIssuer("fuzz", forekey::Clock::System());
  const absl::string_view bytes = forekey::View(data, size);
  for (auto purpose : {forekey::ChallengePurpose::kCall, forekey::ChallengePurpose::kEnroll}) {
    if (issuer.Check(bytes, purpose).ok() || issuer.CheckAnyAge(bytes, purpose).ok()) std::abort();
  }
  return 0;
}

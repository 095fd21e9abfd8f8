// SPDX-License-Identifier: Apache-2.0
#include "src/gate/factor/gate_factors.h"

#include "src/base/status.h"

namespace forekey {

GateFactors::GateFactors(const FactorSettings& settings, const FactorEnvironment& environment) {
  for (const auto& section : settings.sections()) {
    if (section->enabled()) factors_.push_back(section->Make(environment));
  }
}

absl::Status GateFactors::Start() {
  for (const auto& factor : factors_) FOREKEY_RETURN_IF_ERROR(factor->Start());
  return absl::OkStatus();
}

size_t GateFactors::MostThreads() const {
  size_t threads = 0;
  for (const auto& factor : factors_) threads += factor->MostThreads();
  return threads;
}

void GateFactors::RefreshSoon() {
  for (const auto& factor : factors_) factor->RefreshSoon();
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// The further factors that a gate takes.
#ifndef FOREKEY_SRC_GATE_FACTOR_GATE_FACTORS_H_
#define FOREKEY_SRC_GATE_FACTOR_GATE_FACTORS_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "src/gate/factor/factor.h"
#include "src/gate/factor/factor_settings.h"

namespace forekey {

// Safe from any thread.
class GateFactors {
 public:
  // Makes those that the settings enable; none is started.
  GateFactors(const FactorSettings& settings, const FactorEnvironment& environment);

  absl::Status Start();
  const std::vector<std::unique_ptr<Factor>>& all() const { return factors_; }
  // Threads that all of them together may hold at once.
  size_t MostThreads() const;
  void RefreshSoon();

  // The one of this type, for its own administration; null where the gate takes none.
  template <typename F>
  F* Get() const {
    for (const auto& factor : factors_) {
      if (auto* found = dynamic_cast<F*>(factor.get())) return found;
    }
    return nullptr;
  }

 private:
  std::vector<std::unique_ptr<Factor>> factors_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_FACTOR_GATE_FACTORS_H_

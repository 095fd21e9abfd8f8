// SPDX-License-Identifier: Apache-2.0
// [factors.password] of the gate's configuration (docs/CONFIG.md).
#ifndef FOREKEY_SRC_GATE_FACTOR_PASSWORD_CONFIG_H_
#define FOREKEY_SRC_GATE_FACTOR_PASSWORD_CONFIG_H_

#include <cstddef>
#include <memory>

#include "absl/time/time.h"
#include "src/gate/factor/factor_settings.h"

namespace forekey {

struct PasswordPolicy {
  bool enabled = false;
  size_t memory_mib = 64;
  size_t passes = 3;
  size_t concurrent = 2;  // checks at once: memory_mib each
  size_t tries = 5;       // of one credential ...
  absl::Duration per = absl::Minutes(15);
};

struct PasswordSection final : FactorSection {
  PasswordPolicy policy;

  std::unique_ptr<FactorSection> Clone() const override {
    return std::make_unique<PasswordSection>(*this);
  }
  void Read(ConfigTable factors, absl::string_view base) override;
  bool enabled() const override { return policy.enabled; }
  std::unique_ptr<Factor> Make(const FactorEnvironment& environment) const override;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_FACTOR_PASSWORD_CONFIG_H_

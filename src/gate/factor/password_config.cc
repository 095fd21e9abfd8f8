// SPDX-License-Identifier: Apache-2.0
#include "src/gate/factor/password_config.h"

#include "src/gate/factor/password_factor.h"

namespace forekey {

void PasswordSection::Read(ConfigTable factors, absl::string_view base) {
  policy.enabled = factors.Has("password");
  ConfigTable table = factors.Table("password");
  table.Number("memory_mib", 8, 4096, &policy.memory_mib);
  table.Number("passes", 1, 100, &policy.passes);
  table.Number("concurrent", 1, 64, &policy.concurrent);
  table.Number("tries", 1, 1000, &policy.tries);
  table.Duration("per", absl::Seconds(10), absl::Hours(24), &policy.per);
}

std::unique_ptr<Factor> PasswordSection::Make(const FactorEnvironment& environment) const {
  return std::make_unique<PasswordFactor>(policy, *environment.registry, *environment.clock);
}

}  // namespace forekey

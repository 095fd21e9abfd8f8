// SPDX-License-Identifier: Apache-2.0
// Where further factors are listed, in the order in which they are checked.
#include "src/gate/factor/factor_settings.h"
#include "src/gate/factor/oidc_config.h"
#include "src/gate/factor/password_config.h"

namespace forekey {

std::vector<std::unique_ptr<FactorSection>> ListFactors() {
  std::vector<std::unique_ptr<FactorSection>> sections;
  sections.push_back(std::make_unique<OidcSection>());
  sections.push_back(std::make_unique<PasswordSection>());
  return sections;
}

}  // namespace forekey

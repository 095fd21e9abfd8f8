// SPDX-License-Identifier: Apache-2.0
// Where the gate's kinds of tokens are listed.
#include "src/gate/token/fido2_config.h"
#include "src/gate/token/piv_config.h"
#include "src/gate/token/token_settings.h"
#include "src/gate/token/tpm_config.h"

namespace forekey {

std::vector<std::unique_ptr<TokenSection>> ListTokenKinds() {
  std::vector<std::unique_ptr<TokenSection>> kinds;
  kinds.push_back(std::make_unique<TpmConfig>());
  kinds.push_back(std::make_unique<Fido2Config>());
  kinds.push_back(std::make_unique<PivConfig>());
  return kinds;
}

}  // namespace forekey

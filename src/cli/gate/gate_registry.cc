// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/gate_registry.h"

#include <unistd.h>

#include "src/base/status.h"
#include "src/store/postgres/postgres_registry.h"
#include "src/store/sqlite_registry.h"

namespace forekey {

absl::StatusOr<std::shared_ptr<Registry>> OpenRegistryToRead(const GateConfig& config) {
  std::shared_ptr<Registry> registry;
  if (!config.state.registry.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(registry, PostgresRegistry::Open(config.state.registry));
  } else if (access(config.state.RegistryPath().c_str(), F_OK) == 0) {
    FOREKEY_ASSIGN_OR_RETURN(
        registry, SqliteRegistry::Open(config.state.RegistryPath(), {.exclusive = false}));
  }
  return registry;
}

}  // namespace forekey

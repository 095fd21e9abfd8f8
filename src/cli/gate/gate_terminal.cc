// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/gate_terminal.h"

#include <memory>

#include "absl/time/time.h"

namespace forekey {

void GateTerminal::Fail(const absl::Status& status, int exit) const {
  err << "forekey-gate: " << status.message() << "\n";
  *exit_status = exit;
}

absl::StatusOr<GateConfig> GateTerminal::LoadConfig(
    const std::string& path, absl::Span<const absl::string_view> besides) const {
  std::vector<absl::string_view> used = {"audience", "state", "identity", "audit"};
  used.insert(used.end(), besides.begin(), besides.end());
  absl::Status elsewhere;
  absl::StatusOr<GateConfig> config = GateConfig::LoadOnly(path, used, &elsewhere);
  if (config.ok() && !elsewhere.ok()) {
    err << "forekey-gate: no gate can start with this configuration:\n"
        << elsewhere.message() << "\n";
  }
  return config;
}

void WireAdminCommand(AdminCommand command, const GateTerminal& terminal) {
  auto config_file = std::make_shared<std::string>("/etc/forekey/gate.toml");
  auto json = std::make_shared<bool>(false);
  command.app->add_option("--config,-c", *config_file, "The gate's configuration")
      ->capture_default_str();
  command.app->add_flag("--json", *json, "Print one JSON value");
  command.app->callback([command, config_file, json, terminal] {
    absl::StatusOr<GateConfig> config = terminal.LoadConfig(*config_file, command.uses);
    if (!config.ok()) return terminal.Fail(config.status(), kGateNotRun);
    if (command.prepare) command.prepare(*config);
    absl::StatusOr<std::unique_ptr<GateAdmin>> admin = GateAdmin::Open(*config);
    if (!admin.ok()) return terminal.Fail(admin.status(), kGateNotRun);
    absl::StatusOr<nlohmann::json> result = command.body(**admin, *config);
    if (!result.ok()) {
      const bool unreachable = (*admin)->gate_runs() && absl::IsUnavailable(result.status());
      return terminal.Fail(result.status(), unreachable ? kGateNotRun : kGateFailed);
    }
    if (*json) {
      // In ASCII: what others chose must not reach a terminal.
      terminal.out << result->dump(2, ' ', /*ensure_ascii=*/true,
                                   nlohmann::json::error_handler_t::replace)
                   << "\n";
    } else {
      command.text(*result, (*admin)->gate_runs(), terminal.out);
    }
    *terminal.exit_status = kGateDone;
  });
}

}  // namespace forekey

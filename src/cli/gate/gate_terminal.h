// SPDX-License-Identifier: Apache-2.0
// What the commands of `forekey-gate` share: where they print, and how those that talk to a gate,
// running or not, are wired. Private to this folder.
#ifndef FOREKEY_SRC_CLI_GATE_GATE_TERMINAL_H_
#define FOREKEY_SRC_CLI_GATE_GATE_TERMINAL_H_

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "nlohmann/json.hpp"
#include "src/cli/gate/gate_admin.h"
#include "src/cli/terminal/time_text.h"

namespace forekey {

// Exit status (src/cli/gate_commands.h).
inline constexpr int kGateDone = 0;
inline constexpr int kGateFailed = 1;
inline constexpr int kGateNotRun = 2;

// Borrowed; copies are cheap.
struct GateTerminal {
  std::ostream& out;
  std::ostream& err;
  int* exit_status;

  void Fail(const absl::Status& status, int exit) const;

  // The gate's configuration, for a command that uses the state folder, the audit log and the
  // tables named besides. Errors elsewhere in the file are told on `err`, and stop nothing: a gate
  // that can't start for one must still be administrated.
  absl::StatusOr<GateConfig> LoadConfig(const std::string& path,
                                        absl::Span<const absl::string_view> besides) const;
};

// A command that talks to the gate. `body` gives what to print as JSON; `text` prints it for
// people.
struct AdminCommand {
  CLI::App* app = nullptr;
  std::vector<absl::string_view> uses;       // tables of the configuration; see LoadConfig
  std::function<void(GateConfig&)> prepare;  // may be empty
  std::function<absl::StatusOr<nlohmann::json>(GateAdmin&, const GateConfig&)> body;
  std::function<void(const nlohmann::json&, bool gate_runs, std::ostream&)> text;
};
// Adds --config and --json, and runs it when it is the command that was given.
void WireAdminCommand(AdminCommand command, const GateTerminal& terminal);

// `init` and `check-config` (gate_setup_commands.cc).
void AddSetupCommands(CLI::App& app, const GateTerminal& terminal);

// Invites, subjects and their passwords, credentials, revocation (gate_people_commands.cc).
void AddPeopleCommands(CLI::App& app, const GateTerminal& terminal);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_GATE_TERMINAL_H_

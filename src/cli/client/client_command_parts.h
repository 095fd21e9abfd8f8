// SPDX-License-Identifier: Apache-2.0
// What the commands that talk to the agent share: who is talked to, and how each ends.
#ifndef FOREKEY_SRC_CLI_CLIENT_CLIENT_COMMAND_PARTS_H_
#define FOREKEY_SRC_CLI_CLIENT_CLIENT_COMMAND_PARTS_H_

#include <memory>
#include <ostream>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "forekey/v1/gate.pb.h"
#include "src/base/secret.h"
#include "src/cli/client/agent_client.h"
#include "src/cli/terminal/dialogue.h"
#include "src/cli/terminal/time_text.h"
#include "src/wire/token_kind.h"

namespace forekey {

// Looking at a slow TPM, and enrolling with one, takes its time.
inline constexpr absl::Duration kQuick = absl::Seconds(30);
inline constexpr absl::Duration kSlow = absl::Minutes(3);

// What one run of a command has: where it prints, and what its options said.
struct ClientCommand {
  std::ostream& out;
  std::ostream& err;
  int* exit_status;
  std::string socket;
  bool json = false;
  Dialogue dialogue;  // with whoever sits there
};

// The password of a key in a device, for commands that may need it.
struct KeyPassword {
  bool ask = false;
  std::string file;

  void AddTo(CLI::App* command);
  absl::StatusOr<Secret> Read(bool is_new) const;
};

// Adds a subcommand that runs `run` and tells how it ended.
template <typename Function>
CLI::App* AddCommand(CLI::App& app, std::shared_ptr<ClientCommand> shared, const std::string& name,
                     const std::string& description, const std::string& footer, Function run) {
  CLI::App* command = app.add_subcommand(name, description);
  command->add_option("--socket", shared->socket,
                      "The agent's socket (default: $FOREKEY_AGENT_SOCKET, else "
                      "$XDG_RUNTIME_DIR/forekey/agent.sock)");
  command->add_flag("--json", shared->json, "Print one JSON object");
  command->footer(absl::StrCat("\n", footer,
                               "\n\nExit status: 0 done, 1 refused by the gate, the agent or the "
                               "device, 2 could not be run."));
  command->callback([shared, run] {
    *shared->exit_status = Report(run(*shared), shared->json, shared->out, shared->err);
  });
  return command;
}

CLI::Option* AddGate(CLI::App* command, std::string* gate);

// devices, enroll
void AddEnrollCommands(CLI::App& app, const std::shared_ptr<ClientCommand>& shared);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_CLIENT_CLIENT_COMMAND_PARTS_H_

// SPDX-License-Identifier: Apache-2.0
#include "src/cli/client/client_command_parts.h"

#include "src/cli/terminal/read_password.h"

namespace forekey {

void KeyPassword::AddTo(CLI::App* command) {
  command->add_flag("--ask-key-password", ask, "Ask for the key's password on the terminal");
  command->add_option("--key-password-file", file,
                      "File (mode 0600) whose only line is the key's password");
}

absl::StatusOr<Secret> KeyPassword::Read(bool is_new) const {
  if (!file.empty()) return ReadPasswordFile(file);
  if (ask) return AskPassword(is_new ? "Password for the new key: " : "Key password: ", is_new);
  return Secret();
}

CLI::Option* AddGate(CLI::App* command, std::string* gate) {
  return command->add_option("--gate", *gate,
                             "The gate's audience (default: the only one enrolled)");
}

}  // namespace forekey

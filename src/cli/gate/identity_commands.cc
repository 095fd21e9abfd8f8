// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/identity_commands.h"

#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/cli/terminal/read_password.h"
#include "src/gate/session/identity.h"
#include "src/gate/session/identity_seal.h"
#include "src/store/postgres/postgres_registry.h"
#include "src/store/sqlite_database.h"

namespace forekey {
namespace {

constexpr size_t kMostIdentityFile = 16384;

absl::StatusOr<Secret> AskPassphrase(bool is_new) {
  if (isatty(STDIN_FILENO)) return AskPassword("Passphrase of the sealed identity: ", is_new);
  return ReadNewPassword();  // its first line
}

std::string KeysOf(const GateConfig& config) { return config.state.IdentityDirectory() + "/keys"; }

absl::StatusOr<std::string> FingerprintOf(const GateConfig& config) {
  FOREKEY_ASSIGN_OR_RETURN(const auto identities,
                           GateIdentities::Open(config.state.IdentityDirectory(), Clock::System(),
                                                config.identity.overlap));
  return identities->current()->fingerprint();
}

absl::StatusOr<std::string> Export(const GateConfig& config, const std::string& to) {
  if (access(to.c_str(), F_OK) == 0) return absl::AlreadyExistsError(to + " exists");
  FOREKEY_ASSIGN_OR_RETURN(std::string content, ReadPrivateFile(KeysOf(config)));
  const Secret keys(std::move(content));
  FOREKEY_ASSIGN_OR_RETURN(const Secret passphrase, AskPassphrase(/*is_new=*/true));
  FOREKEY_ASSIGN_OR_RETURN(const std::string sealed, SealIdentity(keys, passphrase));
  FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(to, sealed, 0600));
  return FingerprintOf(config);
}

absl::StatusOr<std::string> Import(const GateConfig& config, const std::string& from) {
  const std::string keys = KeysOf(config);
  if (access(keys.c_str(), F_OK) == 0) {
    return absl::AlreadyExistsError(absl::StrCat(
        keys,
        " exists: this state folder has an identity already. Move it away, if no agent pinned "
        "it"));
  }
  FOREKEY_ASSIGN_OR_RETURN(const std::string sealed, ReadFile(from, kMostIdentityFile));
  FOREKEY_ASSIGN_OR_RETURN(const Secret passphrase, AskPassphrase(/*is_new=*/false));
  FOREKEY_ASSIGN_OR_RETURN(const Secret content, OpenSealedIdentity(sealed, passphrase));
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(config.state.directory));
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(config.state.IdentityDirectory()));
  FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(keys, content.view(), 0600));
  absl::StatusOr<std::string> fingerprint = FingerprintOf(config);
  if (!fingerprint.ok()) unlink(keys.c_str());
  return fingerprint;
}

absl::StatusOr<std::string> Record(const GateConfig& config) {
  if (config.state.registry.empty()) {
    return absl::FailedPreconditionError("this gate shares its registry with nobody");
  }
  FOREKEY_ASSIGN_OR_RETURN(const FileLock lock, FileLock::Acquire(config.state.LockPath()));
  if (access(KeysOf(config).c_str(), F_OK) != 0) {
    return absl::NotFoundError(absl::StrCat(KeysOf(config), ": there is no identity to record"));
  }
  FOREKEY_ASSIGN_OR_RETURN(const std::string fingerprint, FingerprintOf(config));
  FOREKEY_ASSIGN_OR_RETURN(const auto registry, PostgresRegistry::Open(config.state.registry));
  FOREKEY_RETURN_IF_ERROR(registry->ReplaceIdentity({config.audience, fingerprint}));
  return fingerprint;
}

using Body = std::function<absl::StatusOr<std::string>(const GateConfig&)>;

// Prints the identity's fingerprint, which is no secret.
void Wire(CLI::App* command, const GateTerminal& terminal, Body body) {
  auto config_file = std::make_shared<std::string>("/etc/forekey/gate.toml");
  command->add_option("--config,-c", *config_file, "The gate's configuration")
      ->capture_default_str();
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Print one JSON value");
  command->callback([config_file, json, terminal, body = std::move(body)] {
    absl::StatusOr<GateConfig> config = terminal.LoadConfig(*config_file, {});
    if (!config.ok()) return terminal.Fail(config.status(), kGateNotRun);
    const absl::StatusOr<std::string> fingerprint = body(*config);
    if (!fingerprint.ok()) return terminal.Fail(fingerprint.status(), kGateFailed);
    *terminal.exit_status = kGateDone;
    const std::string hex = absl::BytesToHexString(*fingerprint);
    terminal.out << (*json ? nlohmann::json{{"fingerprint", hex}}.dump(2) : hex) << "\n";
  });
}

}  // namespace

void AddIdentityCommands(CLI::App& app, const GateTerminal& terminal) {
  CLI::App* identity = app.add_subcommand("identity", "Bring the gate's identity to a replica");
  identity->require_subcommand(1);
  auto to = std::make_shared<std::string>(), from = std::make_shared<std::string>();
  CLI::App* export_command = identity->add_subcommand(
      "export",
      "Write it to a new file, sealed by a passphrase (asked for, or the first line of the "
      "standard input)");
  export_command->add_option("--to", *to, "The file to make")->required();
  Wire(export_command, terminal, [to](const GateConfig& config) { return Export(config, *to); });
  CLI::App* import_command =
      identity->add_subcommand("import", "Put one that was exported into this state folder");
  import_command->add_option("--from", *from, "What `identity export` made")->required();
  Wire(import_command, terminal,
       [from](const GateConfig& config) { return Import(config, *from); });
  Wire(identity->add_subcommand("record",
                                "Have the shared registry know this state folder's as the "
                                "gate's, while no gate runs"),
       terminal, Record);
}

}  // namespace forekey

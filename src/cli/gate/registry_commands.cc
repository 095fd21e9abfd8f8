// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/registry_commands.h"

#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"
#include "src/store/postgres/postgres_copy.h"
#include "src/store/sqlite_copy.h"

namespace forekey {
namespace {

using Json = nlohmann::json;

absl::StatusOr<std::unique_ptr<RegistryCopyEnd>> OpenEnd(const std::string& name, bool must_exist) {
  if (IsPostgresUrl(name)) {
    FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<RegistryCopyEnd> end, PostgresCopyEnd::Open(name));
    return end;
  }
  if (must_exist && access(name.c_str(), F_OK) != 0) {
    return absl::NotFoundError(absl::StrCat(name, ": there is no such registry"));
  }
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<RegistryCopyEnd> end, SqliteCopyEnd::Open(name));
  return end;
}

absl::StatusOr<std::vector<CopiedTable>> Copy(const std::string& from, const std::string& to) {
  if (from == to) return absl::InvalidArgumentError("--from and --to are the same");
  FOREKEY_ASSIGN_OR_RETURN(auto source, OpenEnd(from, /*must_exist=*/true));
  FOREKEY_ASSIGN_OR_RETURN(auto target, OpenEnd(to, /*must_exist=*/false));
  return CopyRegistry(*source, *target);
}

void AddCopy(CLI::App& app, const GateTerminal& terminal) {
  struct Args {
    std::string from, to;
    bool json = false;
  };
  auto args = std::make_shared<Args>();
  CLI::App* command = app.add_subcommand("copy",
                                         "Copy a registry into an empty one, row for row, and "
                                         "compare every row; while no gate runs on "
                                         "either");
  command
      ->add_option("--from", args->from,
                   "A registry.sqlite, or postgresql://... without a password")
      ->required();
  command->add_option("--to", args->to, "The same; made where it does not exist")->required();
  command->add_flag("--json", args->json, "Print one JSON value");
  command->callback([args, terminal] {
    const auto copied = Copy(args->from, args->to);
    if (!copied.ok()) return terminal.Fail(copied.status(), kGateFailed);
    *terminal.exit_status = kGateDone;
    Json tables = Json::object();
    for (const CopiedTable& table : *copied) tables[table.name] = table.rows;
    if (args->json) {
      terminal.out << Json{{"from", args->from}, {"to", args->to}, {"rows", tables}}.dump(2)
                   << "\n";
      return;
    }
    for (const CopiedTable& table : *copied) {
      terminal.out << table.name << ": " << table.rows << " rows, all compared\n";
    }
    terminal.out << "the registry at --from is as it was: start no gate on it any more\n";
  });
}

void AddPrepare(CLI::App& app, const GateTerminal& terminal) {
  struct Args {
    std::string database, role;
    bool json = false;
  };
  auto args = std::make_shared<Args>();
  CLI::App* command = app.add_subcommand(
      "prepare",
      "Make the registry's tables in a database, or bring them up, as a role that may; and grant "
      "the gate's role what it needs");
  command->add_option("--database", args->database, "postgresql://... without a password")
      ->required();
  command->add_option("--role", args->role, "The role that gates connect as");
  command->add_flag("--json", args->json, "Print one JSON value");
  command->callback([args, terminal] {
    const absl::Status prepared = PreparePostgres(args->database, args->role);
    if (!prepared.ok()) return terminal.Fail(prepared, kGateFailed);
    *terminal.exit_status = kGateDone;
    if (args->json) {
      terminal.out << Json{{"database", args->database}, {"role", args->role}}.dump(2) << "\n";
      return;
    }
    terminal.out << "prepared"
                 << (args->role.empty() ? "" : ", and " + args->role + " may read and change rows")
                 << "\n";
  });
}

}  // namespace

void AddRegistryCommands(CLI::App& app, const GateTerminal& terminal) {
  CLI::App* registry = app.add_subcommand("registry", "Copy a registry, or prepare a database");
  registry->require_subcommand(1);
  AddCopy(*registry, terminal);
  AddPrepare(*registry, terminal);
}

}  // namespace forekey

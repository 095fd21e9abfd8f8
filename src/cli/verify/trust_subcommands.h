// SPDX-License-Identifier: Apache-2.0
// The commands below `forekey trust`, one maker each; trust_command.cc lists them. They write what
// trust_command.h says to `exit_status`.
#ifndef FOREKEY_SRC_CLI_VERIFY_TRUST_SUBCOMMANDS_H_
#define FOREKEY_SRC_CLI_VERIFY_TRUST_SUBCOMMANDS_H_

#include <ostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "src/cli/verify/trust_command.h"
#include "src/cli/verify/trust_store.h"

namespace forekey {

struct TrustTerminal {
  std::ostream& out;
  std::ostream& err;
  int* exit_status;
};

void AddTrustImport(CLI::App& trust, const TrustTerminal& terminal);  // trust_import_command.cc
void AddTrustFetch(CLI::App& trust, const TrustTerminal& terminal);   // trust_fetch_command.cc
void AddTrustBundle(CLI::App& trust, const TrustTerminal& terminal);  // trust_bundle_command.cc
// trust_device_command.cc
void AddTrustForDevice(CLI::App& trust, const TrustTerminal& terminal,
                       const ReadHardware& hardware);

// ---- For import and fetch: trust_import_command.cc ----

struct TrustChangeCounts {
  int added = 0, known = 0, removed = 0, refused = 0;
  int again = 0;      // of those added: what was there before
  int taken_out = 0;  // of those refused: what is good, and a person removed

  // The source has no certificate that could be trusted: it is a mistake.
  bool IsOfNothing() const { return added + known + taken_out == 0; }
};
TrustChangeCounts CountTrustChanges(const std::vector<TrustChange>& changes);

struct TrustChangesView {
  std::string directory;
  bool dry_run = false, json = false;
};
void PrintTrustChanges(const std::vector<TrustChange>& changes, const TrustChangesView& view,
                       std::ostream& out);
// With `prune`: true, and said, where nothing was removed because a file can't be read.
bool TellNotPruned(const std::vector<TrustChange>& changes, bool prune, std::ostream& err);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_VERIFY_TRUST_SUBCOMMANDS_H_

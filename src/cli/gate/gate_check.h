// SPDX-License-Identifier: Apache-2.0
// `forekey-gate check-config`: everything that would keep a gate from starting, or from being of
// use.
#ifndef FOREKEY_SRC_CLI_GATE_GATE_CHECK_H_
#define FOREKEY_SRC_CLI_GATE_GATE_CHECK_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/gate/config/config.h"

namespace forekey {

struct ConfigCheck {
  // Each with the file's line where there is one: a gate does not start with any of these.
  std::vector<std::string> mistakes;
  // It would start, and something that a person most likely wants would not work.
  std::vector<std::string> warnings;
  // What could be read; null after a syntax error, or where the file itself can't be read.
  std::unique_ptr<GateConfig> config;
};

// Reads the configuration and every file and folder that it names which can be read without being
// the gate, and goes on after each mistake. Changes nothing.
ConfigCheck CheckGateConfig(const std::string& path);

// "gate.toml:12: " of a key by its full name ("tls.certificate"); of its table, else of the file
// alone, where it is not there.
std::string ConfigPlace(const std::string& path, absl::string_view key);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_GATE_CHECK_H_

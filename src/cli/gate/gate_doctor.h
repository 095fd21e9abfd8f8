// SPDX-License-Identifier: Apache-2.0
// `forekey-gate doctor`: why does my gate not work, and what will go wrong soon. Changes nothing.
#ifndef FOREKEY_SRC_CLI_GATE_GATE_DOCTOR_H_
#define FOREKEY_SRC_CLI_GATE_GATE_DOCTOR_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "src/cli/terminal/finding.h"

namespace forekey {

struct GateDoctorOptions {
  std::string config_file = "/etc/forekey/gate.toml";
  absl::Time now;
  // Bytes that this user may still write in a folder's file system; -1 where that can't be asked.
  std::function<int64_t(const std::string& folder)> free_bytes;
  std::function<bool()> clock_is_synchronised;

  // This machine, now.
  static GateDoctorOptions This();
};

std::vector<Finding> DiagnoseGateMachine(const GateDoctorOptions& options);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_GATE_DOCTOR_H_

// SPDX-License-Identifier: Apache-2.0
// `forekey doctor`: why does my token, my call, my gate not work. Never a try of a PIN, never a
// touch, never a change.
#ifndef FOREKEY_SRC_CLI_CLIENT_DOCTOR_H_
#define FOREKEY_SRC_CLI_CLIENT_DOCTOR_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "forekey/v1/agent.pb.h"
#include "src/cli/client/doctor_machine.h"
#include "src/cli/terminal/finding.h"

namespace forekey {

struct DoctorOptions {
  DoctorMachine machine = DoctorMachine::This();
  std::string socket;  // the agent's; empty: looked for
  // How long each gate may take.
  absl::Duration patience = absl::Seconds(5);
};

// In the order in which things depend on each other: machine, agent, devices, gates.
std::vector<Finding> Diagnose(const DoctorOptions& options);

// What an agent's answers tell.
void AddAgentFindings(const forekey::v1::GetStatusResponse& status, const std::string& socket,
                      std::vector<Finding>& findings);
void AddDeviceFindings(const forekey::v1::ListDevicesResponse& devices,
                       std::vector<Finding>& findings);

// What is wrong with a gate that can't be reached. `advice`: what DiagnoseGate says.
Finding GateFinding(const std::string& audience, const std::string& address,
                    forekey::v1::GateTrouble trouble, const std::string& advice);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_CLIENT_DOCTOR_H_

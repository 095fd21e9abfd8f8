// SPDX-License-Identifier: Apache-2.0
// What `forekey doctor` looks at on this machine without asking anybody: devices and who may open
// them, the smartcard daemon and who holds its readers, the agent's units, the clock.
#ifndef FOREKEY_SRC_CLI_CLIENT_DOCTOR_MACHINE_H_
#define FOREKEY_SRC_CLI_CLIENT_DOCTOR_MACHINE_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "src/cli/terminal/finding.h"

namespace forekey {

// The machine, as far as it is looked at: a test breaks a copy of it.
struct DoctorMachine {
  std::string root;  // before every absolute path; empty: the machine itself
  // The value of a variable of the environment; empty where it is not set.
  std::function<std::string(const char* name)> environment;
  // Whether this process may read and write there.
  std::function<bool(const std::string& path)> may_open;
  // Whether the kernel says that the clock is set by another one.
  std::function<bool()> clock_is_synchronised;

  static DoctorMachine This();
};

// Changes nothing, asks no token anything.
void CheckTpm(const DoctorMachine& machine, std::vector<Finding>& findings);
void CheckSecurityKeys(const DoctorMachine& machine, std::vector<Finding>& findings);
void CheckSmartcards(const DoctorMachine& machine, std::vector<Finding>& findings);
void CheckUnits(const DoctorMachine& machine, std::vector<Finding>& findings);
void CheckClock(const DoctorMachine& machine, std::vector<Finding>& findings);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_CLIENT_DOCTOR_MACHINE_H_

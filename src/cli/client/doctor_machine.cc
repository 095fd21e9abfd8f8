// SPDX-License-Identifier: Apache-2.0
#include "src/cli/client/doctor_machine.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/file.h"

namespace forekey {
namespace {

namespace fs = std::filesystem;

using Level = Finding::Level;

constexpr size_t kMaxSmallFile = 1 << 16;

bool Exists(const DoctorMachine& machine, absl::string_view path) {
  std::error_code ignored;
  return fs::exists(absl::StrCat(machine.root, path), ignored);
}

std::string Read(const DoctorMachine& machine, absl::string_view path) {
  return ReadFile(absl::StrCat(machine.root, path), kMaxSmallFile).value_or("");
}

std::vector<std::string> EntriesOf(const DoctorMachine& machine, absl::string_view folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(absl::StrCat(machine.root, folder), error), end;
       !error && entry != end; entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool InContainer(const DoctorMachine& machine) {
  return Exists(machine, "/.dockerenv") || Exists(machine, "/run/.containerenv") ||
         !machine.environment("container").empty();
}

constexpr char kContainerMend[] = "give the device to the container (docker run --device PATH)";

// HID Usage Page 0xF1D0 (FIDO Alliance), as the report descriptor of a security key begins:
// 06 D0 F1 (CTAP 2.1, section 11.2.8.2).
bool IsSecurityKey(const DoctorMachine& machine, const std::string& hidraw) {
  const std::string descriptor =
      Read(machine, absl::StrCat("/sys/class/hidraw/", hidraw, "/device/report_descriptor"));
  return absl::StrContains(descriptor, std::string("\x06\xD0\xF1", 3));
}

bool HasUdevRules(const DoctorMachine& machine) {
  for (const char* folder :
       {"/etc/udev/rules.d", "/run/udev/rules.d", "/usr/local/lib/udev/rules.d",
        "/usr/lib/udev/rules.d", "/lib/udev/rules.d"}) {
    for (const std::string& name : EntriesOf(machine, folder)) {
      if (absl::EndsWith(name, "-forekey.rules") || absl::EndsWith(name, "-fido-id.rules")) {
        return true;
      }
    }
  }
  return false;
}

// A process of that name, by /proc/PID/comm; its pid, or empty.
std::string ProcessNamed(const DoctorMachine& machine, absl::string_view name) {
  for (const std::string& pid : EntriesOf(machine, "/proc")) {
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string comm = Read(machine, absl::StrCat("/proc/", pid, "/comm"));
    if (absl::StripTrailingAsciiWhitespace(comm) == name) return pid;
  }
  return "";
}

}  // namespace

DoctorMachine DoctorMachine::This() {
  DoctorMachine machine;
  machine.environment = [](const char* name) {
    const char* value = getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  machine.may_open = [](const std::string& path) { return access(path.c_str(), R_OK | W_OK) == 0; };
  machine.clock_is_synchronised = [] {
    timex status = {};
    return adjtimex(&status) != TIME_ERROR;
  };
  return machine;
}

void CheckTpm(const DoctorMachine& machine, std::vector<Finding>& findings) {
  constexpr char kDevice[] = "/dev/tpmrm0";
  if (!Exists(machine, kDevice)) {
    if (Exists(machine, "/dev/tpm0")) {
      findings.push_back({Level::kBad, "tpm-no-resource-manager",
                          "there is /dev/tpm0, and no /dev/tpmrm0",
                          "without the kernel's resource manager programs end each other's keys",
                          "update the kernel (4.12 or later), or run tpm2-abrmd"});
      return;
    }
    findings.push_back({Level::kNote, "tpm-none", "this machine shows no TPM (/dev/tpmrm0)",
                        "keys in a TPM can't be enrolled; other tokens can",
                        InContainer(machine) ? kContainerMend
                                             : "switch it on in the firmware's setup (Security: "
                                               "TPM, PTT or fTPM), where there is one"});
    return;
  }
  if (machine.may_open(absl::StrCat(machine.root, kDevice))) {
    findings.push_back({Level::kGood, "tpm-access", "the TPM can be opened", "", ""});
    return;
  }
  findings.push_back({Level::kBad, "tpm-no-access",
                      absl::StrCat("the TPM (", kDevice, ") can't be opened by this user"),
                      "the agent runs as this user, and its keys are in there",
                      InContainer(machine)
                          ? kContainerMend
                          : "sudo adduser $USER tss    (then log out, and in again)"});
}

void CheckSecurityKeys(const DoctorMachine& machine, std::vector<Finding>& findings) {
  int keys = 0;
  for (const std::string& name : EntriesOf(machine, "/sys/class/hidraw")) {
    if (!IsSecurityKey(machine, name)) continue;
    ++keys;
    const std::string device = absl::StrCat("/dev/", name);
    if (machine.may_open(absl::StrCat(machine.root, device))) {
      findings.push_back({Level::kGood, "fido2-access",
                          absl::StrCat("the security key on ", device, " can be opened"), "", ""});
      continue;
    }
    const bool rules = HasUdevRules(machine);
    findings.push_back(
        {Level::kBad, rules ? "fido2-no-access" : "fido2-no-udev-rules",
         absl::StrCat("the security key on ", device, " can't be opened by this user",
                      rules ? "" : ": no udev rules for security keys are installed"),
         "udev gives it to who sits at the machine, and to the group forekey",
         InContainer(machine) ? kContainerMend
         : rules
             ? "sudo adduser $USER forekey    (where you are not at its seat; then log in again)"
             : "install the package forekey, then: sudo udevadm control --reload; sudo udevadm "
               "trigger"});
  }
  if (keys == 0) {
    findings.push_back({Level::kNote, "fido2-none", "no security key is plugged in",
                        "keys in one can't sign until it is", "plug it in"});
  }
}

void CheckSmartcards(const DoctorMachine& machine, std::vector<Finding>& findings) {
  const std::string named = machine.environment("PCSCLITE_CSOCK_NAME");
  const std::string socket = named.empty() ? "/run/pcscd/pcscd.comm" : named;
  if (!Exists(machine, socket)) {
    const bool installed = Exists(machine, "/usr/sbin/pcscd");
    findings.push_back(
        {named.empty() ? Level::kNote : Level::kBad,
         named.empty() ? "pcscd-not-running" : "pcscd-socket-missing",
         absl::StrCat("no smartcard daemon: there is no ", socket,
                      named.empty() ? "" : ", which PCSCLITE_CSOCK_NAME names"),
         "smartcards and the PIV application of security keys are reached through pcscd alone",
         !named.empty() ? "unset PCSCLITE_CSOCK_NAME, or start what it is for"
         : installed    ? "sudo systemctl enable --now pcscd.socket"
                        : "sudo apt install pcscd"});
  } else {
    findings.push_back(
        {Level::kGood, "pcscd", absl::StrCat("pcscd has its socket, ", socket), "", ""});
  }
  if (const std::string pid = ProcessNamed(machine, "scdaemon"); !pid.empty()) {
    findings.push_back(
        {Level::kNote, "scdaemon-holds-reader",
         absl::StrCat("GnuPG's scdaemon runs (process ", pid, ")"),
         "it may hold a card's reader for itself, so that the card is \"busy\" or not "
         "there for others",
         "gpgconf --kill scdaemon    (for good: pcsc-shared and disable-ccid in "
         "~/.gnupg/scdaemon.conf)"});
  }
}

void CheckUnits(const DoctorMachine& machine, std::vector<Finding>& findings) {
  for (const char* folder :
       {"/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"}) {
    const std::string unit = absl::StrCat(folder, "/forekey-agent.service");
    for (absl::string_view line : absl::StrSplit(Read(machine, unit), '\n')) {
      if (!absl::ConsumePrefix(&line, "ExecStart=")) continue;
      const std::string program(line.substr(0, line.find(' ')));
      if (Exists(machine, program)) continue;
      findings.push_back({Level::kBad, "unit-program-missing",
                          absl::StrCat(unit, " starts ", program, ", which is not there"),
                          "the agent does not start by itself",
                          "install the unit and the programs from the same place again"});
    }
  }
}

void CheckClock(const DoctorMachine& machine, std::vector<Finding>& findings) {
  if (machine.clock_is_synchronised()) {
    findings.push_back({Level::kGood, "clock", "the clock is kept right", "", ""});
    return;
  }
  findings.push_back({Level::kNote, "clock-not-synchronised",
                      "nothing keeps this machine's clock right, says the kernel",
                      "with a clock that is days off, gates' certificates look expired or not yet "
                      "valid",
                      "sudo timedatectl set-ntp true"});
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// Simulated security keys as USB devices of a umockdev testbed: programs with libumockdev-preload
// see them in /sys, in udev's enumeration and as /dev/hidrawN, and udev tells when they come and
// go. For what the socket and the PTY don't show: discovery, hotplug, the stock tools' own list.
//
// The testbed holds for this process, if it runs with LD_PRELOAD=libumockdev-preload.so.0
// (umockdev-wrapper), and for the programs that it starts.
#ifndef FOREKEY_SIMULATORS_FIDO2_TESTBED_HID_TESTBED_H_
#define FOREKEY_SIMULATORS_FIDO2_TESTBED_HID_TESTBED_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "simulators/fido2/fido2_simulator.h"
#include "simulators/process.h"

typedef struct _UMockdevTestbed UMockdevTestbed;  // NOLINT: the library's own name

namespace forekey::fido2sim {

// How the system sees the device.
struct UsbIdentity {
  int vendor = 0x1050;
  int product = 0x0407;
  std::string manufacturer = "Forekey";
  std::string name = "Simulated security key";
  std::string serial;  // empty: it tells none
  int port = 1;        // of the only bus; one device a port
};

// From one thread; the simulators outlive their being plugged in.
class HidTestbed {
 public:
  // FailedPrecondition where the preload library is not there.
  static absl::StatusOr<std::unique_ptr<HidTestbed>> New();
  ~HidTestbed();

  // Plugs the token in: its path, "/dev/hidrawN", with a number that was never used before.
  absl::StatusOr<std::string> Plug(Fido2Simulator& token, const UsbIdentity& identity);
  // A device that is none: a keyboard.
  absl::StatusOr<std::string> PlugKeyboard(const UsbIdentity& identity);
  // Pulls it out, in the middle of whatever it does.
  void Unplug(const std::string& path);

 private:
  struct Device {
    std::string usb, node;  // in /sys
    Fido2Simulator* token = nullptr;
    UniqueFd held;  // the slave's side, so that a program's close is not the device's end
  };
  explicit HidTestbed(UMockdevTestbed* testbed) : testbed_(testbed) {}
  absl::StatusOr<std::string> Add(const UsbIdentity& identity, absl::string_view descriptor);
  absl::Status AnswerDescriptor(const std::string& path, absl::string_view descriptor);

  UMockdevTestbed* const testbed_;
  std::map<std::string, Device> devices_;  // by path
  int next_ = 0;
};

}  // namespace forekey::fido2sim

#endif  // FOREKEY_SIMULATORS_FIDO2_TESTBED_HID_TESTBED_H_

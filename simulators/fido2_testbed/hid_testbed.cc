// SPDX-License-Identifier: Apache-2.0
#include "simulators/fido2_testbed/hid_testbed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>
#include <umockdev-1.0/umockdev.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/file.h"
#include "src/base/status.h"

namespace forekey::fido2sim {
namespace {

// USB HID 1.11 section 6.2.2. CTAP 2.1 section 11.2.8.2: usage page 0xf1d0, reports of 64 bytes.
constexpr absl::string_view kFidoDescriptor(
    "\x06\xd0\xf1\x09\x01\xa1\x01\x09\x20\x15\x00\x26\xff\x00\x75\x08\x95\x40\x81\x02\x09\x21\x15"
    "\x00\x26"
    "\xff\x00\x75\x08\x95\x40\x91\x02\xc0",
    34);
constexpr absl::string_view kKeyboardDescriptor(
    "\x05\x01\x09\x06\xa1\x01\x05\x07\x19\xe0\x29\xe7\x15\x00\x25\x01\x75\x01\x95\x08\x81\x02\xc0",
    23);
constexpr size_t kMaxDescriptor = 4096;  // HID_MAX_DESCRIPTOR_SIZE of linux/hidraw.h

absl::Status Failed(absl::string_view what, GError* error) {
  absl::Status status = absl::InternalError(
      absl::StrCat(what, ": ", error == nullptr ? "no reason" : error->message));
  g_clear_error(&error);
  return status;
}

// Devices as `umockdev-record` writes them: the USB device, its interface, the HID device, its
// node.
std::string Describe(const UsbIdentity& id, const std::string& usb, const std::string& hid,
                     const std::string& node, absl::string_view descriptor) {
  const std::string name = node.substr(node.rfind('/') + 1);
  return absl::StrCat(
      absl::StrFormat("P: %s\nN: bus/usb/001/%03d\nE: DEVTYPE=usb_device\nE: SUBSYSTEM=usb\n", usb,
                      id.port + 1),
      absl::StrFormat("A: idVendor=%04x\\n\nA: idProduct=%04x\\n\n", id.vendor, id.product),
      "A: manufacturer=", id.manufacturer, "\\n\nA: product=", id.name, "\\n\n\n",
      absl::StrFormat("P: %s/1-%d:1.0\nE: DEVTYPE=usb_interface\nE: SUBSYSTEM=usb\n", usb, id.port),
      "A: bInterfaceProtocol=00\\n\n\n",
      absl::StrFormat("P: %s\nE: SUBSYSTEM=hid\nE: HID_ID=0003:%08X:%08X\n", hid, id.vendor,
                      id.product),
      absl::StrFormat("E: HID_NAME=%s %s\nE: HID_PHYS=usb-0000:00:14.0-%d/input0\nE: HID_UNIQ=%s\n",
                      id.manufacturer, id.name, id.port, id.serial),
      "H: report_descriptor=", absl::BytesToHexString(descriptor), "\n\n",
      absl::StrFormat("P: %s\nN: %s\nE: DEVNAME=/dev/%s\nE: SUBSYSTEM=hidraw\n", node, name, name),
      absl::StrFormat("E: MAJOR=240\nE: MINOR=%d\nL: device=../../../%s\n", id.port,
                      hid.substr(hid.rfind('/') + 1)));
}

// A program that opens the node must find a line that changes nothing.
absl::StatusOr<UniqueFd> HoldSlave(int master) {
  char name[64];
  if (ptsname_r(master, name, sizeof name) != 0) return absl::ErrnoToStatus(errno, "ptsname_r");
  UniqueFd slave(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  termios settings;
  if (!slave || tcgetattr(slave.get(), &settings) != 0) return absl::ErrnoToStatus(errno, name);
  cfmakeraw(&settings);
  if (tcsetattr(slave.get(), TCSANOW, &settings) != 0) return absl::ErrnoToStatus(errno, name);
  return slave;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HidTestbed>> HidTestbed::New() {
  std::unique_ptr<HidTestbed> testbed(new HidTestbed(umockdev_testbed_new()));
  if (!umockdev_in_mock_environment()) {
    return absl::FailedPreconditionError(
        "a testbed of devices needs LD_PRELOAD=libumockdev-preload.so.0 (umockdev-wrapper)");
  }
  return testbed;
}

HidTestbed::~HidTestbed() {
  while (!devices_.empty()) Unplug(devices_.begin()->first);
  g_object_unref(testbed_);
}

absl::StatusOr<std::string> HidTestbed::Add(const UsbIdentity& identity,
                                            absl::string_view descriptor) {
  const int number = next_++;
  Device device;
  device.usb = absl::StrFormat("/devices/pci0000:00/0000:00:14.0/usb1/1-%d", identity.port);
  const std::string hid =
      absl::StrFormat("%s/1-%d:1.0/0003:%04X:%04X.%04X", device.usb, identity.port, identity.vendor,
                      identity.product, number + 1);
  device.node = absl::StrFormat("%s/hidraw/hidraw%d", hid, number);
  const std::string path = absl::StrFormat("/dev/hidraw%d", number);
  GError* error = nullptr;
  const std::string description = Describe(identity, device.usb, hid, device.node, descriptor);
  if (!umockdev_testbed_add_from_string(testbed_, description.c_str(), &error)) {
    return Failed("umockdev_testbed_add_from_string", error);
  }
  FOREKEY_RETURN_IF_ERROR(AnswerDescriptor(path, descriptor));
  FOREKEY_ASSIGN_OR_RETURN(device.held,
                           HoldSlave(umockdev_testbed_get_dev_fd(testbed_, path.c_str())));
  devices_[path] = std::move(device);
  return path;
}

// HIDIOCGRDESCSIZE and HIDIOCGRDESC, which libfido2 asks for the usage page.
absl::Status HidTestbed::AnswerDescriptor(const std::string& path, absl::string_view descriptor) {
  std::string whole(descriptor);
  whole.resize(kMaxDescriptor);
  const std::string size = absl::StrFormat("%02X000000", descriptor.size());
  char file[] = "/tmp/forekey-ioctl-XXXXXX";
  const UniqueFd fd(mkstemp(file));
  if (!fd) return absl::ErrnoToStatus(errno, file);
  absl::Status status = WriteFileAtomically(
      file, absl::StrCat("@DEV ", path, "\nHIDIOCGRDESCSIZE 0 ", size, "\nHIDIOCGRDESC 0 ", size,
                         absl::BytesToHexString(whole), "\n"));
  GError* error = nullptr;
  if (status.ok() && !umockdev_testbed_load_ioctl(testbed_, path.c_str(), file, &error)) {
    status = Failed("umockdev_testbed_load_ioctl", error);
  }
  unlink(file);
  return status;
}

absl::StatusOr<std::string> HidTestbed::Plug(Fido2Simulator& token, const UsbIdentity& identity) {
  FOREKEY_ASSIGN_OR_RETURN(std::string path, Add(identity, kFidoDescriptor));
  UniqueFd master(fcntl(umockdev_testbed_get_dev_fd(testbed_, path.c_str()), F_DUPFD_CLOEXEC, 0));
  if (!master) return absl::ErrnoToStatus(errno, path);
  Device& device = devices_[path];
  FOREKEY_RETURN_IF_ERROR(token.Replug(std::move(master)));
  device.token = &token;
  umockdev_testbed_uevent(testbed_, absl::StrCat("/sys", device.node).c_str(), "add");
  return path;
}

absl::StatusOr<std::string> HidTestbed::PlugKeyboard(const UsbIdentity& identity) {
  FOREKEY_ASSIGN_OR_RETURN(std::string path, Add(identity, kKeyboardDescriptor));
  umockdev_testbed_uevent(testbed_, absl::StrCat("/sys", devices_[path].node).c_str(), "add");
  return path;
}

void HidTestbed::Unplug(const std::string& path) {
  auto found = devices_.find(path);
  if (found == devices_.end()) return;
  const Device& device = found->second;
  if (device.token != nullptr) device.token->Unplug();
  umockdev_testbed_uevent(testbed_, absl::StrCat("/sys", device.node).c_str(), "remove");
  // The testbed keeps its end open, so that readers would wait on: another file takes its number.
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null) dup3(null.get(), umockdev_testbed_get_dev_fd(testbed_, path.c_str()), O_CLOEXEC);
  // Each by itself: links to a device's children stay otherwise. "hidraw" between them is only a
  // folder.
  for (std::string one = device.node; one.size() >= device.usb.size(); one.resize(one.rfind('/'))) {
    if (absl::EndsWith(one, "/hidraw")) continue;
    umockdev_testbed_remove_device(testbed_, absl::StrCat("/sys", one).c_str());
  }
  devices_.erase(found);
}

}  // namespace forekey::fido2sim

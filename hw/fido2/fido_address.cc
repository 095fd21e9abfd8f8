// SPDX-License-Identifier: Apache-2.0
#include "hw/fido2/fido_address.h"

#include <fido.h>

#include <memory>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "src/base/file.h"
#include "src/base/printable.h"

namespace forekey {
namespace {

constexpr absl::string_view kSimulatorUri = "fido2:sim:path=";
constexpr absl::string_view kHidUri = "fido2:hid:";
constexpr size_t kMaxDevices = 64;

// What may stand in a URI unescaped: all else is dropped from names that hardware chose.
std::string PlainText(absl::string_view text) {
  std::string plain;
  for (char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("-_.:/", c))
      plain += c;
  }
  return plain;
}

FidoAddress SimulatorAt(const std::string& uri) {
  FidoAddress address;
  address.uri = uri;
  address.path = uri.substr(kSimulatorUri.size());
  address.simulator = true;
  return address;
}

std::string TextOf(const char* text) { return text == nullptr ? "" : std::string(text); }

// What hardware calls itself, for prompts, terminals and logs: whoever made the key chose the
// bytes.
std::string NameOf(const char* text) {
  constexpr size_t kMaxName = 64;
  const std::string name = TextOf(text);
  return name.size() <= kMaxName && IsPrintable(name) ? name : Printable(name, kMaxName);
}

FidoAddress HidDevice(const fido_dev_info_t* info) {
  FidoAddress address;
  address.path = TextOf(fido_dev_info_path(info));
  address.manufacturer = NameOf(fido_dev_info_manufacturer_string(info));
  address.product = NameOf(fido_dev_info_product_string(info));
  const std::string name = address.path.substr(address.path.rfind('/') + 1);
  const auto uevent = ReadFile(absl::StrCat("/sys/class/hidraw/", name, "/device/uevent"), 65536);
  const std::string text = uevent.ok() ? *uevent : "";
  address.uri = HidUri(static_cast<uint16_t>(fido_dev_info_vendor(info)),
                       static_cast<uint16_t>(fido_dev_info_product(info)),
                       UeventValue(text, "HID_UNIQ"), UeventValue(text, "HID_PHYS"), address.path);
  return address;
}

}  // namespace

std::string UeventValue(absl::string_view uevent, absl::string_view key) {
  for (absl::string_view line : absl::StrSplit(uevent, '\n')) {
    if (absl::StartsWith(line, absl::StrCat(key, "="))) {
      return std::string(line.substr(key.size() + 1));
    }
  }
  return "";
}

std::string HidUri(int vendor, int product, absl::string_view unique, absl::string_view port,
                   absl::string_view path) {
  const std::string model = absl::StrFormat("%s%04x:%04x:", kHidUri, vendor, product);
  if (const std::string serial = PlainText(unique); !serial.empty()) {
    return absl::StrCat(model, "serial=", serial);
  }
  // "usb-0000:00:14.0-3/input1": the interface after the slash is not the port.
  if (const std::string plain = PlainText(port.substr(0, port.find('/'))); !plain.empty()) {
    return absl::StrCat(model, "port=", plain);
  }
  return absl::StrCat(model, "path=", PlainText(path));
}

absl::Status CheckFidoUri(absl::string_view uri) {
  if (uri == kAnyFidoKey) return absl::OkStatus();
  for (absl::string_view form : {kSimulatorUri, kHidUri}) {
    if (absl::StartsWith(uri, form) && uri.size() > form.size()) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "no URI of a FIDO2 key: \"", uri, "\"; forekey devices prints them, fido2: means any"));
}

std::vector<FidoAddress> FindFidoKeys(const std::vector<std::string>& uris) {
  std::vector<FidoAddress> found;
  fido_dev_info_t* list = fido_dev_info_new(kMaxDevices);
  size_t count = 0;
  if (list != nullptr && fido_dev_info_manifest(list, kMaxDevices, &count) == FIDO_OK) {
    for (size_t i = 0; i < count; ++i) found.push_back(HidDevice(fido_dev_info_ptr(list, i)));
  }
  fido_dev_info_free(&list, kMaxDevices);
  for (const std::string& uri : uris) {
    if (absl::StartsWith(uri, kSimulatorUri)) found.push_back(SimulatorAt(uri));
  }
  return found;
}

std::vector<FidoAddress> FidoKeysAt(const std::string& uri, const std::vector<std::string>& uris) {
  if (absl::StartsWith(uri, kSimulatorUri)) return {SimulatorAt(uri)};
  std::vector<FidoAddress> matching;
  for (FidoAddress& address : FindFidoKeys(uris)) {
    if (uri == kAnyFidoKey || address.uri == uri) matching.push_back(std::move(address));
  }
  return matching;
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// Where FIDO2 keys are, and their URIs. Private to hw/fido2.
//
//   fido2:                                        any key that is plugged in; of several, the one
//                                                 touched
//   fido2:hid:1050:0407:serial=12345              a key with a serial number, wherever it is
//                                                 plugged in
//   fido2:hid:1050:0407:port=usb-0000:00:14.0-3   one without: a key of that model in that port
//   fido2:sim:path=/run/x                         a simulator's unix socket (SOCK_SEQPACKET, HID
//                                                 reports)
#ifndef FOREKEY_HW_FIDO2_FIDO_ADDRESS_H_
#define FOREKEY_HW_FIDO2_FIDO_ADDRESS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

struct FidoAddress {
  std::string uri;
  std::string path;  // of the hidraw node or the socket
  bool simulator = false;
  std::string manufacturer;  // what the system says of it
  std::string product;
};

inline constexpr absl::string_view kAnyFidoKey = "fido2:";

// Text of uevent attributes (HID_UNIQ, HID_PHYS) as sysfs has them: "" where the key is absent.
std::string UeventValue(absl::string_view uevent, absl::string_view key);

// The URI of a HID device; `unique` and `port` may be empty.
std::string HidUri(int vendor, int product, absl::string_view unique, absl::string_view port,
                   absl::string_view path);

// InvalidArgument for what is not one of the forms above.
absl::Status CheckFidoUri(absl::string_view uri);

// The HID devices that are plugged in now (fido_dev_info_manifest), then those of `uris`.
std::vector<FidoAddress> FindFidoKeys(const std::vector<std::string>& uris);

// Those that a checked `uri` names, of what is plugged in and of `uris`. A simulator's is always
// there (opening it tells more).
std::vector<FidoAddress> FidoKeysAt(const std::string& uri, const std::vector<std::string>& uris);

}  // namespace forekey

#endif  // FOREKEY_HW_FIDO2_FIDO_ADDRESS_H_

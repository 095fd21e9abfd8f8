// SPDX-License-Identifier: Apache-2.0
// What people call a device by: as its attestation proved it, read out of the JSON that the
// registry keeps of it.
#ifndef FOREKEY_SRC_STORE_DEVICE_NAMES_H_
#define FOREKEY_SRC_STORE_DEVICE_NAMES_H_

#include <string>

#include "src/store/registry.h"

namespace forekey {

struct DeviceNames {
  std::string model;  // with its maker, as far as both were proved
  // Where there is no serial number: what tells one device from another, such as its endorsement
  // key.
  std::string serial;
};

DeviceNames DeviceNamesOf(const CredentialRecord& credential);

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_DEVICE_NAMES_H_

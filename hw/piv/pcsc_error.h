// SPDX-License-Identifier: Apache-2.0
// What PC/SC return codes mean for the person in front of the machine. Private to hw/piv.
#ifndef FOREKEY_HW_PIV_PCSC_ERROR_H_
#define FOREKEY_HW_PIV_PCSC_ERROR_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace forekey {

// OK for SCARD_S_SUCCESS. Otherwise a DeviceFailure (hw/device_key.h) whose message has the call,
// the code, its name and what to do:
//   "SCardConnect: 0x8010000b SCARD_E_SHARING_VIOLATION: another program has the card to itself
//   ..."
// marked as an interruption (card_channel.h) where beginning again makes sense.
absl::Status FromPcsc(long rc, absl::string_view call);

// SCardEstablishContext's SCARD_E_NO_SERVICE says too little: tells a socket that this user may not
// open from a service that does not run. `socket`: as PcscSocket() gives it.
absl::Status NoService(const std::string& socket);
// $PCSCLITE_CSOCK_NAME, or the distribution's path.
std::string PcscSocket();

// Programs that run now and are known to hold smartcards, for a busy card's message: "scdaemon
// (process 812)", or "another program" where none is known. `proc`: "/proc", a folder of its own
// kind in tests.
std::string LikelyHolders(const std::string& proc = "/proc");

// Whether a smartcard reader (USB class 0x0b) is plugged in. `devices`: "/sys/bus/usb/devices".
bool HasUsbReader(const std::string& devices = "/sys/bus/usb/devices");

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_PCSC_ERROR_H_

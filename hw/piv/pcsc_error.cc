// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/pcsc_error.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <winscard.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "hw/device_key.h"
#include "hw/piv/card_channel.h"
#include "src/base/file.h"

namespace forekey {
namespace {

struct PcscMeaning {
  long code;
  const char* name;
  DeviceError error;
  Interruption interruption;
  const char* advice;
};

constexpr char kServiceEnded[] = "pcscd ended meanwhile; try again";
constexpr char kCardAway[] = "the card was taken out, or the key unplugged";
constexpr char kReaderAway[] = "the reader was unplugged";
constexpr char kContacts[] =
    "the card does not answer; take it out and put it in again, the right way round";

constexpr PcscMeaning kPcscMeanings[] = {
    {SCARD_E_NO_SERVICE, "SCARD_E_NO_SERVICE", DeviceError::kNotSetUp, Interruption::kServiceLost,
     kServiceEnded},
    {SCARD_E_SERVICE_STOPPED, "SCARD_E_SERVICE_STOPPED", DeviceError::kNotSetUp,
     Interruption::kServiceLost, kServiceEnded},
    {SCARD_F_COMM_ERROR, "SCARD_F_COMM_ERROR", DeviceError::kNotSetUp, Interruption::kServiceLost,
     kServiceEnded},
    {SCARD_E_INVALID_HANDLE, "SCARD_E_INVALID_HANDLE", DeviceError::kNotSetUp,
     Interruption::kServiceLost, kServiceEnded},
    {SCARD_P_SHUTDOWN, "SCARD_P_SHUTDOWN", DeviceError::kNotSetUp, Interruption::kServiceLost,
     kServiceEnded},
    {SCARD_W_RESET_CARD, "SCARD_W_RESET_CARD", DeviceError::kBusy, Interruption::kCardReset,
     "another program reset the card; try again"},
    {SCARD_W_UNPOWERED_CARD, "SCARD_W_UNPOWERED_CARD", DeviceError::kBusy, Interruption::kCardReset,
     "the card lost its power; try again"},
    {SCARD_E_NOT_TRANSACTED, "SCARD_E_NOT_TRANSACTED", DeviceError::kBusy, Interruption::kCardReset,
     "the reader could not pass on the command; try again"},
    {SCARD_E_COMM_DATA_LOST, "SCARD_E_COMM_DATA_LOST", DeviceError::kBusy, Interruption::kCardReset,
     "the reader lost an answer; try again"},
    {SCARD_E_SHARING_VIOLATION, "SCARD_E_SHARING_VIOLATION", DeviceError::kBusy,
     Interruption::kNone, ""},
    {SCARD_E_SERVER_TOO_BUSY, "SCARD_E_SERVER_TOO_BUSY", DeviceError::kBusy, Interruption::kNone,
     "pcscd has too much to do; try again"},
    {SCARD_E_NO_MEMORY, "SCARD_E_NO_MEMORY", DeviceError::kBusy, Interruption::kNone,
     "pcscd has too many clients; try again"},
    {SCARD_W_REMOVED_CARD, "SCARD_W_REMOVED_CARD", DeviceError::kGone, Interruption::kNone,
     kCardAway},
    {SCARD_E_NO_SMARTCARD, "SCARD_E_NO_SMARTCARD", DeviceError::kGone, Interruption::kNone,
     "there is no card in the reader"},
    {SCARD_E_READER_UNAVAILABLE, "SCARD_E_READER_UNAVAILABLE", DeviceError::kGone,
     Interruption::kNone, kReaderAway},
    {SCARD_E_UNKNOWN_READER, "SCARD_E_UNKNOWN_READER", DeviceError::kGone, Interruption::kNone,
     kReaderAway},
    {SCARD_E_NO_READERS_AVAILABLE, "SCARD_E_NO_READERS_AVAILABLE", DeviceError::kGone,
     Interruption::kNone, "there is no reader; plug it in"},
    {SCARD_W_UNRESPONSIVE_CARD, "SCARD_W_UNRESPONSIVE_CARD", DeviceError::kOther,
     Interruption::kNone, kContacts},
    {SCARD_W_UNSUPPORTED_CARD, "SCARD_W_UNSUPPORTED_CARD", DeviceError::kOther, Interruption::kNone,
     kContacts},
    // Also what pcscd says for as long as a card is being reset.
    {SCARD_E_PROTO_MISMATCH, "SCARD_E_PROTO_MISMATCH", DeviceError::kOther,
     Interruption::kCardReset, "the card speaks neither T=0 nor T=1"},
    // Also what a pcscd that is just starting or ending says, of nobody in particular.
    {SCARD_W_SECURITY_VIOLATION, "SCARD_W_SECURITY_VIOLATION", DeviceError::kNoAccess,
     Interruption::kServiceLost,
     "pcscd lets only users in that polkit allows: those who sit at the machine, or a rule for "
     "org.debian.pcsc-lite.access_pcsc and org.debian.pcsc-lite.access_card"},
    {SCARD_E_TIMEOUT, "SCARD_E_TIMEOUT", DeviceError::kBusy, Interruption::kNone, "try again"},
};

// As /proc/PID/comm has them: at most 15 bytes.
constexpr absl::string_view kHolders[] = {
    "scdaemon",        "opensc-tool",    "pkcs11-tool",     "pkcs15-tool",     "piv-tool",
    "ssh-pkcs11-help", "ssh-agent",      "yubico-piv-tool", "ykman",           "yubikey-agent",
    "p11-kit-server",  "firefox",        "firefox-esr",     "chrome",          "chromium",
    "thunderbird",     "wpa_supplicant", "authenticator",   "yubioath-deskto", "p11_child",
    "openvpn",         "age-plugin-yub", "pcsc_scan",
};

// Who may come in at all is asked by the first two. Later, the same code is what a pcscd says of a
// handle that it does not know (any more): one that is ending, or another that was started in its
// place.
bool HandleLost(long rc, absl::string_view call) {
  return rc == SCARD_W_SECURITY_VIOLATION && call != "SCardEstablishContext" &&
         call != "SCardConnect";
}

}  // namespace

absl::Status FromPcsc(long rc, absl::string_view call) {
  if (rc == SCARD_S_SUCCESS) return absl::OkStatus();
  const unsigned code = static_cast<unsigned>(rc);
  if (HandleLost(rc, call)) {
    return Interrupted(Interruption::kServiceLost,
                       DeviceFailure(DeviceError::kNotSetUp,
                                     absl::StrFormat("%s: 0x%08x SCARD_W_SECURITY_VIOLATION: %s",
                                                     call, code, kServiceEnded)));
  }
  for (const PcscMeaning& meaning : kPcscMeanings) {
    if (static_cast<unsigned>(meaning.code) != code) continue;
    const std::string advice =
        meaning.code == SCARD_E_SHARING_VIOLATION
            ? absl::StrCat(LikelyHolders(),
                           " has the card to itself; end it, or try again when it is done")
            : meaning.advice;
    return Interrupted(meaning.interruption,
                       DeviceFailure(meaning.error, absl::StrFormat("%s: 0x%08x %s: %s", call, code,
                                                                    meaning.name, advice)));
  }
  return DeviceFailure(
      DeviceError::kOther,
      absl::StrFormat("%s: 0x%08x (%s)", call, code, pcsc_stringify_error(static_cast<LONG>(rc))));
}

std::string PcscSocket() {
  const char* name = secure_getenv("PCSCLITE_CSOCK_NAME");
  return name != nullptr ? name : "/run/pcscd/pcscd.comm";
}

absl::Status NoService(const std::string& socket) {
  if (access(socket.c_str(), R_OK | W_OK) != 0 && errno == EACCES) {
    return DeviceFailure(
        DeviceError::kNoAccess,
        absl::StrCat("SCardEstablishContext: 0x8010001d SCARD_E_NO_SERVICE: this user may "
                     "not open ",
                     socket, ", pcscd's socket"));
  }
  return DeviceFailure(
      DeviceError::kNotSetUp,
      absl::StrCat("SCardEstablishContext: 0x8010001d SCARD_E_NO_SERVICE: pcscd, which "
                   "looks after smartcard readers, does not answer at ",
                   socket, "; install pcscd, and: systemctl enable --now pcscd.socket"));
}

std::string LikelyHolders(const std::string& proc) {
  std::vector<std::string> holders;
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator(proc, error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    const std::string pid = it->path().filename();
    if (!std::all_of(pid.begin(), pid.end(), absl::ascii_isdigit)) continue;
    auto comm = ReadFile(absl::StrCat(proc, "/", pid, "/comm"), 64);
    if (!comm.ok()) continue;
    const absl::string_view name = absl::StripAsciiWhitespace(*comm);
    if (std::find(std::begin(kHolders), std::end(kHolders), name) == std::end(kHolders)) continue;
    holders.push_back(absl::StrCat(name, " (process ", pid, ")"));
  }
  if (holders.empty()) return "another program";
  std::sort(holders.begin(), holders.end());
  return absl::StrCat("another program, likely ", absl::StrJoin(holders, " or "), ",");
}

bool HasUsbReader(const std::string& devices) {
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator(devices, error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    auto interface = ReadFile(it->path().string() + "/bInterfaceClass", 64);
    if (interface.ok() && absl::StripAsciiWhitespace(*interface) == "0b") return true;
  }
  return false;
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/tcti.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <tss2/tss2_tctildr.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "hw/device_key.h"
#include "hw/tpm/tss_error.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr absl::string_view kDevice = "device:";
constexpr absl::string_view kTabrmd = "tabrmd:";
constexpr absl::string_view kSwtpm = "swtpm:path=";
constexpr absl::string_view kSystemTabrmd = "tabrmd:bus_type=system";

absl::Status FromErrno(int error, const std::string& path) {
  const std::string text = absl::StrCat(path, ": ", strerror(error));
  switch (error) {
    case EACCES:
    case EPERM:
      return DeviceFailure(
          DeviceError::kNoAccess,
          absl::StrCat(text,
                       ": this user may not use the TPM; add it to the group tss "
                       "(`usermod -aG tss USER`, then log in anew), or install Forekey's udev "
                       "rules; the package tpm-udev gives /dev/tpmrm0 to that group"));
    case EBUSY:
      return DeviceFailure(DeviceError::kBusy,
                           absl::StrCat(text, ": another program has the device; use /dev/tpmrm0"));
    default:
      return DeviceFailure(DeviceError::kGone, absl::StrCat(text, ": there is no TPM"));
  }
}

// The TCTIs answer every failure with "IO error": what is the matter is asked here.
absl::Status CheckDevice(const std::string& path) {
  int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return FromErrno(errno, path);
  close(fd);
  return absl::OkStatus();
}

absl::Status CheckSocket(const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("socket path too long: ", path));
  }
  const bool accessible = faccessat(AT_FDCWD, path.c_str(), R_OK | W_OK, AT_EACCESS) == 0;
  return accessible ? absl::OkStatus() : FromErrno(errno, path);
}

bool SystemBusIsThere() {
  return getenv("DBUS_SYSTEM_BUS_ADDRESS") != nullptr ||
         access("/run/dbus/system_bus_socket", F_OK) == 0;
}

absl::StatusOr<TctiPtr> OpenOne(const std::string& name) {
  absl::string_view rest = name;
  if (absl::ConsumePrefix(&rest, kDevice)) {
    FOREKEY_RETURN_IF_ERROR(CheckDevice(std::string(rest)));
  } else if (absl::ConsumePrefix(&rest, kSwtpm)) {
    FOREKEY_RETURN_IF_ERROR(CheckSocket(std::string(rest)));
  }
  TSS2_TCTI_CONTEXT* context = nullptr;
  if (TSS2_RC rc = Tss2_TctiLdr_Initialize(name.c_str(), &context); rc != TSS2_RC_SUCCESS) {
    absl::Status status = FromTss(rc, absl::StrCat("Tss2_TctiLdr_Initialize(", name, ")"));
    // Whatever the loader's code is: the transport did not come up.
    return DeviceFailure(DeviceError::kGone, status.message());
  }
  return TctiPtr(context);
}

}  // namespace

void TctiClose::operator()(TSS2_TCTI_CONTEXT* context) const { Tss2_TctiLdr_Finalize(&context); }

absl::StatusOr<std::vector<std::string>> TctiCandidates(absl::string_view uri) {
  absl::string_view rest = uri;
  if (!absl::ConsumePrefix(&rest, "tpm:")) {
    return absl::InvalidArgumentError(absl::StrCat("not a TPM's URI: ", uri));
  }
  if (rest.empty()) {
    return std::vector<std::string>{"device:/dev/tpmrm0", std::string(kSystemTabrmd)};
  }
  const bool device = absl::StartsWith(rest, "device:/");
  const bool swtpm = absl::StartsWith(rest, kSwtpm) && rest.size() > kSwtpm.size() &&
                     !absl::StrContains(rest, ',');
  const bool tabrmd = absl::StartsWith(rest, kTabrmd);
  if (!device && !swtpm && !tabrmd) {
    return absl::InvalidArgumentError(absl::StrCat(
        "unknown TPM URI ", uri,
        ": use tpm:, tpm:device:/dev/..., tpm:tabrmd:[options] or tpm:swtpm:path=..."));
  }
  return std::vector<std::string>{std::string(rest)};
}

absl::StatusOr<TctiPtr> OpenTcti(absl::string_view uri) {
  FOREKEY_ASSIGN_OR_RETURN(std::vector<std::string> candidates, TctiCandidates(uri));
  absl::Status first;
  for (const std::string& name : candidates) {
    if (candidates.size() > 1 && name == kSystemTabrmd && !SystemBusIsThere()) continue;
    auto tcti = OpenOne(name);
    if (tcti.ok()) return tcti;
    if (first.ok()) first = tcti.status();
  }
  if (candidates.size() > 1 && DeviceErrorOf(first) == DeviceError::kGone) {
    return DeviceFailure(DeviceError::kGone,
                         absl::StrCat(first.message(),
                                      " (and no tpm2-abrmd answers); turn the TPM on "
                                      "in the firmware's setup, or give the virtual machine one"));
  }
  return first;
}

}  // namespace forekey

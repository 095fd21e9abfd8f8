// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/tpm_driver.h"

#include <stdlib.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "hw/tpm/capabilities.h"
#include "hw/tpm/endorsement.h"
#include "hw/tpm/key_file.h"
#include "hw/tpm/tcti.h"
#include "hw/tpm/tpm_device.h"
#include "hw/tpm/tpm_enroller.h"
#include "hw/tpm/tpm_key.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr absl::Duration kListPatience = absl::Seconds(3);  // for each TPM

constexpr absl::Duration kEndorsementPatience = absl::Seconds(60);  // an RSA key may be made

constexpr char kUnguarded[] =
    " has no lockoutAuth: whoever may open it can reset its count of wrong passwords, and clear "
    "it. "
    "Set one and keep it well: tpm2_changeauth -c lockout";

}  // namespace

TpmDriver::TpmDriver(std::vector<std::string> uris) : uris_(std::move(uris)) {
  setenv("TSS2_LOG", "all+none", /*overwrite=*/0);
}

TpmDriver::~TpmDriver() = default;

absl::StatusOr<std::shared_ptr<TpmDevice>> TpmDriver::DeviceAt(const std::string& uri) {
  FOREKEY_RETURN_IF_ERROR(TctiCandidates(uri).status());
  absl::MutexLock lock(&mutex_);
  std::shared_ptr<TpmDevice>& device = devices_[uri == "tpm:device:/dev/tpmrm0" ? "tpm:" : uri];
  if (device == nullptr) device = std::make_shared<TpmDevice>(uri);
  return device;
}

std::vector<DeviceInfo> TpmDriver::List(std::vector<std::string>* problems) {
  std::vector<std::string> uris = {"tpm:"};
  uris.insert(uris.end(), uris_.begin(), uris_.end());
  std::vector<DeviceInfo> found;
  for (const std::string& uri : uris) {
    DeviceInfo info{uri, kind(), ""};
    bool guarded = true;
    auto device = DeviceAt(uri);
    absl::Status status = device.status();
    if (device.ok()) {
      // A TPM that hangs must not keep who only wants to know what there is.
      const Deadline until = Deadline::In(kListPatience);
      status = (*device)->Run(until, nullptr, [&](Esys& esys) -> absl::Status {
        FOREKEY_RETURN_IF_ERROR(DescribeTpm(esys, &info));
        FOREKEY_ASSIGN_OR_RETURN(guarded, LockoutAuthIsSet(esys));
        return absl::OkStatus();
      });
    }
    if (status.ok()) {
      found.push_back(std::move(info));
      if (!guarded && problems != nullptr) problems->push_back(absl::StrCat(uri, kUnguarded));
      continue;
    }
    // A machine without TPM has no problem; a TPM whose resource manager is missing is one.
    if (uri == "tpm:" && DeviceErrorOf(status) == DeviceError::kGone) {
      if (access("/dev/tpm0", F_OK) != 0) continue;
      status = DeviceFailure(DeviceError::kGone,
                             "/dev/tpm0 is there, but not /dev/tpmrm0: the kernel has "
                             "no resource manager for it (Linux 4.12 or later has)");
    }
    if (problems != nullptr) problems->push_back(absl::StrCat(uri, " ", status.message()));
  }
  return found;
}

absl::StatusOr<std::unique_ptr<KeyEnroller>> TpmDriver::Enroll(const std::string& uri,
                                                               EnrollOptions options) {
  FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<TpmDevice> device, DeviceAt(uri));
  FOREKEY_RETURN_IF_ERROR(options.named.CheckNames("tpm", {"ek"}));
  FOREKEY_ASSIGN_OR_RETURN(EkChoice choice, ParseEkChoice(options.named.Text("ek")));
  return std::make_unique<TpmEnroller>(std::move(device), std::move(options), std::move(choice));
}

absl::StatusOr<std::vector<std::string>> TpmDriver::HardwareCertificates(const std::string& uri) {
  FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<TpmDevice> device, DeviceAt(uri));
  std::vector<std::string> certificates;
  FOREKEY_RETURN_IF_ERROR(device->Run(
      Deadline::In(kEndorsementPatience), nullptr, [&certificates](Esys& esys) -> absl::Status {
        FOREKEY_ASSIGN_OR_RETURN(EndorsementKey ek, FindEndorsementKey(esys, EkChoice()));
        certificates.clear();
        if (ek.certificate.empty()) return absl::OkStatus();
        certificates.push_back(std::move(ek.certificate));
        for (std::string& one : ek.intermediates) certificates.push_back(std::move(one));
        return absl::OkStatus();
      }));
  return certificates;
}

absl::StatusOr<std::unique_ptr<DeviceKey>> TpmDriver::Load(const std::string& reference,
                                                           Secret key_password) {
  FOREKEY_ASSIGN_OR_RETURN(TpmKeyFile file, ParseKeyFile(reference));
  FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<TpmDevice> device, DeviceAt(file.device_uri));
  return TpmKey::New(std::move(device), file, std::move(key_password));
}

}  // namespace forekey

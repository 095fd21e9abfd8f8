// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/esys.h"

#include "absl/time/clock.h"
#include "hw/device_key.h"
#include "src/base/bytes.h"
#include "src/base/status.h"

namespace forekey {

absl::StatusOr<std::unique_ptr<Esys>> Esys::Open(const std::string& uri, TpmWait wait,
                                                 std::shared_ptr<const void> lease) {
  std::unique_ptr<Esys> esys(new Esys);
  FOREKEY_ASSIGN_OR_RETURN(esys->tcti_, InterruptibleTcti::Open([uri] { return OpenTcti(uri); },
                                                                std::move(wait), std::move(lease)));
  FOREKEY_RETURN_IF_ERROR(
      FromTss(Esys_Initialize(&esys->context_, esys->tcti_->get(), nullptr), "Esys_Initialize"));
  return esys;
}

Esys::~Esys() {
  if (context_ != nullptr) Esys_Finalize(&context_);
}

EsysHandle& EsysHandle::operator=(EsysHandle&& other) noexcept {
  if (this != &other) {
    Reset();
    esys_ = other.esys_;
    handle_ = std::exchange(other.handle_, ESYS_TR_NONE);
    flush_ = other.flush_;
  }
  return *this;
}

void EsysHandle::Reset() {
  if (handle_ == ESYS_TR_NONE) return;
  ESYS_TR handle = std::exchange(handle_, ESYS_TR_NONE);
  if (!flush_) {
    Esys_TR_Close(esys_->get(), &handle);
    return;
  }
  absl::Duration pause = absl::Milliseconds(2);
  for (int attempt = 0; attempt < 9; ++attempt, pause *= 2) {
    absl::Status status = FromTss(Esys_FlushContext(esys_->get(), handle), "Esys_FlushContext");
    if (DeviceErrorOf(status) == DeviceError::kGone) esys_->set_broken(status);
    if (DeviceErrorOf(status) != DeviceError::kBusy) return;
    absl::SleepFor(pause);
  }
}

absl::StatusOr<std::string> NameOf(Esys& esys, ESYS_TR handle) {
  EsysPtr<TPM2B_NAME> name;
  FOREKEY_RETURN_IF_ERROR(
      FromTss(Esys_TR_GetName(esys.get(), handle, Out(name)), "Esys_TR_GetName"));
  return std::string(View(name->name, name->size));
}

}  // namespace forekey

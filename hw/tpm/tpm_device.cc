// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/tpm_device.h"

#include <algorithm>

#include "absl/time/clock.h"

namespace forekey {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(5);
constexpr absl::Duration kFirstPause = absl::Milliseconds(5);
constexpr absl::Duration kLongestPause = absl::Milliseconds(400);
constexpr absl::Duration kTurnPoll = absl::Milliseconds(100);

absl::Status Cancelled() {
  return DeviceFailure(DeviceError::kCancelled, "cancelled while waiting for the TPM");
}

}  // namespace

absl::Status TpmDevice::Run(const Deadline& deadline, const std::function<bool()>& cancelled,
                            absl::FunctionRef<absl::Status(Esys&)> operation) {
  // Another operation may hang, too: the turn is waited for as long as somebody wants it, and there
  // is time.
  const auto free = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !busy_; };
  absl::MutexLock lock(&mutex_);
  while (!AwaitFor(mutex_, absl::Condition(&free), kTurnPoll)) {
    if (cancelled && cancelled()) return Cancelled();
    if (deadline.Passed()) {
      return DeviceFailure(DeviceError::kBusy, "the TPM is busy with something else, or it hangs");
    }
  }
  busy_ = true;
  mutex_.Unlock();
  absl::Status status = RunAlone(deadline, cancelled, operation);
  mutex_.Lock();
  busy_ = false;
  return status;
}

absl::Status TpmDevice::RunAlone(const Deadline& deadline, const std::function<bool()>& cancelled,
                                 absl::FunctionRef<absl::Status(Esys&)> operation) {
  const Deadline until = std::min(deadline, Deadline::In(kPatience));
  absl::Duration pause = kFirstPause;
  bool reconnected = false;
  while (true) {
    if (cancelled && cancelled()) return Cancelled();
    auto esys = Esys::Open(uri_, cancelled);
    const bool was_open = esys.ok();
    absl::Status status = was_open ? operation(**esys) : esys.status();
    if (status.ok()) return status;
    if (was_open && (*esys)->interrupted()) return Cancelled();
    if (was_open && !(*esys)->broken().ok()) status = (*esys)->broken();
    const auto error = DeviceErrorOf(status);
    if (error == DeviceError::kGone && was_open && !reconnected) {
      reconnected = true;
      continue;
    }
    if (error != DeviceError::kBusy || pause > until.Left()) return status;
    esys->reset();  // closes the connection: others may be waiting for it
    absl::SleepFor(pause);
    pause = std::min(2 * pause, kLongestPause);
  }
}

}  // namespace forekey

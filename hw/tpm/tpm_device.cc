// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/tpm_device.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
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

// An earlier command was given up, and the thread that sent it still waits.
absl::Status DoesNotAnswer(const std::string& uri) {
  return DeviceFailure(
      DeviceError::kBusy,
      absl::StrCat("the TPM (", uri,
                   ") does not answer: a command that was given up earlier is still with it. It is "
                   "used again as soon as it answers; if it never does, restart the machine, or "
                   "the program in front of the TPM"));
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
  absl::Status told;  // the TPM's own last word
  while (true) {
    if (cancelled && cancelled()) return Cancelled();
    bool was_open = false;
    const absl::Status status =
        connection_.expired() ? RunOnce(TpmWait{deadline, cancelled, answer_}, operation, was_open)
                              : DoesNotAnswer(uri_);
    const auto error = DeviceErrorOf(status);
    if (error == DeviceError::kGone && was_open && !reconnected) {
      reconnected = true;
      continue;
    }
    if (error == DeviceError::kBusy && connection_.expired()) told = status;
    // Where the time was over in the middle of trying again, why it did so says more.
    if (error == DeviceError::kBusy && deadline.Passed() && !told.ok()) return told;
    // One that was only slow is worth a moment more; one that hangs keeps nobody.
    if (!connection_.expired() && grace_.Passed()) return status;
    if (error != DeviceError::kBusy || pause > until.Left()) return status;
    absl::SleepFor(pause);
    pause = std::min(2 * pause, kLongestPause);
  }
}

absl::Status TpmDevice::RunOnce(TpmWait wait, absl::FunctionRef<absl::Status(Esys&)> operation,
                                bool& was_open) {
  auto lease = std::make_shared<char>();
  connection_ = lease;
  absl::Status status;
  {
    auto esys = Esys::Open(uri_, std::move(wait), std::move(lease));
    was_open = esys.ok();
    status = was_open ? operation(**esys) : esys.status();
    if (was_open && !status.ok()) {
      if (!(*esys)->broken().ok()) status = (*esys)->broken();
      if (!(*esys)->given_up().ok()) status = (*esys)->given_up();
    }
  }  // closes the connection: others may be waiting for it
  if (!connection_.expired()) grace_ = Deadline::In(std::min(kPatience, answer_));
  return status;
}

}  // namespace forekey

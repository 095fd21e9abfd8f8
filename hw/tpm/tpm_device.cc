#include "hw/tpm/tpm_device.h"

#include <algorithm>

#include "absl/time/clock.h"

namespace forekey {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(5);
constexpr absl::Duration kFirstPause = absl::Milliseconds(5);
constexpr absl::Duration kLongestPause = absl::Milliseconds(400);

}  // namespace

absl::Status TpmDevice::Run(absl::Time deadline, const std::function<bool()>& cancelled,
                            absl::FunctionRef<absl::Status(Esys&)> operation) {
  absl::MutexLock lock(&mutex_);
  const absl::Time until = std::min(deadline, absl::Now() + kPatience);
  absl::Duration pause = kFirstPause;
  bool reconnected = false;
  while (true) {
    if (cancelled && cancelled()) {
      return DeviceFailure(DeviceError::kCancelled, "cancelled while waiting for the TPM");
    }
    auto esys = Esys::Open(uri_);
    const bool was_open = esys.ok();
    absl::Status status = was_open ? operation(**esys) : esys.status();
    if (status.ok()) return status;
    if (was_open && !(*esys)->broken().ok()) status = (*esys)->broken();
    const auto error = DeviceErrorOf(status);
    if (error == DeviceError::kGone && was_open && !reconnected) {
      reconnected = true;
      continue;
    }
    if (error != DeviceError::kBusy || absl::Now() + pause > until) return status;
    esys->reset();  // closes the connection: others may be waiting for it
    absl::SleepFor(pause);
    pause = std::min(2 * pause, kLongestPause);
  }
}

}  // namespace forekey

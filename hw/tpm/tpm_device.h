// SPDX-License-Identifier: Apache-2.0
// One TPM, shared by everything in this process that uses it: one operation at a time, each on a
// connection of its own, so that other programs get their turn and a TPM that went away and came
// back is simply used again. Private to hw/tpm. Safe from any thread.
#ifndef FOREKEY_HW_TPM_TPM_DEVICE_H_
#define FOREKEY_HW_TPM_TPM_DEVICE_H_

#include <functional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "hw/device_key.h"
#include "hw/tpm/esys.h"
#include "src/base/deadline.h"

namespace forekey {

class TpmDevice {
 public:
  explicit TpmDevice(std::string uri) : uri_(std::move(uri)) {}
  const std::string& uri() const { return uri_; }

  // Runs `operation` with the TPM to itself (within this process). It must hold its objects in
  // EsysHandles and be fit to be run again from the start: it is, with growing pauses for up to 5
  // s, when the TPM is busy or its slots are full, and once when the connection broke on the way.
  // Stops early when `cancelled`, in the middle of a command that the TPM does not answer, too. From
  // `deadline` on neither a turn is waited for nor anything tried again.
  absl::Status Run(const Deadline& deadline, const std::function<bool()>& cancelled,
                   absl::FunctionRef<absl::Status(Esys&)> operation);

 private:
  absl::Status RunAlone(const Deadline& deadline, const std::function<bool()>& cancelled,
                        absl::FunctionRef<absl::Status(Esys&)> operation);

  const std::string uri_;
  absl::Mutex mutex_;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_TPM_DEVICE_H_

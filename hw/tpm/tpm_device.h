// SPDX-License-Identifier: Apache-2.0
// One TPM, shared by everything in this process that uses it: one operation at a time, each on a
// connection of its own, so that other programs get their turn and a TPM that went away and came
// back is simply used again. Private to hw/tpm. Safe from any thread.
#ifndef FOREKEY_HW_TPM_TPM_DEVICE_H_
#define FOREKEY_HW_TPM_TPM_DEVICE_H_

#include <functional>
#include <memory>
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
  // `answer`: how long each command is waited for at most.
  explicit TpmDevice(std::string uri, absl::Duration answer = kTpmAnswerTime)
      : uri_(std::move(uri)), answer_(answer) {}
  const std::string& uri() const { return uri_; }

  // Runs `operation` with the TPM to itself (within this process). It must hold its objects in
  // EsysHandles and be fit to be run again from the start: it is, with growing pauses for up to 5
  // s, when the TPM is busy or its slots are full, and once when the connection broke on the way.
  // Stops when `cancelled`, and at `deadline`, in the middle of a command that the TPM does not
  // answer, too (kBusy). Until it does, whoever comes next is told so, after some seconds at once.
  absl::Status Run(const Deadline& deadline, const std::function<bool()>& cancelled,
                   absl::FunctionRef<absl::Status(Esys&)> operation);

 private:
  absl::Status RunAlone(const Deadline& deadline, const std::function<bool()>& cancelled,
                        absl::FunctionRef<absl::Status(Esys&)> operation);
  absl::Status RunOnce(TpmWait wait, absl::FunctionRef<absl::Status(Esys&)> operation,
                       bool& was_open);

  const std::string uri_;
  const absl::Duration answer_;
  // These two are used by whose turn it is. Alive after the turn: its thread was left behind.
  std::weak_ptr<const void> connection_;
  Deadline grace_;
  absl::Mutex mutex_;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_TPM_DEVICE_H_

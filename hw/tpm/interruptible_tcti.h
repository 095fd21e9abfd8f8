// SPDX-License-Identifier: Apache-2.0
// A transport that stops waiting for a TPM when nobody wants its answer any more. ESYS waits
// without end for one that hangs, and so do transports that can't be polled (swtpm's and
// tpm2-abrmd's; only the one of a device node can). So the real transport lives in a thread of its
// own, which opens, uses and closes it; when its answer is given up, that thread is left behind
// until the TPM answers, and nobody else waits. Before it closes the transport, it flushes what was
// loaded over it and not flushed by its owner, what the late answer loaded included: without a
// resource manager that would fill the TPM's few slots. Private to hw/tpm.
#ifndef FOREKEY_HW_TPM_INTERRUPTIBLE_TCTI_H_
#define FOREKEY_HW_TPM_INTERRUPTIBLE_TCTI_H_

#include <tss2/tss2_tcti.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "hw/tpm/tcti.h"
#include "src/base/deadline.h"

namespace forekey {

// Longer than any command of this driver takes: a primary RSA key takes slow TPMs a minute.
inline constexpr absl::Duration kTpmAnswerTime = absl::Minutes(2);

// Until when the TPM is waited for.
struct TpmWait {
  Deadline deadline;
  std::function<bool()> cancelled;         // polled while the TPM works; may be empty
  absl::Duration answer = kTpmAnswerTime;  // each command has that long at most, and opening
};

// Given to ESYS in the place of the transport. Not thread-safe, as that one isn't.
class InterruptibleTcti {
 public:
  using Opener = std::function<absl::StatusOr<TctiPtr>()>;
  // `open` runs in the new thread, and must not refer to what may end before it does. `lease` is
  // let go when the transport is closed: later than this object ends where the thread was left
  // behind. Errors: those of `open`, and given_up().
  static absl::StatusOr<std::unique_ptr<InterruptibleTcti>> Open(Opener open, TpmWait wait,
                                                                 std::shared_ptr<const void> lease);
  ~InterruptibleTcti();
  InterruptibleTcti(const InterruptibleTcti&) = delete;
  InterruptibleTcti& operator=(const InterruptibleTcti&) = delete;

  TSS2_TCTI_CONTEXT* get() { return reinterpret_cast<TSS2_TCTI_CONTEXT*>(&outer_); }
  // Not OK once an answer was given up: kCancelled, or kBusy where it did not come in time. Every
  // later command fails, and the connection is of no more use.
  const absl::Status& given_up() const { return given_up_; }

 private:
  struct Outer {
    TSS2_TCTI_CONTEXT_COMMON_V2 common = {};  // first: ESYS sees nothing else
    InterruptibleTcti* self = nullptr;
  };
  // What the two threads share.
  struct Line {
    absl::Mutex mutex;
    bool working ABSL_GUARDED_BY(mutex) = true;  // opens, or has a command
    bool closing ABSL_GUARDED_BY(mutex) = false;
    bool closed ABSL_GUARDED_BY(mutex) = false;
    absl::Status opened ABSL_GUARDED_BY(mutex);
    std::string command ABSL_GUARDED_BY(mutex);
    std::string response ABSL_GUARDED_BY(mutex);
    TSS2_RC code ABSL_GUARDED_BY(mutex) = TSS2_RC_SUCCESS;
  };

  explicit InterruptibleTcti(TpmWait wait);
  static InterruptibleTcti& Of(TSS2_TCTI_CONTEXT* context) {
    return *reinterpret_cast<Outer*>(context)->self;
  }
  static void Serve(Line& line, const Opener& open);
  static TSS2_RC Transmit(TSS2_TCTI_CONTEXT* context, size_t size, const uint8_t* command);
  static TSS2_RC Receive(TSS2_TCTI_CONTEXT* context, size_t* size, uint8_t* response,
                         int32_t timeout);
  // Until the thread has nothing to do; given_up() where that is waited for no longer.
  absl::Status AwaitAnswer();

  const TpmWait wait_;
  const std::shared_ptr<Line> line_ = std::make_shared<Line>();
  Outer outer_;
  absl::Status given_up_;
  std::thread thread_;
};

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_INTERRUPTIBLE_TCTI_H_

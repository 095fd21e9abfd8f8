// SPDX-License-Identifier: Apache-2.0
// A transport that stops waiting for a TPM when nobody wants its answer any more: ESYS waits without
// end for one that hangs. Private to hw/tpm.
#ifndef FOREKEY_HW_TPM_INTERRUPTIBLE_TCTI_H_
#define FOREKEY_HW_TPM_INTERRUPTIBLE_TCTI_H_

#include <tss2/tss2_tcti.h>

#include <functional>
#include <memory>

#include "hw/tpm/tcti.h"

namespace forekey {

// Given to ESYS in the place of the transport that it wraps. Not thread-safe, as that one isn't.
class InterruptibleTcti {
 public:
  // `cancelled` is polled while the TPM works; it may be empty.
  InterruptibleTcti(TctiPtr inner, std::function<bool()> cancelled);
  InterruptibleTcti(const InterruptibleTcti&) = delete;
  InterruptibleTcti& operator=(const InterruptibleTcti&) = delete;

  TSS2_TCTI_CONTEXT* get() { return reinterpret_cast<TSS2_TCTI_CONTEXT*>(&outer_); }
  // An answer was given up: every later command fails, and the connection is of no more use.
  bool interrupted() const { return outer_.interrupted; }

 private:
  struct Outer {
    TSS2_TCTI_CONTEXT_COMMON_V2 common = {};  // first: ESYS sees nothing else
    TctiPtr inner;
    std::function<bool()> cancelled;
    bool interrupted = false;
  };
  static Outer& Of(TSS2_TCTI_CONTEXT* context) { return *reinterpret_cast<Outer*>(context); }
  static TSS2_RC Transmit(TSS2_TCTI_CONTEXT* context, size_t size, const uint8_t* command);
  static TSS2_RC Receive(TSS2_TCTI_CONTEXT* context, size_t* size, uint8_t* response,
                         int32_t timeout);

  Outer outer_;
};

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_INTERRUPTIBLE_TCTI_H_

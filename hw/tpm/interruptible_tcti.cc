// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/interruptible_tcti.h"

#include <errno.h>
#include <poll.h>

#include <algorithm>
#include <utility>

namespace forekey {
namespace {

constexpr int kLookMs = 100;
constexpr size_t kMostHandles = 8;

}  // namespace

InterruptibleTcti::InterruptibleTcti(TctiPtr inner, std::function<bool()> cancelled) {
  outer_.common.v1.magic = TSS2_TCTI_MAGIC(inner.get());
  outer_.common.v1.version = 2;
  outer_.common.v1.transmit = Transmit;
  outer_.common.v1.receive = Receive;
  outer_.common.v1.finalize = [](TSS2_TCTI_CONTEXT*) {};  // the inner one ends with this object
  outer_.common.v1.cancel = [](TSS2_TCTI_CONTEXT* context) -> TSS2_RC {
    return Tss2_Tcti_Cancel(Of(context).inner.get());
  };
  outer_.common.v1.getPollHandles = [](TSS2_TCTI_CONTEXT* context, TSS2_TCTI_POLL_HANDLE* handles,
                                       size_t* count) -> TSS2_RC {
    return Tss2_Tcti_GetPollHandles(Of(context).inner.get(), handles, count);
  };
  outer_.common.v1.setLocality = [](TSS2_TCTI_CONTEXT* context, uint8_t locality) -> TSS2_RC {
    return Tss2_Tcti_SetLocality(Of(context).inner.get(), locality);
  };
  outer_.common.makeSticky = [](TSS2_TCTI_CONTEXT* context, TPM2_HANDLE* handle,
                                uint8_t sticky) -> TSS2_RC {
    return Tss2_Tcti_MakeSticky(Of(context).inner.get(), handle, sticky);
  };
  outer_.inner = std::move(inner);
  outer_.cancelled = std::move(cancelled);
}

TSS2_RC InterruptibleTcti::Transmit(TSS2_TCTI_CONTEXT* context, size_t size,
                                    const uint8_t* command) {
  Outer& outer = Of(context);
  if (outer.interrupted) return TSS2_TCTI_RC_IO_ERROR;
  return Tss2_Tcti_Transmit(outer.inner.get(), size, command);
}

TSS2_RC InterruptibleTcti::Receive(TSS2_TCTI_CONTEXT* context, size_t* size, uint8_t* response,
                                   int32_t timeout) {
  Outer& outer = Of(context);
  if (outer.interrupted) return TSS2_TCTI_RC_IO_ERROR;
  pollfd handles[kMostHandles] = {};
  size_t count = kMostHandles;
  // A transport that can't be polled (tpm2-abrmd's, over D-Bus) is waited for as ever.
  const bool polled =
      outer.cancelled && timeout == TSS2_TCTI_TIMEOUT_BLOCK &&
      Tss2_Tcti_GetPollHandles(outer.inner.get(), handles, &count) == TSS2_RC_SUCCESS && count > 0;
  // "Writable", which a transport may ask for, is no answer.
  for (pollfd& handle : handles) handle.events = POLLIN;
  while (polled) {
    const int ready = poll(handles, static_cast<nfds_t>(std::min(count, kMostHandles)), kLookMs);
    // A signal ends a look and not the wait: behind it lies one that can't be cancelled.
    if (ready > 0 || (ready < 0 && errno != EINTR)) break;
    if (!outer.cancelled()) continue;
    outer.interrupted = true;
    return TSS2_TCTI_RC_IO_ERROR;
  }
  return Tss2_Tcti_Receive(outer.inner.get(), size, response, timeout);
}

}  // namespace forekey

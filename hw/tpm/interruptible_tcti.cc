// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/interruptible_tcti.h"

#include <tss2/tss2_tpm2_types.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "hw/device_key.h"
#include "hw/tpm/loaded_handles.h"
#include "src/base/bytes.h"

namespace forekey {
namespace {

constexpr absl::Duration kLook = absl::Milliseconds(100);
constexpr absl::Duration kClosingTime = absl::Seconds(5);
constexpr int kFlushTries = 9;
constexpr absl::Duration kFirstFlushPause = absl::Milliseconds(2);

// One command to the TPM, and its answer. Blocks for as long as the TPM takes.
TSS2_RC Exchange(TSS2_TCTI_CONTEXT* tcti, absl::string_view command, std::string& response) {
  if (TSS2_RC rc = Tss2_Tcti_Transmit(tcti, command.size(), U8(command)); rc != TSS2_RC_SUCCESS) {
    return rc;
  }
  uint8_t bytes[TPM2_MAX_RESPONSE_SIZE];
  size_t size = sizeof(bytes);
  const TSS2_RC rc = Tss2_Tcti_Receive(tcti, &size, bytes, TSS2_TCTI_TIMEOUT_BLOCK);
  if (rc == TSS2_RC_SUCCESS) response.assign(bytes, bytes + size);
  return rc;
}

// What nobody else will flush: the owner of a command that was given up does not know what its late
// answer loaded, and can send nothing more. A busy TPM is asked again for up to a second.
void FlushWhatIsLeft(TSS2_TCTI_CONTEXT* tcti, LoadedHandles& loaded) {
  absl::Duration pause = kFirstFlushPause;
  for (int tries = 0; tries < kFlushTries && !loaded.Held().empty(); ++tries, pause *= 2) {
    if (tries > 0) absl::SleepFor(pause);
    const std::vector<TPM2_HANDLE> held = loaded.Held();
    for (TPM2_HANDLE handle : held) {
      const std::string command = FlushCommand(handle);
      std::string response;
      if (Exchange(tcti, command, response) != TSS2_RC_SUCCESS) return;
      loaded.Note(command, response);
    }
  }
}

}  // namespace

InterruptibleTcti::InterruptibleTcti(TpmWait wait) : wait_(std::move(wait)) {
  outer_.self = this;
  outer_.common.v1.magic = 0x666f72656b6579;  // "forekey"
  outer_.common.v1.version = 2;
  outer_.common.v1.transmit = Transmit;
  outer_.common.v1.receive = Receive;
  outer_.common.v1.finalize = [](TSS2_TCTI_CONTEXT*) {};  // the real one ends with this object
  // ESYS's synchronous calls ask for none of these.
  outer_.common.v1.cancel = [](TSS2_TCTI_CONTEXT*) -> TSS2_RC {
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
  };
  outer_.common.v1.getPollHandles = [](TSS2_TCTI_CONTEXT*, TSS2_TCTI_POLL_HANDLE*,
                                       size_t*) -> TSS2_RC { return TSS2_TCTI_RC_NOT_IMPLEMENTED; };
  outer_.common.v1.setLocality = [](TSS2_TCTI_CONTEXT*, uint8_t) -> TSS2_RC {
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
  };
  outer_.common.makeSticky = [](TSS2_TCTI_CONTEXT*, TPM2_HANDLE*, uint8_t) -> TSS2_RC {
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
  };
}

absl::StatusOr<std::unique_ptr<InterruptibleTcti>> InterruptibleTcti::Open(
    Opener open, TpmWait wait, std::shared_ptr<const void> lease) {
  std::unique_ptr<InterruptibleTcti> tcti(new InterruptibleTcti(std::move(wait)));
  tcti->thread_ =
      std::thread([line = tcti->line_, open = std::move(open), lease = std::move(lease)]() mutable {
        Serve(*line, open);
        lease.reset();
        absl::MutexLock lock(&line->mutex);
        line->closed = true;
      });
  if (absl::Status status = tcti->AwaitAnswer(); !status.ok()) return status;
  absl::MutexLock lock(&tcti->line_->mutex);
  if (!tcti->line_->opened.ok()) return tcti->line_->opened;
  return tcti;
}

InterruptibleTcti::~InterruptibleTcti() {
  const auto closed = [this]()
                          ABSL_EXCLUSIVE_LOCKS_REQUIRED(line_->mutex) { return line_->closed; };
  bool ended = false;
  {
    absl::MutexLock lock(&line_->mutex);
    line_->closing = true;
    ended = given_up_.ok() ? AwaitFor(line_->mutex, absl::Condition(&closed), kClosingTime)
                           : line_->closed;
  }
  ended ? thread_.join() : thread_.detach();
}

// In the thread of its own.
void InterruptibleTcti::Serve(Line& line, const Opener& open) {
  const auto tcti = open();
  LoadedHandles loaded;
  const auto wanted = [&line]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(line.mutex) {
    return line.working || line.closing;
  };
  absl::MutexLock lock(&line.mutex);
  line.opened = tcti.status();
  line.working = false;
  bool answers = true;
  while (tcti.ok()) {
    line.mutex.Await(absl::Condition(&wanted));
    const bool working = line.working;
    const std::string command = std::move(line.command);
    std::string response;
    TSS2_RC code = TSS2_RC_SUCCESS;
    line.mutex.Unlock();
    if (working) {
      code = Exchange(tcti->get(), command, response);
      loaded.Note(command, response);
    } else if (answers) {
      FlushWhatIsLeft(tcti->get(), loaded);
    }
    line.mutex.Lock();
    if (!working) return;
    // On a connection that broke, an answer could be taken for another command's.
    answers = answers && code == TSS2_RC_SUCCESS;
    line.code = code;
    line.response = std::move(response);
    line.working = false;
  }
}

absl::Status InterruptibleTcti::AwaitAnswer() {
  const Deadline until = std::min(wait_.deadline, Deadline::In(wait_.answer));
  const auto idle = [this]()
                        ABSL_EXCLUSIVE_LOCKS_REQUIRED(line_->mutex) { return !line_->working; };
  while (true) {
    {
      absl::MutexLock lock(&line_->mutex);
      if (AwaitFor(line_->mutex, absl::Condition(&idle), std::min(kLook, until.Left()))) return {};
    }
    if (wait_.cancelled && wait_.cancelled()) {
      given_up_ = DeviceFailure(DeviceError::kCancelled, "cancelled while waiting for the TPM");
    } else if (until.Passed()) {
      given_up_ = DeviceFailure(DeviceError::kBusy,
                                "the TPM has not answered in time: it is busy with something long, "
                                "or it hangs");
    }
    if (!given_up_.ok()) return given_up_;
  }
}

TSS2_RC InterruptibleTcti::Transmit(TSS2_TCTI_CONTEXT* context, size_t size,
                                    const uint8_t* command) {
  InterruptibleTcti& self = Of(context);
  if (!self.given_up_.ok()) return TSS2_TCTI_RC_IO_ERROR;
  absl::MutexLock lock(&self.line_->mutex);
  if (self.line_->working) return TSS2_TCTI_RC_BAD_SEQUENCE;
  self.line_->command = std::string(View(command, size));
  self.line_->working = true;
  return TSS2_RC_SUCCESS;
}

TSS2_RC InterruptibleTcti::Receive(TSS2_TCTI_CONTEXT* context, size_t* size, uint8_t* response,
                                   int32_t timeout) {
  InterruptibleTcti& self = Of(context);
  if (timeout != TSS2_TCTI_TIMEOUT_BLOCK) return TSS2_TCTI_RC_NOT_IMPLEMENTED;
  if (!self.given_up_.ok() || !self.AwaitAnswer().ok()) return TSS2_TCTI_RC_IO_ERROR;
  absl::MutexLock lock(&self.line_->mutex);
  const std::string& answer = self.line_->response;
  if (self.line_->code != TSS2_RC_SUCCESS) return self.line_->code;
  const bool fits = *size >= answer.size();
  *size = answer.size();
  if (response == nullptr) return TSS2_RC_SUCCESS;  // asked for its size alone
  if (!fits) return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
  std::copy(answer.begin(), answer.end(), response);
  return TSS2_RC_SUCCESS;
}

}  // namespace forekey

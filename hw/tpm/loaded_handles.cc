// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/loaded_handles.h"

#include <time.h>

#include <algorithm>
#include <utility>

#include "hw/device_key.h"
#include "hw/tpm/tss_error.h"
#include "src/base/bytes.h"

namespace forekey {
namespace {

constexpr size_t kFlushSize = 14;
// The two clocks are read one after the other: they differ without a sleep, too.
constexpr absl::Duration kShortestSleep = absl::Seconds(1);

// Part 3: the commands whose answer begins with the handle of something that was loaded.
bool Loads(TPM2_CC code) {
  switch (code) {
    case TPM2_CC_CreatePrimary:
    case TPM2_CC_CreateLoaded:
    case TPM2_CC_Load:
    case TPM2_CC_LoadExternal:
    case TPM2_CC_ContextLoad:
    case TPM2_CC_StartAuthSession:
    case TPM2_CC_HMAC_Start:
    case TPM2_CC_HashSequenceStart:
      return true;
    default:
      return false;
  }
}

absl::Duration ReadClock(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return absl::DurationFromTimespec(now);
}

}  // namespace

absl::Duration MachineSlept() { return ReadClock(CLOCK_BOOTTIME) - ReadClock(CLOCK_MONOTONIC); }

LoadedHandles::LoadedHandles(absl::AnyInvocable<absl::Duration()> slept)
    : slept_(std::move(slept)), slept_before_(slept_()) {}

void LoadedHandles::Note(absl::string_view command, absl::string_view answer) {
  const bool slept_since = ForgetAfterSleep();
  ByteReader asked(command), answered(answer);
  asked.Raw(6);
  const TPM2_CC code = asked.U32();
  answered.Raw(6);
  const TPM2_RC result = answered.U32();
  if (!asked.ok() || !answered.ok()) return;
  if (code == TPM2_CC_FlushContext) {
    const TPM2_HANDLE handle = asked.U32();
    if (DeviceErrorOf(FromTss(result, "TPM2_FlushContext")) == DeviceError::kBusy) return;
    held_.erase(std::remove(held_.begin(), held_.end(), handle), held_.end());
  } else if (Loads(code) && result == TPM2_RC_SUCCESS && !slept_since) {
    const TPM2_HANDLE handle = answered.U32();
    if (!answered.ok()) return;
    // The same one again where the context of a session is loaded.
    if (std::find(held_.begin(), held_.end(), handle) == held_.end()) held_.push_back(handle);
  }
}

const std::vector<TPM2_HANDLE>& LoadedHandles::Held() {
  ForgetAfterSleep();
  return held_;
}

bool LoadedHandles::ForgetAfterSleep() {
  const absl::Duration slept = slept_();
  if (slept - slept_before_ < kShortestSleep) return false;
  slept_before_ = slept;
  held_.clear();
  return true;
}

std::string FlushCommand(TPM2_HANDLE handle) {
  return ByteWriter()
      .U16(TPM2_ST_NO_SESSIONS)
      .U32(kFlushSize)
      .U32(TPM2_CC_FlushContext)
      .U32(handle)
      .bytes();
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/tss_error.h"

#include <tss2/tss2_common.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tpm2_types.h>

#include "absl/strings/str_format.h"
#include "hw/device_key.h"

namespace forekey {
namespace {

struct Meaning {
  uint32_t code;
  const char* name;
  DeviceError error;
  const char* advice;
};

constexpr char kWait[] = "the TPM is busy with other programs' commands; try again";
constexpr char kSlots[] =
    "other programs fill the TPM's slots; use /dev/tpmrm0 (the kernel's resource manager) rather "
    "than "
    "/dev/tpm0, end the program that holds them, or flush what was left behind with "
    "`tpm2_flushcontext -t` and `tpm2_flushcontext -l`";
constexpr char kWrongPassword[] =
    "wrong password; where the key has none, it is the owner or endorsement password that is set";

constexpr Meaning kMeanings[] = {
    {TPM2_RC_RETRY, "TPM_RC_RETRY", DeviceError::kBusy, kWait},
    {TPM2_RC_YIELDED, "TPM_RC_YIELDED", DeviceError::kBusy, kWait},
    {TPM2_RC_TESTING, "TPM_RC_TESTING", DeviceError::kBusy, "the TPM tests itself; try again"},
    {TPM2_RC_NV_RATE, "TPM_RC_NV_RATE", DeviceError::kBusy,
     "the TPM slows down writes to its memory; try again in a while"},
    {TPM2_RC_NV_UNAVAILABLE, "TPM_RC_NV_UNAVAILABLE", DeviceError::kBusy, kWait},
    {TPM2_RC_OBJECT_MEMORY, "TPM_RC_OBJECT_MEMORY", DeviceError::kBusy, kSlots},
    {TPM2_RC_SESSION_MEMORY, "TPM_RC_SESSION_MEMORY", DeviceError::kBusy, kSlots},
    {TPM2_RC_MEMORY, "TPM_RC_MEMORY", DeviceError::kBusy, kSlots},
    {TPM2_RC_OBJECT_HANDLES, "TPM_RC_OBJECT_HANDLES", DeviceError::kBusy, kSlots},
    {TPM2_RC_SESSION_HANDLES, "TPM_RC_SESSION_HANDLES", DeviceError::kBusy, kSlots},
    {TPM2_RC_CANCELED, "TPM_RC_CANCELED", DeviceError::kCancelled, "another program cancelled it"},
    {TPM2_RC_LOCKOUT, "TPM_RC_LOCKOUT", DeviceError::kLockedOut,
     "the TPM is locked out after too many wrong passwords; wait (`tpm2_getcap "
     "properties-variable` "
     "shows the recovery time) or, with the lockout password, `tpm2_dictionarylockout -c`"},
    {TPM2_RC_AUTH_FAIL, "TPM_RC_AUTH_FAIL", DeviceError::kWrongPin, kWrongPassword},
    {TPM2_RC_BAD_AUTH, "TPM_RC_BAD_AUTH", DeviceError::kWrongPin, kWrongPassword},
    {TPM2_RC_INITIALIZE, "TPM_RC_INITIALIZE", DeviceError::kNotSetUp,
     "the TPM was not started; the firmware or `tpm2_startup -c` does that"},
    {TPM2_RC_FAILURE, "TPM_RC_FAILURE", DeviceError::kOther,
     "the TPM is in failure mode; turn the machine off and on"},
    {TPM2_RC_HIERARCHY, "TPM_RC_HIERARCHY", DeviceError::kNotSetUp,
     "the owner or endorsement hierarchy is disabled; enable it in the firmware's setup"},
    {TPM2_RC_HANDLE, "TPM_RC_HANDLE", DeviceError::kNotSetUp,
     "that object is not in this TPM (any more): the TPM was cleared, or is another one; enrol "
     "again"},
    {TPM2_RC_INTEGRITY, "TPM_RC_INTEGRITY", DeviceError::kNotSetUp,
     "what was given to the TPM belongs to another TPM, or to this one before it was cleared; "
     "enrol again"},
};

bool IsTpmLayer(uint32_t rc) {
  switch (rc & TSS2_RC_LAYER_MASK) {
    case TSS2_TPM_RC_LAYER:
    case TSS2_RESMGR_RC_LAYER:
    case TSS2_RESMGR_TPM_RC_LAYER:
      return true;
    default:
      return false;
  }
}

absl::Status Fail(DeviceError error, absl::string_view call, uint32_t rc, absl::string_view name,
                  absl::string_view advice) {
  return DeviceFailure(
      error, absl::StrFormat("%s: 0x%08x%s%s (%s)%s%s", call, rc, name.empty() ? "" : " ", name,
                             Tss2_RC_Decode(rc), advice.empty() ? "" : ": ", advice));
}

}  // namespace

uint32_t TpmCodeOf(uint32_t rc) {
  if (!IsTpmLayer(rc)) return 0;
  uint32_t code = rc & 0xffff;
  // Part 2, 6.6.2: format-one codes carry a handle, session or parameter number in bits 6 and 8-11.
  return (code & TPM2_RC_FMT1) != 0 ? code & 0xbf : code & 0xfff;
}

absl::Status FromTss(uint32_t rc, absl::string_view call) {
  if (rc == TSS2_RC_SUCCESS) return absl::OkStatus();
  if (const uint32_t code = TpmCodeOf(rc); code != 0) {
    for (const Meaning& meaning : kMeanings) {
      if (meaning.code == code) return Fail(meaning.error, call, rc, meaning.name, meaning.advice);
    }
    return Fail(DeviceError::kOther, call, rc, "", "");
  }
  switch (rc & ~TSS2_RC_LAYER_MASK) {
    case TSS2_BASE_RC_IO_ERROR:
    case TSS2_BASE_RC_NO_CONNECTION:
      return Fail(DeviceError::kGone, call, rc, "",
                  "the TPM, or the program in front of it, is gone");
    case TSS2_BASE_RC_TRY_AGAIN:
      return Fail(DeviceError::kBusy, call, rc, "", kWait);
    case TSS2_BASE_RC_RSP_AUTH_FAILED:
      return Fail(
          DeviceError::kOther, call, rc, "",
          "an answer was altered between the TPM and this program, or the password is wrong");
    default:
      return Fail(DeviceError::kOther, call, rc, "", "");
  }
}

}  // namespace forekey

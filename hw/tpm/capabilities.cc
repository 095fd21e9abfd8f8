// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/capabilities.h"

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/status.h"
#include "src/wire/firmware_list.h"

namespace forekey {
namespace {

using Properties = std::map<TPM2_PT, uint32_t>;

absl::StatusOr<Properties> ReadProperties(Esys& esys, TPM2_PT first, uint32_t count) {
  Properties properties;
  TPMI_YES_NO more = TPM2_YES;
  const TPM2_PT end = first + count;
  while (more != TPM2_NO && first < end) {
    EsysPtr<TPMS_CAPABILITY_DATA> data;
    FOREKEY_RETURN_IF_ERROR(
        FromTss(Esys_GetCapability(esys.get(), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                   TPM2_CAP_TPM_PROPERTIES, first, end - first, &more, Out(data)),
                "Esys_GetCapability(properties)"));
    const TPML_TAGGED_TPM_PROPERTY& list = data->data.tpmProperties;
    if (list.count == 0) break;
    for (uint32_t i = 0; i < list.count; ++i) {
      properties[list.tpmProperty[i].property] = list.tpmProperty[i].value;
    }
    first = list.tpmProperty[list.count - 1].property + 1;
  }
  return properties;
}

// Four characters in an integer, as the specification stores strings.
std::string Text(uint32_t value) {
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8) {
    const char c = static_cast<char>(value >> shift);
    if (absl::ascii_isprint(c)) text += c;
  }
  return text;
}

}  // namespace

absl::StatusOr<std::vector<TPM2_HANDLE>> Handles(Esys& esys, TPM2_HANDLE first, TPM2_HANDLE last) {
  std::vector<TPM2_HANDLE> handles;
  TPMI_YES_NO more = TPM2_YES;
  while (more != TPM2_NO && first <= last) {
    EsysPtr<TPMS_CAPABILITY_DATA> data;
    FOREKEY_RETURN_IF_ERROR(
        FromTss(Esys_GetCapability(esys.get(), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                   TPM2_CAP_HANDLES, first, TPM2_MAX_CAP_HANDLES, &more, Out(data)),
                "Esys_GetCapability(handles)"));
    const TPML_HANDLE& list = data->data.handles;
    if (list.count == 0) break;
    for (uint32_t i = 0; i < list.count && list.handle[i] <= last; ++i)
      handles.push_back(list.handle[i]);
    first = list.handle[list.count - 1] + 1;
  }
  return handles;
}

absl::StatusOr<uint32_t> NvChunkSize(Esys& esys) {
  FOREKEY_ASSIGN_OR_RETURN(Properties properties, ReadProperties(esys, TPM2_PT_NV_BUFFER_MAX, 1));
  const uint32_t size = properties[TPM2_PT_NV_BUFFER_MAX];
  return size == 0 ? 512 : std::min<uint32_t>(size, TPM2_MAX_NV_BUFFER_SIZE);
}

absl::Status DescribeTpm(Esys& esys, DeviceInfo* info) {
  FOREKEY_ASSIGN_OR_RETURN(Properties properties, ReadProperties(esys, TPM2_PT_FIXED, 32));
  std::string model;
  for (TPM2_PT part : {TPM2_PT_VENDOR_STRING_1, TPM2_PT_VENDOR_STRING_2, TPM2_PT_VENDOR_STRING_3,
                       TPM2_PT_VENDOR_STRING_4}) {
    absl::StrAppend(&model, Text(properties[part]));
  }
  const uint32_t high = properties[TPM2_PT_FIRMWARE_VERSION_1];
  const uint32_t low = properties[TPM2_PT_FIRMWARE_VERSION_2];
  std::string maker = Text(properties[TPM2_PT_MANUFACTURER]);
  absl::StripAsciiWhitespace(&maker);
  absl::StripAsciiWhitespace(&model);
  info->maker = TpmMakerOf(absl::StrFormat("id:%08x", properties[TPM2_PT_MANUFACTURER]));
  info->model = model;
  info->firmware = FirmwareText(forekey::v1::TOKEN_KIND_TPM, uint64_t{high} << 32 | low);
  info->description = absl::StrFormat("TPM 2.0 %s %s, firmware %s", maker, model, info->firmware);
  return absl::OkStatus();
}

absl::StatusOr<int> PasswordTriesLeft(Esys& esys) {
  FOREKEY_ASSIGN_OR_RETURN(Properties properties, ReadProperties(esys, TPM2_PT_LOCKOUT_COUNTER, 2));
  const uint32_t failed = properties[TPM2_PT_LOCKOUT_COUNTER];
  const uint32_t allowed = properties[TPM2_PT_MAX_AUTH_FAIL];
  return allowed > failed ? static_cast<int>(allowed - failed) : 0;
}

absl::StatusOr<bool> LockoutAuthIsSet(Esys& esys) {
  FOREKEY_ASSIGN_OR_RETURN(Properties properties, ReadProperties(esys, TPM2_PT_PERMANENT, 1));
  return (properties[TPM2_PT_PERMANENT] & TPMA_PERMANENT_LOCKOUTAUTHSET) != 0;
}

}  // namespace forekey

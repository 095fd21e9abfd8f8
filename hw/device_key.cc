// SPDX-License-Identifier: Apache-2.0
#include "hw/device_key.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace forekey {
namespace {

constexpr absl::string_view kPayloadUrl = "forekey/device-error";

absl::StatusCode CodeOf(DeviceError error) {
  switch (error) {
    case DeviceError::kGone:
    case DeviceError::kNoCredentials:
      return absl::StatusCode::kNotFound;
    case DeviceError::kDenied:
    case DeviceError::kNoAccess:
      return absl::StatusCode::kPermissionDenied;
    case DeviceError::kNotSetUp:
    case DeviceError::kPinRequired:
      return absl::StatusCode::kFailedPrecondition;
    case DeviceError::kWrongPin:
      return absl::StatusCode::kUnauthenticated;
    case DeviceError::kPinBlocked:
    case DeviceError::kPinAuthBlocked:
    case DeviceError::kUvBlocked:
    case DeviceError::kLockedOut:
      return absl::StatusCode::kResourceExhausted;
    case DeviceError::kBusy:
      return absl::StatusCode::kUnavailable;
    case DeviceError::kTouchTimeout:
      return absl::StatusCode::kDeadlineExceeded;
    case DeviceError::kCancelled:
      return absl::StatusCode::kCancelled;
    case DeviceError::kOther:
      return absl::StatusCode::kInternal;
  }
  return absl::StatusCode::kInternal;
}

}  // namespace

absl::StatusOr<Secret> Prompt::AskSecret(absl::string_view whose) {
  return DeviceFailure(DeviceError::kPinRequired, absl::StrCat("nobody can be asked for ", whose));
}

absl::Status DeviceFailure(DeviceError error, absl::string_view message) {
  absl::Status status(CodeOf(error), message);
  status.SetPayload(kPayloadUrl, absl::Cord(absl::StrCat(static_cast<int>(error))));
  return status;
}

std::optional<DeviceError> DeviceErrorOf(const absl::Status& status) {
  auto payload = status.GetPayload(kPayloadUrl);
  int value = 0;
  if (!payload || !absl::SimpleAtoi(std::string(*payload), &value)) return std::nullopt;
  return static_cast<DeviceError>(value);
}

absl::Status KeyEnroller::BeginAnew() {
  return absl::UnimplementedError("an enrolment of this kind does not begin anew");
}

bool PinIsNoGood(const absl::Status& status) {
  const std::optional<DeviceError> error = DeviceErrorOf(status);
  return error == DeviceError::kWrongPin || error == DeviceError::kPinAuthBlocked ||
         error == DeviceError::kPinBlocked;
}

absl::StatusOr<std::optional<FoundKey>> Driver::KeyAt(const std::string&) { return std::nullopt; }

}  // namespace forekey

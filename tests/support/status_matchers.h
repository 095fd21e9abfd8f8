// SPDX-License-Identifier: Apache-2.0
// gMock matchers for absl::Status and absl::StatusOr.
#ifndef FOREKEY_TESTS_SUPPORT_STATUS_MATCHERS_H_
#define FOREKEY_TESTS_SUPPORT_STATUS_MATCHERS_H_

#include <gmock/gmock.h>

#include <ostream>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/base/reason.h"

namespace forekey {

inline void PrintTo(Reason reason, std::ostream* out) { *out << ReasonName(reason); }

namespace testing {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

MATCHER(IsOk, "is OK") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

// A refusal for exactly this reason.
MATCHER_P(RefusedWith, reason, std::string("is refused with ") + std::string(ReasonName(reason))) {
  *result_listener << StatusOf(arg).ToString();
  return ReasonOf(StatusOf(arg)) == reason;
}

MATCHER_P(HasCode, code, "has the status code") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code;
}

// An error with this code whose message holds `text`: for failures that carry no Reason.
MATCHER_P2(IsError, code, text, "is an error of the given code and text") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code &&
         StatusOf(arg).message().find(text) != absl::string_view::npos;
}

}  // namespace testing
}  // namespace forekey

#endif  // FOREKEY_TESTS_SUPPORT_STATUS_MATCHERS_H_

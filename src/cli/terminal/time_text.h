// SPDX-License-Identifier: Apache-2.0
// How every program of Forekey prints a time.
#ifndef FOREKEY_SRC_CLI_TERMINAL_TIME_TEXT_H_
#define FOREKEY_SRC_CLI_TERMINAL_TIME_TEXT_H_

#include <cstdint>
#include <string>

namespace forekey {

// RFC 3339 in UTC, "2026-11-30T12:00:00+00:00"; empty for 0, which the protos use for "never".
std::string TimeText(int64_t unix_s);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_TERMINAL_TIME_TEXT_H_

// SPDX-License-Identifier: Apache-2.0
// How every program of Forekey prints and reads a time.
#ifndef FOREKEY_SRC_CLI_TERMINAL_TIME_TEXT_H_
#define FOREKEY_SRC_CLI_TERMINAL_TIME_TEXT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace forekey {

// RFC 3339 in UTC, "2026-11-30T12:00:00+00:00", for programs; empty for 0, which the protos use for
// "never".
std::string TimeText(int64_t unix_s);

// For people: "2026-11-30 13:00:00 +01:00", by this machine's time zone.
std::string LocalTimeText(absl::Time time);

// What a person types: "2027-01-15T08:00:00Z"; by `zone`: "2027-01-15", "2027-01-15 10:32[:05]",
// "10:32" (the last time that it was), "today", "yesterday"; before `now`: "90s", "30m", "24h",
// "7d", "2w", also with " ago"; "now". InvalidArgument for anything else, naming these.
absl::StatusOr<absl::Time> ParseTimeText(absl::string_view text, absl::Time now,
                                         absl::TimeZone zone);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_TERMINAL_TIME_TEXT_H_

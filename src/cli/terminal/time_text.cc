// SPDX-License-Identifier: Apache-2.0
#include "src/cli/terminal/time_text.h"

#include "absl/time/time.h"

namespace forekey {

std::string TimeText(int64_t unix_s) {
  if (unix_s == 0) return "";
  return absl::FormatTime(absl::RFC3339_sec, absl::FromUnixSeconds(unix_s), absl::UTCTimeZone());
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/cli/terminal/time_text.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace forekey {
namespace {

std::optional<absl::Duration> UnitOf(char unit) {
  switch (unit) {
    case 's':
      return absl::Seconds(1);
    case 'm':
      return absl::Minutes(1);
    case 'h':
      return absl::Hours(1);
    case 'd':
      return absl::Hours(24);
    case 'w':
      return absl::Hours(24 * 7);
    default:
      return std::nullopt;
  }
}

// "24h", "7 d"
std::optional<absl::Duration> ParseAgo(absl::string_view text) {
  if (text.size() < 2) return std::nullopt;
  const std::optional<absl::Duration> unit = UnitOf(text.back());
  const absl::string_view digits =
      absl::StripTrailingAsciiWhitespace(text.substr(0, text.size() - 1));
  int64_t count = 0;
  if (!unit || digits.empty() || !absl::ascii_isdigit(static_cast<unsigned char>(digits[0])) ||
      !absl::SimpleAtoi(digits, &count) || count > 1'000'000) {
    return std::nullopt;
  }
  return count * *unit;
}

}  // namespace

std::string TimeText(int64_t unix_s) {
  if (unix_s == 0) return "";
  return absl::FormatTime(absl::RFC3339_sec, absl::FromUnixSeconds(unix_s), absl::UTCTimeZone());
}

std::string LocalTimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S %Ez", time, absl::LocalTimeZone());
}

absl::StatusOr<absl::Time> ParseTimeText(absl::string_view text, absl::Time now,
                                         absl::TimeZone zone) {
  text = absl::StripAsciiWhitespace(text);
  const absl::CivilDay today = absl::ToCivilDay(now, zone);
  if (text == "now") return now;
  if (text == "today") return absl::FromCivil(today, zone);
  if (text == "yesterday") return absl::FromCivil(today - 1, zone);
  absl::string_view ago = text;
  absl::ConsumeSuffix(&ago, " ago");
  if (const auto duration = ParseAgo(ago)) return now - *duration;
  absl::Time time;
  std::string ignored;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &ignored)) return time;
  for (const char* format : {"%Y-%m-%d", "%Y-%m-%d%ET%H:%M:%S", "%Y-%m-%d%ET%H:%M",
                             "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"}) {
    if (absl::ParseTime(format, text, zone, &time, &ignored)) return time;
  }
  for (const char* format : {"%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"}) {
    const std::string dated = absl::StrCat(absl::FormatCivilTime(today), " ", text);
    if (!absl::ParseTime(format, dated, zone, &time, &ignored)) continue;
    return time <= now ? time : time - absl::Hours(24);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", text,
      "\" is no time: 2027-01-15T08:00:00Z, 2027-01-15, \"2027-01-15 10:32\", 10:32, today, "
      "yesterday, 30m, 24h, 7d"));
}

}  // namespace forekey

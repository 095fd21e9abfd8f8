// SPDX-License-Identifier: Apache-2.0
#include "src/cli/terminal/did_you_mean.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace forekey {
namespace {

constexpr size_t kLongest = 64;

// Damerau-Levenshtein, by neighbours.
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] =
          std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before = last;
    last = row;
  }
  return last[b.size()];
}

}  // namespace

std::string Closest(absl::string_view word, const std::vector<std::string>& known) {
  if (word.empty() || word.size() > kLongest) return "";
  std::string closest;
  size_t least = word.size() / 3 + 1;
  for (const std::string& name : known) {
    if (name.size() > kLongest || name == word) continue;
    const size_t distance = Distance(word, name);
    if (distance < least) {
      least = distance;
      closest = name;
    }
  }
  return closest;
}

std::string DidYouMean(absl::string_view word, const std::vector<std::string>& known) {
  const std::string closest = Closest(word, known);
  return closest.empty() ? "" : absl::StrCat(": did you mean ", closest, "?");
}

}  // namespace forekey

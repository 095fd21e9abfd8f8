// SPDX-License-Identifier: Apache-2.0
#include "src/cli/terminal/table.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace forekey {
namespace {

constexpr size_t kLeast = 15;  // of a cell that is shortened: 12 characters and "..."
constexpr absl::string_view kGap = "  ";
constexpr absl::string_view kMore = "...";

bool IsInner(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// Characters, taken for one column each.
size_t WidthOf(absl::string_view cell) {
  return static_cast<size_t>(
      std::count_if(cell.begin(), cell.end(), [](char c) { return !IsInner(c); }));
}

std::string Fitted(const std::string& cell, size_t width) {
  if (WidthOf(cell) <= width) return cell;
  size_t end = 0;
  for (size_t kept = 0; end < cell.size(); ++end) {
    if (!IsInner(cell[end]) && kept++ == width - kMore.size()) break;
  }
  return absl::StrCat(cell.substr(0, end), kMore);
}

}  // namespace

size_t TerminalColumns(int fd) {
  winsize size = {};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

Table Table::For(const std::ostream& out) {
  return Table(&out == &std::cout ? TerminalColumns(STDOUT_FILENO) : 0);
}

void Table::Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

void Table::Print(std::ostream& out) const {
  std::vector<size_t> widths;
  for (const auto& row : rows_) {
    if (widths.size() < row.size()) widths.resize(row.size());
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], WidthOf(row[i]));
  }
  const auto line = [&widths] {
    size_t all = 0;
    for (size_t width : widths) all += width + kGap.size();
    return all - std::min(all, kGap.size());
  };
  while (columns_ != 0 && line() > columns_) {
    const auto widest = std::max_element(widths.begin(), widths.end());
    if (*widest <= kLeast) break;
    const size_t over = line() - columns_;
    *widest = *widest > kLeast + over ? *widest - over : kLeast;
  }
  for (const auto& row : rows_) {
    std::string text;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string cell = Fitted(row[i], std::max(widths[i], kMore.size()));
      text += cell;
      if (i + 1 == row.size()) break;
      if (columns_ != 0) text.append(widths[i] - std::min(widths[i], WidthOf(cell)), ' ');
      absl::StrAppend(&text, kGap);
    }
    while (!text.empty() && text.back() == ' ') text.pop_back();
    out << text << "\n";
  }
}

}  // namespace forekey

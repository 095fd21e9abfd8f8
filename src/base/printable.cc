// SPDX-License-Identifier: Apache-2.0
#include "src/base/printable.h"

#include <cstdint>
#include <optional>

#include "absl/strings/str_cat.h"

namespace forekey {
namespace {

// Takes one character (RFC 3629, its shortest form alone); nullopt where there is none.
std::optional<uint32_t> TakeCharacter(absl::string_view* utf8) {
  const uint8_t first = static_cast<uint8_t>(utf8->front());
  const size_t size = first < 0x80   ? 1
                      : first < 0xc2 ? 0
                      : first < 0xe0 ? 2
                      : first < 0xf0 ? 3
                      : first < 0xf5 ? 4
                                     : 0;
  if (size == 0 || size > utf8->size()) return std::nullopt;
  uint32_t code = size == 1 ? first : first & (0x7f >> size);
  for (size_t i = 1; i < size; ++i) {
    const uint8_t next = static_cast<uint8_t>((*utf8)[i]);
    if ((next & 0xc0) != 0x80) return std::nullopt;
    code = code << 6 | (next & 0x3f);
  }
  const bool overlong = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
  if (overlong || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return std::nullopt;
  utf8->remove_prefix(size);
  return code;
}

bool IsShown(uint32_t code) {
  constexpr struct {
    uint32_t first, last;
  } kHidden[] = {{0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},      {0x61c, 0x61c},
                 {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},  {0x2060, 0x206f},
                 {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f}};
  for (const auto& [first, last] : kHidden) {
    if (code >= first && code <= last) return false;
  }
  return true;
}

}  // namespace

bool IsPrintable(absl::string_view utf8) {
  while (!utf8.empty()) {
    const std::optional<uint32_t> code = TakeCharacter(&utf8);
    if (!code || !IsShown(*code)) return false;
  }
  return true;
}

std::string Printable(absl::string_view text, size_t max) {
  std::string shown;
  for (char c : text.substr(0, max)) {
    if (c >= 0x20 && c < 0x7f) {
      shown.push_back(c);
    } else {
      absl::StrAppend(&shown, "\\x", absl::Hex(static_cast<uint8_t>(c), absl::kZeroPad2));
    }
  }
  if (text.size() > max) shown += "...(cut)";
  return shown;
}

std::string Shown(absl::string_view text) {
  return IsPrintable(text) ? std::string(text) : Printable(text, text.size());
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/agent/assuan.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace forekey {

std::string AssuanEscape(absl::string_view text) {
  std::string escaped;
  for (unsigned char c : text) {
    if (c == '%' || absl::ascii_iscntrl(c)) {
      absl::StrAppendFormat(&escaped, "%%%02X", c);
    } else {
      escaped.push_back(static_cast<char>(c));
    }
  }
  return escaped;
}

std::string AssuanFitted(absl::string_view text, size_t most) {
  if (AssuanEscape(text).size() <= most) return std::string(text);
  constexpr absl::string_view kGap = "...";
  const auto inner = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; };
  size_t left = most - kGap.size();
  // A third for the beginning: as many whole characters as fit.
  size_t head = 0;
  for (size_t next = 0; next < text.size(); head = next) {
    do ++next;
    while (next < text.size() && inner(text[next]));
    if (AssuanEscape(text.substr(0, next)).size() > left / 3) break;
  }
  left -= AssuanEscape(text.substr(0, head)).size();
  size_t tail = text.size();
  for (size_t next = tail; next > head; tail = next) {
    do --next;
    while (next > head && inner(text[next]));
    if (AssuanEscape(text.substr(next)).size() > left) break;
  }
  return absl::StrCat(text.substr(0, head), kGap, text.substr(tail));
}

absl::StatusOr<std::string> AssuanUnescape(absl::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 1])) ||
        !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 2]))) {
      return absl::InvalidArgumentError("a percent sign without two hex digits");
    }
    plain += absl::HexStringToBytes(text.substr(i + 1, 2));
    i += 2;
  }
  return plain;
}

}  // namespace forekey

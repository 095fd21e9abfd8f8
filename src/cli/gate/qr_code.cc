// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/qr_code.h"

#include <qrencode.h>

#include <memory>

#include "absl/strings/str_cat.h"

namespace forekey {
namespace {

constexpr int kQuiet = 4;  // modules around it, by ISO/IEC 18004

struct FreeCode {
  void operator()(QRcode* code) const { QRcode_free(code); }
};
using Code = std::unique_ptr<QRcode, FreeCode>;

bool IsDark(const QRcode& code, int row, int column) {
  if (row < 0 || column < 0 || row >= code.width || column >= code.width) return false;
  return (code.data[row * code.width + column] & 1) != 0;
}

std::string Draw(const QRcode& code, bool colours) {
  std::string all;
  for (int row = -kQuiet; row < code.width + kQuiet; row += 2) {
    if (colours) all += "\033[38;5;231;48;5;16m";
    for (int column = -kQuiet; column < code.width + kQuiet; ++column) {
      // A block is light: the colour of the text.
      const bool upper = !IsDark(code, row, column), lower = !IsDark(code, row + 1, column);
      all += upper && lower ? "█" : upper ? "▀" : lower ? "▄" : " ";
    }
    all += colours ? "\033[0m\n" : "\n";
  }
  return all;
}

}  // namespace

absl::StatusOr<std::string> QrCode(absl::string_view text, size_t columns, bool colours) {
  const std::string content(text);
  size_t width = 0;
  for (QRecLevel level : {QR_ECLEVEL_M, QR_ECLEVEL_L}) {
    const Code code(QRcode_encodeString8bit(content.c_str(), 0, level));
    if (code == nullptr) continue;
    width = static_cast<size_t>(code->width) + 2 * static_cast<size_t>(kQuiet);
    if (columns == 0 || width <= columns) return Draw(*code, colours);
  }
  if (width == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("it has ", text.size(), " characters, more than a QR code holds"));
  }
  return absl::FailedPreconditionError(absl::StrCat("the QR code is ", width,
                                                    " columns wide, and the terminal ", columns,
                                                    ": make its window or its text so wide"));
}

}  // namespace forekey

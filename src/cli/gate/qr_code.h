// SPDX-License-Identifier: Apache-2.0
// A QR code that a terminal shows.
#ifndef FOREKEY_SRC_CLI_GATE_QR_CODE_H_
#define FOREKEY_SRC_CLI_GATE_QR_CODE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

// Lines of half blocks, two rows of the code each, with the quiet zone around it. `columns`: of the
// terminal; 0: it is not known. `colours`: black on white by the terminal's colours, whatever its
// theme; else for a dark one. Reads at a damage of 15 %, or 7 % where that is too wide.
// FailedPrecondition, with both widths, where it does not fit.
absl::StatusOr<std::string> QrCode(absl::string_view text, size_t columns, bool colours);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_QR_CODE_H_

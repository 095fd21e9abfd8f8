// SPDX-License-Identifier: Apache-2.0
// Writes to standard error without waiting for whoever reads it. Behind it may be a pipe or a
// socket of a service manager; where nobody reads that any more, a write(2) never returns, and a
// server whose threads log would stop with it.
//
// Safe from any thread; what two of them write at once may be mixed where a text is longer than
// PIPE_BUF.
#ifndef FOREKEY_SRC_BASE_STANDARD_ERROR_H_
#define FOREKEY_SRC_BASE_STANDARD_ERROR_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace forekey {

// DeadlineExceeded where not all of it was taken within `patience` (zero: at once); else the
// system's error. `written`: how many bytes were; may be null.
absl::Status WriteStandardError(absl::string_view bytes, absl::Duration patience,
                                size_t* written = nullptr);

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_STANDARD_ERROR_H_

// SPDX-License-Identifier: Apache-2.0
// A status that says more.
#ifndef FOREKEY_SRC_BASE_STATUS_NOTE_H_
#define FOREKEY_SRC_BASE_STATUS_NOTE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace forekey {

// The status as it is, payloads and all, with more to say.
absl::Status WithNote(const absl::Status& status, absl::string_view note);

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_STATUS_NOTE_H_

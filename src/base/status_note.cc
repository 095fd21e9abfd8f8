// SPDX-License-Identifier: Apache-2.0
#include "src/base/status_note.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace forekey {

absl::Status WithNote(const absl::Status& status, absl::string_view note) {
  absl::Status noted(status.code(), absl::StrCat(status.message(), "; ", note));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { noted.SetPayload(url, payload); });
  return noted;
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// JSON objects out of untrusted text, read in one way alone.
#ifndef FOREKEY_SRC_WIRE_JSON_OBJECT_H_
#define FOREKEY_SRC_WIRE_JSON_OBJECT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace forekey {

// Arrays and objects that others' JSON may have inside one another. The JSON library reads any
// depth, and then copies, compares and prints by recursion.
inline constexpr int kMaxJsonDepth = 64;

// True where more than `depth` arrays and objects are open at once: counted on the text, before
// anything is built of it. Of text that is no JSON it may say either.
bool IsJsonDeeperThan(int depth, absl::string_view text);

// Any value. Discarded (`is_discarded()`) where the text is no JSON, has a NUL byte in it, or goes
// beyond kMaxJsonDepth. Members that are there twice are not told. The caller bounds the size.
nlohmann::json ParseBoundedJson(absl::string_view text);

// RFC 8259, UTF-8. InvalidArgument, with what is wrong: no object, something left over, a NUL byte,
// a depth beyond kMaxJsonDepth, a member that is there twice at any depth (readers disagree on
// which one counts). The caller bounds the size.
absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view text);

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_JSON_OBJECT_H_

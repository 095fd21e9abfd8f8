// JSON objects out of untrusted text, read in one way alone.
#ifndef FOREKEY_SRC_WIRE_JSON_OBJECT_H_
#define FOREKEY_SRC_WIRE_JSON_OBJECT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace forekey {

// RFC 8259, UTF-8. InvalidArgument, with what is wrong: no object, something left over, a NUL byte,
// a member that is there twice at any depth (readers disagree on which one counts). The caller
// bounds the size.
absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view text);

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_JSON_OBJECT_H_

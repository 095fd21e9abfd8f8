// Trust anchors out of a folder that the configuration names.
#ifndef FOREKEY_SRC_GATE_TOKEN_TRUST_FOLDER_H_
#define FOREKEY_SRC_GATE_TOKEN_TRUST_FOLDER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/crypto/certificate.h"

namespace forekey {

// `key`: the configuration's, for messages. FailedPrecondition when the folder holds no certificate
// that can be read: a gate whose trust is empty by mistake must not start. Files that hold none are
// added to `left_out`, after the key.
absl::StatusOr<TrustAnchors> LoadTrustFolder(const std::string& folder, absl::string_view key,
                                             std::vector<std::string>* left_out);

// The same status, its message with `what` before it.
absl::Status StatusNaming(absl::string_view what, const absl::Status& status);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_TRUST_FOLDER_H_

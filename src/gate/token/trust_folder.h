// SPDX-License-Identifier: Apache-2.0
// Trust anchors and revocation lists out of folders that the configuration names.
#ifndef FOREKEY_SRC_GATE_TOKEN_TRUST_FOLDER_H_
#define FOREKEY_SRC_GATE_TOKEN_TRUST_FOLDER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/crypto/certificate.h"
#include "src/crypto/revocation_list.h"

namespace forekey {

// `key`: the configuration's, for messages. FailedPrecondition when the folder holds no certificate
// that can be read: a gate whose trust is empty by mistake must not start, and one that runs must
// not give up what is enrolled. Files that hold none are added to `left_out`, after the key.
//
// A folder with a good mark of src/verify/emptied_trust.h and without a certificate is empty on
// purpose, whatever else lies in it: it trusts nobody, which is said on stderr.
absl::StatusOr<TrustAnchors> LoadTrustFolder(const std::string& folder, absl::string_view key,
                                             std::vector<std::string>* left_out);

// Every file of the folder, each one revocation list. FailedPrecondition when there is none; one
// that can't be used (kCrlInvalid) is an error, too: whom it names would be let in.
absl::StatusOr<std::vector<RevocationList>> LoadRevocationLists(const std::string& folder,
                                                                absl::string_view key);

// The same status, its message with `what` before it.
absl::Status StatusNaming(absl::string_view what, const absl::Status& status);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_TRUST_FOLDER_H_

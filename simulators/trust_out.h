// SPDX-License-Identifier: Apache-2.0
// `--trust-out`: a folder of CA certificates to trust that several simulators may share.
#ifndef FOREKEY_SIMULATORS_TRUST_OUT_H_
#define FOREKEY_SIMULATORS_TRUST_OUT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace forekey {

// Writes <folder>/<name>-<first 8 hex digits of the content's SHA-256>.pem; makes the folder.
// Another simulator's CA of the same name has another content, and so a file of its own; the same
// CA again is the same file.
absl::Status AddToTrust(const std::string& folder, absl::string_view name, absl::string_view pem);

// AddToTrust for every file of `from`, and of its folder intermediates ("intermediate-..."), where
// there is one: whoever reads a trust folder reads no folders in it.
absl::Status CopyTrust(const std::string& from, const std::string& folder);

}  // namespace forekey

#endif  // FOREKEY_SIMULATORS_TRUST_OUT_H_

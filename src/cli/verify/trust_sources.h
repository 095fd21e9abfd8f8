// SPDX-License-Identifier: Apache-2.0
// What `forekey trust import` is given: files, folders of files, cabinets.
#ifndef FOREKEY_SRC_CLI_VERIFY_TRUST_SOURCES_H_
#define FOREKEY_SRC_CLI_VERIFY_TRUST_SOURCES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace forekey {

struct SourceFile {
  std::string name;  // within the source: "AMD/RootCA/AMD-fTPM.cer"; for people, and for guesses
  std::string bytes;
};

// The files of `path`: of a folder and those below it, of a cabinet, or the one file. Names that
// begin with a dot are passed over, and links to folders. Errors: NotFound, what a cabinet has
// (ReadCabinet), FailedPrecondition for what is neither a file nor a folder (a link to nothing, one
// that may not be looked at), ResourceExhausted for more than 10,000 files, 1 MiB in one of a
// folder, 64 MiB in all of them, or a depth of more than 8.
absl::StatusOr<std::vector<SourceFile>> ReadTrustSource(const std::string& path);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_VERIFY_TRUST_SOURCES_H_

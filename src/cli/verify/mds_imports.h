// SPDX-License-Identifier: Apache-2.0
// Which metadata BLOBs `forekey trust import-mds` has verified on this machine, for this user: so
// that `forekey verify --mds F` needs no root, and so that a BLOB older than one seen before is
// refused.
//
// One file, mds-imports.json, in $FOREKEY_STATE_DIR, else $XDG_STATE_HOME/forekey, else
// ~/.local/state/forekey; private to the user. It remembers hashes, numbers and the anchor, never
// what a BLOB says: that is verified again each time.
#ifndef FOREKEY_SRC_CLI_VERIFY_MDS_IMPORTS_H_
#define FOREKEY_SRC_CLI_VERIFY_MDS_IMPORTS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "src/crypto/certificate.h"

namespace forekey {

struct MdsImport {
  uint64_t no = 0;
  Certificate anchor;  // that the signer's path ended at
  absl::Time time;     // as of which the path was verified
};

class MdsImports {
 public:
  // The user's. FailedPrecondition when there is no home; what is there and can't be read is an
  // error, never an empty history.
  static absl::StatusOr<MdsImports> Open();

  // The import of exactly this BLOB.
  std::optional<MdsImport> Find(absl::string_view blob) const;
  // The highest number of any BLOB imported under this anchor.
  std::optional<uint64_t> LatestNo(const Certificate& anchor) const;
  absl::Status Record(absl::string_view blob, const MdsImport& import);
  const std::string& path() const { return path_; }

 private:
  std::string directory_;
  std::string path_;
  nlohmann::json json_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_VERIFY_MDS_IMPORTS_H_

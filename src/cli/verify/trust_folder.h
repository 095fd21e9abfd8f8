// SPDX-License-Identifier: Apache-2.0
// A folder of trust while it is being changed: by one command at a time, and so that whatever ends
// the command (a kill, a full disk) leaves no certificate that is meant to be gone and that no
// later command would find. For that, whoever uses it notes what is there, or may be, before it
// writes, and what is gone only after Remove().
#ifndef FOREKEY_SRC_CLI_VERIFY_TRUST_FOLDER_H_
#define FOREKEY_SRC_CLI_VERIFY_TRUST_FOLDER_H_

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

// True for "tpm/NAME.pem" and the like: a file in one of the folders of trust, whose name has
// letters, digits, '-', '_' and '.' alone and does not begin with a dot.
bool IsTrustFileName(absl::string_view name);

// Move-only; unlocked when it goes.
class LockedTrustFolder {
 public:
  // Makes the folder if it is missing, and waits for whoever changes it now.
  static absl::StatusOr<LockedTrustFolder> Lock(const std::string& directory);
  LockedTrustFolder(LockedTrustFolder&& other) noexcept;
  LockedTrustFolder& operator=(LockedTrustFolder&& other) noexcept;
  ~LockedTrustFolder();

  // `name`: "origins.json", "tpm/NAME.pem". The content is on the disk on return. What ends it
  // early leaves a kind's folder as it was: a mark of an emptied one stays good.
  absl::Status Write(const std::string& name, absl::string_view content);
  // Write() in two steps: nobody reads the file before Place(), and the kind's folder is as it was.
  // What the first one wrote is on the disk on return, and stays there until Place(),
  // DropPrepared() or Remove().
  absl::Status Prepare(const std::string& name, absl::string_view content);
  absl::Status Place(const std::string& name);
  void DropPrepared(const std::string& name);
  // True between the two steps, whoever took the first one.
  static bool IsPrepared(const std::string& directory, const std::string& name);
  // What is not there is removed already. It is gone from the disk on return.
  absl::Status Remove(const std::string& name);
  // The folders of kinds out of which Remove() took the last certificate. Each is marked
  // (src/verify/emptied_trust.h), so that a gate knows that it is meant.
  absl::StatusOr<std::vector<std::string>> MarkEmptied();

 private:
  // The kind has a certificate now.
  absl::Status RemoveMark(const std::string& kind);

  LockedTrustFolder(std::string directory, int fd) : directory_(std::move(directory)), fd_(fd) {}
  std::string directory_;
  int fd_ = -1;
  std::set<std::string> thinned_;  // kinds that Remove() was called for
};

// For people, of each kind that MarkEmptied() names: what it means for gates.
std::string EmptiedTrustWarning(const std::string& directory, const std::string& kind);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_VERIFY_TRUST_FOLDER_H_

// SPDX-License-Identifier: Apache-2.0
// A folder of trust that commands keep in order: in its folders tpm, fido2 and piv a PEM file for
// each certificate, as a gate's `trust` keys take them, and origins.json, which says where each
// came from. Files that others put there are left alone. A certificate that stands in two folders
// has two entries.
#ifndef FOREKEY_SRC_CLI_VERIFY_TRUST_STORE_H_
#define FOREKEY_SRC_CLI_VERIFY_TRUST_STORE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "src/cli/verify/trust_candidate.h"
#include "src/cli/verify/trust_folder.h"
#include "src/cli/verify/trust_sources.h"

namespace forekey {

struct TrustChange {
  // kTakenOut: it was there, and a person removed its file.
  enum class What { kAdd, kKnown, kRemove, kTakenOut, kRefuse };
  What what = What::kRefuse;
  // Of kAdd: origins.json has it already; its file is missing or damaged.
  bool again = false;
  // Of kRefuse: it looks like a certificate and can't be read. Which one it is nobody knows.
  bool unread = false;
  std::string kind;  // "tpm", ...; empty where it is not known
  std::string role;  // "root" or "intermediate"
  std::string vendor;
  std::string subject, ends;  // for people; `ends` is a date
  std::string file;           // in the source, or, of what is removed, in the store
  std::string why;            // of a refusal, and of what was taken out
  std::string fingerprint;    // SHA-256, hex
  std::string pem;            // what would be written

  nlohmann::json ToJson() const;
};

struct TrustImport {
  std::string origin;  // what is remembered of each certificate; also what `prune` goes by
  std::optional<TrustKind> kind;  // of all, where nothing has to be guessed
  bool allow_expired = false;
  bool again = false;  // also what a person took out
  // What came from `origin` alone before, and is not in the source any more, is removed: unless
  // something in the source is `unread`.
  bool prune = false;
};

class TrustStore {
 public:
  // To look at: the folder need not be there yet, and others may change it. DataLoss for a damaged
  // origins.json.
  static absl::StatusOr<TrustStore> Open(const std::string& directory);
  // To change: makes the folder, waits for whoever changes it now, and holds it while the store
  // lives.
  static absl::StatusOr<TrustStore> OpenToChange(const std::string& directory);

  // What an import would do, in the order of the source. Changes nothing.
  std::vector<TrustChange> Plan(const std::vector<SourceFile>& files, const TrustImport& import,
                                absl::Time now) const;
  // Does what was planned, and returns the kinds of which no certificate is left.
  // FailedPrecondition for a store that was not opened to change.
  //
  // New files are written under names that no gate reads. Then origins.json is written with what
  // was there, what comes and what goes, then each file gets its name, then others are removed and
  // emptied folders marked, and then origins.json says what is there: so a certificate whose
  // command was killed is one that a later command with `prune` finds, and one that never got its
  // name, or that a command removed, is told from one that a person took out. A gate that reads in
  // between has too much rather than too little.
  absl::StatusOr<std::vector<std::string>> Apply(const std::vector<TrustChange>& changes,
                                                 const TrustImport& import, absl::Time now);
  // Writes another file of the folder's own ("fetched.json").
  absl::Status Write(const std::string& name, absl::string_view content);

 private:
  // Of an entry: its file was written by a command that did not come to giving it its name.
  bool NeverCame(const nlohmann::json& entry) const;
  // Of an entry: its file was there, and a person removed it.
  bool WasTakenOut(const nlohmann::json& entry) const;
  // Of an entry: a command removed its file, and did not come to saying so: its folder may lack the
  // mark of an emptied one.
  bool WasPruned(const nlohmann::json& entry) const;
  // Writes the files of what is added; true where there is one.
  absl::StatusOr<bool> Prepare(const std::vector<TrustChange>& changes,
                               const nlohmann::json& entries);
  // Fills in `what`, `again` and `why` of one that is good.
  void Compare(const TrustImport& import, TrustChange& change) const;
  // A file for a certificate that has none in `entries`: that of an earlier version where it holds
  // it (origins.json was removed), so that it is not there twice.
  std::string NewFileFor(const TrustChange& change, const nlohmann::json& entries) const;

  std::string directory_;
  std::optional<LockedTrustFolder> folder_;  // of one that was opened to change
  // {"KIND/FINGERPRINT": {"kind", "role", "vendor", "file", "subject", "ends",
  //                       "origins": {origin: date}, "pending": true until its file has its name,
  //                       "removing": true from before its file is removed}}
  nlohmann::json entries_ = nlohmann::json::object();
};

// PEM, with the names before it as text.
std::string TrustPem(const Certificate& certificate);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_VERIFY_TRUST_STORE_H_

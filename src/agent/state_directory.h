// SPDX-License-Identifier: Apache-2.0
// The agent's state directory (docs/AGENT.md, "State"): mode 0700, one agent at a time.
//
//   <state>/lock                          held (flock) while an agent runs
//   <state>/gates/<name>/record.json      0600, GateRecord
//   <state>/gates/<name>/<hex>.key        0600, Driver::Load's reference
//   <state>/left-keys/<hex>               0600, where on a token an enrolment makes a key
//   <state>/gates/<name>/id-token.json    0600, the user's own: only read here (token_command.h)
//
// Every file is written beside its place, synced and renamed: a crash or a full disk leaves the old
// one or the new one. A key file is written before the record that names it.
#ifndef FOREKEY_SRC_AGENT_STATE_DIRECTORY_H_
#define FOREKEY_SRC_AGENT_STATE_DIRECTORY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/agent/gate_record.h"

namespace forekey {

// $FOREKEY_STATE_DIR, else $XDG_STATE_HOME/forekey, else $HOME/.local/state/forekey.
// FailedPrecondition when none is set.
absl::StatusOr<std::string> DefaultStateDirectory();

// Safe from any thread, except that one gate's files are changed by one caller at a time.
class StateDirectory {
 public:
  // Makes the folder where there is none. FailedPrecondition when it is open to others (nothing in
  // it is touched then); AlreadyExists when another agent holds it.
  static absl::StatusOr<std::unique_ptr<StateDirectory>> Open(const std::string& path);
  ~StateDirectory();

  struct Loaded {
    std::string folder;  // path
    absl::StatusOr<GateRecord> record;
  };
  // Every gate folder with a record, readable or not: an unreadable one is reported and left alone.
  absl::StatusOr<std::vector<Loaded>> LoadAll() const;

  absl::Status Save(const GateRecord& record) const;
  absl::Status SaveKey(absl::string_view audience, const std::string& file,
                       absl::string_view reference) const;
  absl::StatusOr<std::string> ReadKey(absl::string_view audience, const std::string& file) const;
  // NotFound where there is none, naming the path.
  absl::StatusOr<std::string> ReadIdTokenCommand(absl::string_view audience) const;
  absl::Status RemoveKey(absl::string_view audience, const std::string& file) const;
  // The record first, so that a crash leaves no record without its keys.
  absl::Status RemoveGate(const GateRecord& record) const;

  // A place on a token (EnrollOptions::before_key), from before a key is made there until it is
  // enrolled, or is not there any more: what a crash leaves is found by it.
  struct LeftKey {
    std::string scheme, place;
  };
  absl::Status AddLeftKey(const LeftKey& key) const;
  absl::Status RemoveLeftKey(const LeftKey& key) const;
  absl::StatusOr<std::vector<LeftKey>> LeftKeys() const;

  std::string FolderOf(absl::string_view audience) const;
  const std::string& path() const { return path_; }

 private:
  StateDirectory(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}
  const std::string path_;
  const int lock_fd_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_STATE_DIRECTORY_H_

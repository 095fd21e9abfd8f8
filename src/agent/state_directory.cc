// SPDX-License-Identifier: Apache-2.0
#include "src/agent/state_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"

namespace forekey {
namespace {

constexpr char kRecordFile[] = "record.json";
constexpr char kLeftKeys[] = "left-keys";
constexpr char kIdTokenFile[] = "id-token.json";
constexpr size_t kMaxIdTokenFile = 64 * 1024;
constexpr mode_t kPrivate = 0600;
constexpr size_t kMaxFolderName = 200;

// Audiences may hold any printable character; a folder's name holds only harmless ones.
std::string FolderName(absl::string_view audience) {
  std::string name;
  for (unsigned char c : audience) {
    bool plain = absl::ascii_isalnum(c) || c == '-' || c == '_' || (c == '.' && !name.empty());
    if (plain) {
      name.push_back(static_cast<char>(c));
    } else {
      absl::StrAppendFormat(&name, "%%%02x", c);
    }
  }
  if (name.size() > kMaxFolderName) return absl::BytesToHexString(Sha256(audience));
  return name;
}

absl::StatusOr<std::vector<std::string>> ListFolders(const std::string& path) {
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat("open folder ", path));
  }
  absl::Cleanup close_directory = [directory] { closedir(directory); };
  std::vector<std::string> names;
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status Remove(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, absl::StrCat("unlink ", path));
  }
  return absl::OkStatus();
}

std::string PathOf(const std::string& state, const StateDirectory::LeftKey& key) {
  const std::string name = Sha256(absl::StrCat(key.scheme, "\n", key.place)).substr(0, 8);
  return absl::StrCat(state, "/", kLeftKeys, "/", absl::BytesToHexString(name));
}

absl::StatusOr<GateRecord> LoadRecord(const std::string& folder, const std::string& expected_in) {
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(folder));
  FOREKEY_ASSIGN_OR_RETURN(std::string json,
                           ReadPrivateFile(absl::StrCat(folder, "/", kRecordFile)));
  FOREKEY_ASSIGN_OR_RETURN(GateRecord record, GateRecord::Parse(json));
  if (FolderName(record.target.audience) != expected_in) {
    return absl::InvalidArgumentError(absl::StrCat("the record is of the gate ",
                                                   record.target.audience,
                                                   ", which does not belong into this folder"));
  }
  return record;
}

}  // namespace

absl::StatusOr<std::string> DefaultStateDirectory() {
  const char* own = getenv("FOREKEY_STATE_DIR");
  if (own != nullptr && own[0] != '\0') return std::string(own);
  const char* state = getenv("XDG_STATE_HOME");
  if (state != nullptr && state[0] == '/') return absl::StrCat(state, "/forekey");
  const char* home = getenv("HOME");
  if (home != nullptr && home[0] == '/') return absl::StrCat(home, "/.local/state/forekey");
  return absl::FailedPreconditionError(
      "neither XDG_STATE_HOME nor HOME is set: give the state directory with --state");
}

absl::StatusOr<std::unique_ptr<StateDirectory>> StateDirectory::Open(const std::string& path) {
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(path));
  std::string lock = absl::StrCat(path, "/lock");
  int fd = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kPrivate);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("open ", lock));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    int error = errno;
    close(fd);
    if (error != EWOULDBLOCK) return absl::ErrnoToStatus(error, absl::StrCat("lock ", lock));
    return absl::AlreadyExistsError(absl::StrCat(
        "another forekey-agent runs with the state directory ", path,
        ": use that one, stop it, or give this one a directory of its own with --state"));
  }
  std::unique_ptr<StateDirectory> state(new StateDirectory(path, fd));
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(absl::StrCat(path, "/gates")));
  return state;
}

StateDirectory::~StateDirectory() { close(lock_fd_); }

std::string StateDirectory::FolderOf(absl::string_view audience) const {
  return absl::StrCat(path_, "/gates/", FolderName(audience));
}

absl::StatusOr<std::vector<StateDirectory::Loaded>> StateDirectory::LoadAll() const {
  std::string gates = absl::StrCat(path_, "/gates");
  FOREKEY_ASSIGN_OR_RETURN(std::vector<std::string> names, ListFolders(gates));
  std::vector<Loaded> result;
  for (const std::string& name : names) {
    std::string folder = absl::StrCat(gates, "/", name);
    absl::StatusOr<GateRecord> record = LoadRecord(folder, name);
    // An enrolment that ended before it wrote its record left a key that was never enrolled.
    if (absl::IsNotFound(record.status())) continue;
    if (!record.ok()) {
      record = absl::Status(record.status().code(),
                            absl::StrCat(folder, ": ", record.status().message()));
    }
    result.push_back({folder, std::move(record)});
  }
  return result;
}

absl::Status StateDirectory::Save(const GateRecord& record) const {
  std::string folder = FolderOf(record.target.audience);
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(folder));
  return WriteFileAtomically(absl::StrCat(folder, "/", kRecordFile), record.Serialize(), kPrivate);
}

absl::Status StateDirectory::SaveKey(absl::string_view audience, const std::string& file,
                                     absl::string_view reference) const {
  std::string folder = FolderOf(audience);
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(folder));
  return WriteFileAtomically(absl::StrCat(folder, "/", file), reference, kPrivate);
}

absl::StatusOr<std::string> StateDirectory::ReadKey(absl::string_view audience,
                                                    const std::string& file) const {
  return ReadPrivateFile(absl::StrCat(FolderOf(audience), "/", file));
}

absl::StatusOr<std::string> StateDirectory::ReadIdTokenCommand(absl::string_view audience) const {
  return ReadPrivateFile(absl::StrCat(FolderOf(audience), "/", kIdTokenFile), kMaxIdTokenFile);
}

absl::Status StateDirectory::RemoveKey(absl::string_view audience, const std::string& file) const {
  return Remove(absl::StrCat(FolderOf(audience), "/", file));
}

absl::Status StateDirectory::RemoveGate(const GateRecord& record) const {
  std::string folder = FolderOf(record.target.audience);
  FOREKEY_RETURN_IF_ERROR(Remove(absl::StrCat(folder, "/", kRecordFile)));
  for (const HeldCredential& credential : record.credentials) {
    FOREKEY_RETURN_IF_ERROR(Remove(absl::StrCat(folder, "/", credential.key_file)));
  }
  if (rmdir(folder.c_str()) != 0 && errno != ENOENT && errno != ENOTEMPTY) {
    return absl::ErrnoToStatus(errno, absl::StrCat("rmdir ", folder));
  }
  return absl::OkStatus();
}

absl::Status StateDirectory::AddLeftKey(const LeftKey& key) const {
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(absl::StrCat(path_, "/", kLeftKeys)));
  return WriteFileAtomically(PathOf(path_, key), absl::StrCat(key.scheme, "\n", key.place),
                             kPrivate);
}

absl::Status StateDirectory::RemoveLeftKey(const LeftKey& key) const {
  return Remove(PathOf(path_, key));
}

absl::StatusOr<std::vector<StateDirectory::LeftKey>> StateDirectory::LeftKeys() const {
  const std::string folder = absl::StrCat(path_, "/", kLeftKeys);
  std::vector<LeftKey> keys;
  if (access(folder.c_str(), F_OK) != 0 && errno == ENOENT) return keys;
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFiles(folder));
  for (const std::string& file : files) {
    FOREKEY_ASSIGN_OR_RETURN(const std::string text,
                             ReadPrivateFile(absl::StrCat(folder, "/", file)));
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(text, absl::MaxSplits('\n', 1));
    LeftKey key{parts.first, parts.second};
    // What a crash left half written has another name.
    if (PathOf(path_, key) == absl::StrCat(folder, "/", file)) keys.push_back(std::move(key));
  }
  return keys;
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/gate_restore.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/store/sqlite_registry.h"

namespace forekey {

absl::StatusOr<std::string> RestoreRegistry(const GateConfig& config, const std::string& backup) {
  const std::string path = config.state.RegistryPath(), fresh = path + ".restoring";
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<SqliteRegistry> from,
                           SqliteRegistry::Open(backup, {.exclusive = false}));
  FOREKEY_RETURN_IF_ERROR(from->Count().status());
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(config.state.directory));
  std::string kept;
  // Where there is none, opening makes one: so the lock is held in either case.
  const bool had_one = access(path.c_str(), F_OK) == 0;
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<SqliteRegistry> old, SqliteRegistry::Open(path));
  unlink(fresh.c_str());
  FOREKEY_RETURN_IF_ERROR(from->Backup(fresh));
  if (had_one) {
    // By SQLite, not by name: what is still in its write-ahead log belongs to it.
    kept = absl::StrCat(path, ".before-restore-",
                        absl::FormatTime("%Y%m%dT%H%M%E3SZ", absl::Now(), absl::UTCTimeZone()));
    FOREKEY_RETURN_IF_ERROR(old->Backup(kept));
  }
  // Closed before the exchange, so that its log is folded in and can't be taken for the new file's.
  old.reset();
  for (const char* suffix : {"-wal", "-shm"}) unlink((path + suffix).c_str());
  if (rename(fresh.c_str(), path.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("rename ", fresh));
  }
  // As the gate will.
  FOREKEY_RETURN_IF_ERROR(SqliteRegistry::Open(path).status());
  return kept;
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/gate_restore.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/cli/gate/gate_admin.h"
#include "src/cli/terminal/time_text.h"
#include "src/gate/audit/audit_chain.h"
#include "src/gate/audit/audit_reader.h"
#include "src/store/sqlite_registry.h"

namespace forekey {

absl::StatusOr<std::string> RestoreRegistry(const GateConfig& config, const std::string& backup) {
  if (!config.state.registry.empty()) {
    return absl::FailedPreconditionError(
        "this gate's registry is in PostgreSQL: restore it by PostgreSQL's means, or bring a "
        "backup "
        "over with `forekey-gate registry copy`");
  }
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

namespace {

absl::StatusOr<LoggedRevocations> RevocationsOf(const GateConfig& config) {
  if (config.audit.file == "stderr") {
    return absl::FailedPreconditionError(
        "this gate writes its audit log to stderr: look there for RevokeCredential and SetSubject, "
        "and do them again before the gate starts");
  }
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<std::string> files, AuditFilesOf(config.AuditPath()));
  LoggedRevocations found;
  for (const std::string& file : files) {
    FOREKEY_ASSIGN_OR_RETURN(const auto reader, AuditReader::Open(file));
    AddRevocations(reader->content(), found);
  }
  return found;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ReapplyRevocations(const GateConfig& config) {
  FOREKEY_ASSIGN_OR_RETURN(const LoggedRevocations logged, RevocationsOf(config));
  FOREKEY_ASSIGN_OR_RETURN(const std::unique_ptr<GateAdmin> admin, GateAdmin::Open(config));
  FOREKEY_ASSIGN_OR_RETURN(const auto enrolled, admin->Ask(&v1::Admin::Stub::ListCredentials,
                                                           &Administration::ListCredentials,
                                                           v1::ListCredentialsRequest()));
  std::map<std::string, const v1::EnrolledCredential*> live;
  for (const auto& credential : enrolled.credentials()) {
    if (credential.revoked_unix_s() == 0) live[credential.credential_id()] = &credential;
  }
  std::vector<std::string> done;
  for (const LoggedRevocations::Credential& one : logged.credentials) {
    const auto found = live.find(one.id);
    if (found == live.end()) continue;
    v1::RevokeCredentialRequest request;
    request.set_credential_id(one.id);
    request.set_note(
        absl::StrCat("again after a restore; at ", LocalTimeText(one.at), ": ", one.why));
    FOREKEY_RETURN_IF_ERROR(
        admin->Ask(&v1::Admin::Stub::RevokeCredential, &Administration::RevokeCredential, request)
            .status());
    done.push_back(absl::StrCat("revoked again: ", absl::BytesToHexString(one.id), " of ",
                                found->second->subject(), ", as on ", LocalTimeText(one.at)));
    live.erase(found);
  }
  FOREKEY_ASSIGN_OR_RETURN(const auto subjects,
                           admin->Ask(&v1::Admin::Stub::ListSubjects, &Administration::ListSubjects,
                                      v1::ListSubjectsRequest()));
  for (const auto& subject : subjects.subjects()) {
    const auto said = logged.subjects.find(subject.subject());
    if (said == logged.subjects.end() || !said->second || subject.disabled()) continue;
    v1::SetSubjectRequest request;
    request.set_subject(subject.subject());
    request.set_set_disabled(true);
    request.set_disabled(true);
    FOREKEY_RETURN_IF_ERROR(
        admin->Ask(&v1::Admin::Stub::SetSubject, &Administration::SetSubject, request).status());
    done.push_back(absl::StrCat("disabled again: ", subject.subject()));
  }
  return done;
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/gate_restore.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "src/base/file.h"
#include "src/base/printable.h"
#include "src/base/status.h"
#include "src/cli/terminal/time_text.h"
#include "src/gate/admin/gate_at_rest.h"
#include "src/gate/audit/audit_files.h"
#include "src/gate/audit/audit_reader.h"
#include "src/store/sqlite_database.h"
#include "src/store/sqlite_registry.h"

namespace forekey {

namespace {

// `known`: the newest time in the backup.
absl::StatusOr<LoggedRevocations> RevocationsOf(const GateConfig& config,
                                                const RestoreOptions& options, absl::Time known) {
  if (config.audit.file == "stderr") {
    return absl::FailedPreconditionError(
        "this gate writes its audit log to stderr: look there for RevokeCredential, SetSubject, "
        "CancelInvite, SetPassword and SetOidcIdentity, and do them again before the gate starts");
  }
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<std::string> files,
                           WholeAuditLog(config.AuditPath(), options.older_logs, known));
  LoggedRevocations found;
  for (const std::string& file : files) {
    FOREKEY_ASSIGN_OR_RETURN(const auto reader, AuditReader::Open(file));
    AddRevocations(reader->content(), found);
  }
  return found;
}

absl::Status RevokeAgain(const LoggedRevocations& logged, Administration& admin,
                         absl::string_view actor, std::vector<std::string>& done) {
  FOREKEY_ASSIGN_OR_RETURN(const auto enrolled,
                           admin.ListCredentials(v1::ListCredentialsRequest()));
  std::map<std::string, const v1::EnrolledCredential*> live;
  for (const auto& credential : enrolled.credentials()) {
    if (credential.revoked_unix_s() == 0) live[credential.credential_id()] = &credential;
  }
  for (const LoggedRevocations::Credential& one : logged.credentials) {
    const auto found = live.find(one.id);
    if (found == live.end()) continue;
    // By the log's order and by the time: a clock that was ahead makes no enrolment a later one.
    if (one.enrolled_since && absl::FromUnixSeconds(found->second->enrolled_unix_s()) > one.at) {
      continue;
    }
    v1::RevokeCredentialRequest request;
    request.set_credential_id(one.id);
    request.set_note(
        absl::StrCat("again after a restore; at ", LocalTimeText(one.at), ": ", one.why));
    FOREKEY_RETURN_IF_ERROR(admin.RevokeCredential(request, actor).status());
    done.push_back(absl::StrCat("revoked again: ", absl::BytesToHexString(one.id), " of ",
                                found->second->subject(), ", as on ", LocalTimeText(one.at)));
    live.erase(found);
  }
  return absl::OkStatus();
}

absl::Status DisableAgain(const LoggedRevocations& logged, Administration& admin,
                          absl::string_view actor, std::vector<std::string>& done) {
  FOREKEY_ASSIGN_OR_RETURN(const auto subjects, admin.ListSubjects(v1::ListSubjectsRequest()));
  for (const auto& subject : subjects.subjects()) {
    const auto said = logged.subjects.find(subject.subject());
    if (said == logged.subjects.end() || !said->second || subject.disabled()) continue;
    v1::SetSubjectRequest request;
    request.set_subject(subject.subject());
    request.set_set_disabled(true);
    request.set_disabled(true);
    FOREKEY_RETURN_IF_ERROR(admin.SetSubject(request, actor).status());
    done.push_back(absl::StrCat("disabled again: ", subject.subject()));
  }
  return absl::OkStatus();
}

absl::Status CancelAgain(const LoggedRevocations& logged, Administration& admin,
                         absl::string_view actor, std::vector<std::string>& done) {
  FOREKEY_ASSIGN_OR_RETURN(const auto invites, admin.ListInvites(v1::ListInvitesRequest()));
  for (const auto& invite : invites.invites()) {
    const auto gone = logged.invites.find(invite.invite_id());
    if (gone == logged.invites.end() || invite.used_unix_s() != 0) continue;
    v1::CancelInviteRequest request;
    request.set_invite_id(invite.invite_id());
    FOREKEY_RETURN_IF_ERROR(admin.CancelInvite(request, actor).status());
    done.push_back(absl::StrCat("cancelled: invite ", absl::BytesToHexString(invite.invite_id()),
                                " of ", invite.subject(), ", which was ", gone->second));
  }
  return absl::OkStatus();
}

// "reader,seller" of roles in any order, some of them twice.
std::string SortedRoles(const std::set<std::string>& roles) {
  return roles.empty() ? "none" : absl::StrJoin(roles, ",");
}

// `known`: the newest time in the backup. What is older than that is in it.
absl::Status TellWhatCameBack(const LoggedRevocations& logged, absl::Time known,
                              Administration& admin, std::vector<std::string>& came_back) {
  FOREKEY_ASSIGN_OR_RETURN(const auto subjects, admin.ListSubjects(v1::ListSubjectsRequest()));
  for (const auto& subject : subjects.subjects()) {
    const std::string& name = subject.subject();
    const auto said = logged.roles.find(name);
    if (said != logged.roles.end()) {
      const std::string now =
          SortedRoles(std::set<std::string>(subject.roles().begin(), subject.roles().end()));
      const std::string then =
          SortedRoles(absl::StrSplit(said->second.what, ',', absl::SkipEmpty()));
      if (now != then) {
        came_back.push_back(absl::StrCat("roles of ", name, ": ", now, " again; they were set to ",
                                         Shown(then), " on ", LocalTimeText(said->second.at)));
      }
    }
    for (const char* method : {"SetPassword", "SetOidcIdentity"}) {
      const auto change = logged.factors.find({name, method});
      if (change == logged.factors.end() || change->second.at < known) continue;
      came_back.push_back(absl::StrCat(name, ": as in the backup again, if that is older than ",
                                       LocalTimeText(change->second.at), ": ",
                                       Shown(change->second.what)));
    }
  }
  return absl::OkStatus();
}

// When the file was written, or later: a copy of it may be newer. Some file systems and archives
// keep whole seconds, or every second one.
absl::StatusOr<absl::Time> WrittenBy(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) return absl::ErrnoToStatus(errno, path);
  return std::min(absl::Now(), absl::TimeFromTimespec(info.st_mtim) + absl::Seconds(2));
}

// A time by which the registry was as it is, or a little later; InfinitePast where nothing is in
// it. What says that it is later than `written` is by a clock that was ahead, and proves nothing.
absl::StatusOr<absl::Time> NewestIn(Registry& registry, absl::Time written) {
  absl::Time newest = absl::InfinitePast();
  const auto add = [&](absl::Time time) {
    newest = std::max(newest, time > written ? absl::UnixEpoch() : time);
  };
  FOREKEY_ASSIGN_OR_RETURN(const auto subjects, registry.ListSubjects());
  for (const SubjectRecord& subject : subjects) add(subject.created_at);
  FOREKEY_ASSIGN_OR_RETURN(const auto credentials, registry.ListCredentials(""));
  for (const CredentialRecord& credential : credentials) {
    add(credential.enrolled_at);
    if (credential.revoked_at) add(*credential.revoked_at);
  }
  FOREKEY_ASSIGN_OR_RETURN(const auto invites, registry.ListInvites());
  for (const InviteRecord& invite : invites) {
    add(invite.created_at);
    if (invite.used_at) add(*invite.used_at);
  }
  return newest;
}

// What the registry in force knows to be taken away: the log may lack a line of it, as what takes
// away is done whether or not the log can be written.
absl::Status AddWhatIsGone(Registry& in_force, Registry& backup, LoggedRevocations& gone) {
  std::set<std::string> known;
  FOREKEY_ASSIGN_OR_RETURN(const auto credentials, in_force.ListCredentials(""));
  for (const CredentialRecord& credential : credentials) {
    known.insert(credential.id);
    if (!credential.revoked_at) continue;
    gone.credentials.push_back({credential.id, credential.revocation_note, *credential.revoked_at});
  }
  FOREKEY_ASSIGN_OR_RETURN(const auto subjects, in_force.ListSubjects());
  for (const SubjectRecord& subject : subjects) {
    if (subject.disabled) gone.subjects[subject.name] = true;
  }
  std::map<std::string, bool> invites;  // and whether it was used
  FOREKEY_ASSIGN_OR_RETURN(const auto there, in_force.ListInvites());
  for (const InviteRecord& invite : there) invites[invite.id] = invite.used_at.has_value();
  // No credential is ever forgotten: a registry without one of the backup's is no later one.
  FOREKEY_ASSIGN_OR_RETURN(const auto older, backup.ListCredentials(""));
  const bool later = std::all_of(older.begin(), older.end(),
                                 [&](const auto& one) { return known.contains(one.id); });
  FOREKEY_ASSIGN_OR_RETURN(const auto backups, backup.ListInvites());
  for (const InviteRecord& invite : backups) {
    const auto found = invites.find(invite.id);
    if (found == invites.end() ? !later : !found->second) continue;
    gone.invites.try_emplace(invite.id, found == invites.end() ? "cancelled" : "used");
  }
  return absl::OkStatus();
}

// One that is damaged is replaced all the same: by the log alone, and that is told.
void AskTheOneInForce(const std::string& path, Registry& backup, LoggedRevocations& gone,
                      Restored& restored) {
  const auto in_force = SqliteRegistry::Open(path, {.exclusive = false});
  const absl::Status asked =
      in_force.ok() ? AddWhatIsGone(**in_force, backup, gone) : in_force.status();
  if (asked.ok()) return;
  restored.came_back.push_back(absl::StrCat(
      "the registry that was there can't be read (", asked.message(),
      "): what was taken away, and is not in the audit log, is live again if the backup has it"));
}

// In the registry at `path`, which nobody else knows yet.
absl::Status TakeAwayAgain(const GateConfig& config, const std::string& path,
                           const LoggedRevocations& logged, absl::Time known, Restored& restored) {
  GateState::StandIns parts;
  FOREKEY_ASSIGN_OR_RETURN(parts.registry, OpenSqliteRegistry(path));
  FOREKEY_ASSIGN_OR_RETURN(const auto gate, GateAtRest::Open(config, std::move(parts)));
  const std::string actor = absl::StrCat("uid ", getuid(), ", no gate running");
  std::vector<std::string>& done = restored.reapplied;
  FOREKEY_RETURN_IF_ERROR(RevokeAgain(logged, gate->admin(), actor, done));
  FOREKEY_RETURN_IF_ERROR(DisableAgain(logged, gate->admin(), actor, done));
  FOREKEY_RETURN_IF_ERROR(CancelAgain(logged, gate->admin(), actor, done));
  return TellWhatCameBack(logged, known, gate->admin(), restored.came_back);
}

void RemoveBeside(const std::string& path) {
  for (const char* suffix : {"-wal", "-shm", "-journal"}) unlink((path + suffix).c_str());
}

// Closing a registry folds its write-ahead log into it. One that is left belongs to somebody who
// was there in between, and would be taken for the new file's.
absl::Status CheckFolded(const std::string& path) {
  struct stat log = {};
  if (stat((path + "-wal").c_str(), &log) != 0 || log.st_size == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path, "-wal is not folded into the registry: run it again"));
}

// A file beside it that has all that is in it.
absl::StatusOr<std::string> Keep(const std::string& path) {
  FOREKEY_ASSIGN_OR_RETURN(const std::unique_ptr<SqliteRegistry> old,
                           SqliteRegistry::Open(path, {.exclusive = false}));
  std::string kept =
      absl::StrCat(path, ".before-restore-",
                   absl::FormatTime("%Y%m%dT%H%M%E3SZ", absl::Now(), absl::UTCTimeZone()));
  FOREKEY_RETURN_IF_ERROR(old->Backup(kept));
  return kept;
}

}  // namespace

absl::StatusOr<Restored> RestoreRegistry(const GateConfig& config, const RestoreOptions& options) {
  if (!config.state.registry.empty()) {
    return absl::FailedPreconditionError(
        "this gate's registry is in PostgreSQL: restore it by PostgreSQL's means, or bring a "
        "backup "
        "over with `forekey-gate registry copy`");
  }
  const std::string path = config.state.RegistryPath(), fresh = path + ".restoring";
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<SqliteRegistry> from,
                           SqliteRegistry::Open(options.backup, {.exclusive = false}));
  FOREKEY_RETURN_IF_ERROR(from->Count().status());
  FOREKEY_ASSIGN_OR_RETURN(const absl::Time written, WrittenBy(options.backup));
  FOREKEY_ASSIGN_OR_RETURN(const absl::Time known, NewestIn(*from, written));
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(config.state.directory));
  const bool had_one = access(path.c_str(), F_OK) == 0;
  if (had_one) FOREKEY_RETURN_IF_ERROR(SqliteRegistry::Open(path).status());  // see CheckFolded()
  FOREKEY_ASSIGN_OR_RETURN(const FileLock lock, FileLock::Acquire(path + ".lock"));

  Restored restored;
  absl::StatusOr<LoggedRevocations> logged = RevocationsOf(config, options, known);
  restored.log = logged.status();
  if (!logged.ok() && !options.without_log) {
    return absl::Status(
        logged.status().code(),
        absl::StrCat("nothing was restored, as it is not known what was taken away since the "
                     "backup: ",
                     logged.status().message(),
                     " (--audit-log names what was archived elsewhere, unpacked; "
                     "--without-audit-log restores all the same)"));
  }
  if (had_one) {
    FOREKEY_RETURN_IF_ERROR(CheckFolded(path));
    FOREKEY_ASSIGN_OR_RETURN(restored.kept, Keep(path));
    if (logged.ok()) AskTheOneInForce(path, *from, *logged, restored);
  }
  unlink(fresh.c_str());
  RemoveBeside(fresh);
  FOREKEY_RETURN_IF_ERROR(from->Backup(fresh));
  if (logged.ok()) {
    FOREKEY_RETURN_IF_ERROR(TakeAwayAgain(config, fresh, *logged, known, restored));
  }
  FOREKEY_RETURN_IF_ERROR(CheckFolded(fresh));
  RemoveBeside(fresh);
  unlink((fresh + ".lock").c_str());
  RemoveBeside(path);
  if (rename(fresh.c_str(), path.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("rename ", fresh));
  }
  // As the gate will.
  FOREKEY_RETURN_IF_ERROR(SqliteRegistry::Open(path, {.exclusive = false}).status());
  return restored;
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// Opening, invites and subjects; credentials and enrolment are in sqlite_credentials.cc.
#include "src/store/sqlite_registry.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/random.h"
#include "src/store/record_shapes.h"
#include "src/store/sqlite_rows.h"
#include "src/store/sqlite_schema.h"

namespace forekey {
namespace {

// Pages that a backup copies before it lets others at the connection: about a millisecond.
constexpr int kBackupPages = 256;

absl::Status Unavailable(absl::string_view detail) {
  return Refuse(Reason::kStoreUnavailable, detail);
}

absl::Status UnavailableErrno(absl::string_view call, const std::string& path) {
  return Unavailable(absl::ErrnoToStatus(errno, absl::StrCat(call, " ", path)).message());
}

std::string FolderOf(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status SyncFolder(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return UnavailableErrno("open", path);
  absl::Cleanup close_fd = [fd] { close(fd); };
  if (fsync(fd) != 0 && errno != EINVAL) return UnavailableErrno("fsync", path);
  return absl::OkStatus();
}

// Makes an empty file with mode 0600 whatever the umask is. SQLite gives -wal and -shm the same
// mode. An existing file is not opened: closing it would drop the POSIX locks of another
// connection.
absl::Status CreateFile(const std::string& path, bool may_exist) {
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0 && errno == EEXIST && may_exist) return absl::OkStatus();
  if (fd < 0) return UnavailableErrno("create", path);
  absl::Cleanup close_fd = [fd] { close(fd); };
  if (fchmod(fd, 0600) != 0) return UnavailableErrno("fchmod", path);
  return SyncFolder(FolderOf(path));
}

absl::Status CheckPrivateFiles(const std::string& path) {
  for (absl::string_view suffix : {"", "-wal", "-shm", "-journal"}) {
    FOREKEY_RETURN_IF_ERROR(CheckPrivateFile(absl::StrCat(path, suffix)));
  }
  return absl::OkStatus();
}

absl::Status LimitSize(SqliteDatabase* database, uint64_t max_bytes) {
  if (max_bytes == 0) return absl::OkStatus();
  FOREKEY_ASSIGN_OR_RETURN(int64_t page_size, database->QueryInteger("PRAGMA page_size"));
  return database->Execute(
      absl::StrCat("PRAGMA max_page_count=", std::max<uint64_t>(max_bytes / page_size, 1)));
}

}  // namespace

SqliteRegistry::SqliteRegistry(FileLock lock, std::unique_ptr<SqliteDatabase> database,
                               bool read_only)
    : read_only_(read_only), lock_(std::move(lock)), database_(std::move(database)) {}

SqliteRegistry::~SqliteRegistry() = default;

absl::StatusOr<std::unique_ptr<SqliteRegistry>> SqliteRegistry::Open(
    const std::string& path, const SqliteRegistryOptions& options) {
  if (!options.exclusive) {
    if (access(path.c_str(), F_OK) != 0) return UnavailableErrno("open", path);
    FOREKEY_RETURN_IF_ERROR(CheckPrivateFiles(path));
    FOREKEY_ASSIGN_OR_RETURN(auto database, SqliteDatabase::Open(path, /*read_only=*/true));
    FOREKEY_RETURN_IF_ERROR(CheckSchema(database.get(), RegistrySchemaSteps()));
    return std::unique_ptr<SqliteRegistry>(
        new SqliteRegistry(FileLock(), std::move(database), /*read_only=*/true));
  }
  if (absl::Status folder = EnsurePrivateDirectory(FolderOf(path)); !folder.ok()) {
    return Unavailable(folder.message());
  }
  FOREKEY_ASSIGN_OR_RETURN(FileLock lock, FileLock::Acquire(path + ".lock"));
  FOREKEY_RETURN_IF_ERROR(CreateFile(path, /*may_exist=*/true));
  FOREKEY_RETURN_IF_ERROR(CheckPrivateFiles(path));
  FOREKEY_ASSIGN_OR_RETURN(auto database, SqliteDatabase::Open(path, /*read_only=*/false));
  FOREKEY_RETURN_IF_ERROR(LimitSize(database.get(), options.max_bytes));
  FOREKEY_RETURN_IF_ERROR(MigrateSchema(database.get(), RegistrySchemaSteps()));
  return std::unique_ptr<SqliteRegistry>(
      new SqliteRegistry(std::move(lock), std::move(database), /*read_only=*/false));
}

absl::StatusOr<std::unique_ptr<Registry>> OpenSqliteRegistry(const std::string& path,
                                                             const SqliteRegistryOptions& options) {
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<Registry> registry, SqliteRegistry::Open(path, options));
  return registry;
}

absl::Status SqliteRegistry::Writable() const {
  if (!read_only_) return absl::OkStatus();
  return absl::FailedPreconditionError("this registry was opened only to look");
}

absl::Status SqliteRegistry::Backup(const std::string& path) {
  if (access(path.c_str(), F_OK) == 0)
    return absl::AlreadyExistsError(absl::StrCat(path, " exists"));
  // The folder may be one that others write to: they can't guess the name, so that neither the copy
  // nor what SQLite puts beside it is a file of theirs.
  std::string partial = absl::StrCat(path, ".partial.", absl::BytesToHexString(RandomBytes(8)));
  FOREKEY_RETURN_IF_ERROR(CreateFile(partial, /*may_exist=*/false));
  absl::Cleanup remove_partial = [&partial] {
    for (absl::string_view suffix : {"", "-wal", "-shm", "-journal"}) {
      unlink(absl::StrCat(partial, suffix).c_str());
    }
  };
  {
    FOREKEY_ASSIGN_OR_RETURN(auto copy, SqliteDatabase::Open(partial, /*read_only=*/false));
    FOREKEY_RETURN_IF_ERROR(CheckPrivateFiles(partial));
    sqlite3_backup* backup;
    {
      absl::MutexLock lock(&mutex_);
      backup = sqlite3_backup_init(copy->connection(), "main", database_->connection(), "main");
    }
    if (backup == nullptr)
      return copy->Error(sqlite3_extended_errcode(copy->connection()), "backup");
    int result;
    do {
      // What the same connection changes between two steps goes into the copy too.
      absl::MutexLock lock(&mutex_);
      result = sqlite3_backup_step(backup, kBackupPages);
    } while (result == SQLITE_OK);
    {
      absl::MutexLock lock(&mutex_);
      sqlite3_backup_finish(backup);
    }
    if (result != SQLITE_DONE) return copy->Error(result, "backup");
    // The copied header says WAL; leave one file alone, with nothing beside it.
    FOREKEY_RETURN_IF_ERROR(copy->Execute("PRAGMA wal_checkpoint(TRUNCATE)"));
  }
  // link, not rename: it never replaces a file that appeared meanwhile.
  if (link(partial.c_str(), path.c_str()) != 0) {
    if (errno == EEXIST) return absl::AlreadyExistsError(absl::StrCat(path, " exists"));
    return UnavailableErrno("link", path);
  }
  return SyncFolder(FolderOf(path));
}

absl::Status SqliteRegistry::Check() {
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto check, database_->Prepare("PRAGMA quick_check(1)"));
  FOREKEY_ASSIGN_OR_RETURN(bool row, check.Step());
  if (row && check.Bytes(0) == "ok") return absl::OkStatus();
  return Unavailable(absl::StrCat(database_->path(), ": ", row ? check.Bytes(0) : "no answer",
                                  ": keep the file aside and restore a backup"));
}

absl::StatusOr<InviteRecord> SqliteRegistry::FindInviteById(absl::string_view id) {
  FOREKEY_ASSIGN_OR_RETURN(auto find,
                           database_->Prepare(absl::StrCat(kSelectInvite, " WHERE id = ?1")));
  FOREKEY_ASSIGN_OR_RETURN(bool row, find.Blob(id).Step());
  if (!row) return Refuse(Reason::kInviteUnknown);
  return InviteFromRow(find);
}

absl::StatusOr<InviteRecord> SqliteRegistry::FindInvite(absl::string_view public_key) {
  std::string id = Sha256(public_key);
  absl::MutexLock lock(&mutex_);
  return FindInviteById(id);
}

absl::Status SqliteRegistry::CheckReplaced(absl::string_view credential_id,
                                           absl::string_view subject) {
  FOREKEY_ASSIGN_OR_RETURN(auto find,
                           database_->Prepare("SELECT s.name FROM credentials c JOIN subjects s ON "
                                              "s.id = c.subject_id WHERE c.id = ?1"));
  FOREKEY_ASSIGN_OR_RETURN(bool row, find.Blob(credential_id).Step());
  if (!row)
    return Refuse(Reason::kCredentialUnknown, "the credential to be replaced is not enrolled");
  if (find.Bytes(0) != subject) {
    return Refuse(Reason::kSubjectMismatch, "the credential to be replaced is another subject's");
  }
  return absl::OkStatus();
}

absl::Status SqliteRegistry::AddInvite(const InviteRecord& invite) {
  FOREKEY_RETURN_IF_ERROR(Writable());
  FOREKEY_RETURN_IF_ERROR(CheckInviteShape(invite));
  std::string roles = JoinWords(SortedOnce(invite.roles));
  std::string kinds = JoinKinds(invite.kinds);
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto transaction, SqliteDatabase::Transaction::Begin(database_.get()));
  if (absl::StatusOr<InviteRecord> same = FindInviteById(invite.id); same.ok()) {
    return absl::InvalidArgumentError("the invite exists already");
  } else if (ReasonOf(same.status()) != Reason::kInviteUnknown) {
    return same.status();
  }
  if (!invite.replaces_credential.empty()) {
    FOREKEY_RETURN_IF_ERROR(CheckReplaced(invite.replaces_credential, invite.subject));
  }
  {
    FOREKEY_ASSIGN_OR_RETURN(
        auto insert,
        database_->Prepare("INSERT INTO invites (id, public_key, subject, roles, kinds, "
                           "pinned_device, replaces_credential, created_at, expires_at, "
                           "used_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
    insert.Blob(invite.id).Blob(invite.public_key).Text(invite.subject).Text(roles).Text(kinds);
    BindOptionalBlob(insert, invite.pinned_device);
    BindOptionalBlob(insert, invite.replaces_credential);
    insert.Int(absl::ToUnixNanos(invite.created_at)).Int(absl::ToUnixNanos(invite.expires_at));
    BindOptionalTime(insert, invite.used_at);
    FOREKEY_RETURN_IF_ERROR(insert.Run());
  }
  return transaction.Commit();
}

absl::Status SqliteRegistry::CancelInvite(absl::string_view invite_id) {
  FOREKEY_RETURN_IF_ERROR(Writable());
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto transaction, SqliteDatabase::Transaction::Begin(database_.get()));
  FOREKEY_ASSIGN_OR_RETURN(InviteRecord invite, FindInviteById(invite_id));
  if (invite.used_at) return Refuse(Reason::kInviteUsed);
  {
    FOREKEY_ASSIGN_OR_RETURN(auto remove, database_->Prepare("DELETE FROM invites WHERE id = ?1"));
    FOREKEY_RETURN_IF_ERROR(remove.Blob(invite_id).Run());
  }
  return transaction.Commit();
}

absl::StatusOr<std::vector<InviteRecord>> SqliteRegistry::CancelInvitesOf(
    absl::string_view subject) {
  std::vector<InviteRecord> invites;
  {
    FOREKEY_ASSIGN_OR_RETURN(
        auto list,
        database_->Prepare(absl::StrCat(
            kSelectInvite, " WHERE subject = ?1 AND used_at IS NULL ORDER BY created_at, id")));
    list.Text(subject);
    for (;;) {
      FOREKEY_ASSIGN_OR_RETURN(bool row, list.Step());
      if (!row) break;
      invites.push_back(InviteFromRow(list));
    }
  }
  FOREKEY_ASSIGN_OR_RETURN(
      auto remove,
      database_->Prepare("DELETE FROM invites WHERE subject = ?1 AND used_at IS NULL"));
  FOREKEY_RETURN_IF_ERROR(remove.Text(subject).Run());
  return invites;
}

absl::StatusOr<std::vector<InviteRecord>> SqliteRegistry::ListInvites() {
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(
      auto list, database_->Prepare(absl::StrCat(kSelectInvite, " ORDER BY created_at, id")));
  std::vector<InviteRecord> invites;
  for (;;) {
    FOREKEY_ASSIGN_OR_RETURN(bool row, list.Step());
    if (!row) return invites;
    invites.push_back(InviteFromRow(list));
  }
}

absl::StatusOr<int64_t> SqliteRegistry::SubjectId(absl::string_view name) {
  FOREKEY_ASSIGN_OR_RETURN(auto find,
                           database_->Prepare("SELECT id FROM subjects WHERE name = ?1"));
  FOREKEY_ASSIGN_OR_RETURN(bool row, find.Text(name).Step());
  if (!row) return absl::NotFoundError(absl::StrCat("no subject ", name));
  return find.Integer(0);
}

absl::StatusOr<SubjectRecord> SqliteRegistry::FindSubject(absl::string_view name) {
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto find, database_->Prepare(absl::StrCat(
                                          kSelectSubject, " WHERE s.name = ?1 ORDER BY r.role")));
  find.Text(name);
  FOREKEY_ASSIGN_OR_RETURN(std::vector<SubjectRecord> subjects, SubjectsFromRows(find));
  if (subjects.empty()) return absl::NotFoundError(absl::StrCat("no subject ", name));
  return std::move(subjects.front());
}

absl::StatusOr<std::vector<SubjectRecord>> SqliteRegistry::ListSubjects() {
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(
      auto list, database_->Prepare(absl::StrCat(kSelectSubject, " ORDER BY s.name, r.role")));
  return SubjectsFromRows(list);
}

absl::Status SqliteRegistry::InsertRoles(int64_t subject_id,
                                         const std::vector<std::string>& roles) {
  for (const std::string& role : roles) {
    FOREKEY_ASSIGN_OR_RETURN(
        auto insert,
        database_->Prepare("INSERT INTO subject_roles (subject_id, role) VALUES (?1, ?2)"));
    FOREKEY_RETURN_IF_ERROR(insert.Int(subject_id).Text(role).Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteRegistry::SetRoles(absl::string_view subject,
                                      const std::vector<std::string>& roles, ChangePosition*) {
  FOREKEY_RETURN_IF_ERROR(Writable());
  FOREKEY_RETURN_IF_ERROR(CheckNames(roles));
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto transaction, SqliteDatabase::Transaction::Begin(database_.get()));
  FOREKEY_ASSIGN_OR_RETURN(int64_t id, SubjectId(subject));
  {
    FOREKEY_ASSIGN_OR_RETURN(auto remove,
                             database_->Prepare("DELETE FROM subject_roles WHERE subject_id = ?1"));
    FOREKEY_RETURN_IF_ERROR(remove.Int(id).Run());
  }
  FOREKEY_RETURN_IF_ERROR(InsertRoles(id, SortedOnce(roles)));
  return transaction.Commit();
}

absl::Status SqliteRegistry::SetDisabled(absl::string_view subject, bool disabled,
                                         ChangePosition*) {
  FOREKEY_RETURN_IF_ERROR(Writable());
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto update,
                           database_->Prepare("UPDATE subjects SET disabled = ?1, sessions_epoch = "
                                              "sessions_epoch + ?1 WHERE name = ?2"));
  FOREKEY_RETURN_IF_ERROR(update.Int(disabled ? 1 : 0).Text(subject).Run());
  if (database_->Changes() == 0) return absl::NotFoundError(absl::StrCat("no subject ", subject));
  return absl::OkStatus();
}

absl::StatusOr<std::string> SqliteRegistry::FindPasswordHash(absl::string_view subject) {
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto find,
                           database_->Prepare("SELECT p.hash FROM passwords p JOIN subjects s ON "
                                              "s.id = p.subject_id WHERE s.name = ?1"));
  FOREKEY_ASSIGN_OR_RETURN(bool row, find.Text(subject).Step());
  return row ? std::string(find.Bytes(0)) : std::string();
}

absl::Status SqliteRegistry::SetPasswordHash(absl::string_view subject, absl::string_view hash,
                                             absl::Time now) {
  FOREKEY_RETURN_IF_ERROR(Writable());
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto transaction, SqliteDatabase::Transaction::Begin(database_.get()));
  FOREKEY_ASSIGN_OR_RETURN(int64_t id, SubjectId(subject));
  if (hash.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(auto remove,
                             database_->Prepare("DELETE FROM passwords WHERE subject_id = ?1"));
    FOREKEY_RETURN_IF_ERROR(remove.Int(id).Run());
  } else {
    FOREKEY_ASSIGN_OR_RETURN(
        auto set,
        database_->Prepare("INSERT INTO passwords (subject_id, hash, set_at) VALUES (?1, ?2, "
                           "?3) ON CONFLICT (subject_id) DO UPDATE SET hash = ?2, set_at = ?3"));
    FOREKEY_RETURN_IF_ERROR(set.Int(id).Text(hash).Int(absl::ToUnixNanos(now)).Run());
  }
  FOREKEY_RETURN_IF_ERROR(CountFactorChange(id));
  return transaction.Commit();
}

absl::StatusOr<Registry::Counts> SqliteRegistry::Count() {
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(
      auto count,
      database_->Prepare("SELECT (SELECT count(*) FROM subjects), (SELECT count(*) FROM "
                         "credentials), (SELECT count(*) FROM invites)"));
  FOREKEY_RETURN_IF_ERROR(count.Step().status());
  Counts counts;
  counts.subjects = count.Integer(0);
  counts.credentials = count.Integer(1);
  counts.invites = count.Integer(2);
  return counts;
}

}  // namespace forekey

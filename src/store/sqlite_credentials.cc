// SPDX-License-Identifier: Apache-2.0
// Enrolment, credentials and their revocation; the rest of SqliteRegistry is in sqlite_registry.cc.
//
// Threats at enrolment, each with its check and its refusal:
//   an invite used twice, also at the same moment     used_at, in an IMMEDIATE transaction
//   (kInviteUsed) an invite used late or guessed                    kInviteExpired, kInviteUnknown
//   an invite of one subject used for another         kSubjectMismatch
//   another kind of token, another device             kTokenKindNotAllowed, kDeviceNotPinned
//   one key for two subjects, or a revoked key again  spki_sha256 is unique for ever
//   (kCredentialExists) one device for two subjects                       kDeviceExists an invite
//   that raises an existing subject's roles roles are written only for a new subject a recovery
//   that revokes another's credential      CheckReplaced, again at use a crash or a full disk half
//   way                   one transaction
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/store/record_shapes.h"
#include "src/store/sqlite_registry.h"
#include "src/store/sqlite_rows.h"

namespace forekey {

absl::Status SqliteRegistry::CheckEnrollment(const Enrollment& enrollment,
                                             const InviteRecord& invite) {
  const CredentialRecord& credential = enrollment.credential;
  FOREKEY_RETURN_IF_ERROR(CheckInviteIsFor(invite, enrollment));
  std::string key_hash = Sha256(credential.spki);
  FOREKEY_ASSIGN_OR_RETURN(
      auto same_key,
      database_->Prepare("SELECT 1 FROM credentials WHERE id = ?1 OR spki_sha256 = ?2"));
  FOREKEY_ASSIGN_OR_RETURN(bool key_exists, same_key.Blob(credential.id).Blob(key_hash).Step());
  if (key_exists) return Refuse(Reason::kCredentialExists);
  if (enrollment.one_subject_a_device && !credential.device_id.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(
        auto same_device,
        database_->Prepare(
            "SELECT 1 FROM credentials c JOIN subjects s ON s.id = c.subject_id WHERE "
            "c.device_id = ?1 AND c.revoked_at IS NULL AND s.name <> ?2"));
    FOREKEY_ASSIGN_OR_RETURN(
        bool device_exists, same_device.Blob(credential.device_id).Text(credential.subject).Step());
    if (device_exists) return Refuse(Reason::kDeviceExists);
  }
  if (!invite.replaces_credential.empty()) {
    return CheckReplaced(invite.replaces_credential, invite.subject);
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> SqliteRegistry::MakeSubject(const InviteRecord& invite, absl::Time now,
                                                    bool* made) {
  {
    FOREKEY_ASSIGN_OR_RETURN(
        auto find, database_->Prepare("SELECT id, disabled FROM subjects WHERE name = ?1"));
    FOREKEY_ASSIGN_OR_RETURN(bool row, find.Text(invite.subject).Step());
    if (row && find.Integer(1) != 0) return Refuse(Reason::kSubjectDisabled);
    if (row) {
      *made = false;
      return find.Integer(0);
    }
  }
  FOREKEY_ASSIGN_OR_RETURN(
      auto insert, database_->Prepare("INSERT INTO subjects (name, created_at) VALUES (?1, ?2)"));
  FOREKEY_RETURN_IF_ERROR(insert.Text(invite.subject).Int(absl::ToUnixNanos(now)).Run());
  int64_t id = sqlite3_last_insert_rowid(database_->connection());
  FOREKEY_RETURN_IF_ERROR(InsertRoles(id, invite.roles));
  *made = true;
  return id;
}

absl::Status SqliteRegistry::InsertCredential(const CredentialRecord& credential,
                                              int64_t subject_id) {
  std::string key_hash = Sha256(credential.spki);
  std::string factors = JoinWords(credential.factors);
  FOREKEY_ASSIGN_OR_RETURN(
      auto insert,
      database_->Prepare(
          "INSERT INTO credentials (id, subject_id, spki_sha256, kind, algorithm, "
          "sign_count, enrolled_at, revocation_note, spki, label, device_id, factors, "
          "rp_id, origin, proved_json, evidence) VALUES (?, ?, ?, ?, ?, ?, ?, '', ?, ?, "
          "?, ?, ?, ?, ?, ?)"));
  insert.Blob(credential.id).Int(subject_id).Blob(key_hash).Int(credential.kind);
  insert.Int(credential.algorithm).Int(credential.sign_count);
  insert.Int(absl::ToUnixNanos(credential.enrolled_at))
      .Blob(credential.spki)
      .Text(credential.label);
  BindOptionalBlob(insert, credential.device_id);
  insert.Text(factors).Text(credential.rp_id).Text(credential.origin).Text(credential.proved_json);
  return insert.Blob(credential.evidence).Run();
}

absl::Status SqliteRegistry::Enroll(const Enrollment& enrollment, Enrolled* enrolled) {
  FOREKEY_RETURN_IF_ERROR(Writable());
  FOREKEY_RETURN_IF_ERROR(CheckCredentialShape(enrollment.credential));
  Enrolled result;
  int64_t now = absl::ToUnixNanos(enrollment.now);
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto transaction, SqliteDatabase::Transaction::Begin(database_.get()));
  FOREKEY_ASSIGN_OR_RETURN(InviteRecord invite, FindInviteById(enrollment.invite_id));
  FOREKEY_RETURN_IF_ERROR(CheckEnrollment(enrollment, invite));
  FOREKEY_ASSIGN_OR_RETURN(int64_t subject_id,
                           MakeSubject(invite, enrollment.now, &result.new_subject));
  FOREKEY_RETURN_IF_ERROR(InsertCredential(enrollment.credential, subject_id));
  if (!invite.replaces_credential.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(
        auto revoke,
        database_->Prepare("UPDATE credentials SET revoked_at = ?1, revocation_note = ?2 "
                           "WHERE id = ?3 AND revoked_at IS NULL"));
    FOREKEY_RETURN_IF_ERROR(
        revoke.Int(now).Text("replaced by a recovery").Blob(invite.replaces_credential).Run());
    result.replaced_credential = invite.replaces_credential;
  }
  {
    FOREKEY_ASSIGN_OR_RETURN(auto use,
                             database_->Prepare("UPDATE invites SET used_at = ?1 WHERE id = ?2"));
    FOREKEY_RETURN_IF_ERROR(use.Int(now).Blob(invite.id).Run());
  }
  FOREKEY_RETURN_IF_ERROR(transaction.Commit());
  if (enrolled != nullptr) *enrolled = std::move(result);
  return absl::OkStatus();
}

absl::StatusOr<CredentialRecord> SqliteRegistry::FindCredential(absl::string_view id) {
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto find,
                           database_->Prepare(absl::StrCat(kSelectCredential, " WHERE c.id = ?1")));
  FOREKEY_ASSIGN_OR_RETURN(bool row, find.Blob(id).Step());
  if (!row) return Refuse(Reason::kCredentialUnknown);
  return CredentialFromRow(find);
}

absl::StatusOr<std::vector<CredentialRecord>> SqliteRegistry::ListCredentials(
    absl::string_view subject) {
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(
      auto list,
      database_->Prepare(
          subject.empty() ? absl::StrCat(kSelectCredential, " ORDER BY s.name, c.enrolled_at, c.id")
                          : absl::StrCat(kSelectCredential,
                                         " WHERE s.name = ?1 ORDER BY c.enrolled_at, c.id")));
  if (!subject.empty()) list.Text(subject);
  std::vector<CredentialRecord> credentials;
  for (;;) {
    FOREKEY_ASSIGN_OR_RETURN(bool row, list.Step());
    if (!row) return credentials;
    credentials.push_back(CredentialFromRow(list));
  }
}

absl::StatusOr<std::vector<std::string>> SqliteRegistry::ListLiveCredentialIds(
    absl::string_view after, size_t most) {
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(
      auto list, database_->Prepare("SELECT id FROM credentials WHERE id > ?1 AND revoked_at IS "
                                    "NULL ORDER BY id LIMIT ?2"));
  list.Blob(after).Int(static_cast<int64_t>(most));
  std::vector<std::string> ids;
  for (;;) {
    FOREKEY_ASSIGN_OR_RETURN(bool row, list.Step());
    if (!row) return ids;
    ids.push_back(list.Bytes(0));
  }
}

absl::StatusOr<bool> SqliteRegistry::RevokeCredential(absl::string_view id, absl::string_view note,
                                                      absl::Time now, ChangePosition*) {
  FOREKEY_RETURN_IF_ERROR(Writable());
  absl::MutexLock lock(&mutex_);
  {
    FOREKEY_ASSIGN_OR_RETURN(
        auto revoke,
        database_->Prepare("UPDATE credentials SET revoked_at = ?1, revocation_note = ?2 "
                           "WHERE id = ?3 AND revoked_at IS NULL"));
    FOREKEY_RETURN_IF_ERROR(revoke.Int(absl::ToUnixNanos(now)).Text(note).Blob(id).Run());
    if (database_->Changes() > 0) return true;
  }
  FOREKEY_ASSIGN_OR_RETURN(auto find,
                           database_->Prepare("SELECT 1 FROM credentials WHERE id = ?1"));
  FOREKEY_ASSIGN_OR_RETURN(bool row, find.Blob(id).Step());
  if (!row) return Refuse(Reason::kCredentialUnknown);
  return false;
}

absl::StatusOr<Registry::RevokedSubject> SqliteRegistry::RevokeSubject(absl::string_view subject,
                                                                       absl::string_view note,
                                                                       absl::Time now) {
  FOREKEY_RETURN_IF_ERROR(Writable());
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto transaction, SqliteDatabase::Transaction::Begin(database_.get()));
  RevokedSubject done;
  FOREKEY_ASSIGN_OR_RETURN(done.cancelled_invites, CancelInvitesOf(subject));
  const absl::StatusOr<int64_t> subject_id = SubjectId(subject);
  if (!subject_id.ok()) {
    if (!absl::IsNotFound(subject_id.status()) || done.cancelled_invites.empty()) {
      return subject_id.status();
    }
    FOREKEY_RETURN_IF_ERROR(transaction.Commit());
    return done;
  }
  {
    FOREKEY_ASSIGN_OR_RETURN(auto list,
                             database_->Prepare("SELECT id, revoked_at IS NULL FROM credentials "
                                                "WHERE subject_id = ?1 ORDER BY enrolled_at, id"));
    list.Int(*subject_id);
    for (;;) {
      FOREKEY_ASSIGN_OR_RETURN(bool row, list.Step());
      if (!row) break;
      done.credentials.push_back({list.Bytes(0), list.Integer(1) != 0});
    }
  }
  {
    FOREKEY_ASSIGN_OR_RETURN(
        auto revoke,
        database_->Prepare("UPDATE credentials SET revoked_at = ?1, revocation_note = ?2 "
                           "WHERE subject_id = ?3 AND revoked_at IS NULL"));
    FOREKEY_RETURN_IF_ERROR(revoke.Int(absl::ToUnixNanos(now)).Text(note).Int(*subject_id).Run());
  }
  FOREKEY_RETURN_IF_ERROR(transaction.Commit());
  return done;
}

absl::Status SqliteRegistry::AdvanceSignCount(absl::string_view id, uint32_t count) {
  FOREKEY_RETURN_IF_ERROR(Writable());
  absl::MutexLock lock(&mutex_);
  {
    FOREKEY_ASSIGN_OR_RETURN(
        auto find, database_->Prepare("SELECT sign_count FROM credentials WHERE id = ?1"));
    FOREKEY_ASSIGN_OR_RETURN(bool row, find.Blob(id).Step());
    if (!row) return Refuse(Reason::kCredentialUnknown);
    // WebAuthn §6.1.1: authenticators without a counter say zero; nothing to write for them.
    if (find.Integer(0) == 0 && count == 0) return absl::OkStatus();
  }
  FOREKEY_ASSIGN_OR_RETURN(
      auto advance,
      database_->Prepare(
          "UPDATE credentials SET sign_count = ?1 WHERE id = ?2 AND sign_count < ?1"));
  FOREKEY_RETURN_IF_ERROR(advance.Int(count).Blob(id).Run());
  if (database_->Changes() == 0) return Refuse(Reason::kCounterRollback);
  return absl::OkStatus();
}

}  // namespace forekey

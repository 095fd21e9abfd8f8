// SPDX-License-Identifier: Apache-2.0
// What outlives sessions: the keys of their tickets, and which of them were resumed or ended.
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/store/record_shapes.h"
#include "src/store/sqlite_registry.h"

namespace forekey {

absl::Status SqliteRegistry::CountFactorChange(int64_t subject_id) {
  FOREKEY_ASSIGN_OR_RETURN(
      auto count,
      database_->Prepare("UPDATE subjects SET factors_epoch = factors_epoch + 1 WHERE id = ?1"));
  return count.Int(subject_id).Run();
}

absl::StatusOr<Registry::TicketState> SqliteRegistry::FindTicketState() {
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto find,
                           database_->Prepare("SELECT version, sealed FROM ticket_state"));
  FOREKEY_ASSIGN_OR_RETURN(bool row, find.Step());
  if (!row) return TicketState();
  return TicketState{static_cast<uint64_t>(find.Integer(0)), find.Bytes(1)};
}

absl::StatusOr<bool> SqliteRegistry::SwapTicketState(uint64_t expected, absl::string_view sealed) {
  FOREKEY_RETURN_IF_ERROR(Writable());
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(
      auto swap, database_->Prepare(
                     expected == 0 ? "INSERT OR IGNORE INTO ticket_state (only_one, version, "
                                     "sealed) VALUES (1, ?1 + 1, ?2)"
                                   : "UPDATE ticket_state SET version = ?1 + 1, sealed = ?2 WHERE "
                                     "version = ?1"));
  FOREKEY_RETURN_IF_ERROR(swap.Int(static_cast<int64_t>(expected)).Blob(sealed).Run());
  return database_->Changes() == 1;
}

absl::StatusOr<SqliteRegistry::Family> SqliteRegistry::FindFamily(const FamilyStep& step) {
  {
    FOREKEY_ASSIGN_OR_RETURN(
        auto forget, database_->Prepare("DELETE FROM session_families WHERE good_until < ?1"));
    FOREKEY_RETURN_IF_ERROR(forget.Int(absl::ToUnixNanos(step.now - kFamilyKeptBeyond)).Run());
  }
  FOREKEY_ASSIGN_OR_RETURN(
      auto find,
      database_->Prepare("SELECT serial, ended FROM session_families WHERE family = ?1"));
  FOREKEY_ASSIGN_OR_RETURN(bool row, find.Blob(step.family).Step());
  if (!row) return Family();
  return Family{static_cast<uint64_t>(find.Integer(0)), find.Integer(1) != 0, true};
}

absl::StatusOr<bool> SqliteRegistry::FamiliesFull(int64_t subject_id, bool ended, uint64_t most) {
  FOREKEY_ASSIGN_OR_RETURN(
      auto count, database_->Prepare("SELECT count(*) FROM (SELECT 1 FROM session_families WHERE "
                                     "subject_id = ?1 AND ended = ?2 LIMIT ?3)"));
  const auto limit = static_cast<int64_t>(most);
  FOREKEY_RETURN_IF_ERROR(count.Int(subject_id).Int(ended ? 1 : 0).Int(limit).Step().status());
  return count.Integer(0) >= limit;
}

absl::Status SqliteRegistry::KeepFamily(const FamilyStep& step, int64_t subject_id,
                                        const Family& family, absl::Time good_until) {
  FOREKEY_ASSIGN_OR_RETURN(
      auto keep, database_->Prepare(
                     "INSERT INTO session_families (family, serial, ended, good_until, subject_id) "
                     "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET serial = ?2, ended = "
                     "?3, good_until = ?4, subject_id = ?5"));
  return keep.Blob(step.family)
      .Int(static_cast<int64_t>(family.serial))
      .Int(family.ended ? 1 : 0)
      .Int(absl::ToUnixNanos(good_until))
      .Int(subject_id)
      .Run();
}

absl::StatusOr<int64_t> SqliteRegistry::CheckClaim(const FamilyStep& step) {
  int64_t id = 0;
  {
    FOREKEY_ASSIGN_OR_RETURN(
        auto find, database_->Prepare("SELECT id, disabled, sessions_epoch, factors_epoch, "
                                      "tickets_after FROM subjects WHERE name = ?1"));
    FOREKEY_ASSIGN_OR_RETURN(bool row, find.Text(step.subject).Step());
    if (!row) return Refuse(Reason::kCredentialUnknown, "there is no such subject");
    id = find.Integer(0);
    FOREKEY_RETURN_IF_ERROR(CheckFamilySubject(
        step, {find.Integer(1) != 0, static_cast<uint64_t>(find.Integer(2)),
               static_cast<uint64_t>(find.Integer(3)), absl::FromUnixNanos(find.Integer(4))}));
  }
  for (const std::string& credential : step.credential_ids) {
    FOREKEY_ASSIGN_OR_RETURN(
        auto find, database_->Prepare("SELECT revoked_at IS NOT NULL FROM credentials WHERE id = "
                                      "?1 AND subject_id = ?2"));
    FOREKEY_ASSIGN_OR_RETURN(bool row, find.Blob(credential).Int(id).Step());
    if (!row) return Refuse(Reason::kCredentialUnknown);
    if (find.Integer(0) != 0) return Refuse(Reason::kCredentialRevoked);
  }
  return id;
}

absl::Status SqliteRegistry::AdvanceFamily(const FamilyStep& step) {
  FOREKEY_RETURN_IF_ERROR(CheckFamilyShape(step));
  FOREKEY_RETURN_IF_ERROR(Writable());
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto transaction, SqliteDatabase::Transaction::Begin(database_.get()));
  FOREKEY_ASSIGN_OR_RETURN(const int64_t subject, CheckClaim(step));
  FOREKEY_ASSIGN_OR_RETURN(Family family, FindFamily(step));
  if (family.ended) return Refuse(Reason::kSessionEnded);
  if (family.serial != step.serial) return Refuse(Reason::kTicketReplayed);
  if (!family.known) {
    FOREKEY_ASSIGN_OR_RETURN(const bool full, FamiliesFull(subject, /*ended=*/false, step.most));
    if (full) return Refuse(Reason::kReplayStoreFull, "of resumed sessions of the subject");
  }
  ++family.serial;
  FOREKEY_RETURN_IF_ERROR(KeepFamily(step, subject, family, step.ends_at));
  return transaction.Commit();
}

absl::Status SqliteRegistry::ForgetEndedFamilies(const FamilyStep& step, int64_t subject_id) {
  {
    FOREKEY_ASSIGN_OR_RETURN(
        auto raise, database_->Prepare("UPDATE subjects SET tickets_after = max(tickets_after, ?2) "
                                       "WHERE id = ?1"));
    const absl::Time last_made = step.ended_at + step.heard_within;
    FOREKEY_RETURN_IF_ERROR(raise.Int(subject_id).Int(absl::ToUnixNanos(last_made)).Run());
  }
  FOREKEY_ASSIGN_OR_RETURN(
      auto forget,
      database_->Prepare("DELETE FROM session_families WHERE subject_id = ?1 AND ended = 1"));
  return forget.Int(subject_id).Run();
}

absl::Status SqliteRegistry::EndFamily(const FamilyStep& step) {
  FOREKEY_RETURN_IF_ERROR(CheckFamilyShape(step));
  FOREKEY_RETURN_IF_ERROR(Writable());
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto transaction, SqliteDatabase::Transaction::Begin(database_.get()));
  FOREKEY_ASSIGN_OR_RETURN(const int64_t subject, SubjectId(step.subject));
  FOREKEY_ASSIGN_OR_RETURN(Family family, FindFamily(step));
  if (family.ended) return absl::OkStatus();
  FOREKEY_ASSIGN_OR_RETURN(const bool full, FamiliesFull(subject, /*ended=*/true, step.most));
  if (full) FOREKEY_RETURN_IF_ERROR(ForgetEndedFamilies(step, subject));
  family.ended = true;
  FOREKEY_RETURN_IF_ERROR(
      KeepFamily(step, subject, family, EndedFamilyGoodUntil(step, family.known, step.ended_at)));
  return transaction.Commit();
}

absl::Status SqliteRegistry::RaiseSessionsEpoch(absl::string_view subject, uint64_t least) {
  FOREKEY_RETURN_IF_ERROR(Writable());
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(
      auto raise, database_->Prepare("UPDATE subjects SET sessions_epoch = max(sessions_epoch, ?1) "
                                     "WHERE name = ?2"));
  FOREKEY_RETURN_IF_ERROR(raise.Int(static_cast<int64_t>(least)).Text(subject).Run());
  return database_->Changes() == 0 ? absl::NotFoundError(absl::StrCat("no subject ", subject))
                                   : absl::OkStatus();
}

}  // namespace forekey

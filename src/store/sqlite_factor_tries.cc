// SPDX-License-Identifier: Apache-2.0
// Tries of further factors.
#include <utility>

#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/store/sqlite_registry.h"

namespace forekey {

absl::StatusOr<bool> SqliteRegistry::HasFactorTry(absl::string_view credential_id,
                                                  const FactorTry& attempt) {
  const int64_t now = absl::ToUnixNanos(attempt.now);
  {
    FOREKEY_ASSIGN_OR_RETURN(
        auto over, database_->Prepare("DELETE FROM factor_tries WHERE credential_id = ?1 AND "
                                      "factor = ?2 AND since <= ?3"));
    over.Blob(credential_id).Text(attempt.factor);
    FOREKEY_RETURN_IF_ERROR(over.Int(now - absl::ToInt64Nanoseconds(attempt.per)).Run());
  }
  {
    FOREKEY_ASSIGN_OR_RETURN(
        auto set_back,
        database_->Prepare("UPDATE factor_tries SET since = ?3 WHERE credential_id = ?1 "
                           "AND factor = ?2 AND since > ?3"));
    FOREKEY_RETURN_IF_ERROR(set_back.Blob(credential_id).Text(attempt.factor).Int(now).Run());
  }
  FOREKEY_ASSIGN_OR_RETURN(
      auto find, database_->Prepare("SELECT t.used FROM credentials c LEFT JOIN factor_tries t ON "
                                    "t.credential_id = c.id AND t.factor = ?2 WHERE c.id = ?1"));
  FOREKEY_ASSIGN_OR_RETURN(bool enrolled, find.Blob(credential_id).Text(attempt.factor).Step());
  if (!enrolled) return Refuse(Reason::kCredentialUnknown);
  return static_cast<uint64_t>(find.Integer(0)) < attempt.tries;
}

absl::StatusOr<bool> SqliteRegistry::TakeFactorTry(const FactorTry& attempt) {
  FOREKEY_RETURN_IF_ERROR(Writable());
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto transaction, SqliteDatabase::Transaction::Begin(database_.get()));
  bool all_have = true;
  for (const std::string& id : attempt.credential_ids) {
    FOREKEY_ASSIGN_OR_RETURN(bool has, HasFactorTry(id, attempt));
    all_have = all_have && has;
  }
  for (const std::string& id : attempt.credential_ids) {
    if (!all_have) break;
    FOREKEY_ASSIGN_OR_RETURN(
        auto count,
        database_->Prepare("INSERT INTO factor_tries (credential_id, factor, used, since) VALUES "
                           "(?1, ?2, 1, ?3) ON CONFLICT DO UPDATE SET used = used + 1"));
    count.Blob(id).Text(attempt.factor);
    FOREKEY_RETURN_IF_ERROR(count.Int(absl::ToUnixNanos(attempt.now)).Run());
  }
  // What is refused changed nothing, as a rule: then this writes nothing.
  FOREKEY_RETURN_IF_ERROR(transaction.Commit());
  return all_have;
}

absl::Status SqliteRegistry::GiveFactorTriesBack(absl::Span<const std::string> credential_ids,
                                                 absl::string_view factor) {
  FOREKEY_RETURN_IF_ERROR(Writable());
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto transaction, SqliteDatabase::Transaction::Begin(database_.get()));
  for (const std::string& id : credential_ids) {
    FOREKEY_ASSIGN_OR_RETURN(
        auto forget,
        database_->Prepare("DELETE FROM factor_tries WHERE credential_id = ?1 AND factor = ?2"));
    FOREKEY_RETURN_IF_ERROR(forget.Blob(id).Text(factor).Run());
  }
  return transaction.Commit();
}

}  // namespace forekey

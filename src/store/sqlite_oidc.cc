// SPDX-License-Identifier: Apache-2.0
// Identities at identity providers, and the ID tokens that were used.
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/store/sqlite_registry.h"

namespace forekey {
namespace {

constexpr absl::Duration kKeptBeyond = absl::Hours(1);
constexpr size_t kIdTokenUseSize = 32;

}  // namespace

absl::StatusOr<std::vector<OidcIdentity>> SqliteRegistry::FindOidcIdentities(
    absl::string_view subject) {
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(
      auto find,
      database_->Prepare("SELECT o.issuer, o.claim, o.identity FROM oidc_identities o JOIN "
                         "subjects s ON s.id = o.subject_id WHERE s.name = ?1 ORDER BY o.issuer"));
  find.Text(subject);
  std::vector<OidcIdentity> identities;
  for (;;) {
    FOREKEY_ASSIGN_OR_RETURN(bool row, find.Step());
    if (!row) return identities;
    identities.push_back({find.Bytes(0), find.Bytes(1), find.Bytes(2)});
  }
}

absl::Status SqliteRegistry::SetOidcIdentity(absl::string_view subject,
                                             const OidcIdentity& identity, absl::Time now) {
  FOREKEY_RETURN_IF_ERROR(Writable());
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto transaction, SqliteDatabase::Transaction::Begin(database_.get()));
  FOREKEY_ASSIGN_OR_RETURN(int64_t id, SubjectId(subject));
  {
    FOREKEY_ASSIGN_OR_RETURN(
        auto set,
        database_->Prepare("INSERT OR REPLACE INTO oidc_identities (subject_id, issuer, claim, "
                           "identity, set_at) VALUES (?1, ?2, ?3, ?4, ?5)"));
    set.Int(id).Text(identity.issuer).Text(identity.claim).Text(identity.value);
    FOREKEY_RETURN_IF_ERROR(set.Int(absl::ToUnixNanos(now)).Run());
  }
  FOREKEY_RETURN_IF_ERROR(CountFactorChange(id));
  return transaction.Commit();
}

absl::Status SqliteRegistry::ClearOidcIdentities(absl::string_view subject,
                                                 absl::string_view issuer) {
  FOREKEY_RETURN_IF_ERROR(Writable());
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto transaction, SqliteDatabase::Transaction::Begin(database_.get()));
  FOREKEY_ASSIGN_OR_RETURN(int64_t id, SubjectId(subject));
  {
    FOREKEY_ASSIGN_OR_RETURN(
        auto remove,
        database_->Prepare("DELETE FROM oidc_identities WHERE subject_id = ?1 AND (?2 = '' "
                           "OR issuer = ?2)"));
    FOREKEY_RETURN_IF_ERROR(remove.Int(id).Text(issuer).Run());
  }
  FOREKEY_RETURN_IF_ERROR(CountFactorChange(id));
  return transaction.Commit();
}

absl::Status SqliteRegistry::UseIdToken(const IdTokenUse& use) {
  FOREKEY_RETURN_IF_ERROR(Writable());
  if (use.id.size() != kIdTokenUseSize) return absl::InvalidArgumentError("an id has 32 bytes");
  absl::MutexLock lock(&mutex_);
  FOREKEY_ASSIGN_OR_RETURN(auto transaction, SqliteDatabase::Transaction::Begin(database_.get()));
  {
    FOREKEY_ASSIGN_OR_RETURN(auto known,
                             database_->Prepare("SELECT 1 FROM used_id_tokens WHERE id = ?1"));
    FOREKEY_ASSIGN_OR_RETURN(bool row, known.Blob(use.id).Step());
    if (row) return Refuse(Reason::kIdTokenReplayed);
  }
  {
    FOREKEY_ASSIGN_OR_RETURN(
        auto forget, database_->Prepare("DELETE FROM used_id_tokens WHERE good_until < ?1"));
    FOREKEY_RETURN_IF_ERROR(forget.Int(absl::ToUnixNanos(use.now - kKeptBeyond)).Run());
  }
  {
    FOREKEY_ASSIGN_OR_RETURN(auto count, database_->Prepare("SELECT count(*) FROM used_id_tokens"));
    FOREKEY_RETURN_IF_ERROR(count.Step().status());
    if (static_cast<uint64_t>(count.Integer(0)) >= use.capacity) {
      return Refuse(Reason::kReplayStoreFull,
                    absl::StrCat(use.capacity, " used ID tokens are remembered already"));
    }
  }
  {
    FOREKEY_ASSIGN_OR_RETURN(
        auto insert,
        database_->Prepare("INSERT INTO used_id_tokens (id, good_until) VALUES (?1, ?2)"));
    FOREKEY_RETURN_IF_ERROR(insert.Blob(use.id).Int(absl::ToUnixNanos(use.good_until)).Run());
  }
  return transaction.Commit();
}

}  // namespace forekey

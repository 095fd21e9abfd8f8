// SPDX-License-Identifier: Apache-2.0
// The embedded registry: one SQLite file (WAL, synchronous=FULL, foreign keys), mode 0600, in a
// folder that only its owner may enter. `PRAGMA user_version` is the schema's version; older
// schemas are migrated at opening, a transaction a step; newer ones are refused.
//
// One connection behind one mutex: writes are rare, and what calls need is cached by
// LiveCredentials.
#ifndef FOREKEY_SRC_STORE_SQLITE_REGISTRY_H_
#define FOREKEY_SRC_STORE_SQLITE_REGISTRY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "src/store/registry.h"
#include "src/store/sqlite_database.h"

namespace forekey {

struct SqliteRegistryOptions {
  // The gate holds the file exclusively (an advisory lock beside it, "<path>.lock"), so that a tool
  // can't change what a running gate believes; tools open it the same way and fail clearly while a
  // gate runs. False: only to look, also beside a running gate; the file must exist already, and
  // every change is refused with FailedPrecondition.
  bool exclusive = true;
  // The file does not grow beyond this many bytes (rounded to pages); 0: as far as the disk goes.
  uint64_t max_bytes = 0;
};

class SqliteRegistry final : public Registry {
 public:
  // Makes the folder, the file and the schema where there are none. Every failure is
  // kStoreUnavailable with what to do: held by another process (its pid), open to others, another
  // owner, read-only, not a registry, corrupt, of a newer version.
  static absl::StatusOr<std::unique_ptr<SqliteRegistry>> Open(
      const std::string& path, const SqliteRegistryOptions& options = {});
  ~SqliteRegistry() override;

  // Copies the registry, consistent as at the end of the copy, to a new file (mode 0600) while
  // others go on using it. AlreadyExists rather than overwrite. The copy appears whole or not at
  // all.
  absl::Status Backup(const std::string& path) override;
  // SQLite's quick_check: reads every page, so it takes seconds for a million credentials.
  absl::Status Check();

  absl::StatusOr<InviteRecord> FindInvite(absl::string_view public_key) override;
  absl::Status AddInvite(const InviteRecord& invite) override;
  absl::Status CancelInvite(absl::string_view invite_id) override;
  absl::StatusOr<std::vector<InviteRecord>> ListInvites() override;
  using Registry::Enroll;
  absl::Status Enroll(const Enrollment& enrollment, Enrolled* enrolled) override;
  absl::StatusOr<CredentialRecord> FindCredential(absl::string_view id) override;
  absl::StatusOr<SubjectRecord> FindSubject(absl::string_view name) override;
  absl::StatusOr<std::vector<SubjectRecord>> ListSubjects() override;
  absl::StatusOr<std::vector<CredentialRecord>> ListCredentials(absl::string_view subject) override;
  absl::StatusOr<std::vector<std::string>> ListLiveCredentialIds(absl::string_view after,
                                                                 size_t most) override;
  // Nobody shares it: `made` stays as it is.
  using Registry::RevokeCredential;
  absl::StatusOr<bool> RevokeCredential(absl::string_view id, absl::string_view note,
                                        absl::Time now, ChangePosition* made) override;
  absl::StatusOr<RevokedSubject> RevokeSubject(absl::string_view subject, absl::string_view note,
                                               absl::Time now) override;
  using Registry::SetRoles;
  absl::Status SetRoles(absl::string_view subject, const std::vector<std::string>& roles,
                        ChangePosition* made) override;
  using Registry::SetDisabled;
  absl::Status SetDisabled(absl::string_view subject, bool disabled, ChangePosition* made) override;
  absl::StatusOr<std::string> FindPasswordHash(absl::string_view subject) override;
  absl::Status SetPasswordHash(absl::string_view subject, absl::string_view hash,
                               absl::Time now) override;
  absl::StatusOr<std::vector<OidcIdentity>> FindOidcIdentities(absl::string_view subject) override;
  absl::Status SetOidcIdentity(absl::string_view subject, const OidcIdentity& identity,
                               absl::Time now) override;
  absl::Status ClearOidcIdentities(absl::string_view subject, absl::string_view issuer) override;
  absl::Status UseIdToken(const IdTokenUse& use) override;
  absl::StatusOr<bool> TakeFactorTry(const FactorTry& attempt) override;
  absl::Status GiveFactorTriesBack(absl::Span<const std::string> credential_ids,
                                   absl::string_view factor) override;
  absl::StatusOr<TicketState> FindTicketState() override;
  absl::StatusOr<bool> SwapTicketState(uint64_t expected, absl::string_view sealed) override;
  absl::Status AdvanceFamily(const FamilyStep& step) override;
  absl::Status EndFamily(const FamilyStep& step) override;
  absl::Status RaiseSessionsEpoch(absl::string_view subject, uint64_t least) override;
  absl::Status AdvanceSignCount(absl::string_view id, uint32_t count) override;
  absl::StatusOr<Counts> Count() override;

 private:
  SqliteRegistry(FileLock lock, std::unique_ptr<SqliteDatabase> database, bool read_only);

  absl::Status CheckEnrollment(const Enrollment& enrollment, const InviteRecord& invite)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckReplaced(absl::string_view credential_id, absl::string_view subject)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<int64_t> MakeSubject(const InviteRecord& invite, absl::Time now, bool* made)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status InsertCredential(const CredentialRecord& credential, int64_t subject_id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status InsertRoles(int64_t subject_id, const std::vector<std::string>& roles)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Deletes a subject's unused invites, within the caller's transaction; gives what they were.
  absl::StatusOr<std::vector<InviteRecord>> CancelInvitesOf(absl::string_view subject)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<InviteRecord> FindInviteById(absl::string_view id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // NotFound where there is none.
  absl::StatusOr<int64_t> SubjectId(absl::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One credential's, within TakeFactorTry()'s transaction; what is over is forgotten.
  absl::StatusOr<bool> HasFactorTry(absl::string_view credential_id, const FactorTry& attempt)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  struct Family {
    uint64_t serial = 0;
    bool ended = false;
    bool known = false;
  };
  // What is kept of a family, after what is over was forgotten; within the caller's transaction, as
  // all of these.
  absl::StatusOr<Family> FindFamily(const FamilyStep& step) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether `most` of the subject's families are kept, of those that were ended or of the others.
  absl::StatusOr<bool> FamiliesFull(int64_t subject_id, bool ended, uint64_t most)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status KeepFamily(const FamilyStep& step, int64_t subject_id, const Family& family,
                          absl::Time good_until) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The subject's id; refuses by what the registry says of subject and credentials.
  absl::StatusOr<int64_t> CheckClaim(const FamilyStep& step) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ForgetEndedFamilies(const FamilyStep& step, int64_t subject_id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Within the transaction that changes a further factor of that subject.
  absl::Status CountFactorChange(int64_t subject_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Writable() const;

  const bool read_only_;
  absl::Mutex mutex_;
  // In this order: the connection closes before the lock is let go.
  const FileLock lock_;
  const std::unique_ptr<SqliteDatabase> database_ ABSL_PT_GUARDED_BY(mutex_);
};

// The same, for those who need nothing but the interface.
absl::StatusOr<std::unique_ptr<Registry>> OpenSqliteRegistry(
    const std::string& path, const SqliteRegistryOptions& options = {});

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_SQLITE_REGISTRY_H_

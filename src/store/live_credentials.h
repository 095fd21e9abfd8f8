// SPDX-License-Identifier: Apache-2.0
// Credentials as the verifier needs them: looked up once in the registry, their key parsed once,
// and shared by every session that they opened. Revocation flips a flag that all of them see.
#ifndef FOREKEY_SRC_STORE_LIVE_CREDENTIALS_H_
#define FOREKEY_SRC_STORE_LIVE_CREDENTIALS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/call_once.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "src/crypto/public_key.h"
#include "src/store/registry.h"
#include "src/store/token_description.h"

namespace forekey {

// A subject as sessions see it. Roles are replaced as a whole; readers take a snapshot.
class LiveSubject {
 public:
  explicit LiveSubject(const SubjectRecord& record);
  const std::string& name() const { return name_; }
  bool disabled() const { return disabled_.load(std::memory_order_acquire); }
  std::shared_ptr<const std::vector<std::string>> roles() const;
  // Another number after each change of the password: who proved an older one did not prove this
  // one.
  uint64_t factors_version() const { return factors_version_.load(std::memory_order_acquire); }
  // How often it was disabled (SubjectRecord). What was proved under a smaller number is over, also
  // where the subject is enabled again. Read it before disabled().
  uint64_t sessions_epoch() const { return sessions_epoch_.load(std::memory_order_acquire); }

 private:
  friend class LiveCredentials;
  std::string name_;
  uint64_t changes_ = 0;  // that were taken; LiveCredentials::mutex_ guards it
  // What the registry says; the epoch never goes back.
  void Take(bool disabled, uint64_t sessions_epoch);
  std::atomic<bool> disabled_;
  std::atomic<uint64_t> sessions_epoch_;
  std::atomic<uint64_t> factors_version_{0};
  mutable absl::Mutex mutex_;
  std::shared_ptr<const std::vector<std::string>> roles_ ABSL_GUARDED_BY(mutex_);
};

// The record is kept without its evidence, which is large and which no call needs: ask the
// registry.
class LiveCredential {
 public:
  LiveCredential(CredentialRecord record, PublicKey key, std::shared_ptr<LiveSubject> subject);
  const CredentialRecord& record() const { return record_; }  // as at enrolment; see revoked()
  const PublicKey& key() const { return key_; }
  const LiveSubject& subject() const { return *subject_; }
  const std::shared_ptr<LiveSubject>& shared_subject() const { return subject_; }
  // Read when they are first asked for: most credentials sign one call, and then open sessions.
  const std::shared_ptr<const TokenDescription>& description() const;
  // True as soon as the registry has it durably; a call judged after that is refused.
  bool revoked() const { return revoked_.load(std::memory_order_acquire); }

 private:
  friend class LiveCredentials;
  CredentialRecord record_;
  PublicKey key_;
  std::shared_ptr<LiveSubject> subject_;
  std::atomic<bool> revoked_;
  mutable absl::once_flag described_;
  mutable std::shared_ptr<const TokenDescription> description_;
  mutable std::atomic<bool> recently_used_{true};  // a second chance at eviction
};

// Safe from any thread. Keeps about `capacity` entries that nobody else holds (an eighth more until
// the next clean-up); one that a session holds is never let go, so that a revocation finds it.
class LiveCredentials {
 public:
  LiveCredentials(std::shared_ptr<Registry> registry, size_t capacity = 65536);

  // Refuses with kCredentialUnknown, kStoreUnavailable. A revoked credential or one of a disabled
  // subject is returned: the caller asks. An unknown id is not remembered (strangers could fill
  // it).
  absl::StatusOr<std::shared_ptr<const LiveCredential>> Find(absl::string_view id);

  // Called after each change of what is below, on the thread that made it, without a lock. Set it
  // before the first one.
  void TellOfChanges(std::function<void()> tell) { tell_ = std::move(tell); }

  // Registry first, then the flag: when they return, no later call sees the old state. The registry
  // must be changed through these while a gate runs.
  absl::StatusOr<bool> Revoke(absl::string_view id, absl::string_view note, absl::Time now,
                              ChangePosition* made = nullptr);
  // See Registry::RevokeSubject.
  absl::StatusOr<Registry::RevokedSubject> RevokeSubject(absl::string_view subject,
                                                         absl::string_view note, absl::Time now);
  absl::Status SetRoles(absl::string_view subject, const std::vector<std::string>& roles,
                        ChangePosition* made = nullptr);
  absl::Status SetDisabled(absl::string_view subject, bool disabled,
                           ChangePosition* made = nullptr);
  // Sessions that proved the password before are refused from then on. An empty hash takes it away.
  absl::Status SetPasswordHash(absl::string_view subject, absl::string_view hash, absl::Time now);
  // The same for the identities at identity providers.
  absl::Status SetOidcIdentity(absl::string_view subject, const OidcIdentity& identity,
                               absl::Time now);
  absl::Status ClearOidcIdentities(absl::string_view subject, absl::string_view issuer);
  // An enrolment may revoke the credential that it replaces.
  absl::Status Enroll(const Registry::Enrollment& enrollment);

  // What another program changed in a registry that is shared. Each reads the registry where it has
  // to, so that what is applied is at least as new as the change; when it returns OK, no later call
  // sees the state before. Errors are the registry's; then nothing is known, and it is done again.
  // None of them waits for a change of this object's own, which the registry may hold up; none goes
  // on for ever: kStoreUnavailable where the registry gives again and again what was overtaken.
  absl::Status FollowCredential(absl::string_view id);  // it was revoked
  // Its roles, or whether it is disabled; where it was disabled since, its sessions are over, also
  // where it is enabled again.
  absl::Status FollowSubject(absl::string_view name);
  // Its further factors. `mine`: this object made that very change. It has told the sessions
  // already, unless it is under way still: then they are told here, too.
  absl::Status FollowFactors(absl::string_view subject, absl::FunctionRef<bool()> mine);
  // Everything that is kept may have changed. A credential or subject that the registry does not
  // know any more counts as revoked, or disabled. Gives the ids of what was found revoked. It is
  // read in pages of kFollowPage, and `between` is called after each of them, and after each
  // subject that has to be read once more; its error ends it.
  static constexpr size_t kFollowPage = 500;
  absl::StatusOr<std::vector<std::string>> FollowAll(absl::FunctionRef<absl::Status()> between =
                                                         [] { return absl::OkStatus(); });

  Registry& registry() { return *registry_; }

 private:
  // By what the registry says now, whoever changes it meanwhile.
  absl::Status ReadSubjectAgain(absl::string_view name);
  // What was read after `changes` of the subject were taken; a null record: there is none any more.
  enum class Taken { kYes, kOvertaken, kHistoryWentBack };
  Taken TakeSubject(LiveSubject& live, uint64_t changes, const SubjectRecord* record)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ReadCredentialsAgain(absl::Span<const std::shared_ptr<LiveCredential>> page,
                                    std::vector<std::string>& revoked);
  absl::Status ReadSubjectsAgain(absl::Span<const std::shared_ptr<LiveSubject>> page,
                                 absl::FunctionRef<absl::Status()> between);
  // The registry was changed, or may have been: no load that began before is kept.
  absl::Status Changed(absl::Status status);
  static void SetLiveRoles(LiveSubject& live, std::vector<std::string> roles);
  // What is held of a subject, and how often it was changed, before an own change. Held, so that
  // nobody loads another one meanwhile; null where nothing is.
  struct Before {
    std::shared_ptr<LiveSubject> live;
    uint64_t changes = 0, sessions_epoch = 0;
  };
  Before Now(absl::string_view subject);
  // A load under way. What it read may be old where a change overtook it: that of its credential,
  // that of its subject, or one of which no more is known.
  struct Loading {
    absl::string_view id;
    std::string subject;  // empty before the credential was read
    bool overtaken = false;
  };
  void OvertakeLoads() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Of one whose subject is not read yet, what it will read is new.
  void OvertakeLoadsOf(absl::string_view subject) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One attempt at a load; null when a change overtook it.
  absl::StatusOr<std::shared_ptr<LiveCredential>> Load(absl::string_view id);
  std::shared_ptr<LiveSubject> SubjectFor(const SubjectRecord& record)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MakeRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Changes the registry, and says to the subject's sessions that a further factor is another now.
  absl::Status ChangeFactors(absl::string_view subject,
                             absl::FunctionRef<absl::Status(Registry&)> change);
  std::shared_ptr<LiveSubject> LiveSubjectNamed(absl::string_view name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<Registry> registry_;
  const size_t capacity_;
  std::function<void()> tell_ = [] {};
  // Held over a change of the registry and of the live state, so that two changes of this object
  // reach both in the same order. Before mutex_, which no registry call is made under. Following
  // does without: what was read is taken where nothing of that subject was taken since before it
  // was read, and is read again otherwise.
  absl::Mutex changes_ ABSL_ACQUIRED_BEFORE(mutex_);
  absl::Mutex mutex_;
  // So that a load that began before a revocation is not inserted after it. This object's own
  // changes overtake them all, and are kept out in the end; others' changes, which are not,
  // overtake the loads that they are about.
  absl::flat_hash_set<Loading*> loading_ ABSL_GUARDED_BY(mutex_);
  size_t inserted_since_cleanup_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<std::string, std::shared_ptr<LiveCredential>> credentials_
      ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, std::weak_ptr<LiveSubject>> subjects_ ABSL_GUARDED_BY(mutex_);
  // Whose further factors this object changes just now, and has not told the sessions of.
  std::string changing_factors_of_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_LIVE_CREDENTIALS_H_

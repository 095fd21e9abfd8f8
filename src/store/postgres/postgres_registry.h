// SPDX-License-Identifier: Apache-2.0
// The registry in PostgreSQL 15 or later, which several replicas of one gate share
// (docs/CLUSTER.md).
//
// Whatever changes who may do what (enrolment, invites, revocation, roles, factors) is one
// transaction under one advisory lock, taken first, at READ COMMITTED: each of its statements sees
// all that was committed before it, and nothing else of that kind is committed meanwhile. So two
// replicas are to each other what two threads are over SQLite, and the numbers in `changes` are in
// the order of commits. What only counts (sign counters, tries of factors, used ID tokens) locks
// its own rows.
#ifndef FOREKEY_SRC_STORE_POSTGRES_POSTGRES_REGISTRY_H_
#define FOREKEY_SRC_STORE_POSTGRES_POSTGRES_REGISTRY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "src/store/postgres/postgres_pool.h"
#include "src/store/registry.h"

namespace forekey {

// What a row of `changes` may be about; its key is the credential's id, or the subject's name.
inline constexpr absl::string_view kCredentialRevoked = "credential";
inline constexpr absl::string_view kSubjectChanged = "subject";
inline constexpr absl::string_view kFactorsChanged = "factors";
// Sessions of a family (SessionLineage) with a serial below this one are over: the key is
// family (16) || serial (8) || the subject's name.
inline constexpr absl::string_view kFamilyMoved = "family";
// Invites are gone. Nobody follows it, since they are read when they are used; but who finds that
// one is gone already writes this, and so waits until that is as durable as a change.
inline constexpr absl::string_view kInvitesCancelled = "invites";

struct PostgresRegistryOptions {
  // At once, besides the one that hears of changes, and the one that reads what they changed.
  size_t connections = 4;
  // How long any call may take, a connection that must be made included.
  absl::Duration patience = absl::Seconds(5);
  // Used ID tokens and tries of factors are forgotten by the database's clock, so that a replica
  // whose own is wrong forgets nothing for the others; in tests by what callers say.
  bool callers_time = false;
};

// Safe from any thread. Errors: those of src/store/registry.h; InvalidArgument for text with a NUL
// byte, which PostgreSQL can't hold.
class PostgresRegistry final : public Registry {
 public:
  // Makes the schema where there is none, and brings an older one up. See PostgresConnection::Open
  // and MigratePostgresSchema for what is refused.
  static absl::StatusOr<std::unique_ptr<PostgresRegistry>> Open(
      const std::string& url, const PostgresRegistryOptions& options = {});

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
  absl::StatusOr<std::vector<std::string>> FindUnrevoked(
      absl::Span<const std::string> ids) override;
  absl::StatusOr<std::vector<SubjectRecord>> FindSubjects(
      absl::Span<const std::string> names) override;
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

  // ---- What replicas of one gate share besides (postgres_shared.cc) ----

  // Whose registry this is: the gate's audience, and the fingerprint of its identity (32 bytes).
  struct Owner {
    std::string audience;
    std::string identity;
    friend bool operator==(const Owner&, const Owner&) = default;
  };
  // Nothing where no gate has claimed it yet.
  absl::StatusOr<std::optional<Owner>> FindOwner();
  // Claims it, or finds it claimed by the same. FailedPrecondition for another gate's. Keys of
  // tickets are then changed only while it is that gate's: a replica that was stopped while the
  // identity was rotated could void the others' otherwise, before it notices.
  absl::Status Claim(const Owner& owner);
  // What a replica asks each time that it joins. FailedPrecondition where the registry is not
  // `mine` any more: that is so for good, and nothing is read or written by this object from then
  // on. An old primary, which may be the one before, is refused with kStoreUnavailable.
  absl::Status CheckStillOwnedBy(const Owner& mine, PostgresSession& session);
  // Puts another identity in the place of the one that is recorded. FailedPrecondition while a
  // replica runs, or where the audience is another one. One that was killed is waited for until its
  // lease has ended.
  absl::Status ReplaceIdentity(const Owner& owner);

  struct Replica {
    std::string name;
    absl::Duration lease;
    int64_t behind = 0;      // changes that it has not confirmed
    absl::Duration unheard;  // since it was heard of, by the database's clock
    std::string state;       // PostgresReplicaOptions::state
  };
  absl::StatusOr<std::vector<Replica>> ListReplicas();

  // Waits until every replica has confirmed every change that is committed by now, or can't admit
  // any more by what it believed before: its lease has ended, counted by this machine's clock from
  // after the change, with a margin of a hundredth for clocks that do not run alike. When it
  // returns OK, no replica admits by the state before. Refuses with kStoreUnavailable a server that
  // lacks one of `made`, or the last change that is known: what it says of the replicas is not of
  // these changes. Name each change that is waited for: between two of them a failover may have
  // lost the first.
  struct Confirmation {
    std::string name;
    bool confirmed = false;  // false: waited for until its lease ended
  };
  absl::StatusOr<std::vector<Confirmation>> AwaitConfirmed(
      absl::Span<const ChangePosition> made = {});

  // The last change that the replica of this process follows. From now on nothing is read or
  // written at a server that does not have it: an old primary, which a failover left alive and
  // nothing fenced, would answer as things were. Number -1: any server is believed.
  using Position = ChangePosition;
  void Know(Position position);
  // True, once, when this object made that very change of a subject's factors. In another history
  // the same number is somebody else's.
  bool TakeMine(const Position& change);
  // The server may be another one: no connection of before is used for what begins from now on.
  void Reconnect() {
    pool_.DropAll();
    following_.DropAll();
  }
  // The history may be another one: what was changed in the one before is not followed any more.
  void ForgetMine();

  const std::string& url() const { return url_; }

 private:
  // After a condition of a statement whose $2 and $3 are what is known.
  static constexpr absl::string_view kIfKnown =
      " AND ($2 < 0 OR EXISTS (SELECT FROM changes WHERE number = $2 AND token = $3))";
  // What a change tells the other replicas: of what kind, and of whom.
  struct Told {
    absl::string_view kind;  // of those above
    std::string key;
  };
  using Tell = std::vector<Told>;

  PostgresRegistry(std::string url, const PostgresRegistryOptions& options)
      : url_(url),
        pool_(url, options.connections, options.patience),
        following_(std::move(url), 1, options.patience),
        callers_time_(options.callers_time) {}

  // The time by which things are forgotten.
  absl::StatusOr<absl::Time> TimeFor(PostgresSession& session, absl::Time callers) const;
  Position Known() const;
  // Refuses, and gives the connection up, where its server does not have what is known.
  absl::Status CheckKnown(PostgresSession& session) const;
  static absl::Status CheckHas(PostgresSession& session, const Position& change);
  static absl::Status DistrustServer(PostgresSession& session);
  // OK where nothing was claimed. kStoreUnavailable where it is another gate's by now.
  absl::Status CheckClaim(PostgresSession& session) const;
  // As the pool does it, at a server that has what is known.
  absl::Status Look(PostgresPool::Body body);
  absl::Status Transact(PostgresLock lock, PostgresPool::Body body);
  // One transaction under the lock of changes; what the body wants told is written in it, too. It
  // is told again by who finds that it is so already: it may have been committed by somebody who
  // was told that nobody knows. A COMMIT that wrote nothing waits for no standby, and what is not
  // told is confirmed by nobody. `made`, where it is not null: the last that was told.
  absl::Status Change(absl::FunctionRef<absl::Status(PostgresSession&, Tell&)> body,
                      Position* made = nullptr);
  // The same for one subject's further factors, which the body changes by the subject's id.
  absl::Status ChangeFactors(absl::string_view subject,
                             absl::FunctionRef<absl::Status(PostgresSession&, int64_t)> body);

  const std::string url_;
  PostgresPool pool_;
  // For what following reads, which must not wait until a local change has its lock.
  PostgresPool following_;
  const bool callers_time_;
  absl::Mutex mine_mutex_;
  absl::flat_hash_set<Position> mine_ ABSL_GUARDED_BY(mine_mutex_);
  mutable absl::Mutex known_mutex_;
  Position known_ ABSL_GUARDED_BY(known_mutex_);
  mutable absl::Mutex claimed_mutex_;
  std::optional<Owner> claimed_ ABSL_GUARDED_BY(claimed_mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_POSTGRES_POSTGRES_REGISTRY_H_

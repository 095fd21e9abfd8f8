// SPDX-License-Identifier: Apache-2.0
// Whose registry it is, and what its replicas have confirmed.
#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/clock.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/store/postgres/postgres_registry.h"
#include "src/store/postgres/postgres_steps.h"

namespace forekey {
namespace {

// Clocks of two machines do not run alike: those that are kept by NTP differ by less than a
// thousandth.
constexpr double kClockMargin = 1.01;
// How often it is looked without a notice.
constexpr absl::Duration kLookAgain = absl::Milliseconds(100);
constexpr absl::Duration kLookPatience = absl::Seconds(15);

absl::Status OtherGates(const PostgresRegistry::Owner& there, absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat("this registry belongs to the gate ",
                                                    there.audience, " with the identity ",
                                                    absl::BytesToHexString(there.identity), what));
}

absl::StatusOr<std::optional<PostgresRegistry::Owner>> OwnerOf(PostgresSession& session) {
  FOREKEY_ASSIGN_OR_RETURN(const PostgresRows rows,
                           session.Query("SELECT audience, identity FROM gate"));
  if (rows.empty()) return std::nullopt;
  return PostgresRegistry::Owner{rows.Bytes(0, 0), rows.Bytes(0, 1)};
}

absl::Status CheckOwner(const std::optional<PostgresRegistry::Owner>& there,
                        const PostgresRegistry::Owner& mine) {
  if (!there) return absl::FailedPreconditionError("this registry belongs to no gate any more");
  if (there->audience != mine.audience) {
    return OtherGates(
        *there, absl::StrCat(", not to ", mine.audience, ": another gate takes another database"));
  }
  if (there->identity != mine.identity) {
    return OtherGates(*there, absl::StrCat(", and the one in this state folder is ",
                                           absl::BytesToHexString(mine.identity),
                                           ": bring that one here with `forekey-gate identity "
                                           "export` and `import`"));
  }
  return absl::OkStatus();
}

// One that is waited for.
struct Awaited {
  std::string id;
  size_t place;  // among the confirmations
  absl::Duration lease;
  bool over = false;
};

}  // namespace

absl::StatusOr<std::optional<PostgresRegistry::Owner>> PostgresRegistry::FindOwner() {
  std::optional<Owner> owner;
  FOREKEY_RETURN_IF_ERROR(Look([&](PostgresSession& session) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(owner, OwnerOf(session));
    return absl::OkStatus();
  }));
  return owner;
}

absl::Status PostgresRegistry::Claim(const Owner& owner) {
  FOREKEY_RETURN_IF_ERROR(Change([&](PostgresSession& session, Tell&) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(const std::optional<Owner> there, OwnerOf(session));
    if (!there) {
      return session.Run("INSERT INTO gate (audience, identity) VALUES ($1, $2)",
                         PostgresValues().Text(owner.audience).Bytes(owner.identity));
    }
    return CheckOwner(there, owner);
  }));
  absl::MutexLock lock(&claimed_mutex_);
  claimed_ = owner;
  return absl::OkStatus();
}

absl::Status PostgresRegistry::CheckClaim(PostgresSession& session) const {
  std::optional<Owner> mine;
  {
    absl::MutexLock lock(&claimed_mutex_);
    mine = claimed_;
  }
  if (!mine) return absl::OkStatus();
  // FOR SHARE: whoever changes the identity just now is waited for.
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows same,
      session.Query("SELECT FROM gate WHERE audience = $1 AND identity = $2 FOR SHARE",
                    PostgresValues().Text(mine->audience).Bytes(mine->identity)));
  if (!same.empty()) return absl::OkStatus();
  return Refuse(Reason::kStoreUnavailable, "the registry is of another identity by now");
}

absl::Status PostgresRegistry::CheckStillOwnedBy(const Owner& mine, PostgresSession& session) {
  FOREKEY_ASSIGN_OR_RETURN(const std::optional<Owner> there, OwnerOf(session));
  absl::Status same = CheckOwner(there, mine);
  if (same.ok()) return same;
  FOREKEY_RETURN_IF_ERROR(CheckKnown(session));
  const absl::Status closed = Refuse(Reason::kStoreUnavailable, same.message());
  pool_.Close(closed);
  following_.Close(closed);
  return same;
}

absl::Status PostgresRegistry::ReplaceIdentity(const Owner& owner) {
  // Rows of replicas that were killed, all together, are there for ever: nobody takes them away.
  FOREKEY_ASSIGN_OR_RETURN(
      auto connection,
      PostgresConnection::Open(url_, PostgresConnection::Role::kGate, Deadline::In(kLookPatience)));
  PostgresSession look(*connection, Deadline::In(kLookPatience));
  FOREKEY_RETURN_IF_ERROR(CheckKnown(look));
  FOREKEY_RETURN_IF_ERROR(AwaitNoReplica(*connection));
  return Change([&](PostgresSession& session, Tell&) -> absl::Status {
    // A replica that joins meanwhile waits for this, and then sees the new one; or this sees it.
    FOREKEY_RETURN_IF_ERROR(session.Run("SELECT FROM gate FOR UPDATE"));
    FOREKEY_ASSIGN_OR_RETURN(const std::optional<Owner> there, OwnerOf(session));
    if (there && there->audience != owner.audience) return OtherGates(*there, "");
    FOREKEY_ASSIGN_OR_RETURN(const PostgresRows running,
                             session.Query("SELECT name FROM replicas ORDER BY name"));
    if (!running.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the replica ", running.Bytes(0, 0),
                       " runs with the identity that is recorded: stop every gate first, so that a "
                       "new one is announced by all or by none"));
    }
    return session.Run(
        "INSERT INTO gate (audience, identity) VALUES ($1, $2) ON CONFLICT (one) DO UPDATE SET "
        "identity = $2",
        PostgresValues().Text(owner.audience).Bytes(owner.identity));
  });
}

absl::Status AwaitNoReplica(PostgresConnection& connection) {
  FOREKEY_ASSIGN_OR_RETURN(const PostgresRows before,
                           connection.Query("SELECT id, renewals, lease, name FROM replicas",
                                            PostgresValues(), Deadline::In(kLookPatience)));
  if (before.empty()) return absl::OkStatus();
  int64_t longest = 0;
  for (int row = 0; row < before.size(); ++row) longest = std::max(longest, before.Int(row, 2));
  // A margin for clocks that do not run alike.
  FOREKEY_RETURN_IF_ERROR(
      connection.AwaitNotice(Deadline::In(absl::Nanoseconds(longest) * 1.01), -1).status());
  for (int row = 0; row < before.size(); ++row) {
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows same,
        connection.Query("DELETE FROM replicas WHERE id = $1 AND renewals = $2",
                         PostgresValues().Bytes(before.Bytes(row, 0)).Int(before.Int(row, 1)),
                         Deadline::In(kLookPatience)));
    if (same.Affected() == 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the replica ", before.Bytes(row, 3), " runs on this registry: stop every gate first"));
    }
  }
  return absl::OkStatus();
}

bool PostgresRegistry::TakeMine(const Position& change) {
  absl::MutexLock lock(&mine_mutex_);
  return mine_.erase(change) > 0;
}

absl::StatusOr<std::vector<PostgresRegistry::Replica>> PostgresRegistry::ListReplicas() {
  std::vector<Replica> replicas;
  FOREKEY_RETURN_IF_ERROR(Look([&](PostgresSession& session) -> absl::Status {
    replicas.clear();
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query(
            "SELECT name, lease, (SELECT max(number) FROM changes) - seen, (extract(epoch FROM "
            "clock_timestamp() - renewed_at) * 1000)::int8, state FROM replicas ORDER BY name, "
            "id"));
    for (int row = 0; row < rows.size(); ++row) {
      replicas.push_back({rows.Bytes(row, 0), absl::Nanoseconds(rows.Int(row, 1)), rows.Int(row, 2),
                          absl::Milliseconds(rows.Int(row, 3)), rows.Bytes(row, 4)});
    }
    return absl::OkStatus();
  }));
  return replicas;
}

absl::StatusOr<std::vector<PostgresRegistry::Confirmation>> PostgresRegistry::AwaitConfirmed(
    absl::Span<const ChangePosition> made) {
  // Whatever was committed before this moment has been read by every renewal that is sent after it.
  const BootTime begun = Clock::System().BootNow();
  const auto patience = [] { return Deadline::In(absl::Seconds(5)); };
  FOREKEY_ASSIGN_OR_RETURN(
      auto connection, PostgresConnection::Open(url_, PostgresConnection::Role::kGate, patience()));
  FOREKEY_RETURN_IF_ERROR(connection->Execute("LISTEN forekey_confirmed", patience()));
  // An old primary that takes writes again has rows of replicas that saw everything there is there.
  PostgresSession session(*connection, patience());
  for (const Position& change : made) FOREKEY_RETURN_IF_ERROR(CheckHas(session, change));
  FOREKEY_RETURN_IF_ERROR(CheckKnown(session));
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows rows,
      connection->Query("SELECT id, name, lease, (SELECT max(number) FROM changes) FROM replicas "
                        "ORDER BY name, id",
                        PostgresValues(), patience()));
  std::vector<Confirmation> confirmations;
  std::vector<Awaited> awaited;
  const int64_t last = rows.empty() ? 0 : rows.Int(0, 3);
  for (int row = 0; row < rows.size(); ++row) {
    awaited.push_back({rows.Bytes(row, 0), confirmations.size(),
                       absl::Nanoseconds(rows.Int(row, 2)) * kClockMargin});
    confirmations.push_back({rows.Bytes(row, 1), false});
  }
  for (;;) {
    bool all_over = true;
    absl::Duration left = kLookAgain;
    for (Awaited& one : awaited) {
      if (one.over) continue;
      FOREKEY_ASSIGN_OR_RETURN(const PostgresRows seen,
                               connection->Query("SELECT seen FROM replicas WHERE id = $1",
                                                 PostgresValues().Bytes(one.id), patience()));
      // One whose row is gone has stopped, or was not heard of for longer than its lease.
      const bool confirmed = seen.empty() || seen.Int(0, 0) >= last;
      const absl::Duration since = Clock::System().BootNow() - begun;
      one.over = confirmed || since >= one.lease;
      confirmations[one.place].confirmed = confirmed;
      all_over = all_over && one.over;
      if (!one.over) left = std::min(left, one.lease - since);
    }
    if (all_over) return confirmations;
    FOREKEY_RETURN_IF_ERROR(connection->AwaitNotice(Deadline::In(left), -1).status());
  }
}

}  // namespace forekey

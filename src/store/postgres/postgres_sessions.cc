// SPDX-License-Identifier: Apache-2.0
// What outlives sessions: the keys of their tickets, and which of them were resumed or ended.
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/store/postgres/postgres_registry.h"
#include "src/store/postgres/postgres_steps.h"
#include "src/store/record_shapes.h"

namespace forekey {
namespace {

struct PostgresFamily {
  uint64_t serial = 0;
  bool ended = false;
  bool known = false;
};

// Under the lock of changes: of two that ask for one family, the second sees what the first did.
absl::StatusOr<PostgresFamily> FindPostgresFamily(PostgresSession& session,
                                                  const Registry::FamilyStep& step) {
  FOREKEY_RETURN_IF_ERROR(
      session.Run("DELETE FROM session_families WHERE good_until < $1",
                  PostgresValues().Int(absl::ToUnixNanos(step.now - kFamilyKeptBeyond))));
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows rows,
      session.Query("SELECT serial, ended FROM session_families WHERE family = $1",
                    PostgresValues().Bytes(step.family)));
  if (rows.empty()) return PostgresFamily();
  return PostgresFamily{static_cast<uint64_t>(rows.Int(0, 0)), rows.Int(0, 1) != 0, true};
}

// Whether `most` of the subject's families are kept, of those that were ended or of the others; and
// what time it is here.
struct PostgresFamilyRoom {
  bool full = false;
  absl::Time now;
};
absl::StatusOr<PostgresFamilyRoom> FindPostgresFamilyRoom(PostgresSession& session, int64_t subject,
                                                          bool ended, uint64_t most) {
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows rows,
      session.Query(
          "SELECT count(*), (extract(epoch FROM clock_timestamp()) * 1000000)::int8 FROM (SELECT "
          "FROM session_families WHERE subject_id = $1 AND ended = $2 LIMIT $3) AS kept",
          PostgresValues().Int(subject).Int(ended ? 1 : 0).Int(static_cast<int64_t>(most))));
  return PostgresFamilyRoom{rows.Int(0, 0) >= static_cast<int64_t>(most),
                            absl::FromUnixMicros(rows.Int(0, 1))};
}

absl::Status KeepPostgresFamily(PostgresSession& session, const Registry::FamilyStep& step,
                                int64_t subject, const PostgresFamily& family,
                                absl::Time good_until) {
  return session.Run(
      "INSERT INTO session_families (family, serial, ended, good_until, subject_id) VALUES ($1, "
      "$2, $3, $4, $5) ON CONFLICT (family) DO UPDATE SET serial = $2, ended = $3, good_until = "
      "$4, subject_id = $5",
      PostgresValues()
          .Bytes(step.family)
          .Int(static_cast<int64_t>(family.serial))
          .Int(family.ended ? 1 : 0)
          .Int(absl::ToUnixNanos(good_until))
          .Int(subject));
}

// The subject's id; refuses by what the registry says of subject and credentials, which nobody
// changes before this transaction is over.
absl::StatusOr<int64_t> CheckPostgresClaim(PostgresSession& session,
                                           const Registry::FamilyStep& step) {
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows subject,
      session.Query("SELECT id, disabled, sessions_epoch, factors_epoch, tickets_after FROM "
                    "subjects WHERE name = $1",
                    PostgresValues().Text(step.subject)));
  if (subject.empty()) return Refuse(Reason::kCredentialUnknown, "there is no such subject");
  FOREKEY_RETURN_IF_ERROR(CheckFamilySubject(
      step, {subject.Int(0, 1) != 0, static_cast<uint64_t>(subject.Int(0, 2)),
             static_cast<uint64_t>(subject.Int(0, 3)), absl::FromUnixNanos(subject.Int(0, 4))}));
  for (const std::string& credential : step.credential_ids) {
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query("SELECT revoked_at FROM credentials WHERE id = $1 AND subject_id = $2",
                      PostgresValues().Bytes(credential).Int(subject.Int(0, 0))));
    if (rows.empty()) return Refuse(Reason::kCredentialUnknown);
    if (!rows.IsNull(0, 0)) return Refuse(Reason::kCredentialRevoked);
  }
  return subject.Int(0, 0);
}

// `last_made`: no ticket of what is forgotten is made later.
absl::Status ForgetEndedPostgresFamilies(PostgresSession& session, int64_t subject,
                                         absl::Time last_made) {
  FOREKEY_RETURN_IF_ERROR(
      session.Run("UPDATE subjects SET tickets_after = greatest(tickets_after, $2) WHERE id = $1",
                  PostgresValues().Int(subject).Int(absl::ToUnixNanos(last_made))));
  return session.Run("DELETE FROM session_families WHERE subject_id = $1 AND ended = 1",
                     PostgresValues().Int(subject));
}

// The key of kFamilyMoved.
std::string MovedFamily(const Registry::FamilyStep& step, uint64_t below) {
  return ByteWriter().Raw(step.family).U64(below).Raw(step.subject).bytes();
}

}  // namespace

absl::StatusOr<Registry::TicketState> PostgresRegistry::FindTicketState() {
  TicketState state;
  // One statement, since every replica asks it now and then, whether it is called or not.
  FOREKEY_RETURN_IF_ERROR(pool_.Look([&](PostgresSession& session) -> absl::Status {
    const Position known = Known();
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query("SELECT coalesce(version, 0), sealed, (extract(epoch FROM clock_timestamp()) "
                      "* 1000000)::int8 FROM (SELECT) AS one LEFT JOIN ticket_state ON true WHERE "
                      "$1 < 0 OR EXISTS (SELECT FROM changes WHERE number = $1 AND token = $2)",
                      PostgresValues().Int(known.number).Bytes(known.token)));
    if (rows.empty()) return DistrustServer(session);
    state = TicketState{static_cast<uint64_t>(rows.Int(0, 0)), rows.Bytes(0, 1),
                        absl::FromUnixMicros(rows.Int(0, 2))};
    return absl::OkStatus();
  }));
  return state;
}

absl::StatusOr<bool> PostgresRegistry::SwapTicketState(uint64_t expected,
                                                       absl::string_view sealed) {
  bool swapped = false;
  FOREKEY_RETURN_IF_ERROR(Change([&](PostgresSession& session, Tell&) -> absl::Status {
    FOREKEY_RETURN_IF_ERROR(CheckClaim(session));
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query(expected == 0 ? "INSERT INTO ticket_state (only_one, version, sealed) VALUES "
                                      "(1, $1 + 1, $2) ON CONFLICT DO NOTHING"
                                    : "UPDATE ticket_state SET version = $1 + 1, sealed = $2 WHERE "
                                      "version = $1",
                      PostgresValues().Int(static_cast<int64_t>(expected)).Bytes(sealed)));
    swapped = rows.Affected() == 1;
    return absl::OkStatus();
  }));
  return swapped;
}

absl::Status PostgresRegistry::AdvanceFamily(const FamilyStep& step) {
  FOREKEY_RETURN_IF_ERROR(CheckFamilyShape(step));
  return Change([&](PostgresSession& session, Tell& tell) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(const int64_t subject, CheckPostgresClaim(session, step));
    FOREKEY_ASSIGN_OR_RETURN(PostgresFamily family, FindPostgresFamily(session, step));
    if (family.ended) return Refuse(Reason::kSessionEnded);
    if (family.serial != step.serial) return Refuse(Reason::kTicketReplayed);
    if (!family.known) {
      FOREKEY_ASSIGN_OR_RETURN(
          const PostgresFamilyRoom room,
          FindPostgresFamilyRoom(session, subject, /*ended=*/false, step.most));
      if (room.full) return Refuse(Reason::kReplayStoreFull, "of resumed sessions of the subject");
    }
    ++family.serial;
    tell.push_back({kFamilyMoved, MovedFamily(step, family.serial)});
    return KeepPostgresFamily(session, step, subject, family, step.ends_at);
  });
}

absl::Status PostgresRegistry::EndFamily(const FamilyStep& step) {
  FOREKEY_RETURN_IF_ERROR(CheckFamilyShape(step));
  return Change([&](PostgresSession& session, Tell& tell) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(const int64_t subject, PostgresSubjectId(session, step.subject));
    FOREKEY_ASSIGN_OR_RETURN(PostgresFamily family, FindPostgresFamily(session, step));
    if (family.ended) {
      tell.push_back({kFamilyMoved, MovedFamily(step, UINT64_MAX)});  // again (see Change())
      return absl::OkStatus();
    }
    FOREKEY_ASSIGN_OR_RETURN(const PostgresFamilyRoom room,
                             FindPostgresFamilyRoom(session, subject, /*ended=*/true, step.most));
    if (room.full) {
      FOREKEY_RETURN_IF_ERROR(
          ForgetEndedPostgresFamilies(session, subject, room.now + step.heard_within));
    }
    family.ended = true;
    tell.push_back({kFamilyMoved, MovedFamily(step, UINT64_MAX)});
    return KeepPostgresFamily(session, step, subject, family,
                              EndedFamilyGoodUntil(step, family.known, room.now));
  });
}

absl::Status PostgresRegistry::RaiseSessionsEpoch(absl::string_view subject, uint64_t least) {
  return Change([&](PostgresSession& session, Tell& tell) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query("UPDATE subjects SET sessions_epoch = greatest(sessions_epoch, $1) WHERE "
                      "name = $2",
                      PostgresValues().Int(static_cast<int64_t>(least)).Text(subject)));
    if (rows.Affected() == 0) return absl::NotFoundError(absl::StrCat("no subject ", subject));
    tell.push_back({kSubjectChanged, std::string(subject)});
    return absl::OkStatus();
  });
}

}  // namespace forekey

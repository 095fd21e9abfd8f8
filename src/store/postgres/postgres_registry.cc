// SPDX-License-Identifier: Apache-2.0
// Opening, invites and subjects; credentials and enrolment are in postgres_credentials.cc, further
// factors in postgres_factors.cc.
#include "src/store/postgres/postgres_registry.h"

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/random.h"
#include "src/store/postgres/postgres_rows.h"
#include "src/store/postgres/postgres_schema.h"
#include "src/store/postgres/postgres_steps.h"
#include "src/store/record_shapes.h"

namespace forekey {
namespace {

// A migration may have to read every row.
constexpr absl::Duration kMigrationPatience = absl::Minutes(10);
constexpr size_t kTokenSize = 16;
// Changes of factors that were made here and not heard of again yet. One that is forgotten costs a
// session its further factors.
constexpr size_t kMostMine = 10'000;

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresRegistry>> PostgresRegistry::Open(
    const std::string& url, const PostgresRegistryOptions& options) {
  FOREKEY_ASSIGN_OR_RETURN(auto connection,
                           PostgresConnection::Open(url, PostgresConnection::Role::kOwner,
                                                    Deadline::In(options.patience)));
  FOREKEY_RETURN_IF_ERROR(
      MigratePostgresSchema(*connection, PostgresSchemaSteps(), Deadline::In(kMigrationPatience)));
  return std::unique_ptr<PostgresRegistry>(new PostgresRegistry(url, options));
}

PostgresRegistry::Position PostgresRegistry::Known() const {
  absl::MutexLock lock(&known_mutex_);
  return known_;
}

void PostgresRegistry::Know(Position position) {
  absl::MutexLock lock(&known_mutex_);
  known_ = std::move(position);
}

void PostgresRegistry::ForgetMine() {
  absl::MutexLock lock(&mine_mutex_);
  mine_.clear();
}

absl::Status PostgresRegistry::CheckKnown(PostgresSession& session) const {
  return CheckHas(session, Known());
}

absl::Status PostgresRegistry::CheckHas(PostgresSession& session, const Position& change) {
  if (change.number < 0) return absl::OkStatus();
  FOREKEY_ASSIGN_OR_RETURN(const PostgresRows rows,
                           session.Query("SELECT FROM changes WHERE number = $1 AND token = $2",
                                         PostgresValues().Int(change.number).Bytes(change.token)));
  return rows.empty() ? DistrustServer(session) : absl::OkStatus();
}

absl::Status PostgresRegistry::DistrustServer(PostgresSession& session) {
  return session.connection().Distrust(
      "this server does not have the last change that is known: it is behind, or its history is "
      "another one");
}

absl::Status PostgresRegistry::Look(PostgresPool::Body body) {
  return pool_.Look([&](PostgresSession& session) -> absl::Status {
    FOREKEY_RETURN_IF_ERROR(CheckKnown(session));
    return body(session);
  });
}

absl::Status PostgresRegistry::Transact(PostgresLock lock, PostgresPool::Body body) {
  return pool_.Transact(lock, [&](PostgresSession& session) -> absl::Status {
    FOREKEY_RETURN_IF_ERROR(CheckKnown(session));
    return body(session);
  });
}

absl::Status PostgresRegistry::Change(absl::FunctionRef<absl::Status(PostgresSession&, Tell&)> body,
                                      Position* made) {
  std::vector<Position> factors;
  Position last;
  FOREKEY_RETURN_IF_ERROR(
      Transact(PostgresLock::kChanges, [&](PostgresSession& session) -> absl::Status {
        Tell tell;
        factors.clear();
        last = Position();
        FOREKEY_RETURN_IF_ERROR(body(session, tell));
        for (const Told& told : tell) {
          const std::string token = RandomBytes(kTokenSize);
          FOREKEY_ASSIGN_OR_RETURN(
              const PostgresRows rows,
              session.Query(
                  "INSERT INTO changes (number, token, kind, key) SELECT max(number) + 1, $1, $2, "
                  "$3 FROM changes RETURNING number",
                  PostgresValues().Bytes(token).Text(told.kind).Bytes(told.key)));
          last = {rows.Int(0, 0), token};
          if (told.kind == kFactorsChanged) factors.push_back(last);
        }
        if (tell.empty()) return absl::OkStatus();
        return session.Run("SELECT pg_notify('forekey_changes', '')::text");
      }));
  // Known to be committed. What is not noted here is followed like another replica's, as it must be
  // where nobody knows what became of it.
  if (made != nullptr) *made = std::move(last);
  absl::MutexLock lock(&mine_mutex_);
  if (mine_.size() + factors.size() > kMostMine) mine_.clear();
  mine_.insert(factors.begin(), factors.end());
  return absl::OkStatus();
}

absl::StatusOr<InviteRecord> FindPostgresInvite(PostgresSession& session, absl::string_view id) {
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows rows,
      session.Query(absl::StrCat(kPostgresInvite, " WHERE id = $1"), PostgresValues().Bytes(id)));
  if (rows.empty()) return Refuse(Reason::kInviteUnknown);
  return std::move(PostgresInvites(rows).front());
}

absl::Status CheckReplacedCredential(PostgresSession& session, absl::string_view credential_id,
                                     absl::string_view subject) {
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows rows,
      session.Query("SELECT s.name FROM credentials c JOIN subjects s ON s.id = c.subject_id WHERE "
                    "c.id = $1",
                    PostgresValues().Bytes(credential_id)));
  if (rows.empty()) {
    return Refuse(Reason::kCredentialUnknown, "the credential to be replaced is not enrolled");
  }
  if (rows.Bytes(0, 0) != subject) {
    return Refuse(Reason::kSubjectMismatch, "the credential to be replaced is another subject's");
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> PostgresSubjectId(PostgresSession& session, absl::string_view name) {
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows rows,
      session.Query("SELECT id FROM subjects WHERE name = $1", PostgresValues().Text(name)));
  if (rows.empty()) return absl::NotFoundError(absl::StrCat("no subject ", name));
  return rows.Int(0, 0);
}

absl::Status InsertPostgresRoles(PostgresSession& session, int64_t subject_id,
                                 const std::vector<std::string>& roles) {
  for (const std::string& role : roles) {
    FOREKEY_RETURN_IF_ERROR(
        session.Run("INSERT INTO subject_roles (subject_id, role) VALUES ($1, $2)",
                    PostgresValues().Int(subject_id).Text(role)));
  }
  return absl::OkStatus();
}

absl::StatusOr<InviteRecord> PostgresRegistry::FindInvite(absl::string_view public_key) {
  InviteRecord found;
  const std::string id = Sha256(public_key);
  FOREKEY_RETURN_IF_ERROR(Look([&](PostgresSession& session) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(found, FindPostgresInvite(session, id));
    return absl::OkStatus();
  }));
  return found;
}

absl::Status PostgresRegistry::AddInvite(const InviteRecord& invite) {
  FOREKEY_RETURN_IF_ERROR(CheckInviteShape(invite));
  const std::string roles = JoinWords(SortedOnce(invite.roles)), kinds = JoinKinds(invite.kinds);
  return Change([&](PostgresSession& session, Tell&) -> absl::Status {
    const absl::Status same = FindPostgresInvite(session, invite.id).status();
    if (same.ok()) return absl::InvalidArgumentError("the invite exists already");
    if (ReasonOf(same) != Reason::kInviteUnknown) return same;
    if (!invite.replaces_credential.empty()) {
      FOREKEY_RETURN_IF_ERROR(
          CheckReplacedCredential(session, invite.replaces_credential, invite.subject));
    }
    PostgresValues values;
    values.Bytes(invite.id).Bytes(invite.public_key).Text(invite.subject).Text(roles).Text(kinds);
    values.OptionalBytes(invite.pinned_device).OptionalBytes(invite.replaces_credential);
    values.Int(absl::ToUnixNanos(invite.created_at)).Int(absl::ToUnixNanos(invite.expires_at));
    if (invite.used_at) {
      values.Int(absl::ToUnixNanos(*invite.used_at));
    } else {
      values.NullInt();
    }
    return session.Run(
        "INSERT INTO invites (id, public_key, subject, roles, kinds, pinned_device, "
        "replaces_credential, created_at, expires_at, used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, "
        "$8, $9, $10)",
        values);
  });
}

absl::Status PostgresRegistry::CancelInvite(absl::string_view invite_id) {
  absl::Status refused;
  FOREKEY_RETURN_IF_ERROR(Change([&](PostgresSession& session, Tell& tell) -> absl::Status {
    refused = absl::OkStatus();
    // Also where it is gone, or used, already (see Change()): the refusal says so.
    tell.push_back({kInvitesCancelled, std::string(invite_id)});
    const absl::StatusOr<InviteRecord> invite = FindPostgresInvite(session, invite_id);
    if (!invite.ok() && ReasonOf(invite.status()) != Reason::kInviteUnknown) return invite.status();
    refused = invite.ok() && invite->used_at ? Refuse(Reason::kInviteUsed) : invite.status();
    if (!refused.ok()) return absl::OkStatus();
    return session.Run("DELETE FROM invites WHERE id = $1", PostgresValues().Bytes(invite_id));
  }));
  return refused;
}

absl::StatusOr<std::vector<InviteRecord>> PostgresRegistry::ListInvites() {
  std::vector<InviteRecord> invites;
  FOREKEY_RETURN_IF_ERROR(Look([&](PostgresSession& session) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query(absl::StrCat(kPostgresInvite, " ORDER BY created_at, id")));
    invites = PostgresInvites(rows);
    return absl::OkStatus();
  }));
  return invites;
}

absl::StatusOr<SubjectRecord> PostgresRegistry::FindSubject(absl::string_view name) {
  std::vector<SubjectRecord> subjects;
  FOREKEY_RETURN_IF_ERROR(pool_.Look([&](PostgresSession& session) -> absl::Status {
    const Position known = Known();
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query(
            absl::StrCat(kPostgresSubject, " WHERE s.name = $1", kIfKnown, " ORDER BY r.role"),
            PostgresValues().Text(name).Int(known.number).Bytes(known.token)));
    subjects = PostgresSubjects(rows);
    return subjects.empty() ? CheckKnown(session) : absl::OkStatus();
  }));
  if (subjects.empty()) return absl::NotFoundError(absl::StrCat("no subject ", name));
  return std::move(subjects.front());
}

absl::StatusOr<std::vector<SubjectRecord>> PostgresRegistry::FindSubjects(
    absl::Span<const std::string> names) {
  std::vector<SubjectRecord> subjects;
  FOREKEY_RETURN_IF_ERROR(following_.Look([&](PostgresSession& session) -> absl::Status {
    const Position known = Known();
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query(
            absl::StrCat(kPostgresSubject, " WHERE s.name IN ", kPostgresTextsOfList, kIfKnown,
                         " ORDER BY s.name, r.role"),
            PostgresValues().Text(PostgresList(names)).Int(known.number).Bytes(known.token)));
    subjects = PostgresSubjects(rows);
    return subjects.empty() ? CheckKnown(session) : absl::OkStatus();
  }));
  return subjects;
}

absl::StatusOr<std::vector<SubjectRecord>> PostgresRegistry::ListSubjects() {
  std::vector<SubjectRecord> subjects;
  FOREKEY_RETURN_IF_ERROR(Look([&](PostgresSession& session) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query(absl::StrCat(kPostgresSubject, " ORDER BY s.name, r.role")));
    subjects = PostgresSubjects(rows);
    return absl::OkStatus();
  }));
  return subjects;
}

absl::Status PostgresRegistry::SetRoles(absl::string_view subject,
                                        const std::vector<std::string>& roles,
                                        ChangePosition* made) {
  FOREKEY_RETURN_IF_ERROR(CheckNames(roles));
  const auto set = [&](PostgresSession& session, Tell& tell) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(const int64_t id, PostgresSubjectId(session, subject));
    FOREKEY_RETURN_IF_ERROR(
        session.Run("DELETE FROM subject_roles WHERE subject_id = $1", PostgresValues().Int(id)));
    tell.push_back({kSubjectChanged, std::string(subject)});
    return InsertPostgresRoles(session, id, SortedOnce(roles));
  };
  return Change(set, made);
}

absl::Status PostgresRegistry::SetDisabled(absl::string_view subject, bool disabled,
                                           ChangePosition* made) {
  const auto set = [&](PostgresSession& session, Tell& tell) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query("UPDATE subjects SET disabled = $1, sessions_epoch = sessions_epoch + $1 "
                      "WHERE name = $2",
                      PostgresValues().Int(disabled ? 1 : 0).Text(subject)));
    if (rows.Affected() == 0) return absl::NotFoundError(absl::StrCat("no subject ", subject));
    tell.push_back({kSubjectChanged, std::string(subject)});
    return absl::OkStatus();
  };
  return Change(set, made);
}

absl::StatusOr<Registry::Counts> PostgresRegistry::Count() {
  Counts counts;
  FOREKEY_RETURN_IF_ERROR(Look([&](PostgresSession& session) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query("SELECT (SELECT count(*) FROM subjects), (SELECT count(*) FROM credentials), "
                      "(SELECT count(*) FROM invites)"));
    counts.subjects = static_cast<uint64_t>(rows.Int(0, 0));
    counts.credentials = static_cast<uint64_t>(rows.Int(0, 1));
    counts.invites = static_cast<uint64_t>(rows.Int(0, 2));
    return absl::OkStatus();
  }));
  return counts;
}

}  // namespace forekey

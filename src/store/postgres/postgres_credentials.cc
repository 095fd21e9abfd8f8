// SPDX-License-Identifier: Apache-2.0
// Enrolment, credentials and their revocation. The threats at enrolment, and what stops each, are
// those of src/store/sqlite_credentials.cc; here another replica takes the place of another thread,
// and the lock of changes, which is held from before the first look until after the commit, that of
// the IMMEDIATE transaction.
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/store/postgres/postgres_registry.h"
#include "src/store/postgres/postgres_rows.h"
#include "src/store/postgres/postgres_steps.h"
#include "src/store/record_shapes.h"

namespace forekey {
namespace {

absl::Status CheckNewCredential(PostgresSession& session, const Registry::Enrollment& enrollment,
                                const InviteRecord& invite) {
  const CredentialRecord& credential = enrollment.credential;
  FOREKEY_RETURN_IF_ERROR(CheckInviteIsFor(invite, enrollment));
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows same_key,
      session.Query("SELECT id FROM credentials WHERE id = $1 OR spki_sha256 = $2",
                    PostgresValues().Bytes(credential.id).Bytes(Sha256(credential.spki))));
  if (!same_key.empty()) return Refuse(Reason::kCredentialExists);
  if (enrollment.one_subject_a_device && !credential.device_id.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows same_device,
        session.Query("SELECT c.id FROM credentials c JOIN subjects s ON s.id = c.subject_id WHERE "
                      "c.device_id = $1 AND c.revoked_at IS NULL AND s.name <> $2 LIMIT 1",
                      PostgresValues().Bytes(credential.device_id).Text(credential.subject)));
    if (!same_device.empty()) return Refuse(Reason::kDeviceExists);
  }
  if (invite.replaces_credential.empty()) return absl::OkStatus();
  return CheckReplacedCredential(session, invite.replaces_credential, invite.subject);
}

absl::StatusOr<int64_t> MakePostgresSubject(PostgresSession& session, const InviteRecord& invite,
                                            int64_t now, bool* made) {
  FOREKEY_ASSIGN_OR_RETURN(const PostgresRows found,
                           session.Query("SELECT id, disabled FROM subjects WHERE name = $1",
                                         PostgresValues().Text(invite.subject)));
  *made = found.empty();
  if (!found.empty()) {
    if (found.Int(0, 1) != 0) return Refuse(Reason::kSubjectDisabled);
    return found.Int(0, 0);
  }
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows inserted,
      session.Query("INSERT INTO subjects (name, created_at) VALUES ($1, $2) RETURNING id",
                    PostgresValues().Text(invite.subject).Int(now)));
  FOREKEY_RETURN_IF_ERROR(InsertPostgresRoles(session, inserted.Int(0, 0), invite.roles));
  return inserted.Int(0, 0);
}

absl::Status InsertPostgresCredential(PostgresSession& session, const CredentialRecord& credential,
                                      int64_t subject_id) {
  PostgresValues values;
  values.Bytes(credential.id).Int(subject_id).Bytes(Sha256(credential.spki)).Int(credential.kind);
  values.Int(credential.algorithm).Int(credential.sign_count);
  values.Int(absl::ToUnixNanos(credential.enrolled_at)).Bytes(credential.spki);
  values.Text(credential.label).OptionalBytes(credential.device_id);
  values.Text(JoinWords(credential.factors)).Text(credential.rp_id).Text(credential.origin);
  values.Text(credential.proved_json).Bytes(credential.evidence);
  return session.Run(
      "INSERT INTO credentials (id, subject_id, spki_sha256, kind, algorithm, sign_count, "
      "enrolled_at, revocation_note, spki, label, device_id, factors, rp_id, origin, proved_json, "
      "evidence) VALUES ($1, $2, $3, $4, $5, $6, $7, '', $8, $9, $10, $11, $12, $13, $14, $15)",
      values);
}

absl::StatusOr<bool> RevokeUnrevoked(PostgresSession& session, absl::string_view id,
                                     absl::string_view note, absl::Time now) {
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows rows,
      session.Query("UPDATE credentials SET revoked_at = $1, revocation_note = $2 WHERE id = $3 "
                    "AND revoked_at IS NULL",
                    PostgresValues().Int(absl::ToUnixNanos(now)).Text(note).Bytes(id)));
  return rows.Affected() > 0;
}

}  // namespace

absl::Status PostgresRegistry::Enroll(const Enrollment& enrollment, Enrolled* enrolled) {
  FOREKEY_RETURN_IF_ERROR(CheckCredentialShape(enrollment.credential));
  const int64_t now = absl::ToUnixNanos(enrollment.now);
  Enrolled result;
  FOREKEY_RETURN_IF_ERROR(Change([&](PostgresSession& session, Tell& tell) -> absl::Status {
    result = Enrolled();
    FOREKEY_ASSIGN_OR_RETURN(const InviteRecord invite,
                             FindPostgresInvite(session, enrollment.invite_id));
    FOREKEY_RETURN_IF_ERROR(CheckNewCredential(session, enrollment, invite));
    FOREKEY_ASSIGN_OR_RETURN(const int64_t subject_id,
                             MakePostgresSubject(session, invite, now, &result.new_subject));
    FOREKEY_RETURN_IF_ERROR(InsertPostgresCredential(session, enrollment.credential, subject_id));
    if (!invite.replaces_credential.empty()) {
      FOREKEY_RETURN_IF_ERROR(RevokeUnrevoked(session, invite.replaces_credential,
                                              "replaced by a recovery", enrollment.now)
                                  .status());
      tell.push_back({kCredentialRevoked, invite.replaces_credential});
      result.replaced_credential = invite.replaces_credential;
    }
    return session.Run("UPDATE invites SET used_at = $1 WHERE id = $2",
                       PostgresValues().Int(now).Bytes(invite.id));
  }));
  if (enrolled != nullptr) *enrolled = std::move(result);
  return absl::OkStatus();
}

absl::StatusOr<CredentialRecord> PostgresRegistry::FindCredential(absl::string_view id) {
  std::vector<CredentialRecord> found;
  FOREKEY_RETURN_IF_ERROR(pool_.Look([&](PostgresSession& session) -> absl::Status {
    const Position known = Known();
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query(absl::StrCat(kPostgresCredential, " WHERE c.id = $1", kIfKnown),
                      PostgresValues().Bytes(id).Int(known.number).Bytes(known.token)));
    found = PostgresCredentials(rows);
    return found.empty() ? CheckKnown(session) : absl::OkStatus();
  }));
  if (found.empty()) return Refuse(Reason::kCredentialUnknown);
  return std::move(found.front());
}

absl::StatusOr<std::vector<CredentialRecord>> PostgresRegistry::ListCredentials(
    absl::string_view subject) {
  std::vector<CredentialRecord> credentials;
  FOREKEY_RETURN_IF_ERROR(Look([&](PostgresSession& session) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query(absl::StrCat(kPostgresCredential,
                                   " WHERE $1 = '' OR s.name = $1 ORDER BY s.name, c.enrolled_at, "
                                   "c.id"),
                      PostgresValues().Text(subject)));
    credentials = PostgresCredentials(rows);
    return absl::OkStatus();
  }));
  return credentials;
}

absl::StatusOr<std::vector<std::string>> PostgresRegistry::ListLiveCredentialIds(
    absl::string_view after, size_t most) {
  std::vector<std::string> ids;
  FOREKEY_RETURN_IF_ERROR(Look([&](PostgresSession& session) -> absl::Status {
    ids.clear();
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query("SELECT id FROM credentials WHERE id > $1 AND revoked_at IS NULL ORDER BY id "
                      "LIMIT $2",
                      PostgresValues().Bytes(after).Int(static_cast<int64_t>(most))));
    for (int row = 0; row < rows.size(); ++row) ids.push_back(rows.Bytes(row, 0));
    return absl::OkStatus();
  }));
  return ids;
}

absl::StatusOr<std::vector<std::string>> PostgresRegistry::FindUnrevoked(
    absl::Span<const std::string> ids) {
  std::vector<std::string> unrevoked;
  FOREKEY_RETURN_IF_ERROR(following_.Look([&](PostgresSession& session) -> absl::Status {
    unrevoked.clear();
    const Position known = Known();
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query(
            absl::StrCat("SELECT id FROM credentials WHERE revoked_at IS NULL AND id IN ",
                         kPostgresBytesOfList, kIfKnown),
            PostgresValues().Text(PostgresList(ids)).Int(known.number).Bytes(known.token)));
    for (int row = 0; row < rows.size(); ++row) unrevoked.push_back(rows.Bytes(row, 0));
    return rows.empty() ? CheckKnown(session) : absl::OkStatus();
  }));
  return unrevoked;
}

absl::StatusOr<bool> PostgresRegistry::RevokeCredential(absl::string_view id,
                                                        absl::string_view note, absl::Time now,
                                                        ChangePosition* made) {
  bool revoked = false;
  const auto revoke = [&](PostgresSession& session, Tell& tell) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(revoked, RevokeUnrevoked(session, id, note, now));
    if (!revoked) {
      FOREKEY_ASSIGN_OR_RETURN(
          const PostgresRows rows,
          session.Query("SELECT id FROM credentials WHERE id = $1", PostgresValues().Bytes(id)));
      if (rows.empty()) return Refuse(Reason::kCredentialUnknown);
    }
    // Also where it was revoked before (see Change()).
    tell.push_back({kCredentialRevoked, std::string(id)});
    return absl::OkStatus();
  };
  FOREKEY_RETURN_IF_ERROR(Change(revoke, made));
  return revoked;
}

absl::StatusOr<Registry::RevokedSubject> PostgresRegistry::RevokeSubject(absl::string_view subject,
                                                                         absl::string_view note,
                                                                         absl::Time now) {
  RevokedSubject done;
  absl::Status refused;
  const auto revoke = [&](PostgresSession& session, Tell& tell) -> absl::Status {
    done = RevokedSubject();
    refused = absl::OkStatus();
    // Also where there are none (any more): see Change().
    tell.push_back({kInvitesCancelled, std::string(subject)});
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows invites,
        session.Query(absl::StrCat(kPostgresInvite,
                                   " WHERE subject = $1 AND used_at IS NULL ORDER "
                                   "BY created_at, id"),
                      PostgresValues().Text(subject)));
    done.cancelled_invites = PostgresInvites(invites);
    FOREKEY_RETURN_IF_ERROR(
        session.Run("DELETE FROM invites WHERE subject = $1 AND used_at IS NULL",
                    PostgresValues().Text(subject)));
    const absl::StatusOr<int64_t> subject_id = PostgresSubjectId(session, subject);
    if (absl::IsNotFound(subject_id.status())) {
      if (done.cancelled_invites.empty()) refused = subject_id.status();
      return absl::OkStatus();
    }
    FOREKEY_RETURN_IF_ERROR(subject_id.status());
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query("SELECT id, (revoked_at IS NULL)::int::int8 FROM credentials WHERE "
                      "subject_id = $1 ORDER BY enrolled_at, id",
                      PostgresValues().Int(*subject_id)));
    for (int row = 0; row < rows.size(); ++row) {
      done.credentials.push_back({rows.Bytes(row, 0), rows.Int(row, 1) != 0});
      tell.push_back({kCredentialRevoked, rows.Bytes(row, 0)});  // again, too
    }
    return session.Run(
        "UPDATE credentials SET revoked_at = $1, revocation_note = $2 WHERE "
        "subject_id = $3 AND revoked_at IS NULL",
        PostgresValues().Int(absl::ToUnixNanos(now)).Text(note).Int(*subject_id));
  };
  Position made;
  FOREKEY_RETURN_IF_ERROR(Change(revoke, &made));
  FOREKEY_RETURN_IF_ERROR(refused);
  done.made = std::move(made);
  return done;
}

absl::Status PostgresRegistry::AdvanceSignCount(absl::string_view id, uint32_t count) {
  return Transact(PostgresLock::kNone, [&](PostgresSession& session) -> absl::Status {
    // Of two at once the second waits for the first one's row, and then compares anew.
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows advanced,
        session.Query("UPDATE credentials SET sign_count = $1 WHERE id = $2 AND sign_count < $1",
                      PostgresValues().Int(count).Bytes(id)));
    if (advanced.Affected() > 0) return absl::OkStatus();
    FOREKEY_ASSIGN_OR_RETURN(const PostgresRows found,
                             session.Query("SELECT sign_count FROM credentials WHERE id = $1",
                                           PostgresValues().Bytes(id)));
    if (found.empty()) return Refuse(Reason::kCredentialUnknown);
    // WebAuthn §6.1.1: authenticators without a counter say zero; nothing to write for them.
    if (found.Int(0, 0) == 0 && count == 0) return absl::OkStatus();
    return Refuse(Reason::kCounterRollback);
  });
}

}  // namespace forekey

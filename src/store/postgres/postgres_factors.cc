// SPDX-License-Identifier: Apache-2.0
// Further factors: passwords, identities at identity providers, ID tokens that were used, tries.
#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/store/postgres/postgres_registry.h"
#include "src/store/postgres/postgres_steps.h"

namespace forekey {
namespace {

// As in src/store/sqlite_oidc.cc.
constexpr absl::Duration kUsedTokenKeptBeyond = absl::Hours(1);
constexpr size_t kUsedTokenSize = 32;

// One credential's, whose row is locked; what is over is forgotten.
absl::StatusOr<bool> HasPostgresTry(PostgresSession& session, absl::string_view credential_id,
                                    const Registry::FactorTry& attempt, absl::Time time) {
  const int64_t now = absl::ToUnixNanos(time);
  FOREKEY_RETURN_IF_ERROR(session.Run(
      "DELETE FROM factor_tries WHERE credential_id = $1 AND factor = $2 AND since <= $3",
      PostgresValues()
          .Bytes(credential_id)
          .Text(attempt.factor)
          .Int(now - absl::ToInt64Nanoseconds(attempt.per))));
  FOREKEY_RETURN_IF_ERROR(session.Run(
      "UPDATE factor_tries SET since = $3 WHERE credential_id = $1 AND factor = $2 AND since > $3",
      PostgresValues().Bytes(credential_id).Text(attempt.factor).Int(now)));
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows rows,
      session.Query("SELECT used FROM factor_tries WHERE credential_id = $1 AND factor = $2",
                    PostgresValues().Bytes(credential_id).Text(attempt.factor)));
  return rows.empty() || static_cast<uint64_t>(rows.Int(0, 0)) < attempt.tries;
}

}  // namespace

absl::StatusOr<std::string> PostgresRegistry::FindPasswordHash(absl::string_view subject) {
  std::string hash;
  FOREKEY_RETURN_IF_ERROR(Look([&](PostgresSession& session) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query("SELECT p.hash FROM passwords p JOIN subjects s ON s.id = p.subject_id WHERE "
                      "s.name = $1",
                      PostgresValues().Text(subject)));
    hash = rows.empty() ? std::string() : rows.Bytes(0, 0);
    return absl::OkStatus();
  }));
  return hash;
}

absl::Status PostgresRegistry::ChangeFactors(
    absl::string_view subject, absl::FunctionRef<absl::Status(PostgresSession&, int64_t)> body) {
  return Change([&](PostgresSession& session, Tell& tell) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(const int64_t id, PostgresSubjectId(session, subject));
    tell.push_back({kFactorsChanged, std::string(subject)});
    FOREKEY_RETURN_IF_ERROR(
        session.Run("UPDATE subjects SET factors_epoch = factors_epoch + 1 WHERE id = $1",
                    PostgresValues().Int(id)));
    return body(session, id);
  });
}

absl::Status PostgresRegistry::SetPasswordHash(absl::string_view subject, absl::string_view hash,
                                               absl::Time now) {
  return ChangeFactors(subject, [&](PostgresSession& session, int64_t id) {
    if (hash.empty()) {
      return session.Run("DELETE FROM passwords WHERE subject_id = $1", PostgresValues().Int(id));
    }
    return session.Run(
        "INSERT INTO passwords (subject_id, hash, set_at) VALUES ($1, $2, $3) ON CONFLICT "
        "(subject_id) DO UPDATE SET hash = $2, set_at = $3",
        PostgresValues().Int(id).Text(hash).Int(absl::ToUnixNanos(now)));
  });
}

absl::StatusOr<std::vector<OidcIdentity>> PostgresRegistry::FindOidcIdentities(
    absl::string_view subject) {
  std::vector<OidcIdentity> identities;
  FOREKEY_RETURN_IF_ERROR(Look([&](PostgresSession& session) -> absl::Status {
    identities.clear();
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        session.Query("SELECT o.issuer, o.claim, o.identity FROM oidc_identities o JOIN subjects s "
                      "ON s.id = o.subject_id WHERE s.name = $1 ORDER BY o.issuer",
                      PostgresValues().Text(subject)));
    for (int row = 0; row < rows.size(); ++row) {
      identities.push_back({rows.Bytes(row, 0), rows.Bytes(row, 1), rows.Bytes(row, 2)});
    }
    return absl::OkStatus();
  }));
  return identities;
}

absl::Status PostgresRegistry::SetOidcIdentity(absl::string_view subject,
                                               const OidcIdentity& identity, absl::Time now) {
  return ChangeFactors(subject, [&](PostgresSession& session, int64_t id) {
    return session.Run(
        "INSERT INTO oidc_identities (subject_id, issuer, claim, identity, set_at) VALUES ($1, $2, "
        "$3, $4, $5) ON CONFLICT (subject_id, issuer) DO UPDATE SET claim = $3, identity = $4, "
        "set_at = $5",
        PostgresValues()
            .Int(id)
            .Text(identity.issuer)
            .Text(identity.claim)
            .Text(identity.value)
            .Int(absl::ToUnixNanos(now)));
  });
}

absl::Status PostgresRegistry::ClearOidcIdentities(absl::string_view subject,
                                                   absl::string_view issuer) {
  return ChangeFactors(subject, [&](PostgresSession& session, int64_t id) {
    return session.Run(
        "DELETE FROM oidc_identities WHERE subject_id = $1 AND ($2 = '' OR issuer = $2)",
        PostgresValues().Int(id).Text(issuer));
  });
}

absl::StatusOr<absl::Time> PostgresRegistry::TimeFor(PostgresSession& session,
                                                     absl::Time callers) const {
  if (callers_time_) return callers;
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows rows,
      session.Query("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8"));
  return absl::FromUnixMicros(rows.Int(0, 0));
}

absl::Status PostgresRegistry::UseIdToken(const IdTokenUse& use) {
  if (use.id.size() != kUsedTokenSize) return absl::InvalidArgumentError("an id has 32 bytes");
  // Under a lock of its own, so that the capacity is exact whoever else uses one.
  return Transact(PostgresLock::kIdTokens, [&](PostgresSession& session) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(const PostgresRows known,
                             session.Query("SELECT id FROM used_id_tokens WHERE id = $1",
                                           PostgresValues().Bytes(use.id)));
    if (!known.empty()) return Refuse(Reason::kIdTokenReplayed);
    FOREKEY_ASSIGN_OR_RETURN(const absl::Time now, TimeFor(session, use.now));
    const absl::Time forgotten = now - kUsedTokenKeptBeyond;
    // A gate whose clock is far behind takes it for good, and it may have been used, and forgotten.
    if (use.good_until < forgotten)
      return Refuse(Reason::kIdTokenExpired, "by the registry's clock");
    FOREKEY_RETURN_IF_ERROR(session.Run("DELETE FROM used_id_tokens WHERE good_until < $1",
                                        PostgresValues().Int(absl::ToUnixNanos(forgotten))));
    FOREKEY_ASSIGN_OR_RETURN(const PostgresRows count,
                             session.Query("SELECT count(*) FROM used_id_tokens"));
    if (static_cast<uint64_t>(count.Int(0, 0)) >= use.capacity) {
      return Refuse(Reason::kReplayStoreFull,
                    absl::StrCat(use.capacity, " used ID tokens are remembered already"));
    }
    return session.Run("INSERT INTO used_id_tokens (id, good_until) VALUES ($1, $2)",
                       PostgresValues().Bytes(use.id).Int(absl::ToUnixNanos(use.good_until)));
  });
}

absl::StatusOr<bool> PostgresRegistry::TakeFactorTry(const FactorTry& attempt) {
  // In one order, so that two that name the same credentials don't wait for each other.
  std::vector<std::string> ids = attempt.credential_ids;
  std::sort(ids.begin(), ids.end());
  bool all_have = true;
  FOREKEY_RETURN_IF_ERROR(
      Transact(PostgresLock::kNone, [&](PostgresSession& session) -> absl::Status {
        all_have = true;
        for (const std::string& id : ids) {
          FOREKEY_ASSIGN_OR_RETURN(
              const PostgresRows locked,
              session.Query("SELECT id FROM credentials WHERE id = $1 FOR NO KEY UPDATE",
                            PostgresValues().Bytes(id)));
          if (locked.empty()) return Refuse(Reason::kCredentialUnknown);
        }
        FOREKEY_ASSIGN_OR_RETURN(const absl::Time now, TimeFor(session, attempt.now));
        for (const std::string& id : ids) {
          FOREKEY_ASSIGN_OR_RETURN(const bool has, HasPostgresTry(session, id, attempt, now));
          all_have = all_have && has;
        }
        for (const std::string& id : ids) {
          if (!all_have) break;
          FOREKEY_RETURN_IF_ERROR(session.Run(
              "INSERT INTO factor_tries (credential_id, factor, used, since) VALUES ($1, $2, 1, "
              "$3) ON CONFLICT (credential_id, factor) DO UPDATE SET used = factor_tries.used + 1",
              PostgresValues().Bytes(id).Text(attempt.factor).Int(absl::ToUnixNanos(now))));
        }
        return absl::OkStatus();
      }));
  return all_have;
}

absl::Status PostgresRegistry::GiveFactorTriesBack(absl::Span<const std::string> credential_ids,
                                                   absl::string_view factor) {
  return Transact(PostgresLock::kNone, [&](PostgresSession& session) -> absl::Status {
    for (const std::string& id : credential_ids) {
      FOREKEY_RETURN_IF_ERROR(
          session.Run("DELETE FROM factor_tries WHERE credential_id = $1 AND factor = $2",
                      PostgresValues().Bytes(id).Text(factor)));
    }
    return absl::OkStatus();
  });
}

}  // namespace forekey

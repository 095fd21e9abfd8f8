// SPDX-License-Identifier: Apache-2.0
// Steps that several transactions of PostgresRegistry are made of. Each runs within the caller's
// transaction, under the lock of changes where it changes something.
#ifndef FOREKEY_SRC_STORE_POSTGRES_POSTGRES_STEPS_H_
#define FOREKEY_SRC_STORE_POSTGRES_POSTGRES_STEPS_H_

#include <string>
#include <vector>

#include "src/store/postgres/postgres_pool.h"
#include "src/store/registry.h"

namespace forekey {

// kInviteUnknown where there is none.
absl::StatusOr<InviteRecord> FindPostgresInvite(PostgresSession& session, absl::string_view id);
// kCredentialUnknown, kSubjectMismatch.
absl::Status CheckReplacedCredential(PostgresSession& session, absl::string_view credential_id,
                                     absl::string_view subject);
// NotFound where there is none.
absl::StatusOr<int64_t> PostgresSubjectId(PostgresSession& session, absl::string_view name);
absl::Status InsertPostgresRoles(PostgresSession& session, int64_t subject_id,
                                 const std::vector<std::string>& roles);

// Outside of any transaction. Waits for as long as the longest lease of any replica, and takes away
// the rows of those that were not heard of: they are gone. FailedPrecondition where one runs.
absl::Status AwaitNoReplica(PostgresConnection& connection);

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_POSTGRES_POSTGRES_STEPS_H_

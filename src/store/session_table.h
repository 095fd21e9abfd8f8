// SPDX-License-Identifier: Apache-2.0
// The gate's sessions, in memory alone; a restart ends them.
#ifndef FOREKEY_SRC_STORE_SESSION_TABLE_H_
#define FOREKEY_SRC_STORE_SESSION_TABLE_H_

#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/store/session.h"
#include "src/store/session_limits.h"

namespace forekey {

// Sharded; safe from any thread.
class SessionTable {
 public:
  explicit SessionTable(SessionLimits limits);
  ~SessionTable();

  // Null where there is none. Costs one hash look-up under a shard's reader lock; no allocation.
  std::shared_ptr<const Session> Find(absl::string_view id) const;
  // Asked where there is none: kSessionEnded, kCredentialRevoked or kSubjectDisabled where that is
  // why one of the last 16,384 that were ended so is gone, else kSessionUnknown. An id proves
  // nothing.
  absl::Status WhyNotFound(absl::string_view id) const;

  // Inserts under the lock that revocation takes too, after asking every credential again
  // (kCredentialRevoked, kSubjectDisabled; kSessionEnded or kSessionExpired where the parent has):
  // a session can't slip in beside a revocation. At a cap, the same subject's longest idle session
  // goes (expired ones first; a parent is as idle as the most active of its family), never another
  // subject's; where there is none, kSessionTableFull. At the caps for children it is one of the
  // same parent's, or of the same subject's; a child never drives out a parent. A full table first
  // drops what has expired, whoever's, at most once a second. A child (parts.parent) has its
  // parent's subject, credentials and factors, or fewer, none proved later than the parent has it
  // (kChildNotAllowed; also for a child of a child). InvalidArgument for sizes other than Parts
  // says or a known id; kSubjectMismatch for credentials of several subjects.
  absl::StatusOr<std::shared_ptr<const Session>> Insert(Session::Parts parts, BootTime now);

  // Ends it and its children. False where there is none. Session::End() on the object also refuses
  // all its later calls, but leaves it in the table until Sweep().
  bool End(absl::string_view id);
  // Ends every session that a credential opened, or a subject's; returns how many. Called after the
  // registry has the revocation.
  size_t EndByCredential(absl::string_view credential_id);
  size_t EndBySubject(absl::string_view subject);
  // Drops what no call can use at `now` (expired, ended, revoked, of a disabled subject); called
  // now and then by the gate. Returns how many.
  size_t Sweep(BootTime now);
  size_t size() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_SESSION_TABLE_H_

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

  // Insert() in two steps, for a session without a parent that takes another's place once the
  // registry agrees. Hold() puts it where ends and revocations find it, and gives up no other for
  // it; Settle() then makes room for it. Until then nobody knows its key. Where no other could be
  // given up for it, Hold() refuses with kSessionTableFull; once it is held, it has a place,
  // whatever others open meanwhile. Settle() refuses, and lets it go, where it was ended meanwhile.
  // Exactly one of Settle() and LetGo() comes after it. Sessions that are held are as many as
  // threads that resume.
  absl::StatusOr<std::shared_ptr<const Session>> Hold(Session::Parts parts, BootTime now);
  absl::Status Settle(const Session& session, BootTime now);
  void LetGo(const Session& session);  // the registry did not agree

  // Ends it and its children. False where there is none. Session::End() on the object also refuses
  // all its later calls, but leaves it in the table until Sweep().
  bool End(absl::string_view id);
  // Ends the sessions of that family (SessionLineage) with a serial below this one, with their
  // children; returns how many. Called after the registry has it. UINT64_MAX: the family is over.
  size_t EndFamily(absl::string_view subject, absl::string_view family, uint64_t below);
  // This process is on its way out. From now on a session that goes on elsewhere, while its family
  // is not over, leaves the table as ever, but its live calls may finish (Session::CheckLiveCall);
  // whatever ends the family, or revokes a credential, ends them still.
  void LetLiveCallsFinish();
  // Ends every session that has a family, with its children: where it is not known which of them
  // were resumed or ended elsewhere.
  size_t EndFamilies();
  // Ends every session that a credential opened, or a subject's; returns how many. Called after the
  // registry has the revocation.
  size_t EndByCredential(absl::string_view credential_id);
  size_t EndBySubject(absl::string_view subject);
  // Drops what no call can use at `now` (expired, ended, revoked, of a disabled subject); called
  // now and then by the gate. Returns how many.
  size_t Sweep(BootTime now);
  size_t size() const;

 private:
  std::shared_ptr<const Session> Put(Session::Parts parts);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_SESSION_TABLE_H_

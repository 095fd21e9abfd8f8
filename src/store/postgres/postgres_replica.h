// SPDX-License-Identifier: Apache-2.0
// One replica among those that share a registry: it follows what the others change, and holds the
// lease without which it admits nothing.
//
// How a revocation reaches every replica, whatever the network does:
//   1. Whoever revokes commits a row of `changes` with it, in the order of commits, and NOTIFYs.
//   2. Each replica renews its row in `replicas` a few times in a lease, and whenever it is
//      notified. The renewal is a write, so that a server that lost its place to another can't
//      answer it, and gives the number of the last change. Only once all changes up to that number
//      are applied is the lease extended: to its length after the moment at which the renewal was
//      *sent*, on this machine's boot clock. A notice that was lost is so found by the next
//      renewal.
//   3. The next renewal says how far it has come: that confirms the change.
//   4. Whoever revoked waits for that, or for as long as the lease lasts since after its commit. A
//      renewal that did not see the change was sent before that commit; so the lease that it gave
//      has ended by then, on whatever machine. No two machines' clocks are compared.
//
// Every change has a random token. A replica whose last change is not in the table any more, or has
// another token, knows that the database's history is another one (a failover that lost something,
// a backup), and reads everything again before it admits anything. The registry's other
// connections follow the one that renews: whenever that one was made anew they are, too, and they
// believe no server that does not have the change that is followed. So what the lease vouches for
// was read where it was renewed, or later in the same history, also where a failover left the old
// server alive.
#ifndef FOREKEY_SRC_STORE_POSTGRES_POSTGRES_REPLICA_H_
#define FOREKEY_SRC_STORE_POSTGRES_POSTGRES_REPLICA_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/base/clock.h"
#include "src/store/admission_lease.h"
#include "src/store/live_credentials.h"
#include "src/store/postgres/postgres_registry.h"

namespace forekey {

struct PostgresReplicaOptions {
  std::string name;  // for people
  absl::Duration lease = absl::Seconds(3);
  // Whose registry it has to be, each time that the replica joins: the identity may have been
  // rotated while it was cut off. Where it is another's it gives up for good. Nothing: not asked.
  std::optional<PostgresRegistry::Owner> owner;
  // What `forekey-gate status --all` shows of it; asked at each renewal. May be empty.
  std::function<std::string()> state;
  // A credential that another replica revoked; after it is refused. May be empty.
  std::function<void(const std::string& credential)> revoked;
  // Sessions of that family with a serial below this one are over: resumed, or ended, at another
  // replica or here. May be empty.
  std::function<void(const std::string& subject, const std::string& family, uint64_t below)> moved;
  // Changes were missed: what could be resumed may have been. May be empty.
  std::function<void()> missed;
  // What went wrong, once each time that it begins, and "" when it is over. May be empty.
  std::function<void(const std::string& error)> trouble;
};

class PostgresReplica {
 public:
  // Joins and holds the lease when it returns OK. Everything is borrowed and must outlive it.
  static absl::StatusOr<std::unique_ptr<PostgresReplica>> Join(PostgresReplicaOptions options,
                                                               PostgresRegistry& registry,
                                                               LiveCredentials& credentials,
                                                               AdmissionLease& lease,
                                                               const Clock& clock);
  // Ends the lease, then takes its row away, so that nobody waits for it.
  ~PostgresReplica();
  PostgresReplica(const PostgresReplica&) = delete;
  PostgresReplica& operator=(const PostgresReplica&) = delete;

 private:
  using Position = PostgresRegistry::Position;

  PostgresReplica(PostgresReplicaOptions options, PostgresRegistry& registry,
                  LiveCredentials& credentials, AdmissionLease& lease, const Clock& clock);
  void Run();
  // One renewal, and whatever it takes: a connection, joining, following. OK: the lease was
  // extended.
  absl::Status Renew();
  // The first one: at each of the URL's hosts, until one of them commits it.
  absl::Status Begin();
  absl::Status Connect();
  void GiveConnectionUp();
  absl::Status Enter();
  absl::Status InsertRow();
  // Says that it is there, and nothing else: so that a long reading does not cost it its row.
  absl::Status KeepRow();
  // The number of the last change; nothing where the row or the history is another.
  absl::StatusOr<std::optional<int64_t>> SendRenewal();
  absl::Status FollowUpTo(int64_t last);
  absl::Status Follow(const Position& change, const std::string& kind, const std::string& key);
  void LookAfterOthers();
  Deadline Patience() const { return Deadline::In(options_.lease / 2); }

  const PostgresReplicaOptions options_;
  PostgresRegistry& registry_;
  LiveCredentials& credentials_;
  AdmissionLease& lease_;
  const Clock& clock_;
  const std::string id_;
  int stop_ = -1;  // an eventfd: readable once this object goes

  // The thread's alone, and Join()'s before it runs.
  std::unique_ptr<PostgresConnection> connection_;
  Position position_;  // the last change that was applied; number -1: none is known
  int64_t told_ = -1;  // the position that the row has
  bool in_trouble_ = false;
  bool gave_up_ = false;  // the registry is another gate's now
  int looks_ = 0;
  struct Heard {
    int64_t renewals;
    BootTime since;
  };
  absl::flat_hash_map<std::string, Heard> others_;

  std::thread thread_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_POSTGRES_POSTGRES_REPLICA_H_

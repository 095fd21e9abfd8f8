// SPDX-License-Identifier: Apache-2.0
// The gate's own accept loop. It counts and limits connections before TLS begins, knows the peer of
// every call, and can end a connection.
//
// gRPC tells a metadata processor neither the peer nor the connection of a call. It does give it
// the AuthContext, of which each connection has one; so what has to be found out once is whose that
// is. A connection is handed to gRPC through an acceptor (FROM_FD) that it has for itself until its
// first call: the acceptor's processor then knows who called, writes the connection's number into
// the AuthContext (CallGate), and the acceptor is free for the next one. Acceptors are made before
// the server starts: [connections] arriving says how many connections may be between being accepted
// and their first call; more of them wait for a moment, and send the oldest away.
//
// A connection that ended before its first call leaves its acceptor when gRPC has closed its
// descriptor, so that no call of it can be taken for one of the next.
//
// Strangers are connections on which nothing was admitted yet. gRPC 1.51 has no bound on what such
// a one makes it keep: a message that is never finished is collected whatever its length, so are
// header fields, and streams of exempt methods stay for as long as they like. So strangers are
// bounded from the outside: how many there are, in all and of one address; how many bytes each may
// have sent (the kernel's count, looked at as they arrive); how many exempt calls each may make,
// and have unfinished; how old each may become. A second descriptor of the socket stays here, to
// see its end, and to end it. Who was admitted is none of them, for as long as he goes on: a
// connection on which nothing was admitted for [connections] idle, and no admitted call lives, is
// ended; after twice that also where exempt calls keep it busy (those would hold whatever was sent
// while nothing bound it, also after a revocation).
//
// A connection costs the process two descriptors.
#ifndef FOREKEY_SRC_GATE_GRPC_CONNECTIONS_H_
#define FOREKEY_SRC_GATE_GRPC_CONNECTIONS_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "src/gate/grpc/connection.h"
#include "src/gate/grpc/listeners.h"
#include "src/gate/grpc/stranger_room.h"
#include "src/gate/limits/host_buckets.h"
#include "src/gate/service/gate_core.h"

namespace forekey {

class Connections {
 public:
  // The acceptor that a processor belongs to. Safe from any thread.
  class Slot {
   public:
    // Whose first call it is that the processor judges.
    std::shared_ptr<Connection> current() const {
      absl::MutexLock lock(&mutex_);
      return current_;
    }

   private:
    friend class Connections;
    void Set(std::shared_ptr<Connection> connection) {
      absl::MutexLock lock(&mutex_);
      current_ = std::move(connection);
    }
    mutable absl::Mutex mutex_;
    std::shared_ptr<Connection> current_ ABSL_GUARDED_BY(mutex_);
    std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  };
  using MakeCredentials = std::function<std::shared_ptr<grpc::ServerCredentials>(Slot* slot)>;

  // See Listeners::New.
  static absl::StatusOr<std::unique_ptr<Connections>> New(
      GateCore* core, const std::vector<std::string>& addresses);
  // Must go after the gRPC server.
  ~Connections();

  int port() const { return listeners_->port(); }
  // Before BuildAndStart(): adds the acceptors and the bounds on handshakes and dead connections,
  // and on gRPC's memory.
  void Install(grpc::ServerBuilder& builder, const MakeCredentials& credentials);
  // After the server started: accepts from now on.
  void Start();
  // Accepts no more from when it returns on; what is open stays.
  void StopAccepting();

  // ---- From the processor and the services. Safe from any thread. ----
  std::shared_ptr<Connection> Find(uint64_t id) const { return table_.Find(id); }
  // Its first call came in, whatever becomes of that.
  void Called(const std::shared_ptr<Connection>& connection);
  // An exempt call came in: OK, or kRateLimited, where the connection has made too many; or nothing
  // was admitted on it, and it has too many unfinished, or the strangers of its address made too
  // many. Who goes on after that loses the connection, unless it is for the others of his address.
  // `own`: the method is Forekey's, not one that the operator exempts. A call that was let in must
  // be reported to ExemptBegan and ExemptDone; what never is counts as unfinished. `connection` may
  // be null: not known.
  absl::Status AdmitExempt(const std::shared_ptr<Connection>& connection, bool own);
  void ExemptBegan(uint64_t id);
  void ExemptDone(uint64_t id);
  // A call was judged, and answered where it was refused. A refusal that ends the connection lets
  // its answer out first; nothing more is read, and the address pays for it with new connections
  // that it may not make for a while.
  void Admitted(const std::shared_ptr<Connection>& connection) {
    if (!connection->proved()) BecomeProved(connection);
    if (!connection->active_.load(std::memory_order_relaxed)) {
      connection->active_.store(true, std::memory_order_relaxed);
    }
    if (connection->refused_.load(std::memory_order_relaxed) != 0) {
      connection->refused_.store(0, std::memory_order_relaxed);
    }
  }
  void Refused(const std::shared_ptr<Connection>& connection, std::optional<Reason> reason);

  size_t open() const { return open_.load(std::memory_order_relaxed); }
  // On which nothing was admitted yet.
  size_t strangers() const { return strangers_now_.load(std::memory_order_relaxed); }

 private:
  enum class Change { kCalled, kProved };
  struct Ending {
    std::shared_ptr<Connection> connection;
    BootTime at;
  };

  Connections(GateCore* core, std::unique_ptr<Listeners> listeners);
  void BecomeProved(const std::shared_ptr<Connection>& connection);
  void Tell(const std::shared_ptr<Connection>& connection, Change change);
  void Run();
  void AcceptFrom(int listener);
  void Admit(int fd, int listener);
  absl::Status Allow(const std::string& host);
  void HandOut();
  void FreeClosed();
  bool TakeSlot(size_t* slot);
  void ApplyChanges();
  void MoveTo(StrangerRoom& room, const std::shared_ptr<Connection>& connection,
              absl::string_view what);
  void LookAtBytes(Connection* raw);
  void Forget(Connection* raw);
  void EndNow(const std::shared_ptr<Connection>& connection, const absl::Status& why);
  void EndSoon(const std::shared_ptr<Connection>& connection, double cost);
  void EndDue(BootTime now);
  void EndOld(BootTime now);
  bool IsQuiet(Connection& connection, BootTime now);
  void EndQuiet(BootTime now);
  void Close();
  int WaitMillis(BootTime now);
  void Wake();
  void AddToPoll(int fd, void* tag, uint32_t events);

  GateCore* const core_;
  const GateConfig::Connections& limits_;
  const std::unique_ptr<Listeners> listeners_;
  SiteBuckets rates_;
  SiteBuckets exempt_hosts_;  // of strangers
  TokenBucket exempt_unknown_;
  int poll_ = -1;
  int wake_ = -1;
  std::vector<std::unique_ptr<Slot>> slots_;
  ConnectionTable table_;
  std::atomic<size_t> open_{0};
  std::atomic<size_t> strangers_now_{0};

  absl::Mutex mutex_;
  std::vector<Ending> endings_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<std::shared_ptr<Connection>, Change>> changes_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool accepting_ ABSL_GUARDED_BY(mutex_) = true;

  // thread_ alone touches these.
  struct Resting {
    size_t slot;
    std::shared_ptr<Connection> last;  // which gRPC has not closed yet
  };
  struct Waiting {
    std::shared_ptr<Connection> connection;
    int listener;
  };
  absl::flat_hash_map<Connection*, std::shared_ptr<Connection>> connections_;
  absl::flat_hash_map<std::string, size_t> per_host_;
  std::vector<size_t> free_;
  std::vector<Resting> resting_;
  std::deque<Waiting> waiting_;  // for a slot
  StrangerRoom arriving_, strangers_, watching_;
  uint64_t last_id_ = 0;
  BootTime next_look_;
  BootTime next_quiet_look_;
  BootTime paused_until_;
  std::thread thread_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_CONNECTIONS_H_

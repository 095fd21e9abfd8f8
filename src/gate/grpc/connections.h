// The gate's own accept loop. It counts and limits connections before TLS begins, knows the peer of
// every tracked connection, and can end one.
//
// gRPC tells a metadata processor neither the peer nor the connection of a call. So each tracked
// connection is handed to gRPC through an acceptor of its own (FROM_FD), whose processor knows it;
// a second descriptor of the socket stays here, to see it end and to end it. Acceptors are made
// before the server starts: [connections] tracked says how many; what comes beyond shares one
// acceptor, where the peer of a call is not known and refusals don't end the connection.
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
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "src/gate/limits/host_buckets.h"
#include "src/gate/service/gate_core.h"

namespace forekey {

// One accepted connection.
class Connection {
 public:
  Connection(std::string peer, std::string host, int fd, size_t slot, int64_t accepted)
      : peer_(std::move(peer)), host_(std::move(host)), fd_(fd), slot_(slot), accepted_(accepted) {}
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  const std::string& peer() const { return peer_; }

 private:
  friend class Connections;
  const std::string peer_;  // "ipv4:192.0.2.1:4711"
  const std::string host_;  // HostKey
  const int fd_;            // of the same socket as gRPC's
  const size_t slot_;
  const int64_t accepted_;  // boot nanos
  std::atomic<bool> proved_{false};
  std::atomic<uint32_t> forged_{0};
  std::atomic<uint32_t> refused_{0};
  std::atomic<bool> closing_{false};
};

class Connections {
 public:
  // The acceptor that a processor belongs to. Gives the connection that it judges; null for the one
  // that untracked connections share. Safe from any thread.
  class Slot {
   public:
    std::shared_ptr<Connection> current() const {
      absl::MutexLock lock(&mutex_);
      return current_;
    }

   private:
    friend class Connections;
    mutable absl::Mutex mutex_;
    std::shared_ptr<Connection> current_ ABSL_GUARDED_BY(mutex_);
    std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  };
  using MakeCredentials = std::function<std::shared_ptr<grpc::ServerCredentials>(Slot* slot)>;

  // Binds and listens on numeric addresses (ResolveListenAddress); of several with port 0, all get
  // the same port. Connections wait in the kernel until Start(). Errors: the system's, with the
  // address.
  static absl::StatusOr<std::unique_ptr<Connections>> New(
      GateCore* core, const std::vector<std::string>& addresses);
  // Must go after the gRPC server.
  ~Connections();

  int port() const { return port_; }
  // Before BuildAndStart(): adds the acceptors and the bounds on handshakes, idle and dead
  // connections.
  void Install(grpc::ServerBuilder& builder, const MakeCredentials& credentials);
  // After the server started: accepts from now on.
  void Start();
  // Accepts no more from when it returns on; what is open stays.
  void StopAccepting();

  // A call on `connection` was judged, and answered where it was refused. Safe from any thread. A
  // refusal that ends the connection lets its answer out first; nothing more is read, and the
  // address pays for it with new connections that it may not make for a while.
  void Admitted(Connection& connection);
  void Refused(const std::shared_ptr<Connection>& connection, std::optional<Reason> reason);

  size_t open() const { return open_.load(std::memory_order_relaxed); }
  size_t tracked() const { return tracked_.load(std::memory_order_relaxed); }

 private:
  struct FreeSlot {
    size_t slot;
    int64_t since;
  };
  struct Ending {
    std::shared_ptr<Connection> connection;
    int64_t at;
    Reason reason;
  };

  explicit Connections(GateCore* core);
  absl::Status Listen(const std::string& address);
  void Run();
  void AcceptFrom(int listener);
  void Admit(int fd, int listener);
  absl::Status Allow(const std::string& host, const std::string& peer);
  size_t TakeSlot(int64_t now);
  void Forget(Connection* connection);
  // False where it is ending already.
  bool EndSoon(std::shared_ptr<Connection> connection, absl::Duration delay, Reason reason);
  void EndDue(int64_t now);
  void EndUnproved(int64_t now);
  int WaitMillis(int64_t now);
  void Wake();
  void AddToPoll(int fd, void* tag, uint32_t events);

  GateCore* const core_;
  const GateConfig::Connections& limits_;
  HostBuckets rates_;
  std::vector<int> listeners_;
  int port_ = 0;
  int poll_ = -1;
  int wake_ = -1;
  std::vector<std::unique_ptr<Slot>> slots_;  // the last one is shared
  std::atomic<size_t> open_{0};
  std::atomic<size_t> tracked_{0};

  absl::Mutex mutex_;
  std::vector<Ending> endings_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool accepting_ ABSL_GUARDED_BY(mutex_) = true;

  // Of thread_ alone.
  absl::flat_hash_map<Connection*, std::shared_ptr<Connection>> connections_;
  absl::flat_hash_map<std::string, size_t> per_host_;
  std::deque<FreeSlot> free_;
  int64_t next_look_ = 0;
  int64_t paused_until_ = 0;
  std::thread thread_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_CONNECTIONS_H_

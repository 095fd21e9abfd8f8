// One accepted connection, and what the gate keeps about those on which nothing was admitted yet:
// the strangers.
#ifndef FOREKEY_SRC_GATE_GRPC_CONNECTION_H_
#define FOREKEY_SRC_GATE_GRPC_CONNECTION_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "src/gate/config/config.h"
#include "src/gate/limits/token_bucket.h"

namespace forekey {

class StrangerRoom;

class Connection {
 public:
  static constexpr size_t kNoSlot = ~size_t{0};

  // `fd`: a second descriptor of the socket, which this owns. `given_fd`: gRPC's, or what will be.
  Connection(uint64_t id, std::string peer, std::string host, int fd, int given_fd,
             const GateConfig::Connections& limits, int64_t accepted);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  uint64_t id() const { return id_; }
  const std::string& peer() const { return peer_; }
  const std::string& host() const { return host_; }
  int64_t accepted() const { return accepted_; }
  bool proved() const { return proved_.load(std::memory_order_relaxed); }

  // Everything that the peer sent, TLS and all: the kernel's own count.
  uint64_t BytesReceived() const;

 private:
  friend class Connections;
  friend class StrangerRoom;
  const uint64_t id_;       // ascends in the order of being accepted; never 0
  const std::string peer_;  // "ipv4:192.0.2.1:4711"
  const std::string host_;  // HostKey
  const int fd_;
  const int64_t accepted_;  // boot nanos
  std::atomic<bool> proved_{false};
  std::atomic<uint32_t> forged_{0};
  std::atomic<uint32_t> refused_{0};
  std::atomic<uint32_t> exempt_refused_{0};
  std::atomic<int32_t> exempt_running_{0};
  std::atomic<bool> watches_{false};  // called a method that the operator exempted
  std::atomic<bool> closing_{false};
  TokenBucket exempt_;

  // Of the accept loop's thread alone.
  int given_fd_;
  bool given_ = false;  // to gRPC, which closes given_fd_
  dev_t device_ = 0;    // of the socket: tells when given_fd_ is somebody else's
  ino_t inode_ = 0;
  size_t slot_ = kNoSlot;
  StrangerRoom* room_ = nullptr;
};

// Finds connections by their ids. Safe from any thread.
class ConnectionTable {
 public:
  void Add(std::shared_ptr<Connection> connection);
  void Remove(uint64_t id);
  std::shared_ptr<Connection> Find(uint64_t id) const;  // null where it is gone

 private:
  static constexpr size_t kShards = 64;
  struct Shard {
    mutable absl::Mutex mutex;
    absl::flat_hash_map<uint64_t, std::shared_ptr<Connection>> connections ABSL_GUARDED_BY(mutex);
  };
  std::array<Shard, kShards> shards_;
};

// Strangers of one standing, the oldest first: at most `most` of them, at most `share` of one
// address. Whoever comes when there is no room sends another one away: the oldest of his own
// address where that has its share, else the oldest of the address that has most. So one address
// never sends another one's away, and many addresses only what has been silent for longest.
class StrangerRoom {
 public:
  StrangerRoom(size_t most, size_t share) : most_(most), share_(share) {}

  // Who has to leave, and is in here no more; null: nobody. With no room at all: the one that came.
  std::shared_ptr<Connection> Add(std::shared_ptr<Connection> connection);
  void Remove(Connection& connection);
  size_t size() const { return by_age_.size(); }
  const std::map<uint64_t, std::shared_ptr<Connection>>& by_age() const { return by_age_; }

 private:
  using Ids = std::map<uint64_t, Connection*>;
  const size_t most_, share_;
  std::map<uint64_t, std::shared_ptr<Connection>> by_age_;
  absl::flat_hash_map<std::string, Ids> by_host_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_CONNECTION_H_

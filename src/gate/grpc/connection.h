// SPDX-License-Identifier: Apache-2.0
// One accepted connection, and what the gate keeps about it.
#ifndef FOREKEY_SRC_GATE_GRPC_CONNECTION_H_
#define FOREKEY_SRC_GATE_GRPC_CONNECTION_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "src/base/boot_time.h"
#include "src/gate/config/config.h"
#include "src/gate/grpc/exempt_calls.h"

namespace forekey {

class StrangerRoom;

class Connection {
 public:
  static constexpr size_t kNoSlot = ~size_t{0};

  // `fd`: a second descriptor of the socket, which this owns. `given_fd`: gRPC's, or what will be.
  Connection(uint64_t id, std::string peer, std::string host, int fd, int given_fd,
             const GateConfig::Connections& limits, BootTime accepted);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  uint64_t id() const { return id_; }
  const std::string& peer() const { return peer_; }
  const std::string& host() const { return host_; }
  BootTime accepted() const { return accepted_; }
  // Something was admitted on it: it is no stranger's.
  bool proved() const { return proved_.load(std::memory_order_relaxed); }
  // Says so; false where it was so before.
  bool Prove() { return !proved_.exchange(true); }

 private:
  friend class Connections;
  friend class StrangerRoom;
  const uint64_t id_;       // ascends in the order of being accepted; never 0
  const std::string peer_;  // "ipv4:192.0.2.1:4711"
  const std::string host_;  // HostKey
  const int fd_;
  const BootTime accepted_;
  std::atomic<bool> proved_{false};
  std::atomic<uint32_t> forged_{0};
  std::atomic<uint32_t> refused_{0};
  std::atomic<bool> closing_{false};
  std::atomic<bool> active_{false};  // something was admitted since the accept loop looked
  ExemptCalls exempt_;

  // The accept loop's thread alone touches these.
  int given_fd_;
  bool given_ = false;  // to gRPC, which closes given_fd_
  dev_t device_ = 0;    // of the socket: tells when given_fd_ is somebody else's
  ino_t inode_ = 0;
  size_t slot_ = kNoSlot;
  StrangerRoom* room_ = nullptr;
  std::optional<BootTime> last_active_;  // when it was last seen with something admitted
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

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_CONNECTION_H_

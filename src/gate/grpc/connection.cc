// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/connection.h"

#include <unistd.h>

#include <utility>

namespace forekey {

Connection::Connection(uint64_t id, std::string peer, std::string host, int fd, int given_fd,
                       const GateConfig::Connections& limits, BootTime accepted)
    : id_(id),
      peer_(std::move(peer)),
      host_(std::move(host)),
      fd_(fd),
      accepted_(accepted),
      exempt_(limits),
      given_fd_(given_fd) {}

Connection::~Connection() {
  if (!given_ && given_fd_ >= 0) close(given_fd_);
  close(fd_);
}

void ConnectionTable::Add(std::shared_ptr<Connection> connection) {
  Shard& shard = shards_[connection->id() % kShards];
  absl::MutexLock lock(&shard.mutex);
  const uint64_t id = connection->id();
  shard.connections[id] = std::move(connection);
}

void ConnectionTable::Remove(uint64_t id) {
  Shard& shard = shards_[id % kShards];
  absl::MutexLock lock(&shard.mutex);
  shard.connections.erase(id);
}

std::shared_ptr<Connection> ConnectionTable::Find(uint64_t id) const {
  const Shard& shard = shards_[id % kShards];
  absl::MutexLock lock(&shard.mutex);
  auto found = shard.connections.find(id);
  return found == shard.connections.end() ? nullptr : found->second;
}

}  // namespace forekey

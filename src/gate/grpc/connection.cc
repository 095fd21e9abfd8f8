#include "src/gate/grpc/connection.h"

#include <linux/tcp.h>  // glibc's own tcp_info ends before tcpi_bytes_received
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace forekey {

Connection::Connection(uint64_t id, std::string peer, std::string host, int fd, int given_fd,
                       const GateConfig::Connections& limits, int64_t accepted)
    : id_(id),
      peer_(std::move(peer)),
      host_(std::move(host)),
      fd_(fd),
      accepted_(accepted),
      exempt_(limits.exempt_per_second, limits.exempt_burst),
      given_fd_(given_fd) {}

Connection::~Connection() {
  if (!given_ && given_fd_ >= 0) close(given_fd_);
  close(fd_);
}

uint64_t Connection::BytesReceived() const {
  tcp_info info = {};
  socklen_t size = sizeof(info);
  if (getsockopt(fd_, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_bytes_received;
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

std::shared_ptr<Connection> StrangerRoom::Add(std::shared_ptr<Connection> connection) {
  connection->room_ = this;
  by_age_[connection->id()] = connection;
  Ids& own = by_host_[connection->host()];
  own[connection->id()] = connection.get();
  Connection* leaves = nullptr;
  if (own.size() > share_) {
    leaves = own.begin()->second;
  } else if (by_age_.size() > most_) {
    const Ids* largest = &own;
    for (const auto& [host, ids] : by_host_) {
      if (ids.size() > largest->size() ||
          (ids.size() == largest->size() && ids.begin()->first < largest->begin()->first)) {
        largest = &ids;
      }
    }
    leaves = largest->begin()->second;
  }
  if (leaves == nullptr) return nullptr;
  std::shared_ptr<Connection> left = by_age_.at(leaves->id());
  Remove(*leaves);
  return left;
}

void StrangerRoom::Remove(Connection& connection) {
  if (connection.room_ != this) return;
  connection.room_ = nullptr;
  auto host = by_host_.find(connection.host());
  host->second.erase(connection.id());
  if (host->second.empty()) by_host_.erase(host);
  by_age_.erase(connection.id());
}

}  // namespace forekey

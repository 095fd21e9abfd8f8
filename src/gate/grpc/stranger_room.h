// SPDX-License-Identifier: Apache-2.0
// Where strangers are counted: connections on which nothing was admitted yet.
#ifndef FOREKEY_SRC_GATE_GRPC_STRANGER_ROOM_H_
#define FOREKEY_SRC_GATE_GRPC_STRANGER_ROOM_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "src/gate/grpc/connection.h"

namespace forekey {

// Strangers of one standing, the oldest first: at most `most` of them, at most `share` of one
// address, and twice that of one site (SiteKey). Whoever comes when there is no room sends another
// one away: the oldest of his own address or site where that has its share, else the oldest of the
// site that has most. So one address or site never sends another one's away, and many sites only
// what has been silent for longest.
//
// Who was admitted meanwhile is a stranger no more, and leaves the room without being sent away.
class StrangerRoom {
 public:
  StrangerRoom(size_t most, size_t share);

  // Who has to leave, and is in here no more; null: nobody. With no room at all: the one that came.
  std::shared_ptr<Connection> Add(std::shared_ptr<Connection> connection);
  void Remove(Connection& connection);
  // Takes out who was accepted `age` before `now`, and gives the strangers among them.
  std::vector<std::shared_ptr<Connection>> TakeOld(BootTime now, absl::Duration age);
  size_t size() const { return by_age_.size(); }

 private:
  using Ids = std::map<uint64_t, Connection*>;
  struct Site {
    Ids all;
    std::map<std::string, Ids> by_host;
  };
  // Who gives way to the one that came last; null: nobody has to.
  Connection* Surplus(const Connection& last) const;

  const size_t most_, share_, site_share_;
  std::map<uint64_t, std::shared_ptr<Connection>> by_age_;
  absl::flat_hash_map<std::string, Site> by_site_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_STRANGER_ROOM_H_

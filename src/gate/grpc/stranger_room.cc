// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/stranger_room.h"

#include <algorithm>
#include <utility>

#include "src/gate/limits/host_buckets.h"

namespace forekey {
namespace {

// Whether `a` gives way before `b`: has more connections, or as many and an older one.
template <typename Ids>
bool GivesWayBefore(const Ids& a, const Ids& b) {
  return a.size() > b.size() || (a.size() == b.size() && a.begin()->first < b.begin()->first);
}

}  // namespace

StrangerRoom::StrangerRoom(size_t most, size_t share)
    : most_(most), share_(share), site_share_(std::min(most, kSitePlaces * share)) {}

Connection* StrangerRoom::Surplus(const Connection& last) const {
  const Site* site = &by_site_.at(SiteKey(last.host()));
  const auto& own = site->by_host.at(last.host());
  if (own.size() > share_) return own.begin()->second;
  if (site->all.size() <= site_share_) {
    if (by_age_.size() <= most_) return nullptr;
    for (const auto& [key, other] : by_site_) {
      if (GivesWayBefore(other.all, site->all)) site = &other;
    }
  }
  const Ids* largest = &site->by_host.begin()->second;
  for (const auto& [host, ids] : site->by_host) {
    if (GivesWayBefore(ids, *largest)) largest = &ids;
  }
  return largest->begin()->second;
}

std::shared_ptr<Connection> StrangerRoom::Add(std::shared_ptr<Connection> connection) {
  connection->room_ = this;
  by_age_[connection->id()] = connection;
  Site& site = by_site_[SiteKey(connection->host())];
  site.all[connection->id()] = connection.get();
  site.by_host[connection->host()][connection->id()] = connection.get();
  Connection* const leaves = Surplus(*connection);
  if (leaves == nullptr) return nullptr;
  std::shared_ptr<Connection> left = by_age_.at(leaves->id());
  Remove(*leaves);
  return left->proved() ? nullptr : left;
}

void StrangerRoom::Remove(Connection& connection) {
  if (connection.room_ != this) return;
  connection.room_ = nullptr;
  const auto site = by_site_.find(SiteKey(connection.host()));
  const auto host = site->second.by_host.find(connection.host());
  host->second.erase(connection.id());
  if (host->second.empty()) site->second.by_host.erase(host);
  site->second.all.erase(connection.id());
  if (site->second.all.empty()) by_site_.erase(site);
  by_age_.erase(connection.id());
}

std::vector<std::shared_ptr<Connection>> StrangerRoom::TakeOld(BootTime now, absl::Duration age) {
  std::vector<std::shared_ptr<Connection>> old;
  for (const auto& [id, connection] : by_age_) {
    if (now - connection->accepted() < age) break;
    old.push_back(connection);
  }
  for (const auto& connection : old) Remove(*connection);
  old.erase(std::remove_if(old.begin(), old.end(),
                           [](const auto& connection) { return connection->proved(); }),
            old.end());
  return old;
}

}  // namespace forekey

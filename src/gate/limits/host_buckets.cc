// SPDX-License-Identifier: Apache-2.0
#include "src/gate/limits/host_buckets.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "src/base/bytes.h"

namespace forekey {
namespace {

constexpr size_t kIpv6KeySize = 8;   // a /64
constexpr size_t kIpv6SiteSize = 6;  // a /48

}  // namespace

absl::string_view HostOfPeer(absl::string_view peer) {
  if (!absl::StartsWith(peer, "ipv4:") && !absl::StartsWith(peer, "ipv6:")) return peer;
  const size_t colon = peer.rfind(':');
  // The scheme's own colon is no port's.
  return colon <= 4 ? peer : peer.substr(0, colon);
}

std::string HostKey(absl::string_view peer) {
  const absl::string_view host = HostOfPeer(peer);
  if (absl::StartsWith(host, "ipv4:")) {
    in_addr address;
    if (inet_pton(AF_INET, std::string(host.substr(5)).c_str(), &address) == 1) {
      return std::string(reinterpret_cast<const char*>(&address), sizeof(address));
    }
  } else if (absl::StartsWith(host, "ipv6:")) {
    // gRPC writes the brackets percent-encoded.
    std::string text =
        absl::StrReplaceAll(host.substr(5), {{"%5B", ""}, {"%5D", ""}, {"[", ""}, {"]", ""}});
    text = text.substr(0, text.find('%'));  // without a zone
    in6_addr address;
    if (inet_pton(AF_INET6, text.c_str(), &address) == 1) {
      const std::string bytes(reinterpret_cast<const char*>(&address), sizeof(address));
      return IN6_IS_ADDR_V4MAPPED(&address) ? bytes.substr(12) : bytes.substr(0, kIpv6KeySize);
    }
  }
  return std::string(host);
}

absl::string_view SiteKey(absl::string_view host_key) {
  return host_key.size() == kIpv6KeySize ? host_key.substr(0, kIpv6SiteSize) : host_key;
}

bool SiteBuckets::Take(absl::string_view host_key, BootTime now) {
  if (!hosts_.Take(HashOf(host_key), now)) return false;
  const absl::string_view site = SiteKey(host_key);
  return site == host_key || sites_.Take(sites_.HashOf(site), now);
}

HostBuckets::HostBuckets(double per_second, double burst)
    : per_nano_(per_second / 1e9),
      burst_(burst),
      sets_(std::make_unique<std::array<Set, kSets>>()) {}

uint64_t HostBuckets::HashOf(absl::string_view host_key) const {
  const TableHash::Value value = table_hash_(host_key);
  const uint64_t hash = ByteReader(View(value.data(), 8)).U64();
  return hash == 0 ? 1 : hash;
}

HostBuckets::Bucket& HostBuckets::Refilled(Set& set, uint64_t hash, BootTime now) {
  Bucket* chosen = nullptr;
  for (Bucket& bucket : set.ways) {
    const int64_t passed = std::max<int64_t>(0, now.NanosSince(bucket.last));
    bucket.tokens = std::min(burst_, bucket.tokens + per_nano_ * static_cast<double>(passed));
    bucket.last = std::max(bucket.last, now);
    if (bucket.hash == hash) return bucket;
    if (chosen == nullptr || bucket.tokens > chosen->tokens) chosen = &bucket;
  }
  *chosen = Bucket{hash, now, burst_};
  return *chosen;
}

bool HostBuckets::Take(uint64_t hash, BootTime now) {
  Set& set = (*sets_)[hash % kSets];
  absl::MutexLock lock(&set.mutex);
  Bucket& bucket = Refilled(set, hash, now);
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

void HostBuckets::Charge(uint64_t hash, double tokens, BootTime now) {
  Set& set = (*sets_)[hash % kSets];
  absl::MutexLock lock(&set.mutex);
  Bucket& bucket = Refilled(set, hash, now);
  bucket.tokens = std::max(-burst_, bucket.tokens - tokens);
}

}  // namespace forekey

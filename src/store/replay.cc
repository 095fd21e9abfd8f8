// SPDX-License-Identifier: Apache-2.0
// Threats, each with what stops it:
//   one challenge used twice, also at the same moment   look-up and insertion under one shard's
//   lock a replay by a thread that read the clock before the
//     nonce expired, after another dropped it           the shard's horizon (kChallengeExpired)
//   filling the store so that others are forgotten      a full store refuses, it never forgets
//   a full store made to search itself at each call     nothing is searched before it can have
//   expired
#include "src/store/replay.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <limits>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"

namespace forekey {
namespace {

constexpr size_t kShards = 64;
constexpr size_t kStoredSize = 16;
using StoredNonce = std::array<char, kStoredSize>;

// Nonces are random, so their own bytes are the hash. Shards are chosen by the last byte, which
// this does not use.
struct NonceHash {
  size_t operator()(const StoredNonce& nonce) const {
    uint64_t hash;
    std::memcpy(&hash, nonce.data(), sizeof(hash));
    return hash;
  }
};

// Expiries are kept in units of 2^27 ns (an eighth of a second), rounded up: 4 bytes an entry, good
// for 18 years of uptime, and never forgotten early.
constexpr int kUnitShift = 27;

uint32_t UnitsUp(BootTime time) {
  const int64_t nanos = time.nanos();
  if (nanos <= 0) return 0;
  uint64_t units = ((static_cast<uint64_t>(nanos) - 1) >> kUnitShift) + 1;
  return static_cast<uint32_t>(std::min<uint64_t>(units, std::numeric_limits<uint32_t>::max()));
}

uint32_t UnitsDown(BootTime time) {
  const int64_t nanos = time.nanos();
  if (nanos <= 0) return 0;
  return static_cast<uint32_t>(
      std::min<uint64_t>(static_cast<uint64_t>(nanos) >> kUnitShift,
                         // Less than UnitsUp's end: what never expires is never dropped.
                         std::numeric_limits<uint32_t>::max() - 1));
}

class MemoryReplayStore final : public ReplayStore {
 public:
  explicit MemoryReplayStore(size_t capacity) : capacity_(capacity) {}

  absl::Status Consume(absl::string_view nonce, BootTime now, BootTime expires_at) override {
    if (nonce.size() < kStoredSize || nonce.size() > 64) {
      return absl::InvalidArgumentError("a nonce has 16 to 64 bytes");
    }
    StoredNonce stored;
    if (nonce.size() == kStoredSize) {
      std::memcpy(stored.data(), nonce.data(), kStoredSize);
    } else {
      std::memcpy(stored.data(), Sha256(nonce).data(), kStoredSize);
    }
    const uint32_t now_units = UnitsDown(now);
    if (expires_at <= now) return Refuse(Reason::kChallengeExpired);
    const uint32_t expires = UnitsUp(expires_at);
    Shard& shard = shards_[static_cast<uint8_t>(stored.back()) % kShards];
    // Twice at most: a full store is asked once more after the other shards dropped what expired.
    for (bool last_try : {false, true}) {
      {
        absl::MutexLock lock(&shard.mutex);
        if (now_units >= shard.next_drop) Drop(shard, now_units);
        if (expires <= shard.horizon) return Refuse(Reason::kChallengeExpired);
        if (shard.nonces.contains(stored)) return Refuse(Reason::kChallengeReplayed);
        if (Reserve()) {
          shard.nonces.emplace(stored, expires);
          shard.earliest = std::min(shard.earliest, expires);
          return absl::OkStatus();
        }
      }
      if (last_try) break;
      DropEverywhere(now_units);
    }
    return Refuse(Reason::kReplayStoreFull);
  }

 private:
  struct alignas(64) Shard {
    absl::Mutex mutex;
    absl::flat_hash_map<StoredNonce, uint32_t, NonceHash> nonces ABSL_GUARDED_BY(mutex);
    // Units. No entry expires before `earliest`. Everything that expired by `horizon` may have been
    // dropped. From `next_drop` on the shard is cleaned without being full.
    uint32_t earliest ABSL_GUARDED_BY(mutex) = std::numeric_limits<uint32_t>::max();
    uint32_t horizon ABSL_GUARDED_BY(mutex) = 0;
    uint32_t next_drop ABSL_GUARDED_BY(mutex) = 0;
  };

  // About 17 seconds between cleanings: a few of them in a challenge's life.
  static constexpr uint32_t kDropInterval = 128;

  // Takes one place of the capacity.
  bool Reserve() {
    if (size_.fetch_add(1, std::memory_order_relaxed) < capacity_) return true;
    size_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }

  void Drop(Shard& shard, uint32_t now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex) {
    shard.next_drop = now + kDropInterval;
    if (now < shard.earliest) return;
    shard.horizon = std::max(shard.horizon, now);
    shard.earliest = std::numeric_limits<uint32_t>::max();
    size_t before = shard.nonces.size();
    for (auto it = shard.nonces.begin(); it != shard.nonces.end();) {
      auto entry = it++;
      if (entry->second <= now) {
        shard.nonces.erase(entry);
      } else {
        shard.earliest = std::min(shard.earliest, entry->second);
      }
    }
    size_.fetch_sub(before - shard.nonces.size(), std::memory_order_relaxed);
    // After a burst its memory is given back.
    if (shard.nonces.size() < shard.nonces.capacity() / 8) shard.nonces.rehash(0);
  }

  void DropEverywhere(uint32_t now) {
    for (Shard& shard : shards_) {
      absl::MutexLock lock(&shard.mutex);
      if (now >= shard.earliest) Drop(shard, now);
    }
  }

  const size_t capacity_;
  std::atomic<size_t> size_{0};
  std::array<Shard, kShards> shards_;
};

}  // namespace

std::unique_ptr<ReplayStore> NewMemoryReplayStore(size_t capacity) {
  return std::make_unique<MemoryReplayStore>(capacity);
}

}  // namespace forekey

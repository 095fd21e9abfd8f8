// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/live_calls.h"

#include <grpc/grpc.h>

#include <vector>

namespace forekey {

LiveCalls& LiveCalls::OfProcess() {
  static LiveCalls* const calls = new LiveCalls;
  return *calls;
}

LiveCalls::Shard& LiveCalls::ShardOf(const grpc_call* call) const {
  // Calls are arena-allocated at coarse steps: the low bits say nothing.
  return shards_[(reinterpret_cast<uintptr_t>(call) * 0x9E3779B97F4A7C15ull >> 32) % kShards];
}

void LiveCalls::Add(const grpc_call* call, const Entry& entry) {
  Shard& shard = ShardOf(call);
  absl::MutexLock lock(&shard.mutex);
  shard.calls.insert_or_assign(call, entry);
}

void LiveCalls::Remove(const grpc_call* call) {
  Shard& shard = ShardOf(call);
  absl::MutexLock lock(&shard.mutex);
  shard.calls.erase(call);
}

bool LiveCalls::Look(const grpc_call* call,
                     absl::FunctionRef<void(const VerifiedCall&)> look) const {
  Shard& shard = ShardOf(call);
  absl::MutexLock lock(&shard.mutex);
  auto found = shard.calls.find(call);
  if (found == shard.calls.end()) return false;
  look(*found->second.caller);
  return true;
}

std::optional<VerifiedCall> LiveCalls::Find(const grpc_call* call) const {
  std::optional<VerifiedCall> caller;
  Look(call, [&](const VerifiedCall& found) { caller = found; });
  return caller;
}

void LiveCalls::Reauthenticate(const VerifiedCall& by,
                               absl::FunctionRef<bool(const Entry&)> predicate) {
  for (Shard& shard : shards_) {
    absl::MutexLock lock(&shard.mutex);
    for (const auto& [call, entry] : shard.calls) {
      if (entry.ended || !predicate(entry)) continue;
      *entry.caller = by;
      return;
    }
  }
}

size_t LiveCalls::CancelIf(const std::function<bool(const Entry&)>& predicate) {
  std::vector<grpc_call*> picked;
  for (Shard& shard : shards_) {
    absl::MutexLock lock(&shard.mutex);
    for (auto& [call, entry] : shard.calls) {
      if (entry.ended || !predicate(entry)) continue;
      entry.ended = true;
      // The entry keeps the call alive only while the lock is held.
      grpc_call* mutable_call = const_cast<grpc_call*>(call);
      grpc_call_ref(mutable_call);
      picked.push_back(mutable_call);
    }
  }
  // Without the lock: cancelling may finish the call on this very thread, and so come back to
  // Remove.
  for (grpc_call* call : picked) {
    grpc_call_cancel(call, nullptr);
    grpc_call_unref(call);
  }
  return picked.size();
}

absl::flat_hash_set<uint64_t> LiveCalls::ConnectionsOf(const GateCore* gate) const {
  absl::flat_hash_set<uint64_t> connections;
  for (const Shard& shard : shards_) {
    absl::MutexLock lock(&shard.mutex);
    for (const auto& [call, entry] : shard.calls) {
      if (entry.gate == gate) connections.insert(entry.connection);
    }
  }
  return connections;
}

size_t LiveCalls::size() const {
  size_t total = 0;
  for (const Shard& shard : shards_) {
    absl::MutexLock lock(&shard.mutex);
    total += shard.calls.size();
  }
  return total;
}

}  // namespace forekey

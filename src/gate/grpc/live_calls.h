// SPDX-License-Identifier: Apache-2.0
// The admitted calls that are being served: who each one's caller is, for as long as the call
// lives. The accessor in public/forekey/caller.h reads it; ending a session's live streams walks
// it.
//
// Keyed by the core call, not by the server context: contexts are reused and freed while parts of
// the call still live, so that a context's address may name two calls; a grpc_call is kept alive by
// the same completion that keeps the entry, so its address names one.
#ifndef FOREKEY_SRC_GATE_GRPC_LIVE_CALLS_H_
#define FOREKEY_SRC_GATE_GRPC_LIVE_CALLS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "src/gate/service/gate_core.h"

struct grpc_call;

namespace forekey {

// Safe from any thread.
class LiveCalls {
 public:
  // One for the process, because the accessor has nothing but a context to find it by; gates share
  // it without meeting, as their calls differ. Lives for ever.
  static LiveCalls& OfProcess();

  struct Entry {
    VerifiedCall* caller = nullptr;  // replaced by Reauthenticate()
    const GateCore* gate = nullptr;  // whose call it is
    absl::string_view method;
    uint64_t connection = 0;  // the number of the one that it came by; 0: not known
    bool ended = false;       // by CancelIf(); its handler may take its time to notice
  };

  // `call`, and what `entry` names, must stay until Remove(call).
  void Add(const grpc_call* call, const Entry& entry);
  void Remove(const grpc_call* call);

  // Shows the caller to `look` (which must not ask this table); false where there is none.
  bool Look(const grpc_call* call, absl::FunctionRef<void(const VerifiedCall&)> look) const;
  // A copy, which stays good after the call has ended. Nullopt where there is none.
  std::optional<VerifiedCall> Find(const grpc_call* call) const;

  // Makes `by` the caller of the one that `predicate` (which must not ask this table) picks, of
  // those that were not ended.
  void Reauthenticate(const VerifiedCall& by, absl::FunctionRef<bool(const Entry&)> predicate);
  // Cancels every live call that `predicate` picks, of those that were not ended before; the peers
  // see CANCELLED. Returns how many. `predicate` must neither ask this table nor wait: what calls
  // come and go by is locked meanwhile.
  size_t CancelIf(const std::function<bool(const Entry&)>& predicate);

  // The connections that `gate` has live calls on.
  absl::flat_hash_set<uint64_t> ConnectionsOf(const GateCore* gate) const;

  size_t size() const;

 private:
  static constexpr size_t kShards = 64;
  struct alignas(64) Shard {
    mutable absl::Mutex mutex;
    absl::flat_hash_map<const grpc_call*, Entry> calls ABSL_GUARDED_BY(mutex);
  };
  Shard& ShardOf(const grpc_call* call) const;

  mutable std::array<Shard, kShards> shards_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_LIVE_CALLS_H_

// SPDX-License-Identifier: Apache-2.0
// The exempt calls of one connection: how many come, and how many are unfinished. Nobody is known
// by them, and each costs gRPC memory that it is slow to give back.
#ifndef FOREKEY_SRC_GATE_GRPC_EXEMPT_CALLS_H_
#define FOREKEY_SRC_GATE_GRPC_EXEMPT_CALLS_H_

#include <atomic>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "src/base/boot_time.h"
#include "src/gate/config/config.h"
#include "src/gate/limits/token_bucket.h"

namespace forekey {

// Safe from any thread.
class ExemptCalls {
 public:
  struct Call {
    bool own;     // the method is Forekey's, not one that the operator exempts
    bool proved;  // somebody was admitted on the connection
    BootTime now;
  };
  struct Answer {
    absl::string_view refused;  // why; empty: it is let in
    bool ends = false;          // and the connection with it,
    bool costs = false;         // for which its address pays
  };

  explicit ExemptCalls(const GateConfig::Connections& limits)
      : stranger_calls_(static_cast<int32_t>(limits.stranger_calls)),
        rate_(limits.exempt_per_second, limits.exempt_burst) {}

  // `address_allows`: takes from what all connections of the address have together. Strangers alone
  // are asked for it, and a refusal by it never ends a connection: it says what neighbours do.
  Answer Ask(const Call& call, absl::FunctionRef<bool()> address_allows);

  // A call that was let in got to its interceptor, and: is over. One that is reset before that
  // reports nothing, and counts as unfinished: gRPC 1.51 tells nobody of it.
  void Began() { began_.fetch_add(1, std::memory_order_relaxed); }
  void Done() {
    began_.fetch_sub(1, std::memory_order_relaxed);
    running_.fetch_sub(1, std::memory_order_relaxed);
  }

  // None is unfinished, and none was let in since `then`.
  bool QuietSince(BootTime then) const {
    return running_.load(std::memory_order_relaxed) <= 0 &&
           let_in_.load(std::memory_order_relaxed) <= then;
  }

  // A method that the operator exempts was called.
  bool watches() const { return watches_.load(std::memory_order_relaxed); }

 private:
  Answer Refused(absl::string_view why, bool costs);

  const int32_t stranger_calls_;
  TokenBucket rate_;
  std::atomic<int32_t> running_{0};  // let in, and not done
  std::atomic<int32_t> began_{0};
  std::atomic<uint32_t> refused_{0};   // in a row
  std::atomic<bool> too_fast_{false};  // one of these, for the rate
  std::atomic<BootTime> let_in_{};     // when the last one was
  std::atomic<bool> watches_{false};
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_EXEMPT_CALLS_H_

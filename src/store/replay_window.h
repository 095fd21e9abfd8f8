// SPDX-License-Identifier: Apache-2.0
// Sequence numbers that may come out of order within a window (RFC 6479): a ring of 64-bit words,
// one more than the window has, so that a whole word is cleared as the window moves into it.
// Sequences start at 1. Not thread-safe by itself.
#ifndef FOREKEY_SRC_STORE_REPLAY_WINDOW_H_
#define FOREKEY_SRC_STORE_REPLAY_WINDOW_H_

#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"

namespace forekey {

class ReplayWindow {
 public:
  explicit ReplayWindow(uint32_t size);  // rounded up to a multiple of 64, 64..65536
  // kSequenceReplayed, kSequenceTooOld (also for 0), or OK without remembering.
  absl::Status Check(uint64_t sequence) const;
  // Checks, and remembers it when OK. Call it only after the MAC verified.
  absl::Status Accept(uint64_t sequence);
  // Whether Check() would say OK.
  bool IsFresh(uint64_t sequence) const { return StateOf(sequence) == State::kFresh; }
  uint32_t size() const { return static_cast<uint32_t>(words_.size() - 1) * 64; }

 private:
  enum class State { kFresh, kReplayed, kTooOld };
  State StateOf(uint64_t sequence) const;
  uint64_t highest_ = 0;
  // A window of 1024, which is the default, lies where the session does.
  absl::InlinedVector<uint64_t, 17> words_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_REPLAY_WINDOW_H_

// SPDX-License-Identifier: Apache-2.0
#include "src/store/replay_window.h"

#include <algorithm>

#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr uint32_t kWordBits = 64;

size_t WordCount(uint32_t size) {
  size = std::clamp<uint32_t>(size, 64, 65536);
  return (size + kWordBits - 1) / kWordBits + 1;
}

}  // namespace

ReplayWindow::ReplayWindow(uint32_t size) : words_(WordCount(size), 0) {}

ReplayWindow::State ReplayWindow::StateOf(uint64_t sequence) const {
  if (sequence > highest_) return State::kFresh;
  if (sequence == 0 || highest_ - sequence >= size()) return State::kTooOld;
  uint64_t word = words_[(sequence / kWordBits) % words_.size()];
  return (word >> (sequence % kWordBits) & 1) != 0 ? State::kReplayed : State::kFresh;
}

absl::Status ReplayWindow::Check(uint64_t sequence) const {
  switch (StateOf(sequence)) {
    case State::kFresh:
      return absl::OkStatus();
    case State::kReplayed:
      return Refuse(Reason::kSequenceReplayed);
    case State::kTooOld:
      break;
  }
  return Refuse(Reason::kSequenceTooOld);
}

absl::Status ReplayWindow::Accept(uint64_t sequence) {
  FOREKEY_RETURN_IF_ERROR(Check(sequence));
  const uint64_t word = sequence / kWordBits;
  if (sequence > highest_) {
    // The words between the old end and the new one hold what is now too old.
    const uint64_t old_word = highest_ / kWordBits;
    const uint64_t moved = std::min<uint64_t>(word - old_word, words_.size());
    for (uint64_t i = 0; i < moved; ++i) words_[(word - i) % words_.size()] = 0;
    highest_ = sequence;
  }
  words_[word % words_.size()] |= uint64_t{1} << (sequence % kWordBits);
  return absl::OkStatus();
}

}  // namespace forekey

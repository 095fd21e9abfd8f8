// SPDX-License-Identifier: Apache-2.0
// What commands of the user's tell them while they run, for who waits at a terminal: a line is here
// from when it was said until its command ends, and whoever watches has it at once.
#ifndef FOREKEY_SRC_AGENT_NOTICE_BOARD_H_
#define FOREKEY_SRC_AGENT_NOTICE_BOARD_H_

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace forekey {

// Safe from any thread. Bounded: of one command the first lines are kept, of a long line its
// beginning.
class NoticeBoard {
 public:
  struct Notice {
    uint64_t number = 0;
    uint64_t command = 0;
    std::string gate;
    std::string text;
  };

  // One command's place; its lines go with it.
  class Place {
   public:
    Place(NoticeBoard* board, std::string gate);
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    // Control characters become '?': a line is for terminals and logs. Gives the line as it was
    // posted; empty where there is no room for it.
    std::string Post(absl::string_view line);

   private:
    NoticeBoard* const board_;
    const std::string gate_;
    const uint64_t command_;
    size_t lines_ = 0;
  };

  // Those after `*seen`, which is moved; waits for one, for so long.
  std::vector<Notice> After(uint64_t* seen, absl::Duration patience);
  // False where too many watch already, or the agent ends. Each Enter() that was true has its
  // Leave().
  bool Enter();
  void Leave();
  // Nobody is to wait any longer.
  void Stop();
  bool stopped() const;

 private:
  mutable absl::Mutex mutex_;
  std::deque<Notice> notices_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t commands_ ABSL_GUARDED_BY(mutex_) = 0;
  int watchers_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_NOTICE_BOARD_H_

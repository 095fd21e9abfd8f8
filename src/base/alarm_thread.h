// SPDX-License-Identifier: Apache-2.0
// What ends the timed waits of src/base/deadline.h, and those of Abseil itself.
#ifndef FOREKEY_SRC_BASE_ALARM_THREAD_H_
#define FOREKEY_SRC_BASE_ALARM_THREAD_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <set>
#include <utility>

#include "src/base/boot_time.h"

namespace forekey {

// One wait that ends at a moment of the machine's boot time.
class Alarm {
 public:
  explicit Alarm(BootTime due) : due_(due) {}
  virtual ~Alarm() = default;
  BootTime due() const { return due_; }
  // Ends the wait, without ever blocking; false where it must be tried again in a moment.
  virtual bool Ring() = 0;
  // Whether it was reckoned by the wall clock: where that is set back just then, it is much too
  // late. Such an alarm rings when a step back is noticed, and soon where one was just before.
  virtual bool by_wall_clock() const { return false; }

 private:
  friend class AlarmThread;
  BootTime due_;  // stays while it is set
};

// The one thread of the process that rings alarms. It never waits for anybody: else one lock that
// is held for long would keep all other alarms from ringing. Safe from any thread.
class AlarmThread {
 public:
  // Lives for ever: threads may wait while the process ends.
  static AlarmThread& OfProcess();

  // One by the wall clock may be made due earlier.
  void Set(Alarm* alarm);
  // From here on it is not rung.
  void Unset(Alarm* alarm);

 private:
  AlarmThread();
  [[noreturn]] void Run();
  BootTime RingDue(BootTime now);  // when to look again
  void LookForStepBack(BootTime now);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::pair<BootTime, Alarm*>> alarms_;
  int64_t wall_ahead_;  // nanoseconds, of boot time
  // For so long no wait by the wall clock is a long one. It becomes shorter only while this process
  // runs: a thread that reckoned its wait before the step has been there since, too.
  absl::Duration caution_;
  BootTime last_look_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_ALARM_THREAD_H_

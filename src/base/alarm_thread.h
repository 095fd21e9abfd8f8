// What ends the timed waits of src/base/deadline.h, and those of Abseil itself.
#ifndef FOREKEY_SRC_BASE_ALARM_THREAD_H_
#define FOREKEY_SRC_BASE_ALARM_THREAD_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <set>
#include <utility>

namespace forekey {

// One wait that ends at a moment of the machine's boot time.
class Alarm {
 public:
  explicit Alarm(int64_t due_boot_nanos) : due_(due_boot_nanos) {}
  virtual ~Alarm() = default;
  int64_t due() const { return due_; }
  // Ends the wait, without ever blocking; false where it must be tried again in a moment.
  virtual bool Ring() = 0;
  // Whether it was reckoned by the wall clock: where that is set back just then, it is much too
  // late. Such an alarm rings when a step back is noticed.
  virtual bool by_wall_clock() const { return false; }

 private:
  const int64_t due_;
};

// The one thread of the process that rings alarms. It never waits for anybody: else one lock that
// is held for long would keep all other alarms from ringing. Safe from any thread.
class AlarmThread {
 public:
  // Lives for ever: threads may wait while the process ends.
  static AlarmThread& OfProcess();

  void Set(Alarm* alarm);
  // From here on it is not rung.
  void Unset(Alarm* alarm);

 private:
  AlarmThread();
  [[noreturn]] void Run();
  int64_t RingDue(int64_t now);  // when to look again
  void LookForStepBack(int64_t now);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::pair<int64_t, Alarm*>> alarms_;
  int64_t wall_ahead_;  // of boot time
};

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_ALARM_THREAD_H_

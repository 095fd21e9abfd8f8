// SPDX-License-Identifier: Apache-2.0
// A shared library for LD_PRELOAD: the program sees clocks that somebody sets while it runs. The
// file that FOREKEY_TEST_CLOCK names holds two numbers, 64 bits each in the machine's own order:
// the nanoseconds by which CLOCK_REALTIME, and those by which CLOCK_BOOTTIME is off. To set the
// wall clock is to change the first; to wake from a sleep is to add its length to both.
//
// Waits on a futex until a time of CLOCK_REALTIME (which Abseil's timed waits are) go by the wall
// clock that the program sees. Not covered, as nothing here uses them: timed waits of POSIX
// condition variables, semaphores and mutexes, clock_nanosleep() and timers by CLOCK_REALTIME.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

namespace {

constexpr int64_t kSecond = 1'000'000'000;
// How soon a wait notices that its clock was set.
constexpr int64_t kSlice = kSecond / 100;

struct Offsets {
  volatile int64_t wall;
  volatile int64_t boot;
};

const Offsets* MapOffsets() {
  static const Offsets none = {0, 0};
  const char* const path = getenv("FOREKEY_TEST_CLOCK");
  const int fd = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return &none;
  void* const mapped = mmap(nullptr, sizeof(Offsets), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  return mapped == MAP_FAILED ? &none : static_cast<const Offsets*>(mapped);
}

const Offsets& Current() {
  static const Offsets* const offsets = MapOffsets();
  return *offsets;
}

template <typename Function>
Function Next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

int RealTime(clockid_t clock, timespec* now) {
  static const auto real = Next<int (*)(clockid_t, timespec*)>("clock_gettime");
  return real(clock, now);
}

int64_t Nanos(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; }

timespec Timespec(int64_t nanos) {
  // Rounded down, also before 1970.
  const int64_t seconds = nanos / kSecond - (nanos % kSecond < 0 ? 1 : 0);
  return {seconds, nanos - seconds * kSecond};
}

int64_t WallNanos() {
  timespec now;
  RealTime(CLOCK_REALTIME, &now);
  return Nanos(now) + Current().wall;
}

using Syscall = long (*)(long, long, long, long, long, long, long);

long AwaitFutex(Syscall real, const long* arguments) {
  const int64_t until = Nanos(*reinterpret_cast<const timespec*>(arguments[3]));
  for (;;) {
    const int64_t left = until - WallNanos();
    if (left <= 0) {
      errno = ETIMEDOUT;
      return -1;
    }
    timespec now;
    RealTime(CLOCK_REALTIME, &now);
    const timespec slice = Timespec(Nanos(now) + std::min(left, kSlice));
    const long result = real(SYS_futex, arguments[0], arguments[1], arguments[2],
                             reinterpret_cast<long>(&slice), arguments[4], arguments[5]);
    if (result == 0 || errno != ETIMEDOUT) return result;
  }
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const int result = RealTime(clock, now);
  if (result != 0) return result;
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
    *now = Timespec(Nanos(*now) + Current().wall);
  } else if (clock == CLOCK_BOOTTIME) {
    *now = Timespec(Nanos(*now) + Current().boot);
  }
  return 0;
}

int gettimeofday(timeval* now, void*) noexcept {
  const timespec wall = Timespec(WallNanos());
  *now = {wall.tv_sec, wall.tv_nsec / 1000};
  return 0;
}

time_t time(time_t* now) noexcept {
  const time_t seconds = Timespec(WallNanos()).tv_sec;
  if (now != nullptr) *now = seconds;
  return seconds;
}

int timespec_get(timespec* now, int base) noexcept {
  if (base != TIME_UTC) return 0;
  *now = Timespec(WallNanos());
  return base;
}

long syscall(long number, ...) noexcept {
  static const auto real = Next<Syscall>("syscall");
  long arguments[6];
  va_list list;
  va_start(list, number);
  for (long& argument : arguments) argument = va_arg(list, long);
  va_end(list);
  const bool by_wall_clock = number == SYS_futex && (arguments[1] & FUTEX_CLOCK_REALTIME) != 0 &&
                             (arguments[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET &&
                             arguments[3] != 0;
  if (by_wall_clock) return AwaitFutex(real, arguments);
  return real(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
              arguments[5]);
}

}  // extern "C"

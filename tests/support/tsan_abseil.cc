// SPDX-License-Identifier: Apache-2.0
// Linked into every program of a ThreadSanitizer build. The distribution's Abseil is a shared
// library built without ThreadSanitizer, which therefore sees none of the order that absl::Mutex
// makes, and calls every access under one a race. The functions here take the place of the
// library's (the program comes before it in the dynamic linker's search), tell ThreadSanitizer what
// they do, and call it.
//
// Not covered: Await and CondVar under a reader's lock, Notification::HasBeenNotified (it is
// inline).
#if !defined(__SANITIZE_THREAD__)
#error "only for builds with -fsanitize=thread"
#endif

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>
#include <stdio.h>
#include <stdlib.h>

#include "absl/synchronization/barrier.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

namespace {

void* Next(const char* symbol) {
  void* function = dlsym(RTLD_NEXT, symbol);
  if (function == nullptr) {
    fprintf(stderr, "tsan_abseil: the Abseil library has no %s\n", symbol);
    abort();
  }
  return function;
}

// Pairs of annotations; what happens within one is not watched.
struct Locking {
  explicit Locking(void* mutex, unsigned flags = 0) : mutex(mutex), flags(flags) {
    __tsan_mutex_pre_lock(mutex, flags);
  }
  ~Locking() { __tsan_mutex_post_lock(mutex, flags, 0); }
  void* mutex;
  unsigned flags;
};

struct Unlocking {
  explicit Unlocking(void* mutex, unsigned flags = 0) : mutex(mutex), flags(flags) {
    __tsan_mutex_pre_unlock(mutex, flags);
  }
  ~Unlocking() { __tsan_mutex_post_unlock(mutex, flags); }
  void* mutex;
  unsigned flags;
};

// The library's own AwaitWithTimeout calls AwaitWithDeadline, which is found here, too: the
// outermost alone speaks.
thread_local int waits = 0;

// Lets go of the mutex and takes it again.
struct Waiting {
  explicit Waiting(void* mutex) : mutex(mutex), outermost(waits++ == 0) {
    if (!outermost) return;
    { Unlocking unlocking(mutex); }
    __tsan_mutex_pre_lock(mutex, 0);
  }
  ~Waiting() {
    --waits;
    if (outermost) __tsan_mutex_post_lock(mutex, 0, 0);
  }
  void* mutex;
  const bool outermost;
};

bool Try(void* mutex, unsigned flags, bool (*next)(void*)) {
  flags |= __tsan_mutex_try_lock;
  __tsan_mutex_pre_lock(mutex, flags);
  bool taken = next(mutex);
  __tsan_mutex_post_lock(mutex, taken ? flags : flags | __tsan_mutex_try_lock_failed, 0);
  return taken;
}

}  // namespace

// A member function takes `this` as its first argument.
#define FOREKEY_NEXT(symbol, result, ...) \
  static const auto next = reinterpret_cast<result (*)(__VA_ARGS__)>(Next(symbol))

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  FOREKEY_NEXT("_ZN4absl7debian35Mutex4LockEv", void, void*);
  Locking locking(this);
  next(this);
}
void Mutex::Unlock() {
  FOREKEY_NEXT("_ZN4absl7debian35Mutex6UnlockEv", void, void*);
  Unlocking unlocking(this);
  next(this);
}
bool Mutex::TryLock() {
  FOREKEY_NEXT("_ZN4absl7debian35Mutex7TryLockEv", bool, void*);
  return Try(this, 0, next);
}
void Mutex::ReaderLock() {
  FOREKEY_NEXT("_ZN4absl7debian35Mutex10ReaderLockEv", void, void*);
  Locking locking(this, __tsan_mutex_read_lock);
  next(this);
}
void Mutex::ReaderUnlock() {
  FOREKEY_NEXT("_ZN4absl7debian35Mutex12ReaderUnlockEv", void, void*);
  Unlocking unlocking(this, __tsan_mutex_read_lock);
  next(this);
}
bool Mutex::ReaderTryLock() {
  FOREKEY_NEXT("_ZN4absl7debian35Mutex13ReaderTryLockEv", bool, void*);
  return Try(this, __tsan_mutex_read_lock, next);
}
void Mutex::LockWhen(const Condition& condition) {
  FOREKEY_NEXT("_ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE", void, void*, const Condition&);
  Locking locking(this);
  next(this, condition);
}
bool Mutex::LockWhenWithTimeout(const Condition& condition, Duration timeout) {
  FOREKEY_NEXT("_ZN4absl7debian35Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE", bool,
               void*, const Condition&, Duration);
  Locking locking(this);
  return next(this, condition, timeout);
}
bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  FOREKEY_NEXT("_ZN4absl7debian35Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE", bool,
               void*, const Condition&, Time);
  Locking locking(this);
  return next(this, condition, deadline);
}
void Mutex::Await(const Condition& condition) {
  FOREKEY_NEXT("_ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE", void, void*, const Condition&);
  Waiting waiting(this);
  next(this, condition);
}
bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  FOREKEY_NEXT("_ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE", bool,
               void*, const Condition&, Duration);
  Waiting waiting(this);
  return next(this, condition, timeout);
}
bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  FOREKEY_NEXT("_ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE", bool, void*,
               const Condition&, Time);
  Waiting waiting(this);
  return next(this, condition, deadline);
}

void CondVar::Wait(Mutex* mutex) {
  FOREKEY_NEXT("_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE", void, void*, Mutex*);
  Waiting waiting(mutex);
  next(this, mutex);
}
bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  FOREKEY_NEXT("_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE", bool, void*,
               Mutex*, Duration);
  Waiting waiting(mutex);
  return next(this, mutex, timeout);
}
bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  FOREKEY_NEXT("_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE", bool, void*,
               Mutex*, Time);
  Waiting waiting(mutex);
  return next(this, mutex, deadline);
}

void Notification::Notify() {
  FOREKEY_NEXT("_ZN4absl7debian312Notification6NotifyEv", void, void*);
  __tsan_release(this);
  next(this);
}
void Notification::WaitForNotification() const {
  FOREKEY_NEXT("_ZNK4absl7debian312Notification19WaitForNotificationEv", void, const void*);
  next(this);
  __tsan_acquire(const_cast<Notification*>(this));
}
bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  FOREKEY_NEXT("_ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE",
               bool, const void*, Duration);
  bool notified = next(this, timeout);
  __tsan_acquire(const_cast<Notification*>(this));
  return notified;
}
bool Notification::WaitForNotificationWithDeadline(Time deadline) const {
  FOREKEY_NEXT("_ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE", bool,
               const void*, Time);
  bool notified = next(this, deadline);
  __tsan_acquire(const_cast<Notification*>(this));
  return notified;
}

bool BlockingCounter::DecrementCount() {
  FOREKEY_NEXT("_ZN4absl7debian315BlockingCounter14DecrementCountEv", bool, void*);
  __tsan_release(this);
  return next(this);
}
void BlockingCounter::Wait() {
  FOREKEY_NEXT("_ZN4absl7debian315BlockingCounter4WaitEv", void, void*);
  next(this);
  __tsan_acquire(this);
}
bool Barrier::Block() {
  FOREKEY_NEXT("_ZN4absl7debian37Barrier5BlockEv", bool, void*);
  __tsan_release(this);
  bool last = next(this);
  __tsan_acquire(this);
  return last;
}

ABSL_NAMESPACE_END
}  // namespace absl

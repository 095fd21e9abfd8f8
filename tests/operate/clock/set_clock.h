// SPDX-License-Identifier: Apache-2.0
// The file that tests/operate/clock/set_clock.cc reads, preloaded into the programs of a test.
#ifndef FOREKEY_TESTS_OPERATE_CLOCK_SET_CLOCK_H_
#define FOREKEY_TESTS_OPERATE_CLOCK_SET_CLOCK_H_

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace forekey::testing {

class SetClock {
 public:
  explicit SetClock(const std::string& path)
      : path_(path), fd_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    Write();
  }
  ~SetClock() { close(fd_); }
  SetClock(const SetClock&) = delete;
  SetClock& operator=(const SetClock&) = delete;

  // Of a program that sees this clock.
  std::vector<std::string> environment() const {
    return {absl::StrCat("LD_PRELOAD=", FOREKEY_BIN, "/forekey-test-clock.so"),
            "FOREKEY_TEST_CLOCK=" + path_};
  }
  void Step(absl::Duration by) {
    nanos_[0] += absl::ToInt64Nanoseconds(by);
    Write();
  }
  void Sleep(absl::Duration time) {
    nanos_[1] += absl::ToInt64Nanoseconds(time);
    Step(time);
  }

 private:
  void Write() {
    if (pwrite(fd_, nanos_, sizeof nanos_, 0) != sizeof nanos_) abort();
  }
  const std::string path_;
  const int fd_;
  int64_t nanos_[2] = {0, 0};
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_OPERATE_CLOCK_SET_CLOCK_H_

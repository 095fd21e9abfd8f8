// SPDX-License-Identifier: Apache-2.0
// Reports to and from one FIDO HID device (CTAP 2.1 section 11.2), below libfido2: so that waiting
// can be ended at any moment, and that a key that was pulled out, one that is busy and one that
// waits for a touch are told apart, which libfido2's own codes do not do. Private to hw/fido2.
#ifndef FOREKEY_HW_FIDO2_HID_LINK_H_
#define FOREKEY_HW_FIDO2_HID_LINK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "hw/device_key.h"
#include "hw/fido2/fido_address.h"
#include "src/base/deadline.h"

namespace forekey {

// Whose patience counts, and who is told to touch. Borrowed pointers outlive the link's use.
struct FidoWait {
  Deadline deadline;
  std::function<bool()> cancelled;
  Prompt* prompt = nullptr;
  std::string description;
  bool unsure = false;  // whether the token holds the credential: see Prompt::AskPinAnew()

  static FidoWait Of(const SignOptions& options, std::string description) {
    return {options.deadline, options.cancelled, options.prompt, std::move(description), false};
  }
  // kCancelled, or OK.
  absl::Status CheckCancelled() const;
};

// One open descriptor. One thread at a time.
class HidLink {
 public:
  // kGone, kNoAccess (with what to do), kBusy.
  static absl::StatusOr<std::unique_ptr<HidLink>> Open(const FidoAddress& address);
  ~HidLink();

  // Called around each command. `cancel` asks the token to end it (CTAPHID_CANCEL).
  void Begin(const FidoWait* wait, std::function<void()> cancel);
  void End();

  // libfido2's two: the number of bytes, or -1.
  int Read(unsigned char* report, size_t size, int timeout_ms);
  int Write(const unsigned char* report, size_t size);

  // What happened during the last command.
  bool gone() const { return gone_; }
  bool busy() const { return busy_; }
  bool cancelled() const { return stop_ == Stop::kCancelled; }
  bool out_of_time() const { return stop_ == Stop::kDeadline; }
  bool silent() const { return silent_; }
  bool touch_wanted() const { return touch_wanted_; }

 private:
  enum class Stop { kNone, kCancelled, kDeadline };
  explicit HidLink(int fd) : fd_(fd) {}
  bool MustStop();
  void Look(const unsigned char* report);

  const int fd_;
  const FidoWait* wait_ = nullptr;
  std::function<void()> cancel_;
  bool gone_ = false;
  bool busy_ = false;
  bool silent_ = false;
  bool touch_wanted_ = false;
  bool touch_shown_ = false;
  bool in_cancel_ = false;
  Stop stop_ = Stop::kNone;
  Deadline answer_by_;  // to what stopped it
};

}  // namespace forekey

#endif  // FOREKEY_HW_FIDO2_HID_LINK_H_

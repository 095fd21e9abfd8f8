// SPDX-License-Identifier: Apache-2.0
// What a person answered a moment ago. Programs that try again at once would have them asked again,
// and each wrong PIN brings a token nearer to locking itself: after a wrong PIN, or a "no", nobody
// is asked for that gate for some seconds. What a person begins by hand (forekey login) is asked at
// once.
#ifndef FOREKEY_SRC_AGENT_PERSON_MEMORY_H_
#define FOREKEY_SRC_AGENT_PERSON_MEMORY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "hw/device_key.h"
#include "src/agent/desktop_notices.h"
#include "src/agent/notice_board.h"
#include "src/agent/prompt_turns.h"
#include "src/agent/prompter.h"
#include "src/base/clock.h"
#include "src/base/secret.h"

namespace forekey {

// Safe from any thread.
class PersonMemory {
 public:
  static constexpr absl::Duration kRemembered = absl::Seconds(5);
  // `keep_pins`: for how long a PIN that was good is not asked for again; zero: each time.
  explicit PersonMemory(const Clock* clock, absl::Duration keep_pins = absl::ZeroDuration())
      : clock_(clock), keep_pins_(keep_pins) {}

  // A call at `gate` ended so. Remembers a wrong PIN (PinIsNoGood) and a denial at the token,
  // nothing else: a token also says "cancelled" where the program went away.
  // `credential_id`: what was asked was for that key.
  void Ended(const std::string& gate, const absl::Status& status,
             const std::string& credential_id = "");
  // `credential_id`: to the question of that key alone; empty: any.
  void Answered(const std::string& gate, DeviceError error, const std::string& credential_id = "");
  // A question ended so: remembers where the person gave up.
  void Heard(const PromptContext& asked, const absl::Status& answer);
  // A person is about to answer by hand.
  void Forget(const std::string& gate);
  // OK, or what was remembered, and that it was: with the same DeviceError.
  absl::Status MayAsk(const std::string& gate, const std::string& credential_id = "") const;
  // Prompter::TakeTurn().
  absl::StatusOr<std::unique_ptr<KeyTurn>> TakeTurn(const std::string& gate,
                                                    const std::string& credential_id,
                                                    const std::function<bool()>& cancelled);

  // A PIN that a person typed for the key of that credential, with which it signed: two keys of one
  // device may have two. None outlives a wrong one, whosever that was. `times`: TimesForgotten()
  // when the person was asked; what was forgotten since is not kept.
  void KeepPin(absl::string_view credential_id, const Secret& pin, uint64_t times);
  // Empty: ask. So it is where the device has few tries left: a PIN may have been changed.
  Secret KeptPin(absl::string_view credential_id, int tries_left);
  void ForgetPins();
  uint64_t TimesForgotten() const;
  // Wipes those whose time is over; when the next one's is.
  BootTime DropEndedPins();

 private:
  static constexpr int kTriesToSpare = 3;
  struct KeptPinOf {
    Secret pin;
    BootTime until;
  };
  struct Answer {
    DeviceError error;
    BootTime until;
  };
  class Turn;
  const Clock* const clock_;
  PromptTurns turns_;  // by credential
  mutable absl::Mutex mutex_;
  // By gate, and credential where it was to one key's question.
  std::map<std::pair<std::string, std::string>, Answer> answers_ ABSL_GUARDED_BY(mutex_);
  const absl::Duration keep_pins_;
  std::map<std::string, KeptPinOf, std::less<>> pins_ ABSL_GUARDED_BY(mutex_);  // by credential
  uint64_t times_forgotten_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Asks through `inner` (null: nobody can be asked, and the result is null, too) where `memory` lets
// it, and puts each touch that a token waits for on the notice board: "touch DEVICE to open a
// session, asked by PROGRAM", and on the desktop (null: nowhere). All outlive it.
std::unique_ptr<Prompter> ConsideratePrompter(std::unique_ptr<Prompter> inner, PersonMemory* memory,
                                              NoticeBoard* board,
                                              DesktopNotices* desktop = nullptr);

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_PERSON_MEMORY_H_

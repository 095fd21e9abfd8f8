// SPDX-License-Identifier: Apache-2.0
// What the driver needs of a smartcard service: readers, and a connection to the card in one of
// them. Implemented by hw/piv/pcsc.h over PC/SC; unit tests bring cards of their own. Private to
// hw/piv.
#ifndef FOREKEY_HW_PIV_CARD_CHANNEL_H_
#define FOREKEY_HW_PIV_CARD_CHANNEL_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/base/deadline.h"

namespace forekey {

// A connection to a card that nobody else can talk to as long as this object lives (a transaction).
// Keep it short: gpg, ssh and browsers wait for the same card. Not thread-safe.
class CardChannel {
 public:
  virtual ~CardChannel() = default;
  // One command APDU as the card gets it; the answer ends with its status word (2 bytes at least).
  virtual absl::StatusOr<std::string> Transmit(absl::string_view command) = 0;
  // The card is reset before others get it: all that it was told, a PIN above all, is forgotten.
  virtual void ResetWhenDone() = 0;
  virtual const std::string& atr() const = 0;
  // The card speaks T=0, where a command that carries data can't say how much it wants back.
  virtual bool is_t0() const = 0;
};

struct CardReader {
  std::string name;
  bool has_card = false;
  bool is_mute = false;  // a card that does not answer: put in the wrong way round, or broken
};

// How long the person or program that asked is ready to wait.
struct CardPatience {
  Deadline deadline;
  std::function<bool()> cancelled;  // called on the waiting thread; may be empty
  bool Cancelled() const { return cancelled && cancelled(); }
};

// Safe from any thread.
class SmartcardService {
 public:
  virtual ~SmartcardService() = default;
  // kNotSetUp or kNoAccess, with what to do, when the service can't be reached. No reader is no
  // error.
  virtual absl::StatusOr<std::vector<CardReader>> Readers() = 0;
  // Waits for others' transactions to end: kBusy with their likely names at the deadline,
  // kCancelled.
  virtual absl::StatusOr<std::unique_ptr<CardChannel>> Open(const std::string& reader,
                                                            const CardPatience& patience) = 0;
  // Returns when a reader or card came or went, at the latest after `longest`.
  virtual void AwaitChange(absl::Duration longest) = 0;
};

// Errors that say: begin again. Both keep the DeviceError that is right when beginning again
// doesn't help.
enum class Interruption {
  kNone,
  kCardReset,           // another program reset the card: nothing that it was told holds any more
  kServiceLost,         // the service ended; it may be on its way back
  kAnotherApplication,  // PIV is not selected any more: a reset that nobody announced, or not yet
};
absl::Status Interrupted(Interruption interruption, absl::Status status);
Interruption InterruptionOf(const absl::Status& status);

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_CARD_CHANNEL_H_

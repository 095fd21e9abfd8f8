// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/piv_device.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "hw/device_key.h"
#include "src/base/deadline.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr absl::Duration kCardPatience = absl::Seconds(5);
constexpr absl::Duration kCancelPoll = absl::Milliseconds(20);
constexpr absl::Duration kFirstCardPause = absl::Milliseconds(5);
constexpr absl::Duration kLongestCardPause = absl::Milliseconds(200);

absl::Status CardCancelled() {
  return DeviceFailure(DeviceError::kCancelled, "cancelled while waiting for the card");
}

}  // namespace

std::string PivDevice::reader() {
  absl::MutexLock lock(&mutex_);
  return reader_;
}

absl::Status PivDevice::Enter(const CardPatience& patience) {
  absl::MutexLock lock(&mutex_);
  while (busy_) {
    if (patience.Cancelled()) return CardCancelled();
    if (patience.deadline.Passed()) {
      return DeviceFailure(DeviceError::kBusy, "another operation of this agent has the card");
    }
    const bool* busy = &busy_;
    AwaitUntil(mutex_,
               absl::Condition(
                   +[](const bool* b) { return !*b; }, busy),
               std::min(patience.deadline, Deadline::In(kCancelPoll)));
  }
  busy_ = true;
  return absl::OkStatus();
}

void PivDevice::Leave() {
  absl::MutexLock lock(&mutex_);
  busy_ = false;
}

absl::StatusOr<std::unique_ptr<PivCard>> PivDevice::OpenReader(const std::string& reader,
                                                               const CardPatience& patience) {
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<CardChannel> channel, service_->Open(reader, patience));
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<PivCard> card, PivCard::Select(std::move(channel)));
  if (uri_.serial.has_value() && card->serial() != uri_.serial) {
    return DeviceFailure(DeviceError::kGone,
                         absl::StrCat("the card in ", reader, " is another one"));
  }
  absl::MutexLock lock(&mutex_);
  reader_ = reader;
  return card;
}

absl::StatusOr<std::unique_ptr<PivCard>> PivDevice::Search(const CardPatience& patience) {
  if (!uri_.reader.empty()) return OpenReader(uri_.reader, patience);
  FOREKEY_ASSIGN_OR_RETURN(std::vector<CardReader> readers, service_->Readers());
  std::unique_ptr<PivCard> found;
  std::vector<std::string> found_in;
  absl::Status busy;
  for (const CardReader& reader : readers) {
    if (!reader.has_card || reader.is_mute) continue;
    auto card = OpenReader(reader.name, patience);
    if (!card.ok()) {
      const auto error = DeviceErrorOf(card.status());
      if (error == DeviceError::kCancelled) return card.status();
      // A card that can't be looked at may be the one.
      if (error == DeviceError::kBusy || InterruptionOf(card.status()) != Interruption::kNone) {
        busy = card.status();
      }
      continue;
    }
    if (uri_.serial.has_value()) return card;
    found_in.push_back(reader.name);
    if (found == nullptr) found = *std::move(card);
  }
  if (found_in.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat("there are several PIV cards, say which one: ",
                                                   absl::StrJoin(found_in, ", ")));
  }
  if (found != nullptr) return found;
  if (!busy.ok()) return busy;
  return DeviceFailure(DeviceError::kGone, uri_.serial.has_value()
                                               ? absl::StrCat("no card with the serial number ",
                                                              *uri_.serial, " is there: plug it in")
                                               : "no PIV card is there: plug it in");
}

absl::Status PivDevice::Attempt(const CardPatience& patience,
                                absl::FunctionRef<absl::Status(PivCard&)> operation) {
  absl::StatusOr<std::unique_ptr<PivCard>> card = absl::NotFoundError("");
  // With a serial number, first where it was last: other readers' cards are left in peace.
  const std::string last = uri_.serial.has_value() ? reader() : "";
  if (!last.empty()) card = OpenReader(last, patience);
  const auto error = DeviceErrorOf(card.status());
  if (last.empty() || error == DeviceError::kGone || error == DeviceError::kNotSetUp) {
    if (InterruptionOf(card.status()) == Interruption::kNone) card = Search(patience);
  }
  FOREKEY_RETURN_IF_ERROR(card.status());
  return operation(**card);
}

absl::Status PivDevice::Run(const CardPatience& patience,
                            absl::FunctionRef<absl::Status(PivCard&)> operation) {
  FOREKEY_RETURN_IF_ERROR(Enter(patience));
  absl::Cleanup leave = [this] { Leave(); };
  const Deadline until = std::min(patience.deadline, Deadline::In(kCardPatience));
  bool service_lost = false, application_lost = false;
  absl::Duration pause = kFirstCardPause;
  while (true) {
    if (patience.Cancelled()) return CardCancelled();
    const absl::Status status = Attempt({until, patience.cancelled}, operation);
    if (status.ok()) return status;
    const Interruption interruption = InterruptionOf(status);
    const auto error = DeviceErrorOf(status);
    if (until.Passed()) return status;
    if (interruption == Interruption::kServiceLost) {
      // A service that was there before is on its way back; one that never was needs somebody to
      // start it.
      if (reader().empty()) return status;
      service_lost = true;
      service_->AwaitChange(std::min(kLongestCardPause, until.Left()));
    } else if (interruption == Interruption::kAnotherApplication && !application_lost) {
      application_lost =
          true;  // once: a card that really lacks the command would have us try for ever
    } else if (service_lost && error == DeviceError::kGone) {
      service_->AwaitChange(
          std::min(kLongestCardPause, until.Left()));  // readers come up one by one
    } else if (interruption == Interruption::kCardReset || error == DeviceError::kBusy) {
      if (pause >= until.Left()) return status;  // which says more than a wait cut short would
      absl::SleepFor(pause);
      pause = std::min(2 * pause, kLongestCardPause);
    } else {
      return status;
    }
  }
}

}  // namespace forekey

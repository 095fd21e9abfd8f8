// SPDX-License-Identifier: Apache-2.0
#include "src/agent/person_memory.h"
#include "src/base/shell_word.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace forekey {
namespace {

class ConsideratePrompt : public Prompt {
 public:
  ConsideratePrompt(std::unique_ptr<Prompt> inner, PromptContext context, PersonMemory* memory,
                    NoticeBoard* board, DesktopNotices* desktop)
      : inner_(std::move(inner)),
        context_(std::move(context)),
        memory_(memory),
        board_(board),
        desktop_(desktop) {}
  ~ConsideratePrompt() override { TakeAway(); }

  // What is asked next is for the key of that credential.
  void Begins(absl::string_view credential_id) { credential_id_ = std::string(credential_id); }
  // What was asked for here has ended so.
  void Ended(const absl::Status& status) {
    for (const auto& [credential_id, typed] : typed_) {
      if (status.ok()) memory_->KeepPin(credential_id, typed.pin, typed.times_forgotten);
    }
    typed_.clear();
    if (DeviceErrorOf(status) == DeviceError::kWrongPin) memory_->ForgetPins();
  }

  absl::StatusOr<Secret> AskPin(absl::string_view device, int tries_left) override {
    if (absl::Status asked = memory_->MayAsk(context_.gate); !asked.ok()) return asked;
    // A key that is being made is no credential yet.
    if (credential_id_.empty()) return Heard(inner_->AskPin(device, tries_left));
    if (Secret kept = memory_->KeptPin(credential_id_, tries_left); !kept.empty()) return kept;
    const uint64_t times_forgotten = memory_->TimesForgotten();
    absl::StatusOr<Secret> pin = Heard(inner_->AskPin(device, tries_left));
    if (pin.ok()) typed_[credential_id_] = {pin->Clone(), times_forgotten};
    return pin;
  }
  // Neither out of the memory nor into it: whose PIN it is nobody knows.
  absl::StatusOr<Secret> AskPinAnew(absl::string_view device, int tries_left) override {
    if (absl::Status asked = memory_->MayAsk(context_.gate); !asked.ok()) return asked;
    return Heard(inner_->AskPinAnew(device, tries_left));
  }
  absl::StatusOr<Secret> AskSecret(absl::string_view whose) override {
    if (absl::Status asked = memory_->MayAsk(context_.gate); !asked.ok()) return asked;
    return Heard(inner_->AskSecret(whose));
  }
  void ShowTouch(absl::string_view device) override {
    place_.emplace(board_, context_.gate);
    place_->Post(absl::StrCat(
        "touch ", device, context_.purpose.empty() ? "" : absl::StrCat(" ", context_.purpose),
        context_.program.empty() ? "" : absl::StrCat(", asked by ", context_.program)));
    TakeAway();
    if (desktop_ != nullptr) {
      shown_ = desktop_->Show(
          "Touch your security key",
          absl::StrCat(
              device, ", ", context_.purpose, " at ", context_.gate,
              context_.program.empty() ? "" : absl::StrCat(" (asked by ", context_.program, ")")));
    }
    inner_->ShowTouch(device);
  }
  void HideTouch() override {
    inner_->HideTouch();
    place_.reset();
    TakeAway();
  }

 private:
  struct Typed {
    Secret pin;
    uint64_t times_forgotten;
  };
  std::string credential_id_;
  std::map<std::string, Typed> typed_;  // by credential: whether they are good is not known yet

  void TakeAway() {
    if (shown_.has_value()) desktop_->Hide(*shown_);
    shown_.reset();
  }
  // Who gave up is the person, unless the program has gone.
  absl::StatusOr<Secret> Heard(absl::StatusOr<Secret> answer) {
    const bool gone = context_.cancelled && context_.cancelled();
    if (absl::IsCancelled(answer.status()) && !gone) {
      memory_->Answered(context_.gate, DeviceError::kCancelled);
    }
    return answer;
  }

  const std::unique_ptr<Prompt> inner_;
  const PromptContext context_;
  PersonMemory* const memory_;
  NoticeBoard* const board_;
  DesktopNotices* const desktop_;
  std::optional<NoticeBoard::Place> place_;  // while a touch is waited for
  std::optional<uint64_t> shown_;            // the same, on the desktop
};

class Considerate : public Prompter {
 public:
  Considerate(std::unique_ptr<Prompter> inner, PersonMemory* memory, NoticeBoard* board,
              DesktopNotices* desktop)
      : inner_(std::move(inner)), memory_(memory), board_(board), desktop_(desktop) {}
  std::unique_ptr<Prompt> For(PromptContext context) override {
    std::unique_ptr<Prompt> prompt = inner_->For(context);
    if (prompt == nullptr) return nullptr;
    return std::make_unique<ConsideratePrompt>(std::move(prompt), std::move(context), memory_,
                                               board_, desktop_);
  }
  absl::Status MayAsk(const std::string& gate) const override { return memory_->MayAsk(gate); }
  void Begins(Prompt& prompt, absl::string_view credential_id) override {
    static_cast<ConsideratePrompt&>(prompt).Begins(credential_id);  // one of For()'s
  }
  void Ended(Prompt& prompt, const absl::Status& status) override {
    static_cast<ConsideratePrompt&>(prompt).Ended(status);  // one of For()'s
  }

 private:
  const std::unique_ptr<Prompter> inner_;
  PersonMemory* const memory_;
  NoticeBoard* const board_;
  DesktopNotices* const desktop_;
};

}  // namespace

void PersonMemory::Ended(const std::string& gate, const absl::Status& status) {
  const std::optional<DeviceError> error = DeviceErrorOf(status);
  if (error == DeviceError::kWrongPin) ForgetPins();
  if (error == DeviceError::kWrongPin || error == DeviceError::kDenied) Answered(gate, *error);
}

void PersonMemory::Answered(const std::string& gate, DeviceError error) {
  absl::MutexLock lock(&mutex_);
  const BootTime now = clock_->BootNow();
  // What is told out of this memory does not make it longer.
  const auto known = answers_.find(gate);
  if (known != answers_.end() && known->second.until > now) return;
  answers_[gate] = {error, now + kRemembered};
}

void PersonMemory::Forget(const std::string& gate) {
  absl::MutexLock lock(&mutex_);
  answers_.erase(gate);
}

void PersonMemory::KeepPin(absl::string_view credential_id, const Secret& pin, uint64_t times) {
  if (keep_pins_ <= absl::ZeroDuration()) return;
  absl::MutexLock lock(&mutex_);
  if (times != times_forgotten_) return;
  pins_[std::string(credential_id)] = {pin.Clone(), clock_->BootNow() + keep_pins_};
}

Secret PersonMemory::KeptPin(absl::string_view credential_id, int tries_left) {
  if (tries_left >= 0 && tries_left < kTriesToSpare) return Secret();
  DropEndedPins();
  absl::MutexLock lock(&mutex_);
  const auto found = pins_.find(credential_id);
  return found == pins_.end() ? Secret() : found->second.pin.Clone();
}

void PersonMemory::ForgetPins() {
  absl::MutexLock lock(&mutex_);
  pins_.clear();
  ++times_forgotten_;
}

uint64_t PersonMemory::TimesForgotten() const {
  absl::MutexLock lock(&mutex_);
  return times_forgotten_;
}

BootTime PersonMemory::DropEndedPins() {
  absl::MutexLock lock(&mutex_);
  const BootTime now = clock_->BootNow();
  std::erase_if(pins_, [now](const auto& one) { return one.second.until <= now; });
  BootTime next = BootTime::InfiniteFuture();
  for (const auto& [credential_id, kept] : pins_) next = std::min(next, kept.until);
  return next;
}

absl::Status PersonMemory::MayAsk(const std::string& gate) const {
  absl::MutexLock lock(&mutex_);
  const auto known = answers_.find(gate);
  if (known == answers_.end() || known->second.until <= clock_->BootNow()) return absl::OkStatus();
  const DeviceError error = known->second.error;
  return DeviceFailure(
      error, absl::StrCat(error == DeviceError::kWrongPin ? "the PIN was wrong a moment ago"
                                                          : "it was refused a moment ago",
                          ", and nobody is asked again so soon: wait some seconds, or run: forekey "
                          "login --gate ",
                          ShellWord(gate)));
}

std::unique_ptr<Prompter> ConsideratePrompter(std::unique_ptr<Prompter> inner, PersonMemory* memory,
                                              NoticeBoard* board, DesktopNotices* desktop) {
  if (inner == nullptr) return nullptr;
  return std::make_unique<Considerate>(std::move(inner), memory, board, desktop);
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/agent/person_memory.h"
#include "src/base/shell_word.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"

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
  void Begins(absl::string_view credential_id, bool in_turn) {
    credential_id_ = std::string(credential_id);
    in_turn_ = in_turn;
  }
  // What was asked for here has ended so.
  void Ended(const absl::Status& status) {
    for (const auto& [credential_id, typed] : typed_) {
      if (status.ok()) memory_->KeepPin(credential_id, typed.pin, typed.times_forgotten);
    }
    typed_.clear();
    memory_->Ended(context_.gate, status, credential_id_);
    turn_.reset();  // now others may know
    in_turn_ = false;
  }

  absl::StatusOr<Secret> AskPin(absl::string_view device, int tries_left) override {
    FOREKEY_RETURN_IF_ERROR(TakeTurn());
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
    FOREKEY_RETURN_IF_ERROR(TakeTurn());
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
  bool in_turn_ = false;
  std::unique_ptr<KeyTurn> turn_;       // null: it is another's, or not taken
  std::map<std::string, Typed> typed_;  // by credential: whether they are good is not known yet

  // Until Ended(): what the person types for the key, or that they say no, is known then to whoever
  // waits to ask the same.
  absl::Status TakeTurn() {
    if (credential_id_.empty() || in_turn_) return memory_->MayAsk(context_.gate);
    FOREKEY_ASSIGN_OR_RETURN(turn_,
                             memory_->TakeTurn(context_.gate, credential_id_, context_.cancelled));
    in_turn_ = true;
    return absl::OkStatus();
  }
  void TakeAway() {
    if (shown_.has_value()) desktop_->Hide(*shown_);
    shown_.reset();
  }
  absl::StatusOr<Secret> Heard(absl::StatusOr<Secret> answer) {
    memory_->Heard(context_, answer.status());
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
    context.may_ask = [memory = memory_, gate = context.gate] { return memory->MayAsk(gate); };
    context.answered = [memory = memory_, asked = context](const absl::Status& answer) {
      memory->Heard(asked, answer);
    };
    std::unique_ptr<Prompt> prompt = inner_->For(context);
    if (prompt == nullptr) return nullptr;
    return std::make_unique<ConsideratePrompt>(std::move(prompt), std::move(context), memory_,
                                               board_, desktop_);
  }
  absl::Status MayAsk(const std::string& gate) const override { return memory_->MayAsk(gate); }
  absl::StatusOr<std::unique_ptr<KeyTurn>> TakeTurn(
      const std::string& gate, const std::string& credential_id,
      const std::function<bool()>& cancelled) override {
    return memory_->TakeTurn(gate, credential_id, cancelled);
  }
  void Begins(Prompt& prompt, absl::string_view credential_id, bool in_turn) override {
    static_cast<ConsideratePrompt&>(prompt).Begins(credential_id, in_turn);  // one of For()'s
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

void PersonMemory::Ended(const std::string& gate, const absl::Status& status,
                         const std::string& credential_id) {
  const std::optional<DeviceError> error = DeviceErrorOf(status);
  if (PinIsNoGood(status)) ForgetPins();
  if (PinIsNoGood(status) || error == DeviceError::kDenied) Answered(gate, *error, credential_id);
}

// Who gave up is the person, unless the program has gone.
void PersonMemory::Heard(const PromptContext& asked, const absl::Status& answer) {
  const bool gone = asked.cancelled && asked.cancelled();
  if (absl::IsCancelled(answer) && !gone) Answered(asked.gate, DeviceError::kCancelled);
}

class PersonMemory::Turn : public KeyTurn {
 public:
  Turn(PersonMemory* memory, std::string gate, std::string credential_id)
      : memory_(memory), gate_(std::move(gate)), credential_id_(std::move(credential_id)) {}
  ~Turn() override { memory_->turns_.Give({credential_id_}); }
  void Ended(const absl::Status& status) override { memory_->Ended(gate_, status, credential_id_); }

 private:
  PersonMemory* const memory_;
  const std::string gate_;
  const std::string credential_id_;
};

absl::StatusOr<std::unique_ptr<KeyTurn>> PersonMemory::TakeTurn(
    const std::string& gate, const std::string& credential_id,
    const std::function<bool()>& cancelled) {
  FOREKEY_RETURN_IF_ERROR(turns_.Take({credential_id}, cancelled));
  auto turn = std::make_unique<Turn>(this, gate, credential_id);
  FOREKEY_RETURN_IF_ERROR(MayAsk(gate));
  FOREKEY_RETURN_IF_ERROR(MayAsk(gate, credential_id));
  return turn;
}

void PersonMemory::Answered(const std::string& gate, DeviceError error,
                            const std::string& credential_id) {
  absl::MutexLock lock(&mutex_);
  const BootTime now = clock_->BootNow();
  // What is told out of this memory does not make it longer.
  const std::pair<std::string, std::string> key(gate, credential_id);
  const auto known = answers_.find(key);
  if (known != answers_.end() && known->second.until > now) return;
  answers_[key] = {error, now + kRemembered};
}

void PersonMemory::Forget(const std::string& gate) {
  absl::MutexLock lock(&mutex_);
  std::erase_if(answers_, [&](const auto& answer) { return answer.first.first == gate; });
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

absl::Status PersonMemory::MayAsk(const std::string& gate, const std::string& credential_id) const {
  absl::MutexLock lock(&mutex_);
  const auto known = answers_.find({gate, credential_id});
  if (known == answers_.end() || known->second.until <= clock_->BootNow()) return absl::OkStatus();
  const DeviceError error = known->second.error;
  const char* answer = error == DeviceError::kWrongPin     ? "the PIN was wrong a moment ago"
                       : error == DeviceError::kPinBlocked ? "the PIN is blocked since a moment ago"
                       : error == DeviceError::kPinAuthBlocked
                           ? "the PIN was wrong too often a moment ago (pull the key out and plug "
                             "it in again)"
                           : "it was refused a moment ago";
  return DeviceFailure(
      error, absl::StrCat(answer,
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

// SPDX-License-Identifier: Apache-2.0
// A Prompter for tests: every question goes to one Prompt.
#ifndef FOREKEY_TESTS_SUPPORT_PERSON_H_
#define FOREKEY_TESTS_SUPPORT_PERSON_H_

#include <memory>
#include <utility>

#include "src/agent/prompter.h"

namespace forekey::testing {

class Person : public Prompter {
 public:
  explicit Person(std::shared_ptr<Prompt> prompt) : prompt_(std::move(prompt)) {}
  std::unique_ptr<Prompt> For(PromptContext) override {
    return std::make_unique<Forwarding>(prompt_);
  }
  // Null for null.
  static std::unique_ptr<Prompter> Of(std::shared_ptr<Prompt> prompt) {
    return prompt == nullptr ? nullptr : std::make_unique<Person>(std::move(prompt));
  }

 private:
  class Forwarding : public Prompt {
   public:
    explicit Forwarding(std::shared_ptr<Prompt> prompt) : prompt_(std::move(prompt)) {}
    absl::StatusOr<Secret> AskPin(absl::string_view device, int tries_left) override {
      return prompt_->AskPin(device, tries_left);
    }
    absl::StatusOr<Secret> AskPinAnew(absl::string_view device, int tries_left) override {
      return prompt_->AskPinAnew(device, tries_left);
    }
    absl::StatusOr<Secret> AskSecret(absl::string_view whose) override {
      return prompt_->AskSecret(whose);
    }
    void ShowTouch(absl::string_view device) override { prompt_->ShowTouch(device); }
    void HideTouch() override { prompt_->HideTouch(); }

   private:
    const std::shared_ptr<Prompt> prompt_;
  };
  const std::shared_ptr<Prompt> prompt_;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_SUPPORT_PERSON_H_

// SPDX-License-Identifier: Apache-2.0
// Spares a person touches and PINs that come to nothing: the gate refused what the token signed, or
// opened no session with it.
#ifndef FOREKEY_SRC_AGENT_REFUSED_KEYS_H_
#define FOREKEY_SRC_AGENT_REFUSED_KEYS_H_

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "hw/device_key.h"
#include "src/agent/session_checks.h"
#include "src/base/clock.h"
#include "src/base/secret.h"

namespace forekey {

// Of one gate. A gate does not say why it refuses (LAW 6): the credential may be revoked, or the
// subject disabled, or something may be wrong for a moment. So a token that needs a person rests
// for a minute after the first refusal, for ten after the second, then for an hour each time; one
// that signs by itself never does. Where a person was asked and the gate failed otherwise (it is
// overloaded, or its registry is away), programs try again at once, and each time the person would
// be asked: there it rests for five seconds, then for thirty, then for a minute each time. Safe
// from any thread.
class RefusedKeys {
 public:
  RefusedKeys(std::string audience, const Clock* clock)
      : audience_(std::move(audience)), clock_(clock) {}

  // The token asked a person for a touch or a PIN.
  void NeedsPerson(const HeldCredential& credential);
  // The gate refused a proof by all of them, or took it.
  void Refused(const Candidates& credentials, const absl::Status& why);
  void Taken(const Candidates& credentials);
  // A person was asked for them, and then the gate answered that, which is no refusal of theirs.
  void Failed(const Candidates& credentials, const absl::Status& why);
  // FailedPrecondition while it rests: with the refusal, until when, and what a person can do.
  absl::Status MayAsk(const HeldCredential& credential) const;
  // Whether it is known to need one.
  bool ForPerson(const HeldCredential& credential) const;
  // The same for the subject's password, which a person typed for an opening: the gate failed, or
  // opened a session.
  void PasswordFailed(const absl::Status& why);
  void PasswordTaken();
  absl::Status MayAskPassword() const;
  // A person wants it, or it was enrolled anew: all of them may be asked.
  void Forget();

 private:
  struct Key {
    int refusals = 0;
    int failures = 0;  // since the last refusal
    BootTime until;
    std::string why;
  };
  // Nullopt where it does not rest; else for people: until when, and how to try now.
  std::optional<std::string> RestOf(const Key& key) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // Whom all of this is about: those of the credentials that need a person.
  template <typename Rest>
  void RestEach(const Candidates& credentials, const absl::Status& why, const Rest& rest);

  const std::string audience_;
  const Clock* const clock_;
  mutable absl::Mutex mutex_;
  std::map<std::string, Key> keys_ ABSL_GUARDED_BY(mutex_);  // that need a person, by id
  Key password_ ABSL_GUARDED_BY(mutex_);
};

// Passes questions on, and notes that there was one.
class NotingPrompt : public Prompt {
 public:
  explicit NotingPrompt(Prompt* inner) : inner_(inner) {}
  absl::StatusOr<Secret> AskPin(absl::string_view device, int tries_left) override {
    asked_ = true;
    return inner_->AskPin(device, tries_left);
  }
  absl::StatusOr<Secret> AskPinAnew(absl::string_view device, int tries_left) override {
    asked_ = true;
    return inner_->AskPinAnew(device, tries_left);
  }
  absl::StatusOr<Secret> AskSecret(absl::string_view whose) override {
    asked_ = true;
    return inner_->AskSecret(whose);
  }
  void ShowTouch(absl::string_view device) override {
    asked_ = true;
    inner_->ShowTouch(device);
  }
  void HideTouch() override { inner_->HideTouch(); }
  bool asked() const { return asked_; }

 private:
  Prompt* const inner_;
  bool asked_ = false;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_REFUSED_KEYS_H_

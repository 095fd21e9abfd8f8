// SPDX-License-Identifier: Apache-2.0
// Who asks the person at the workstation, and what the person is told about why.
#ifndef FOREKEY_SRC_AGENT_PROMPTER_H_
#define FOREKEY_SRC_AGENT_PROMPTER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hw/device_key.h"
#include "src/agent/prompt_place.h"

namespace forekey {

struct PromptContext {
  std::string gate;     // audience
  std::string purpose;  // "to open a session", "to sign a call of /pkg.Service/Method"
  std::string program;  // which program asks, where that is known
  // When it says so, nobody waits for an answer any more: the question ends.
  std::function<bool()> cancelled;
  PromptPlace place;  // where the program's person sits; empty: where the agent's does
  // Who waits for their turn to ask asks `may_ask` in it, as the person may have said no to the one
  // before; and tells `answered` before it is another's turn. Both may be empty.
  std::function<absl::Status()> may_ask{};
  std::function<void(const absl::Status& answer)> answered{};
};

// One use of a key that asks its person. The next may begin when it is destroyed.
class KeyTurn {
 public:
  virtual ~KeyTurn() = default;
  // It has ended so: the next is told.
  virtual void Ended(const absl::Status& status) = 0;
};

// Safe from any thread.
class Prompter {
 public:
  virtual ~Prompter() = default;
  // For one piece of work; does not outlive the Prompter.
  virtual std::unique_ptr<Prompt> For(PromptContext context) = 0;
  // OK, or why the person at `gate` is left alone for now: with the DeviceError of what they
  // answered.
  virtual absl::Status MayAsk(const std::string& gate) const { return absl::OkStatus(); }
  // For a key that asks for a touch by itself: waits for who uses it, then asks MayAsk(), and what
  // the person answered to them. Null: nobody needs a turn.
  virtual absl::StatusOr<std::unique_ptr<KeyTurn>> TakeTurn(
      const std::string& gate, const std::string& credential_id,
      const std::function<bool()>& cancelled) {
    return nullptr;
  }
  // What `prompt` (one of For()'s) is asked from now on is for the key of that credential. Where it
  // is not `in_turn`, it takes its turn with the first question.
  virtual void Begins(Prompt& prompt, absl::string_view credential_id, bool in_turn) {}
  // What `prompt` (one of For()'s) was asked for has ended so: whether its answers were good.
  virtual void Ended(Prompt& prompt, const absl::Status& status) {}
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_PROMPTER_H_

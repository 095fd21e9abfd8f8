// SPDX-License-Identifier: Apache-2.0
// Who asks the person at the workstation, and what the person is told about why.
#ifndef FOREKEY_SRC_AGENT_PROMPTER_H_
#define FOREKEY_SRC_AGENT_PROMPTER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
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
  // What `prompt` (one of For()'s) is asked from now on is for the key of that credential.
  virtual void Begins(Prompt& prompt, absl::string_view credential_id) {}
  // What `prompt` (one of For()'s) was asked for has ended so: whether its answers were good.
  virtual void Ended(Prompt& prompt, const absl::Status& status) {}
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_PROMPTER_H_

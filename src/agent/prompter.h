// SPDX-License-Identifier: Apache-2.0
// Who asks the person at the workstation, and what the person is told about why.
#ifndef FOREKEY_SRC_AGENT_PROMPTER_H_
#define FOREKEY_SRC_AGENT_PROMPTER_H_

#include <functional>
#include <memory>
#include <string>

#include "hw/device_key.h"

namespace forekey {

struct PromptContext {
  std::string gate;     // audience
  std::string purpose;  // "to open a session", "to sign a call of /pkg.Service/Method"
  std::string program;  // which program asks, where that is known
  // When it says so, nobody waits for an answer any more: the question ends.
  std::function<bool()> cancelled;
};

// Safe from any thread.
class Prompter {
 public:
  virtual ~Prompter() = default;
  // For one piece of work; does not outlive the Prompter.
  virtual std::unique_ptr<Prompt> For(PromptContext context) = 0;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_PROMPTER_H_

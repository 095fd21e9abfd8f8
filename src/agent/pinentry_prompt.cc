// SPDX-License-Identifier: Apache-2.0
#include "src/agent/pinentry_prompt.h"

#include <stdlib.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"
#include "src/agent/assuan.h"
#include "src/agent/pinentry.h"
#include "src/agent/prompt_turns.h"
#include "src/base/printable.h"
#include "src/base/status.h"

extern char** environ;

namespace forekey {
namespace {

// Of the parts of a description, escaped: together less than a line.
constexpr size_t kMaxPart = 200;
constexpr size_t kMaxSecretName = 300;
constexpr size_t kMaxProgram = 250;
constexpr char kSystemsPinentry[] = "pinentry";
constexpr absl::string_view kUsualTerminal = "vt100";

// The agent's own, but for where a question appears: that is the program's, where it has a place.
std::vector<std::string> EnvironmentAt(const PromptPlace& place) {
  std::vector<absl::string_view> of_the_place;
  if (!place.empty()) {
    of_the_place = {
        "DISPLAY=", "WAYLAND_DISPLAY=", "XAUTHORITY=", "GPG_TTY=", "XDG_SESSION_TYPE=", "TERM="};
    // pinentry-gnome3 would ask on the desktop of this bus, where nobody may sit who is at a
    // terminal.
    if (!place.has_display()) of_the_place.push_back("DBUS_SESSION_BUS_ADDRESS=");
  }
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const absl::string_view text(*variable);
    const bool other =
        std::any_of(of_the_place.begin(), of_the_place.end(),
                    [text](absl::string_view name) { return absl::StartsWith(text, name); });
    if (!other) environment.emplace_back(text);
  }
  const auto add = [&environment](absl::string_view name, const std::string& value) {
    if (!value.empty()) environment.push_back(absl::StrCat(name, value));
  };
  add("DISPLAY=", place.display);
  add("WAYLAND_DISPLAY=", place.wayland_display);
  add("XAUTHORITY=", place.xauthority);
  // Qt needs it where there is no X, and where there is, would ask on the Wayland of the agent's.
  if (place.display.empty() && !place.wayland_display.empty()) add("XDG_SESSION_TYPE=", "wayland");
  add("GPG_TTY=", place.tty);
  add("TERM=", place.term);
  return environment;
}

// Where the agent itself was started.
PromptPlace OwnPlace() {
  std::string environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    environment.append(*variable).push_back('\0');
  }
  const char* tty = getenv("GPG_TTY");
  return StillThere(PlaceFrom(environment, tty == nullptr ? "" : tty));
}

class PinentryPrompt final : public Prompt {
 public:
  PinentryPrompt(std::string program, PromptContext context, PromptTurns* turns)
      : program_(std::move(program)), context_(std::move(context)), turns_(turns) {}

  absl::StatusOr<Secret> AskPin(absl::string_view device, int tries_left) override {
    std::string what = absl::StrCat("The PIN of ", Part(device, kMaxPart));
    if (tries_left >= 0) absl::StrAppend(&what, " (", tries_left, " tries are left)");
    return Ask(what, "PIN:");
  }
  absl::StatusOr<Secret> AskSecret(absl::string_view whose) override {
    return Ask(absl::StrCat("Enter ", Part(whose, kMaxSecretName)), "Password:");
  }
  void ShowTouch(absl::string_view device) override {
    spdlog::info("touch {} now, {}", Shown(device), Why());
  }
  void HideTouch() override {}

 private:
  static std::string Part(absl::string_view text, size_t most) {
    return AssuanFitted(Shown(text), most);
  }
  // "to open a session at gate.example, for /usr/bin/orders (process 4711)"
  std::string Why() const {
    return absl::StrCat(Part(context_.purpose, kMaxPart), " at ", Part(context_.gate, kMaxPart),
                        context_.program.empty() ? "" : ", for ",
                        Part(context_.program, kMaxProgram));
  }

  absl::StatusOr<Secret> Ask(absl::string_view what, absl::string_view prompt) {
    // It may have gone since the program came.
    const PromptPlace its_own = StillThere(context_.place);
    const PromptPlace place = its_own.empty() ? OwnPlace() : its_own;
    const std::vector<std::string> names = PromptTurns::NamesOf(place);
    FOREKEY_RETURN_IF_ERROR(turns_->Take(names, context_.cancelled));
    const absl::Cleanup given_back = [this, &names] { turns_->Give(names); };
    if (context_.may_ask) FOREKEY_RETURN_IF_ERROR(context_.may_ask());
    absl::StatusOr<Secret> answer = AskInTurn(its_own, place, what, prompt);
    if (context_.answered) context_.answered(answer.status());
    return answer;
  }

  absl::StatusOr<Secret> AskInTurn(const PromptPlace& its_own, const PromptPlace& place,
                                   absl::string_view what, absl::string_view prompt) {
    FOREKEY_ASSIGN_OR_RETURN(
        std::unique_ptr<Pinentry> pinentry,
        Pinentry::Start({program_, EnvironmentAt(its_own), place.tty, context_.cancelled}));
    FOREKEY_RETURN_IF_ERROR(pinentry->Greeting());
    std::vector<std::string> lines;
    const auto option = [&lines](absl::string_view name, const std::string& value) {
      if (!value.empty()) lines.push_back(absl::StrCat("OPTION ", name, "=", AssuanEscape(value)));
    };
    option("ttytype", place.term);
    option("ttyname", place.tty);
    option("lc-ctype", CharactersAt(place));
    lines.push_back(absl::StrCat("SETDESC ", AssuanEscape(absl::StrCat(what, "\n", Why()))));
    lines.push_back(absl::StrCat("SETPROMPT ", prompt));
    lines.push_back("SETTIMEOUT 110");
    for (const std::string& line : lines) FOREKEY_RETURN_IF_ERROR(pinentry->Do(line).status());
    absl::StatusOr<Secret> answer = pinentry->Do("GETPIN");
    if (!answer.ok() && pinentry->terminal_unknown()) {
      // A new kind of terminal, or TERM is not set: what most of them understand.
      FOREKEY_RETURN_IF_ERROR(
          pinentry->Do(absl::StrCat("OPTION ttytype=", kUsualTerminal)).status());
      answer = pinentry->Do("GETPIN");
    }
    // An empty answer would cost one of the token's tries.
    if (answer.ok() && answer->empty()) {
      return DeviceFailure(DeviceError::kCancelled, "an empty answer was given");
    }
    return answer;
  }

  const std::string program_;
  const PromptContext context_;
  PromptTurns* const turns_;
};

class PinentryPrompter final : public Prompter {
 public:
  explicit PinentryPrompter(std::string program) : program_(std::move(program)) {}
  std::unique_ptr<Prompt> For(PromptContext context) override {
    const bool any = program_ == kAnyPinentry;
    // The system's asks where it can, and nobody is there where it could not.
    if (any && StillThere(context.place).empty() && OwnPlace().empty()) return nullptr;
    return std::make_unique<PinentryPrompt>(any ? kSystemsPinentry : program_, std::move(context),
                                            &turns_);
  }

 private:
  const std::string program_;
  PromptTurns turns_;
};

}  // namespace

std::unique_ptr<Prompter> NewPinentryPrompter(const std::string& program) {
  return program.empty() ? nullptr : std::make_unique<PinentryPrompter>(program);
}

}  // namespace forekey

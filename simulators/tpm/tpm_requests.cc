// SPDX-License-Identifier: Apache-2.0
// The line protocol of the <path>.sim socket: see simulators/README.md.
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "simulators/tpm/tpm_proxy.h"

namespace forekey {
namespace {

std::optional<uint32_t> Number(const std::string& copy) {
  char* end = nullptr;
  errno = 0;
  unsigned long value = std::strtoul(copy.c_str(), &end, 0);
  if (errno != 0 || copy.empty() || *end != '\0' || value > UINT32_MAX || copy[0] == '-') {
    return std::nullopt;
  }
  return static_cast<uint32_t>(value);
}

std::string AnswerOf(const absl::Status& status) {
  return status.ok() ? "ok\n" : absl::StrCat("error ", status.message(), "\n");
}

}  // namespace

std::string TpmProxy::AnswerRequest(absl::string_view line) {
  const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
  if (words.empty()) return "error empty request\n";
  const std::string& verb = words[0];
  const std::optional<uint32_t> first = Number(words.size() > 1 ? words[1] : "");
  const std::optional<uint32_t> second = Number(words.size() > 2 ? words[2] : "");
  if (verb == "latency" && words.size() == 2 && first) {
    misbehaviour_.latency = absl::Milliseconds(*first);
    misbehaviour_.latency_command.reset();
    return "ok\n";
  }
  if (verb == "busy" && words.size() == 2 && first) {
    misbehaviour_.fail_code = 0x922;
    misbehaviour_.fail_count = static_cast<int>(*first);
    misbehaviour_.fail_command.reset();
    return "ok\n";
  }
  if (verb == "fail" && (words.size() == 3 || words.size() == 4) && first && second) {
    misbehaviour_.fail_command.reset();
    if (words.size() == 4) {
      misbehaviour_.fail_command = Number(words[3]);
      if (!misbehaviour_.fail_command) return "error fail CODE COUNT [COMMAND]\n";
    }
    misbehaviour_.fail_code = *first;
    misbehaviour_.fail_count = static_cast<int>(*second);
    return "ok\n";
  }
  if (verb == "flip" && words.size() == 3 && first && second) {
    misbehaviour_.flip_command = first;
    misbehaviour_.flip_offset = *second;
    return "ok\n";
  }
  if (verb == "vanish" && words.size() == 2 && first) {
    misbehaviour_.vanish_after = static_cast<int>(*first);
    return "ok\n";
  }
  if (verb == "vanish" && words.size() == 1) {
    Disappear();
    return "ok\n";
  }
  if (verb == "return" && words.size() == 1) return AnswerOf(Reappear());
  if (verb == "lockout" && words.size() == 2 && (words[1] == "on" || words[1] == "off")) {
    return AnswerOf(swtpm_->raw().SetMaxAuthTries(words[1] == "on" ? 0 : 3));
  }
  if (verb == "behave" && words.size() == 1) {
    misbehaviour_ = TpmMisbehaviour();
    return "ok\n";
  }
  if (verb == "status" && words.size() == 1) {
    nlohmann::json status = {{"present", static_cast<bool>(listeners_[0])},
                             {"commands", commands_}};
    for (auto [first_handle, name] :
         {std::pair{0x80000000u, "transient_objects"}, std::pair{0x02000000u, "loaded_sessions"},
          std::pair{0x03000000u, "saved_sessions"}}) {
      auto handles = swtpm_->raw().Handles(first_handle);
      if (!handles.ok()) return AnswerOf(handles.status());
      status[name] = handles->size();
    }
    return absl::StrCat("ok ", status.dump(), "\n");
  }
  return "error unknown request; known: latency MS, busy N, fail CODE N [COMMAND], flip COMMAND "
         "OFFSET, vanish [N], return, "
         "lockout on|off, behave, status\n";
}

}  // namespace forekey

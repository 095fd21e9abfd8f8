// SPDX-License-Identifier: Apache-2.0
// What a refused caller lacks, as the gate says it to callers that it knows (docs/PROTOCOL.md,
// "Step-up"):
//   forekey: step-up fido2+uv&call|tpm&password, reference 9f3c5a7d01e2b486
// Alternatives are parted by '|', what each needs together by '&'. Words are the names of factors;
// "call": hardware must sign this very call; "hardware": any token, proved anew.
#ifndef FOREKEY_SRC_WIRE_STEP_UP_H_
#define FOREKEY_SRC_WIRE_STEP_UP_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

inline constexpr absl::string_view kPasswordFactor = "password";
inline constexpr absl::string_view kOidcFactor = "oidc";
inline constexpr absl::string_view kStepUpCall = "call";
inline constexpr absl::string_view kStepUpHardware = "hardware";

// A factor that a rule may ask for: "tpm", "fido2", "fido2+uv", "piv", "piv+pin", ...
bool IsFactorName(absl::string_view name);
// One that is not Forekey's own: at most 32 of a-z, 0-9 and '-', with one '.' or more between them,
// such as "corp.badge". No name of Forekey's has a dot, so that the two can't meet, and a misspelt
// one is no factor.
bool IsOtherFactorName(absl::string_view name);
// One that a token's signature proves, so that a device proof of a call may bear it.
bool IsHardwareFactor(absl::string_view name);

class StepUp {
 public:
  using Words = std::vector<std::string>;

  // At most 8 alternatives of at most 6 words, each once. InvalidArgument for unknown words.
  static absl::StatusOr<StepUp> Parse(absl::string_view text);
  // Reads the step-up out of the message of a status that the gate gave; empty where there is none.
  static StepUp FromMessage(absl::string_view message);
  explicit StepUp(std::vector<Words> alternatives = {}) : alternatives_(std::move(alternatives)) {}

  bool empty() const { return alternatives_.empty(); }
  const std::vector<Words>& alternatives() const { return alternatives_; }
  std::string Serialize() const;

 private:
  std::vector<Words> alternatives_;
};

// What the gate wants and could not be proved, as a payload of an error on the workstation, for
// programs; empty where there is none.
absl::Status WithLacking(absl::Status status, absl::string_view step_up);
std::string LackingOf(const absl::Status& status);

// The message of every refusal. `step_up`: serialized, or empty.
std::string RefusalMessage(absl::string_view reference, absl::string_view step_up);

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_STEP_UP_H_

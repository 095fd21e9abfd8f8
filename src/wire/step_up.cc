// SPDX-License-Identifier: Apache-2.0
#include "src/wire/step_up.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/status.h"
#include "src/wire/token_kind.h"

namespace forekey {
namespace {

constexpr size_t kMaxAlternatives = 8;
constexpr size_t kMaxWords = 6;
constexpr size_t kMaxOtherName = 32;
constexpr absl::string_view kLackingUrl = "forekey/lacking";
constexpr absl::string_view kStepUpOpening = "forekey: step-up ";

absl::StatusOr<StepUp::Words> ParseStepUpWords(absl::string_view text) {
  StepUp::Words words = absl::StrSplit(text, '&');
  if (words.size() > kMaxWords) return absl::InvalidArgumentError("a step-up with too many words");
  for (size_t i = 0; i < words.size(); ++i) {
    if (!IsFactorName(words[i]) && words[i] != kStepUpCall && words[i] != kStepUpHardware) {
      return absl::InvalidArgumentError(
          absl::StrCat("a step-up with an unknown word: \"", absl::CHexEscape(words[i]), "\""));
    }
    if (std::find(words.begin(), words.begin() + i, words[i]) != words.begin() + i) {
      return absl::InvalidArgumentError("a step-up with the same word twice");
    }
  }
  return words;
}

}  // namespace

bool IsHardwareFactor(absl::string_view name) { return TokenKindOfFactor(name).has_value(); }

bool IsFactorName(absl::string_view name) {
  return IsHardwareFactor(name) || name == kPasswordFactor || name == kOidcFactor ||
         IsOtherFactorName(name);
}

bool IsOtherFactorName(absl::string_view name) {
  if (name.size() > kMaxOtherName) return false;
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '.');
  const auto is_part = [](absl::string_view part) {
    return !part.empty() && std::all_of(part.begin(), part.end(), [](char c) {
      return absl::ascii_islower(static_cast<unsigned char>(c)) ||
             absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '-';
    });
  };
  return parts.size() > 1 && std::all_of(parts.begin(), parts.end(), is_part);
}

absl::StatusOr<StepUp> StepUp::Parse(absl::string_view text) {
  std::vector<Words> alternatives;
  for (absl::string_view alternative : absl::StrSplit(text, '|')) {
    if (alternatives.size() == kMaxAlternatives) {
      return absl::InvalidArgumentError("a step-up with too many alternatives");
    }
    FOREKEY_ASSIGN_OR_RETURN(Words words, ParseStepUpWords(alternative));
    alternatives.push_back(std::move(words));
  }
  return StepUp(std::move(alternatives));
}

StepUp StepUp::FromMessage(absl::string_view message) {
  if (!absl::ConsumePrefix(&message, kStepUpOpening)) return StepUp();
  const size_t end = message.find(", reference ");
  if (end == absl::string_view::npos) return StepUp();
  absl::StatusOr<StepUp> parsed = Parse(message.substr(0, end));
  return parsed.ok() ? *std::move(parsed) : StepUp();
}

std::string StepUp::Serialize() const {
  return absl::StrJoin(alternatives_, "|", [](std::string* out, const Words& words) {
    absl::StrAppend(out, absl::StrJoin(words, "&"));
  });
}

absl::Status WithLacking(absl::Status status, absl::string_view step_up) {
  status.SetPayload(kLackingUrl, absl::Cord(step_up));
  return status;
}

std::string LackingOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kLackingUrl);
  return payload.has_value() ? std::string(*payload) : "";
}

std::string RefusalMessage(absl::string_view reference, absl::string_view step_up) {
  if (step_up.empty()) return absl::StrCat("forekey: refused, reference ", reference);
  return absl::StrCat(kStepUpOpening, step_up, ", reference ", reference);
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/policy/method_pattern.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

MethodPattern::Part ParsePart(absl::string_view text) {
  MethodPattern::Part part;
  part.open = absl::ConsumeSuffix(&text, "*");
  part.text = std::string(text);
  return part;
}

}  // namespace

bool MethodPattern::Part::Matches(absl::string_view name) const {
  return open ? absl::StartsWith(name, text) : name == text;
}

bool MethodPattern::Part::Covers(const Part& other) const {
  return open ? absl::StartsWith(other.text, text) : *this == other;
}

MethodParts SplitMethod(absl::string_view path) {
  const size_t slash = path.find('/', 1);
  if (slash == absl::string_view::npos) return {};
  return {path.substr(1, slash - 1), path.substr(slash + 1)};
}

absl::StatusOr<MethodPattern> MethodPattern::Parse(absl::string_view text) {
  const MethodParts parts = SplitMethod(text);
  Part service = ParsePart(parts.service);
  Part method = ParsePart(parts.method);
  // With a letter for each '*' it must be a method like any other: so a '*' elsewhere is an error,
  // too.
  const std::string example = absl::StrCat("/", service.text, service.open ? "x" : "", "/",
                                           method.text, method.open ? "x" : "");
  if (text.empty() || text[0] != '/' || !IsWellFormedMethod(example)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", absl::CHexEscape(text),
        "\" is neither a method, /package.Service/Method, nor one with a '*' at the end "
        "of the service, of the method or of both"));
  }
  return MethodPattern(std::move(service), std::move(method));
}

bool MethodPattern::Matches(absl::string_view path) const {
  const MethodParts parts = SplitMethod(path);
  return service_.Matches(parts.service) && method_.Matches(parts.method);
}

std::string MethodPattern::ToString() const {
  return absl::StrCat("/", service_.text, service_.open ? "*" : "", "/", method_.text,
                      method_.open ? "*" : "");
}

std::optional<MethodPattern> MethodPattern::Crossing(const MethodPattern& a,
                                                     const MethodPattern& b) {
  const auto crosses = [](const MethodPattern& narrow_service, const MethodPattern& narrow_method) {
    return narrow_method.service_.Covers(narrow_service.service_) &&
           !(narrow_method.service_ == narrow_service.service_) &&
           narrow_service.method_.Covers(narrow_method.method_) &&
           !(narrow_service.method_ == narrow_method.method_);
  };
  if (crosses(a, b)) return MethodPattern(a.service_, b.method_);
  if (crosses(b, a)) return MethodPattern(b.service_, a.method_);
  return std::nullopt;
}

}  // namespace forekey

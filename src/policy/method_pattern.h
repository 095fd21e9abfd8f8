// SPDX-License-Identifier: Apache-2.0
// Which methods a rule is for: "/package.Service/Method", or with a '*' at the end of either part:
//   /shop.Orders/*      every method of one service
//   /shop.Orders/Get*   those that begin with Get
//   /shop.*/Delete*     of every service whose full name begins with "shop."
//   /*/*                everything
// A '*' stands for any number of characters of its own part, none included, and never for a slash.
// Nothing is normalised: case counts, no percent-decoding, no second slash; a path that is not
// IsWellFormedMethod() matches nothing.
//
// One pattern is more specific than another when it matches a part of what the other does. Patterns
// that overlap with neither more specific ("/shop.Orders/*" and "/shop.*/Delete*") cross; both are
// good together only beside the pattern of what they share ("/shop.Orders/Delete*").
#ifndef FOREKEY_SRC_POLICY_METHOD_PATTERN_H_
#define FOREKEY_SRC_POLICY_METHOD_PATTERN_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

class MethodPattern {
 public:
  // InvalidArgument, saying what is wrong.
  static absl::StatusOr<MethodPattern> Parse(absl::string_view text);

  // A part, its '*' taken off.
  struct Part {
    std::string text;
    bool open = false;  // had a '*'
    bool Matches(absl::string_view name) const;
    bool Covers(const Part& other) const;  // matches all that `other` matches
    bool operator==(const Part&) const = default;
  };
  const Part& service() const { return service_; }
  const Part& method() const { return method_; }
  bool exact() const { return !service_.open && !method_.open; }
  // `path` is well-formed: the caller vouches.
  bool Matches(absl::string_view path) const;
  bool operator==(const MethodPattern&) const = default;
  std::string ToString() const;

  // What two patterns share, where they cross; nullopt where they don't.
  static std::optional<MethodPattern> Crossing(const MethodPattern& a, const MethodPattern& b);

 private:
  MethodPattern(Part service, Part method)
      : service_(std::move(service)), method_(std::move(method)) {}
  Part service_;
  Part method_;
};

// The two parts of a well-formed path.
struct MethodParts {
  absl::string_view service;
  absl::string_view method;
};
MethodParts SplitMethod(absl::string_view path);

}  // namespace forekey

#endif  // FOREKEY_SRC_POLICY_METHOD_PATTERN_H_

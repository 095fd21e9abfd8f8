// SPDX-License-Identifier: Apache-2.0
#include "src/wire/token_kind.h"

#include "absl/strings/str_split.h"

namespace forekey {
namespace {

struct TokenKindRow {
  TokenKind kind;
  absl::string_view name;
  absl::string_view factors;  // with a space between; those with a '+' come on top of another
};

// A new kind is a line here, and a value of the enum in gate.proto.
constexpr TokenKindRow kTokenKinds[] = {
    {v1::TOKEN_KIND_TPM, "tpm", "tpm"},
    {v1::TOKEN_KIND_FIDO2, "fido2", "fido2 fido2+uv"},
    {v1::TOKEN_KIND_PIV, "piv", "piv piv+pin piv+touch piv-shared cert"},
    {v1::TOKEN_KIND_CUSTOM, "custom", "custom"},
};

constexpr bool FitStatements() {
  for (const TokenKindRow& row : kTokenKinds) {
    if (row.kind <= 0 || row.kind > 255) return false;
  }
  return true;
}
static_assert(FitStatements(), "a statement has one byte for the kind");

}  // namespace

bool IsTokenKind(TokenKind kind) {
  for (const TokenKindRow& row : kTokenKinds) {
    if (row.kind == kind) return true;
  }
  return false;
}

absl::string_view TokenKindName(TokenKind kind) {
  for (const TokenKindRow& row : kTokenKinds) {
    if (row.kind == kind) return row.name;
  }
  return "unknown";
}

std::optional<TokenKind> TokenKindFromName(absl::string_view name) {
  for (const TokenKindRow& row : kTokenKinds) {
    if (row.name == name) return row.kind;
  }
  return std::nullopt;
}

std::vector<std::string> TokenKindNames() {
  std::vector<std::string> names;
  for (const TokenKindRow& row : kTokenKinds) names.emplace_back(row.name);
  return names;
}

std::optional<TokenKind> TokenKindOfFactor(absl::string_view factor) {
  for (const TokenKindRow& row : kTokenKinds) {
    for (absl::string_view known : absl::StrSplit(row.factors, ' ')) {
      if (known == factor) return row.kind;
    }
  }
  return std::nullopt;
}

const std::vector<absl::string_view>& BareTokenFactors() {
  static const auto* const factors = [] {
    auto* bare = new std::vector<absl::string_view>;
    for (const TokenKindRow& row : kTokenKinds) {
      for (absl::string_view factor : absl::StrSplit(row.factors, ' ')) {
        if (factor.find('+') == absl::string_view::npos) bare->push_back(factor);
      }
    }
    return bare;
  }();
  return *factors;
}

}  // namespace forekey

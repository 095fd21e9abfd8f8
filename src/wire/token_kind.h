// SPDX-License-Identifier: Apache-2.0
// The kinds of hardware tokens: one list of their numbers, names and factors. The numbers are the
// wire's (proto/forekey/v1/gate.proto) and the registry's; whoever reads one from either may hold a
// number that is not listed, and such a kind is refused where it is used: nobody verifies it.
#ifndef FOREKEY_SRC_WIRE_TOKEN_KIND_H_
#define FOREKEY_SRC_WIRE_TOKEN_KIND_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "forekey/v1/gate.pb.h"

namespace forekey {

using TokenKind = v1::TokenKind;

// True for the kinds of the list.
bool IsTokenKind(TokenKind kind);
// "tpm", "fido2", "piv"; "unknown" for a number that is not listed.
absl::string_view TokenKindName(TokenKind kind);
// The pair of TokenKindName(): nullopt for a name that is not listed.
std::optional<TokenKind> TokenKindFromName(absl::string_view name);
// All names, in the order of the numbers.
std::vector<std::string> TokenKindNames();

// The kind whose signature proves a factor: kinds prove a factor of their own name, and more.
// Nullopt for a factor that no token proves.
std::optional<TokenKind> TokenKindOfFactor(absl::string_view factor);
// The factors of which every signature of a token proves one ("piv", but not "piv+pin").
const std::vector<absl::string_view>& BareTokenFactors();

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_TOKEN_KIND_H_

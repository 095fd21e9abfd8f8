// SPDX-License-Identifier: Apache-2.0
#include "src/gate/token/gate_tokens.h"

#include <utility>

#include "src/base/status.h"

namespace forekey {

absl::StatusOr<std::unique_ptr<GateTokens>> GateTokens::New(const TokenSettings& settings,
                                                            const TokenEnvironment& environment) {
  std::unique_ptr<GateTokens> tokens(new GateTokens);
  for (const auto& section : settings.sections()) {
    Kind& kind = tokens->kinds_[section->kind()];
    kind.enrols = section->Enrols();
    if (!kind.enrols) {
      kind.fixed = section->WithoutTrust(environment);
      continue;
    }
    FOREKEY_ASSIGN_OR_RETURN(kind.live, LiveTrust::New(section->Trust(environment)));
    tokens->trust_.push_back(kind.live.get());
  }
  return tokens;
}

std::shared_ptr<const TokenVerifier> GateTokens::Find(TokenKind kind) const {
  const auto found = kinds_.find(kind);
  if (found == kinds_.end()) return nullptr;
  return found->second.live != nullptr ? found->second.live->Now() : found->second.fixed;
}

std::shared_ptr<const TokenVerifier> GateTokens::FindEnrolling(TokenKind kind) const {
  const auto found = kinds_.find(kind);
  return found != kinds_.end() && found->second.enrols ? Find(kind) : nullptr;
}

std::vector<std::string> GateTokens::LeftOut(TokenKind kind) const {
  const auto found = kinds_.find(kind);
  if (found == kinds_.end() || found->second.live == nullptr) return {};
  return found->second.live->LeftOutNow();
}

void GateTokens::Put(std::shared_ptr<const TokenVerifier> verifier) {
  Kind& kind = kinds_[verifier->kind()];
  std::erase(trust_, kind.live.get());
  kind = Kind{std::move(verifier), /*enrols=*/true, nullptr};
}

std::vector<TokenKind> GateTokens::EnrollingKinds() const {
  std::vector<TokenKind> enrolling;
  for (const auto& [number, kind] : kinds_) {
    if (kind.enrols) enrolling.push_back(number);
  }
  return enrolling;
}

}  // namespace forekey

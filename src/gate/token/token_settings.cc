// SPDX-License-Identifier: Apache-2.0
#include "src/gate/token/token_settings.h"

#include <cstdlib>
#include <utility>

namespace forekey {

TokenSettings::TokenSettings() : sections_(ListTokenKinds()) {}

TokenSettings::TokenSettings(const TokenSettings& other) { *this = other; }

TokenSettings& TokenSettings::operator=(const TokenSettings& other) {
  if (this == &other) return *this;
  sections_.clear();
  for (const auto& section : other.sections_) sections_.push_back(section->Clone());
  return *this;
}

TokenSettings TokenSettings::Fresh() const {
  TokenSettings fresh;
  for (const auto& section : sections_) fresh.Put(section->Fresh());
  return fresh;
}

void TokenSettings::Put(std::unique_ptr<TokenSection> section) {
  for (auto& held : sections_) {
    if (held->kind() != section->kind()) continue;
    held = std::move(section);
    return;
  }
  sections_.push_back(std::move(section));
}

void TokenSettings::Read(ConfigTable attestation, absl::string_view base) {
  for (const auto& section : sections_) {
    ConfigTable table = attestation.Table(TokenKindName(section->kind()));
    section->Read(table, base);
  }
}

const TokenSection* TokenSettings::Find(TokenKind kind) const {
  for (const auto& section : sections_) {
    if (section->kind() == kind) return section.get();
  }
  return nullptr;
}

const TokenSection& TokenSettings::Expect(TokenKind kind) const {
  const TokenSection* section = Find(kind);
  if (section == nullptr) std::abort();  // a kind that this program does not list
  return *section;
}

}  // namespace forekey

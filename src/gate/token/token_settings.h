// SPDX-License-Identifier: Apache-2.0
// What the configuration says of kinds of tokens: for each kind a section of its own,
// [attestation.NAME], which reads itself and makes the kind's verifier. The gate goes through the
// sections and names no kind.
#ifndef FOREKEY_SRC_GATE_TOKEN_TOKEN_SETTINGS_H_
#define FOREKEY_SRC_GATE_TOKEN_TOKEN_SETTINGS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/clock.h"
#include "src/gate/settings/config_reader.h"
#include "src/wire/token_kind.h"

namespace forekey {

class TokenVerifier;  // token_verifier.h
struct TrustSource;   // live_trust.h

// What a section needs of the rest of the gate.
struct TokenEnvironment {
  std::string audience;
  std::string state_directory;
  const Clock* clock = nullptr;  // outlives what is made with it
};

class TokenSection {
 public:
  virtual ~TokenSection() = default;
  virtual TokenKind kind() const = 0;
  virtual std::unique_ptr<TokenSection> Clone() const = 0;
  // One of the same kind with its defaults.
  virtual std::unique_ptr<TokenSection> Fresh() const = 0;

  // `table`: [attestation.NAME], empty where there is none. Relative paths are taken from `base`.
  // Errors are reported to the table's reader.
  virtual void Read(ConfigTable& table, absl::string_view base) = 0;

  // False: keys of this kind can't be enrolled. Those that are enrolled stay good.
  virtual bool Enrols() const = 0;
  // Asked where Enrols() is true.
  virtual TrustSource Trust(const TokenEnvironment& environment) const = 0;
  // Verifies signatures of keys that are enrolled, and nothing else.
  virtual std::unique_ptr<TokenVerifier> WithoutTrust(
      const TokenEnvironment& environment) const = 0;
};

// The methods of a section that are the same for each kind.
template <typename Section, TokenKind kNumber>
class TokenSectionOf : public TokenSection {
 public:
  static constexpr TokenKind kKind = kNumber;
  TokenKind kind() const final { return kKind; }
  std::unique_ptr<TokenSection> Clone() const final {
    return std::make_unique<Section>(static_cast<const Section&>(*this));
  }
  std::unique_ptr<TokenSection> Fresh() const final { return std::make_unique<Section>(); }
};

// One section a kind. A value: copies are deep.
class TokenSettings {
 public:
  // All kinds that are listed, with their defaults.
  TokenSettings();
  TokenSettings(const TokenSettings& other);
  TokenSettings& operator=(const TokenSettings& other);
  TokenSettings(TokenSettings&&) = default;
  TokenSettings& operator=(TokenSettings&&) = default;

  // The same kinds with their defaults.
  TokenSettings Fresh() const;
  // In the place of the one of its kind, where there is one.
  void Put(std::unique_ptr<TokenSection> section);
  // `attestation`: the table that the sections stand in.
  void Read(ConfigTable attestation, absl::string_view base);

  const std::vector<std::unique_ptr<TokenSection>>& sections() const { return sections_; }
  // Null where there is none.
  const TokenSection* Find(TokenKind kind) const;

  // The section of a kind, by its type; it must be there.
  template <typename Section>
  Section& Get() {
    return const_cast<Section&>(static_cast<const TokenSettings*>(this)->Get<Section>());
  }
  template <typename Section>
  const Section& Get() const {
    return static_cast<const Section&>(Expect(Section::kKind));
  }

 private:
  const TokenSection& Expect(TokenKind kind) const;
  std::vector<std::unique_ptr<TokenSection>> sections_;
};

// THE list of kinds (token_kinds.cc): a kind that is not in it is refused, whatever the registry or
// a peer says.
std::vector<std::unique_ptr<TokenSection>> ListTokenKinds();

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_TOKEN_SETTINGS_H_

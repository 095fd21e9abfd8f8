// SPDX-License-Identifier: Apache-2.0
// A fourth kind of token, to prove that one is added without an edit of the gate or of the agent:
// all of it is in this folder. It uses TOKEN_KIND_CUSTOM, the number that the wire keeps for kinds
// of one's own.
//
// A toy is a key in software with a vendor's Ed25519 key beside it. At enrolment the gate gives a
// nonce, and the vendor's key signs nonce and statement.
#ifndef FOREKEY_TESTS_TOY_TOY_KIND_H_
#define FOREKEY_TESTS_TOY_TOY_KIND_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/crypto/public_key.h"
#include "src/gate/token/live_trust.h"
#include "src/gate/token/token_settings.h"
#include "src/gate/token/token_verifier.h"

namespace forekey::testing {

// The vendor's signature over this is the attestation.
std::string ToyAttestation(absl::string_view nonce, absl::string_view statement);

// Ways in which whoever writes a kind could get it wrong.
struct ToyMistakes {
  bool checks_nothing = false;          // Attest() takes whatever comes
  std::optional<PublicKey> attests;     // another key than the proof's
  std::optional<TokenKind> says_it_is;  // another kind than its own
};

class ToyVerifier final : public TokenVerifier {
 public:
  explicit ToyVerifier(std::optional<PublicKey> vendor, std::optional<PublicKey> simulator = {},
                       ToyMistakes mistakes = {})
      : vendor_(std::move(vendor)),
        simulator_(std::move(simulator)),
        mistakes_(std::move(mistakes)) {}
  TokenKind kind() const override { return v1::TOKEN_KIND_CUSTOM; }
  bool TrustsSimulators() const override { return simulator_.has_value(); }
  absl::StatusOr<Secret> Demand(const v1::EnrollmentOpening& opening,
                                const EnrollmentContext& context,
                                v1::EnrollmentDemand* demand) const override;
  absl::StatusOr<AttestedToken> Attest(const TokenEvidence& evidence, absl::string_view state,
                                       const EnrollmentContext& context) const override;
  absl::Status Recheck(const TokenEvidence& evidence,
                       const EnrollmentContext& context) const override;

 private:
  absl::Status CheckSerial(const v1::EnrollmentOpening& opening) const;
  const std::optional<PublicKey> vendor_, simulator_;
  const ToyMistakes mistakes_;
};

// [attestation.custom]
struct ToyConfig final : TokenSectionOf<ToyConfig, v1::TOKEN_KIND_CUSTOM> {
  std::string vendor;  // file: the vendor's SPKI in hex; empty: none
  void Read(ConfigTable& table, absl::string_view base) override;
  bool Enrols() const override { return !vendor.empty(); }
  TrustSource Trust(const TokenEnvironment& environment) const override;
  std::unique_ptr<TokenVerifier> WithoutTrust(const TokenEnvironment& environment) const override;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_TOY_TOY_KIND_H_

// SPDX-License-Identifier: Apache-2.0
// The kinds of tokens of a running gate: each one's verifier, by the trust that was read last.
#ifndef FOREKEY_SRC_GATE_TOKEN_GATE_TOKENS_H_
#define FOREKEY_SRC_GATE_TOKEN_GATE_TOKENS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/gate/token/live_trust.h"
#include "src/gate/token/token_settings.h"
#include "src/gate/token/token_verifier.h"

namespace forekey {

// Safe from any thread once it is made; Put() comes before anybody asks.
class GateTokens {
 public:
  // Reads the trust of every kind that enrols: an error is the gate's reason not to start.
  static absl::StatusOr<std::unique_ptr<GateTokens>> New(const TokenSettings& settings,
                                                         const TokenEnvironment& environment);

  // What verifies signatures of keys of the kind; null for one that this gate does not know.
  std::shared_ptr<const TokenVerifier> Find(TokenKind kind) const;
  // What verifies enrolments; null also where the configuration lets nobody enrol. One reading of
  // trust for as long as it is held.
  std::shared_ptr<const TokenVerifier> FindEnrolling(TokenKind kind) const;

  // Files of trust folders that the reading in force of this kind holds nothing of, and why.
  std::vector<std::string> LeftOut(TokenKind kind) const;

  // Tests: `verifier` in the place of what the configuration says of its kind.
  void Put(std::shared_ptr<const TokenVerifier> verifier);

  // The trust of those kinds that read it from files.
  const std::vector<LiveTrust*>& trust() const { return trust_; }
  std::vector<TokenKind> EnrollingKinds() const;

 private:
  struct Kind {
    std::shared_ptr<const TokenVerifier> fixed;  // null where `live` is set
    bool enrols = false;
    std::unique_ptr<LiveTrust> live;
  };
  GateTokens() = default;
  std::map<TokenKind, Kind> kinds_;
  std::vector<LiveTrust*> trust_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_GATE_TOKENS_H_

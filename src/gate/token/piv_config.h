// SPDX-License-Identifier: Apache-2.0
// [attestation.piv] of the gate's configuration (docs/CONFIG.md).
#ifndef FOREKEY_SRC_GATE_TOKEN_PIV_CONFIG_H_
#define FOREKEY_SRC_GATE_TOKEN_PIV_CONFIG_H_

#include <string>

#include "absl/strings/string_view.h"
#include "src/gate/token/token_settings.h"
#include "src/verify/piv_policy.h"

namespace forekey {

struct PivConfig final : TokenSectionOf<PivConfig, v1::TOKEN_KIND_PIV> {
  std::string trust;            // folder of vendors' roots, for attestations; empty: none
  std::string firmware;         // list of firmware; empty: the one beside `trust`
  std::string issuers;          // folder of issuing CAs, for certificates; empty: none
  std::string crls;             // folder of revocation lists; empty: none
  std::string simulator_trust;  // folder; loaded only with insecure_simulators
  bool insecure_simulators = false;
  PivPolicy policy;  // without trust, time and revocation

  void Read(ConfigTable& table, absl::string_view base) override;
  bool Enrols() const override { return !trust.empty() || !issuers.empty() || insecure_simulators; }
  TrustSource Trust(const TokenEnvironment& environment) const override;
  std::unique_ptr<TokenVerifier> WithoutTrust(const TokenEnvironment& environment) const override;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_PIV_CONFIG_H_

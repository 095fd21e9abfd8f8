// SPDX-License-Identifier: Apache-2.0
// [attestation.tpm] of the gate's configuration (docs/CONFIG.md).
#ifndef FOREKEY_SRC_GATE_TOKEN_TPM_CONFIG_H_
#define FOREKEY_SRC_GATE_TOKEN_TPM_CONFIG_H_

#include <set>
#include <string>
#include <vector>

#include "src/gate/token/token_settings.h"

namespace forekey {

struct TpmConfig final : TokenSectionOf<TpmConfig, v1::TOKEN_KIND_TPM> {
  std::string trust;                       // folder of vendors' roots; empty: none
  std::string firmware;                    // list of firmware; empty: the one beside `trust`
  std::vector<std::string> ek_allow_list;  // SHA-256 of the EK's SPKI, hex
  std::string simulator_trust;             // folder; loaded only with insecure_simulators
  bool insecure_simulators = false;
  std::set<std::string> ek_algorithms;  // of EkAlgorithms(); empty: all
  bool one_subject_a_device = true;     // of every kind whose attestation names the device

  void Read(ConfigTable& table, absl::string_view base) override;
  bool Enrols() const override {
    return !trust.empty() || insecure_simulators || !ek_allow_list.empty();
  }
  TrustSource Trust(const TokenEnvironment& environment) const override;
  std::unique_ptr<TokenVerifier> WithoutTrust(const TokenEnvironment& environment) const override;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_TPM_CONFIG_H_

// SPDX-License-Identifier: Apache-2.0
// [attestation.fido2] of the gate's configuration (docs/CONFIG.md).
#ifndef FOREKEY_SRC_GATE_TOKEN_FIDO2_CONFIG_H_
#define FOREKEY_SRC_GATE_TOKEN_FIDO2_CONFIG_H_

#include <string>

#include "absl/strings/string_view.h"
#include "src/gate/token/token_settings.h"
#include "src/verify/webauthn_policy.h"

namespace forekey {

struct Fido2Config final : TokenSectionOf<Fido2Config, v1::TOKEN_KIND_FIDO2> {
  std::string rp_id;            // empty: the audience
  std::string trust;            // folder of vendors' roots; empty: none
  std::string firmware;         // list of firmware; empty: the one beside `trust`, else `mds`
  std::string mds;              // file: a FIDO MDS3 BLOB; empty: none
  std::string mds_root;         // PEM or DER of the root that its signer chains to
  std::string mds_crls;         // folder of revocation lists of the signer's CAs; empty: none
  std::string simulator_trust;  // folder; loaded only with insecure_simulators
  bool insecure_simulators = false;
  // What a counter that did not grow means: refuse the call, or admit it and tell the audit log.
  bool refuse_clones = true;
  // require_user_verification is asked of enrolments and of every assertion.
  WebAuthnPolicy policy;

  void Read(ConfigTable& table, absl::string_view base) override;
  bool Enrols() const override {
    return !trust.empty() || !mds.empty() || insecure_simulators || policy.allow_self ||
           policy.allow_none;
  }
  TrustSource Trust(const TokenEnvironment& environment) const override;
  std::unique_ptr<TokenVerifier> WithoutTrust(const TokenEnvironment& environment) const override;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_FIDO2_CONFIG_H_

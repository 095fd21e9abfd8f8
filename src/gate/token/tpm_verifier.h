// SPDX-License-Identifier: Apache-2.0
// Keys of TPMs: enrolment over src/verify's TPM verifiers (docs/PROTOCOL.md, "Enrolment: TPM"), and
// plain signatures.
#ifndef FOREKEY_SRC_GATE_TOKEN_TPM_VERIFIER_H_
#define FOREKEY_SRC_GATE_TOKEN_TPM_VERIFIER_H_

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "src/crypto/certificate.h"
#include "src/gate/token/live_trust.h"
#include "src/gate/token/token_verifier.h"
#include "src/wire/firmware_list.h"

namespace forekey {

struct TpmVerifierOptions {
  TrustAnchors trust;                          // vendors' roots
  TrustAnchors simulators;                     // empty unless the config says insecure_simulators
  std::vector<std::string> allowed_ek_hashes;  // 32 bytes each
  FirmwareList firmware;                       // empty asks nothing
  std::set<std::string> ek_algorithms;         // of EkAlgorithms(); empty: all
};

// Demand: the EK is a vendor's (or allow-listed), the AK's attributes are exact, and a secret is
// sealed to both. Attest: the secret came back (kActivationSecretWrong; constant time), and the AK
// certified the key with SHA-256 of the enrolment statement as qualifying data; its firmware is not
// what the list refuses. A TPM of a simulator's root is marked in what was proved.
std::unique_ptr<TokenVerifier> NewTpmVerifier(TpmVerifierOptions options);

// Folders of vendors' and of simulators' roots (either may be empty: none), the allow-list, the
// list of firmware (empty: the one beside `trust`), and which EKs are taken.
TrustSource TpmTrustSource(const std::string& trust, const std::string& simulator_trust,
                           std::vector<std::string> allowed_ek_hashes, std::string firmware = "",
                           std::set<std::string> ek_algorithms = {});

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_TPM_VERIFIER_H_

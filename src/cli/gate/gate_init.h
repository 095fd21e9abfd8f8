// SPDX-License-Identifier: Apache-2.0
// `forekey-gate init` and `forekey-gate check-config`.
#ifndef FOREKEY_SRC_CLI_GATE_GATE_INIT_H_
#define FOREKEY_SRC_CLI_GATE_GATE_INIT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace forekey {

struct GateInitOptions {
  std::string directory;  // made with mode 0700; must not hold a gate.toml
  std::string audience;
  std::string listen = "[::]:7443";
  std::string advertise;            // empty: the first host and the port of `listen`
  std::vector<std::string> hosts;   // names and addresses of the certificate
  std::string tpm_trust;            // folder of TPM vendor roots; may be empty
  std::string tpm_simulator_trust;  // folder of simulators' roots, for tests; may be empty
};

// Writes <directory>/{gate.toml, tls/certificate.pem, tls/key.pem} and makes <directory>/state.
// Gives the path of gate.toml. The certificate is self-signed: for development. Never overwrites
// anything.
absl::StatusOr<std::string> InitGate(const GateInitOptions& options);

// Reads the config and everything that it names that can be read without being the gate: TLS pair,
// accepted certificates, trust anchors. OK, or one error a line.
absl::Status CheckGateConfig(const std::string& path);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_GATE_INIT_H_

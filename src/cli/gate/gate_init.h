// SPDX-License-Identifier: Apache-2.0
// `forekey-gate init`.
#ifndef FOREKEY_SRC_CLI_GATE_GATE_INIT_H_
#define FOREKEY_SRC_CLI_GATE_GATE_INIT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace forekey {

struct GateInitOptions {
  // What is trusted of one kind of token; folders and files, also relative to the working
  // directory. All may be empty.
  struct Trust {
    std::string vendors;        // folder of vendors' roots
    std::string simulators;     // folder of simulators' roots, for tests
    std::string mds, mds_root;  // FIDO2: a FIDO MDS3 BLOB and its root
  };
  std::string directory;  // must not hold a gate.toml; made with mode 0700, or 0755 with `user`
  std::string audience;
  std::string listen = "[::]:7443";
  std::string advertise;           // empty: the first host and the port of `listen`
  std::vector<std::string> hosts;  // names and addresses of the certificate
  std::string state;               // folder of the gate's state; empty: "state" in `directory`
  // Who the gate runs as, where that is not this user: gets the TLS and the state folder.
  std::string user;
  Trust tpm, fido2, piv;
};

// Where the packaged unit (forekey-gate.service) looks, and whom it runs as.
inline constexpr char kSystemConfigFolder[] = "/etc/forekey";
inline constexpr char kSystemStateFolder[] = "/var/lib/forekey-gate";
inline constexpr char kSystemUser[] = "forekey-gate";

// Writes <directory>/gate.toml and <directory>/tls/{certificate,key,ca,ca-key}.pem, and makes the
// state folder. Gives the path of gate.toml. The certificate is by a CA of the gate's own, which
// invites bring to the agents. Never overwrites anything.
absl::StatusOr<std::string> InitGate(const GateInitOptions& options);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_GATE_INIT_H_

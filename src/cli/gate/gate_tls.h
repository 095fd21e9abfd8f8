// SPDX-License-Identifier: Apache-2.0
// `forekey-gate tls renew`: a new TLS certificate by the CA that `forekey-gate init` made. Agents
// have that CA from their invites, so that nobody notices. `tls next-ca` and `tls switch-ca` change
// the CA itself, in two steps: in between the gate tells its agents the next one.
#ifndef FOREKEY_SRC_CLI_GATE_GATE_TLS_H_
#define FOREKEY_SRC_CLI_GATE_GATE_TLS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "src/gate/config/config.h"

namespace forekey {

// Where the key of [tls] ca lies: "ca-key.pem" beside "ca.pem".
std::string CaKeyPath(const std::string& ca);

// Replaces key and certificate; a running gate presents them by itself within a second or so, and
// goes on taking proofs that were made under the old one ([tls] replaced_lifetime). `hosts`: names
// and addresses of the new one; empty: those of the old. Returns when the new one ends.
// FailedPrecondition where the CA's key is not here: then the certificate is somebody else's to
// renew.
absl::StatusOr<absl::Time> RenewCertificate(const GateConfig& config,
                                            std::vector<std::string> hosts, absl::Time now,
                                            absl::Duration lifetime);

// Agents learn the next CA when they open a session: whoever was away for longer has to be enrolled
// again.
inline constexpr absl::Duration kCaNotice = absl::Hours(30 * 24);

struct NextCa {
  std::string path;
  absl::Time until;
  bool made_here = false;  // its key lies beside it
};

// Puts the next CA beside [tls] ca: a new one, or that of the file `from`. A running gate announces
// it within a second or so. FailedPrecondition where there is one already, or no [tls] ca.
absl::StatusOr<NextCa> PrepareNextCa(const GateConfig& config, const std::string& from,
                                     absl::Time now);

struct SwitchCaOptions {
  bool early = false;  // although kCaNotice has not passed
  // Of a CA whose key is not here: files of a certificate by it, and of its key. Else empty.
  std::string certificate;
  std::string private_key;
  absl::Duration lifetime;
};
// Makes the next CA the one of [tls] ca, and a certificate by it the gate's; the old CA's key goes.
// What fails half-way is done by doing it again. Returns when the certificate ends.
absl::StatusOr<absl::Time> SwitchCa(const GateConfig& config, const SwitchCaOptions& options,
                                    absl::Time now);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_GATE_TLS_H_

// SPDX-License-Identifier: Apache-2.0
// A self-signed TLS certificate, for development and tests: `forekey-gate init` and the demo. A
// real deployment uses the certificates that it has.
#ifndef FOREKEY_SRC_GATE_GRPC_SELF_SIGNED_H_
#define FOREKEY_SRC_GATE_GRPC_SELF_SIGNED_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace forekey {

struct SelfSignedCertificate {
  std::string certificate_pem;
  std::string key_pem;  // P-256, PKCS#8: a secret
};

// `hosts`: DNS names and IP addresses, at least one; the first is the common name. Valid from a day
// before `now` (clocks differ), for `lifetime`.
absl::StatusOr<SelfSignedCertificate> MakeSelfSignedCertificate(
    const std::vector<std::string>& hosts, absl::Time now, absl::Duration lifetime);

// A CA for one gate alone: it may issue certificates for servers, and no CAs. `name`: for people.
absl::StatusOr<SelfSignedCertificate> MakeGateCa(const std::string& name, absl::Time now,
                                                 absl::Duration lifetime);

// As MakeSelfSignedCertificate, but by that CA, whose certificate follows the leaf in
// `certificate_pem`. Never valid for longer than the CA. InvalidArgument where `ca` is no pair.
absl::StatusOr<SelfSignedCertificate> IssueGateCertificate(const SelfSignedCertificate& ca,
                                                           const std::vector<std::string>& hosts,
                                                           absl::Time now, absl::Duration lifetime);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_SELF_SIGNED_H_

// SPDX-License-Identifier: Apache-2.0
// The CA of the simulated manufacturer: EC P-256, fresh for every TPM, never to be trusted outside
// tests.
#ifndef FOREKEY_SIMULATORS_TPM_CERTIFICATE_AUTHORITY_H_
#define FOREKEY_SIMULATORS_TPM_CERTIFICATE_AUTHORITY_H_

#include <string>

#include "absl/status/statusor.h"
#include "src/base/secret.h"

namespace forekey {

struct CertificateAuthority {
  std::string root_pem;
  std::string issuer_pem;        // the root's, or the intermediate's
  std::string intermediate_der;  // empty where there is none
  Secret signing_key_pem;        // the issuer's; the root's own key is thrown away beside one
};

absl::StatusOr<CertificateAuthority> MakeCertificateAuthority(bool intermediate);

}  // namespace forekey

#endif  // FOREKEY_SIMULATORS_TPM_CERTIFICATE_AUTHORITY_H_

// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/piv_enroll_options.h"

#include <utility>

#include "src/base/status.h"

namespace forekey {

absl::StatusOr<PivEnrollOptions> PivEnrollOptions::From(EnrollOptions options) {
  const DriverOptions& named = options.named;
  FOREKEY_RETURN_IF_ERROR(
      named.CheckNames("piv", {"slot", "existing", "overwrite", "management-key", "pin-policy",
                               "touch-policy", "algorithm", "write-certificate", "proof"}));
  PivEnrollOptions piv;
  piv.slot = std::string(named.Text("slot"));
  FOREKEY_ASSIGN_OR_RETURN(piv.existing_key, named.Flag("existing"));
  FOREKEY_ASSIGN_OR_RETURN(piv.overwrite, named.Flag("overwrite"));
  piv.management_key = Secret::CopyOf(named.Text("management-key"));
  piv.pin_policy = std::string(named.Text("pin-policy"));
  piv.touch_policy = std::string(named.Text("touch-policy"));
  piv.algorithm = std::string(named.Text("algorithm"));
  FOREKEY_ASSIGN_OR_RETURN(piv.write_certificate, named.Flag("write-certificate"));
  piv.proof = std::string(named.Text("proof"));
  if (!piv.proof.empty() && piv.proof != kProofAttestation && piv.proof != kProofCertificate) {
    return absl::InvalidArgumentError("the option proof is 'attestation' or 'certificate'");
  }
  piv.key_password = std::move(options.key_password);
  piv.before_key = std::move(options.before_key);
  piv.sign = std::move(options.sign);
  return piv;
}

}  // namespace forekey

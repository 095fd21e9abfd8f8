// [attestation.piv] of the gate's configuration (docs/CONFIG.md).
#ifndef FOREKEY_SRC_GATE_TOKEN_PIV_CONFIG_H_
#define FOREKEY_SRC_GATE_TOKEN_PIV_CONFIG_H_

#include <string>

#include "absl/strings/string_view.h"
#include "src/gate/settings/config_reader.h"
#include "src/verify/piv_policy.h"

namespace forekey {

struct PivConfig {
  std::string trust;            // folder of vendors' roots, for attestations; empty: none
  std::string issuers;          // folder of issuing CAs, for certificates; empty: none
  std::string crls;             // folder of revocation lists; empty: none
  std::string simulator_trust;  // folder; loaded only with insecure_simulators
  bool insecure_simulators = false;
  PivPolicy policy;  // without trust, time and revocation

  // False: keys of this kind can't be enrolled. Those that are enrolled stay good.
  bool Enrols() const { return !trust.empty() || !issuers.empty() || insecure_simulators; }
};

// Relative paths are taken from `base`. Errors are reported to the table's reader.
void ReadPivConfig(ConfigTable attestation, absl::string_view base, PivConfig* config);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_PIV_CONFIG_H_

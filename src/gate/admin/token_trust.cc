#include "src/gate/admin/token_trust.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "src/base/status.h"
#include "src/gate/token/fido2_enrollment.h"
#include "src/gate/token/piv_enrollment.h"
#include "src/gate/token/tpm_enrollment.h"

namespace forekey {
namespace {

std::vector<TrustSource> TrustSources(const GateConfig& config, const Clock& clock) {
  const GateConfig::TpmAttestation& tpm = config.tpm;
  std::vector<TrustSource> sources;
  if (!tpm.trust.empty() || tpm.insecure_simulators || !tpm.ek_allow_list.empty()) {
    std::vector<std::string> allowed;
    for (const std::string& hash : tpm.ek_allow_list)
      allowed.push_back(absl::HexStringToBytes(hash));
    sources.push_back(TpmTrustSource(tpm.trust, tpm.insecure_simulators ? tpm.simulator_trust : "",
                                     std::move(allowed)));
  }
  if (config.fido2.Enrols()) {
    sources.push_back(
        Fido2TrustSource(config.fido2, config.audience, config.state.directory, clock));
  }
  if (config.piv.Enrols()) sources.push_back(PivTrustSource(config.piv));
  return sources;
}

}  // namespace

absl::StatusOr<TokenTrust> ReadTokenTrust(const GateConfig& config, const Clock& clock,
                                          EnrollmentKinds stand_ins) {
  TokenTrust read;
  for (TrustSource& source : TrustSources(config, clock)) {
    FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<LiveTrust> trust, LiveTrust::New(std::move(source)));
    read.live.push_back(trust.get());
    read.kinds[trust->kind()] = std::move(trust);
  }
  for (auto& [kind, enrollment] : stand_ins) {
    auto& held = read.kinds[kind];
    std::erase_if(read.live, [&held](LiveTrust* trust) { return trust == held.get(); });
    held = std::move(enrollment);
  }
  return read;
}

}  // namespace forekey

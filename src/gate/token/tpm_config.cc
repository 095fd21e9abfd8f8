// SPDX-License-Identifier: Apache-2.0
#include "src/gate/token/tpm_config.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/crypto/digest.h"
#include "src/gate/token/live_trust.h"
#include "src/gate/token/tpm_verifier.h"

namespace forekey {

void TpmConfig::Read(ConfigTable& table, absl::string_view base) {
  table.Path("trust", base, &trust);
  table.Path("firmware", base, &firmware);
  table.Strings("ek_allow_list", &ek_allow_list);
  ReadSimulatorTrust(table, base, &simulator_trust, &insecure_simulators);
  table.Bool("one_subject_a_device", &one_subject_a_device);
  for (std::string& hash : ek_allow_list) {
    absl::AsciiStrToLower(&hash);
    bool hex = hash.size() == 2 * kSha256Size;
    for (char c : hash) hex = hex && absl::ascii_isxdigit(static_cast<unsigned char>(c));
    if (!hex) {
      table.Error("ek_allow_list", absl::StrCat("\"", absl::CHexEscape(hash),
                                                "\" is not a SHA-256 in 64 hex digits"));
    }
  }
}

TrustSource TpmConfig::Trust(const TokenEnvironment&) const {
  std::vector<std::string> allowed;
  for (const std::string& hash : ek_allow_list) allowed.push_back(absl::HexStringToBytes(hash));
  return TpmTrustSource(trust, insecure_simulators ? simulator_trust : "", std::move(allowed),
                        firmware);
}

std::unique_ptr<TokenVerifier> TpmConfig::WithoutTrust(const TokenEnvironment&) const {
  return NewTpmVerifier({});
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/gate/token/tpm_config.h"

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/crypto/digest.h"
#include "src/gate/token/live_trust.h"
#include "src/gate/token/tpm_verifier.h"
#include "src/verify/tpm_endorsement.h"

namespace forekey {

namespace {

void ReadEkAlgorithms(ConfigTable& table, std::set<std::string>* out) {
  std::vector<std::string> texts;
  table.Strings("ek_algorithms", &texts);
  for (const std::string& text : texts) {
    if (absl::c_linear_search(EkAlgorithms(), text)) {
      out->insert(text);
    } else {
      table.Error("ek_algorithms", absl::StrCat("\"", absl::CHexEscape(text), "\" is none of ",
                                                absl::StrJoin(EkAlgorithms(), ", ")));
    }
  }
  if (table.Has("ek_algorithms") && texts.empty()) {
    table.Error("ek_algorithms", "is empty: leave it out to take all");
  }
}

}  // namespace

void TpmConfig::Read(ConfigTable& table, absl::string_view base) {
  table.Path("trust", base, &trust);
  table.Path("firmware", base, &firmware);
  table.Strings("ek_allow_list", &ek_allow_list);
  ReadEkAlgorithms(table, &ek_algorithms);
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
                        firmware, ek_algorithms);
}

std::unique_ptr<TokenVerifier> TpmConfig::WithoutTrust(const TokenEnvironment&) const {
  return NewTpmVerifier({});
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/gate/token/fido2_config.h"

#include <optional>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/wire/authenticator_data.h"

namespace forekey {
namespace {

constexpr size_t kMaxRpIdSize = 253;  // a domain name's

void ReadAaguids(ConfigTable& table, absl::string_view key, std::set<std::string>* out) {
  std::vector<std::string> texts;
  table.Strings(key, &texts);
  for (std::string& text : texts) {
    absl::AsciiStrToLower(&text);
    if (std::optional<std::string> aaguid = AaguidFromText(text)) {
      out->insert(*std::move(aaguid));
    } else {
      table.Error(key, absl::StrCat("\"", absl::CHexEscape(text),
                                    "\" is not an AAGUID as 8-4-4-4-12 hex digits"));
    }
  }
  if (table.Has(key) && texts.empty()) {
    table.Error(key, "is empty: leave it out to say nothing of models");
  }
}

bool IsRpId(absl::string_view text) {
  if (text.empty() || text.size() > kMaxRpIdSize) return false;
  for (char c : text) {
    if (!absl::ascii_isgraph(static_cast<unsigned char>(c)) || c == '/' || c == '"') return false;
  }
  return true;
}

void ReadChoices(ConfigTable& table, Fido2Config* config) {
  std::string verification = "preferred";
  std::string clones = "refuse";
  table.String("user_verification", &verification);
  table.String("clone_policy", &clones);
  if (verification != "required" && verification != "preferred") {
    table.Error("user_verification", "must be \"required\" or \"preferred\"");
  }
  if (clones != "refuse" && clones != "report") {
    table.Error("clone_policy", "must be \"refuse\" or \"report\"");
  }
  config->policy.require_user_verification = verification == "required";
  config->refuse_clones = clones == "refuse";
  uint32_t level = 0;
  table.Number("min_certification_level", 0, 3, &level);
  config->policy.min_certification_level = static_cast<int>(level);
  table.Bool("platform_user_verification", &config->policy.platform_user_verification);
  table.Bool("allow_self", &config->policy.allow_self);
  table.Bool("allow_none", &config->policy.allow_none);
  table.Bool("allow_backup_eligible", &config->policy.allow_backup_eligible);
  table.Bool("refuse_bad_status", &config->policy.refuse_bad_status);
  ReadAaguids(table, "aaguid_allow", &config->policy.aaguid_allow);
  ReadAaguids(table, "aaguid_deny", &config->policy.aaguid_deny);
}

void CheckTogether(ConfigTable& table, const Fido2Config& config) {
  if (config.mds.empty() != config.mds_root.empty()) {
    table.Error(config.mds.empty() ? "mds_root" : "mds",
                "mds and mds_root go together: a BLOB is believed by its signer's root alone");
  }
  if (!config.mds_crls.empty() && config.mds.empty()) {
    table.Error("mds_crls", "needs mds, whose signer the lists are for");
  }
  if (config.policy.min_certification_level > 0 && config.mds.empty()) {
    table.Error("min_certification_level", "needs mds, which is what tells the levels");
  }
  if (!config.policy.aaguid_allow.empty() && config.policy.allow_none) {
    table.Error("allow_none", "has no effect beside aaguid_allow, which wants the model proved");
  }
  if (!config.policy.aaguid_allow.empty() && config.policy.allow_self) {
    table.Error("allow_self", "has no effect beside aaguid_allow, which wants the model proved");
  }
  for (const std::string& aaguid : config.policy.aaguid_allow) {
    if (config.policy.aaguid_deny.contains(aaguid)) {
      table.Error("aaguid_deny", absl::StrCat(AaguidText(aaguid), " is in aaguid_allow, too"));
    }
  }
}

}  // namespace

void Fido2Config::Read(ConfigTable& table, absl::string_view base) {
  table.String("rp_id", &rp_id);
  if (!rp_id.empty() && !IsRpId(rp_id)) {
    table.Error("rp_id",
                "must be 1 to 253 printable ASCII characters without spaces, quotes and "
                "slashes");
  }
  table.Path("trust", base, &trust);
  table.Path("firmware", base, &firmware);
  table.Path("mds", base, &mds);
  table.Path("mds_root", base, &mds_root);
  table.Path("mds_crls", base, &mds_crls);
  ReadSimulatorTrust(table, base, &simulator_trust, &insecure_simulators);
  ReadChoices(table, this);
  CheckTogether(table, *this);
}

}  // namespace forekey

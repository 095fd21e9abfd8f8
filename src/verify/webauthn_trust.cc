// SPDX-License-Identifier: Apache-2.0
#include "src/verify/webauthn_trust.h"

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/verify/firmware_check.h"
#include "src/verify/roca_modulus.h"
#include "src/verify/webauthn_certificate.h"

namespace forekey {
namespace {

// A denied model is refused also where it only says so itself.
absl::Status CheckDenied(const WebAuthnPolicy& policy, absl::string_view aaguid) {
  if (policy.aaguid_deny.count(std::string(aaguid)) == 0) return absl::OkStatus();
  return Refuse(Reason::kAaguidRefused, absl::StrCat(AaguidText(aaguid), " is on the deny-list"));
}

// A model that the statement does not prove is no model.
absl::Status CheckAaguidLists(const WebAuthnPolicy& policy, absl::string_view aaguid, bool proved) {
  FOREKEY_RETURN_IF_ERROR(CheckDenied(policy, aaguid));
  if (policy.aaguid_allow.empty()) return absl::OkStatus();
  if (!proved) return Refuse(Reason::kAaguidRefused, "the attestation does not prove the model");
  if (policy.aaguid_allow.count(std::string(aaguid)) == 0) {
    return Refuse(Reason::kAaguidRefused,
                  absl::StrCat(AaguidText(aaguid), " is not on the allow-list"));
  }
  return absl::OkStatus();
}

const MetadataEntry* FindEntry(const FidoMetadata* metadata, const AuthenticatorData& data,
                               const StatementResult& statement) {
  if (metadata == nullptr) return nullptr;
  if (!statement.covers_authenticator_data) {
    return metadata->FindByKeyId(AttestationKeyId(statement.x5c.front()));
  }
  return metadata->FindByAaguid(data.attested->aaguid);
}

absl::StatusOr<VerifiedPath> FindPathTo(const TrustAnchors& anchors,
                                        const RegistrationOptions& options,
                                        const StatementResult& statement) {
  PathOptions path;
  path.time = options.time;
  path.understood_critical = statement.understood_critical;
  path.purpose = statement.purpose;
  // FIDO metadata lists leaves as their own roots.
  path.leaf_may_be_anchor = true;
  const std::vector<Certificate> intermediates(statement.x5c.begin() + 1, statement.x5c.end());
  FOREKEY_ASSIGN_OR_RETURN(VerifiedPath found,
                           VerifyPath(statement.x5c.front(), intermediates, anchors, path));
  FOREKEY_RETURN_IF_ERROR(CheckRocaIssuers(found));
  return found;
}

absl::StatusOr<VerifiedPath> FindPath(const RegistrationOptions& options,
                                      const StatementResult& statement,
                                      const MetadataEntry* entry) {
  TrustAnchors anchors;
  if (options.anchors != nullptr) anchors = *options.anchors;
  if (entry != nullptr) {
    for (const Certificate& root : entry->roots.anchors()) anchors.Add(root);
  }
  if (anchors.empty()) {
    return Refuse(Reason::kCertificateUntrusted, options.metadata == nullptr
                                                     ? "no trust anchors are given"
                                                     : "the metadata has no root for this model");
  }
  return FindPathTo(anchors, options, statement);
}

// A TPM's attestation key signs for its owner what U2F tokens sign, too (webauthn_u2f.cc). Where
// its certificate does not say what it is, one above it may: no CA for TPM keys vouches for a U2F
// token.
absl::Status RefuseCaForTpmKeys(const VerifiedPath& path) {
  for (size_t i = 1; i < path.certificates().size(); ++i) {
    const std::vector<std::string> purposes = path.certificates()[i].ExtendedKeyUsages();
    const bool for_tpm_keys = absl::c_any_of(purposes, [](absl::string_view purpose) {
      return absl::StartsWith(purpose, "2.23.133.8.");  // tcg-kp
    });
    const bool for_anything =
        absl::c_linear_search(purposes, "2.5.29.37.0");  // anyExtendedKeyUsage
    if (!for_tpm_keys || for_anything) continue;
    return Refuse(Reason::kCertificatePurpose,
                  absl::StrCat("\"", path.certificates()[i].SubjectText(),
                               "\" is a CA for TPM keys, with a U2F token's statement"));
  }
  return absl::OkStatus();
}

// R10. Whoever has a TPM may write any model's AAGUID into what it signs: the AIK's certificate
// must name the model, or the model's own roots in the metadata must vouch for the AIK.
bool MayNameModel(const RegistrationOptions& options, const StatementResult& statement,
                  const MetadataEntry* entry) {
  return !statement.composed_by_platform || !CertifiedAaguid(statement.x5c.front()).empty() ||
         (entry != nullptr && FindPathTo(entry->roots, options, statement).ok());
}

// A U2F statement does not cover the AAGUID, yet the same token's certificate may name it: a model
// that is unwanted is so by this way too.
absl::Status CheckCertifiedModel(const RegistrationOptions& options,
                                 const StatementResult& statement,
                                 const std::vector<Certificate>& path,
                                 std::optional<uint64_t> version) {
  const std::string aaguid = CertifiedAaguid(statement.x5c.front());
  if (statement.covers_authenticator_data || aaguid.empty()) return absl::OkStatus();
  FOREKEY_RETURN_IF_ERROR(CheckDenied(options.policy, aaguid));
  const MetadataEntry* entry =
      options.metadata == nullptr ? nullptr : options.metadata->FindByAaguid(aaguid);
  if (entry == nullptr || !options.policy.refuse_bad_status) return absl::OkStatus();
  return entry->CheckStatus(path, options.time, version);
}

// A model that the statement does not prove is taken at its word against itself: without a version.
TokenFirmware FirmwareOf(const RegistrationOptions& options, const AuthenticatorData& data,
                         const StatementResult& statement, bool model_proved) {
  TokenFirmware firmware;
  firmware.kind = v1::TOKEN_KIND_FIDO2;
  const bool certified = !statement.x5c.empty() && !statement.composed_by_platform;
  std::string aaguid(data.attested->aaguid);
  if (!statement.x5c.empty() && !statement.covers_authenticator_data) {
    aaguid = CertifiedAaguid(statement.x5c.front());
    model_proved = true;
  }
  if (aaguid.empty()) return firmware;
  firmware.maker = AaguidText(aaguid);
  if (certified && model_proved) firmware.version = CertifiedFirmware(statement.x5c.front());
  const MetadataEntry* entry =
      options.metadata == nullptr ? nullptr : options.metadata->FindByAaguid(aaguid);
  if (entry != nullptr) firmware.least_of_metadata = entry->version;
  return firmware;
}

// A key of a listed model may answer U2F's commands as well, with a certificate that names no
// model: that would be the way round the list. So whoever the model's roots vouch for may be one.
absl::Status CheckUnnamedModel(const RegistrationOptions& options,
                               const StatementResult& statement) {
  if (options.firmware == nullptr || options.metadata == nullptr ||
      statement.covers_authenticator_data || !CertifiedAaguid(statement.x5c.front()).empty()) {
    return absl::OkStatus();
  }
  std::set<std::string> asked;
  for (const FirmwareEntry& line : options.firmware->entries()) {
    if (line.kind != v1::TOKEN_KIND_FIDO2 || !asked.insert(line.maker).second) continue;
    const std::optional<std::string> aaguid = AaguidFromText(line.maker);
    const MetadataEntry* model = aaguid ? options.metadata->FindByAaguid(*aaguid) : nullptr;
    if (model != nullptr && FindPathTo(model->roots, options, statement).ok()) {
      return RefuseUnprovedModel(line);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckModel(const RegistrationOptions& options, const MetadataEntry* entry,
                        const std::vector<Certificate>& path, std::optional<uint64_t> version,
                        nlohmann::json& proved) {
  const WebAuthnPolicy& policy = options.policy;
  const int level = entry == nullptr ? 0 : entry->CertificationLevel(options.time);
  if (entry != nullptr) {
    if (entry->has_statement) proved["model"] = entry->description;
    proved["certification_level"] = level;
    auto& statuses = proved["status"] = nlohmann::json::array();
    for (const MetadataStatus& report : entry->statuses) statuses.push_back(report.status);
    if (policy.refuse_bad_status) {
      FOREKEY_RETURN_IF_ERROR(entry->CheckStatus(path, options.time, version));
    }
  }
  if (level < policy.min_certification_level) {
    return Refuse(Reason::kAaguidRefused, absl::StrCat("certification level ", level, ", not ",
                                                       policy.min_certification_level));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTrust(const RegistrationOptions& options, const AuthenticatorData& data,
                        const StatementResult& statement, nlohmann::json& proved) {
  const absl::string_view aaguid = data.attested->aaguid;
  const WebAuthnPolicy& policy = options.policy;
  if (statement.x5c.empty()) {
    const bool allowed =
        statement.type == AttestationType::kSelf ? policy.allow_self : policy.allow_none;
    if (!allowed) {
      return Refuse(Reason::kAttestationFormatRefused,
                    absl::StrCat("attestation of type ", AttestationTypeName(statement.type),
                                 " proves no hardware"));
    }
    FOREKEY_RETURN_IF_ERROR(CheckAaguidLists(policy, aaguid, /*proved=*/false));
    // A model that it only says it is may still be one that is known to be bad.
    const MetadataEntry* claimed =
        options.metadata == nullptr ? nullptr : options.metadata->FindByAaguid(aaguid);
    if (claimed != nullptr && policy.refuse_bad_status) {
      FOREKEY_RETURN_IF_ERROR(claimed->CheckStatus({}, options.time));
    }
    FOREKEY_RETURN_IF_ERROR(CheckModel(options, nullptr, {}, std::nullopt, proved));
    FOREKEY_RETURN_IF_ERROR(CheckFirmware(
        options.firmware, FirmwareOf(options, data, statement, /*model_proved=*/false)));
    proved["aaguid_proved"] = false;
    return absl::OkStatus();
  }
  const MetadataEntry* entry = FindEntry(options.metadata, data, statement);
  FOREKEY_ASSIGN_OR_RETURN(const VerifiedPath path, FindPath(options, statement, entry));
  if (!statement.covers_authenticator_data) FOREKEY_RETURN_IF_ERROR(RefuseCaForTpmKeys(path));
  auto& names = proved["trust_path"] = nlohmann::json::array();
  for (const Certificate& certificate : path.certificates()) {
    const std::string subject = certificate.SubjectText();
    names.push_back(subject.empty() ? absl::StrCat("(no subject) serial ", certificate.SerialHex())
                                    : subject);
  }
  const bool may_name = MayNameModel(options, statement, entry);
  const bool aaguid_proved = statement.covers_authenticator_data && may_name;
  FOREKEY_RETURN_IF_ERROR(CheckAaguidLists(policy, aaguid, aaguid_proved));
  const TokenFirmware firmware = FirmwareOf(options, data, statement, aaguid_proved);
  FOREKEY_RETURN_IF_ERROR(
      CheckCertifiedModel(options, statement, path.certificates(), firmware.version));
  if (entry != nullptr && !may_name && policy.refuse_bad_status) {
    FOREKEY_RETURN_IF_ERROR(entry->CheckStatus(path.certificates(), options.time));
  }
  FOREKEY_RETURN_IF_ERROR(CheckModel(options, may_name ? entry : nullptr, path.certificates(),
                                     firmware.version, proved));
  FOREKEY_RETURN_IF_ERROR(CheckFirmware(options.firmware, firmware));
  FOREKEY_RETURN_IF_ERROR(CheckUnnamedModel(options, statement));
  if (firmware.version) proved["firmware"] = FirmwareText(firmware.kind, *firmware.version);
  proved["aaguid_proved"] = aaguid_proved;
  return absl::OkStatus();
}

}  // namespace forekey

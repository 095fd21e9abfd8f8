// SPDX-License-Identifier: Apache-2.0
// Loads what [attestation.piv] names: folders of roots and issuing CAs, and revocation lists.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"
#include "src/gate/token/firmware_source.h"
#include "src/gate/token/piv_verifier.h"
#include "src/gate/token/trust_folder.h"

namespace forekey {
namespace {

constexpr char kCrlsKey[] = "attestation.piv.crls";

// The CAs of the folders under which a list verifies are under which its successor must, too.
bool VerifiesWhere(const RevocationList& now, const RevocationList& before,
                   const TrustAnchors& anchors) {
  return std::all_of(anchors.anchors().begin(), anchors.anchors().end(),
                     [&](const Certificate& ca) {
                       return !before.CheckIssuer(ca).ok() || now.CheckIssuer(ca).ok();
                     });
}

std::string DescribeTrust(const PivVerifierOptions& options) {
  return absl::StrCat(options.trust.anchors().size(), " certificates of vendors, ",
                      options.issuers.anchors().size(), " of issuing CAs, ",
                      options.simulators.anchors().size(), " of simulators, ",
                      options.revocation.size(), " revocation lists, ",
                      FirmwareSource::Describe(options.firmware));
}

}  // namespace

absl::StatusOr<PivVerifierOptions> LoadPivTrust(const PivConfig& config) {
  PivVerifierOptions options;
  options.policy = config.policy;
  if (!config.trust.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(
        options.trust, LoadTrustFolder(config.trust, "attestation.piv.trust", &options.left_out));
  }
  if (!config.issuers.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(
        options.issuers,
        LoadTrustFolder(config.issuers, "attestation.piv.issuers", &options.left_out));
  }
  options.emptied = (!config.trust.empty() && options.trust.empty()) ||
                    (!config.issuers.empty() && options.issuers.empty());
  if (config.insecure_simulators) {
    FOREKEY_ASSIGN_OR_RETURN(options.simulators,
                             LoadTrustFolder(config.simulator_trust,
                                             "attestation.piv.simulator_trust", &options.left_out));
  }
  if (!config.crls.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(options.revocation, LoadRevocationLists(config.crls, kCrlsKey));
  }
  return options;
}

absl::Status CheckNewLists(const PivVerifierOptions& before, const PivVerifierOptions& now) {
  for (const RevocationList& old : before.revocation) {
    const bool followed =
        std::any_of(now.revocation.begin(), now.revocation.end(), [&](const RevocationList& list) {
          return list.IsOfSameName(old) && list.this_update() >= old.this_update() &&
                 VerifiesWhere(list, old, now.trust) && VerifiesWhere(list, old, now.issuers) &&
                 VerifiesWhere(list, old, now.simulators);
        });
    if (followed) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        kCrlsKey, ": no list of \"", old.IssuerText(),
        "\" is there that verifies and is no older than the one that was read before: put "
        "it there, or, where that is meant, start the gate anew"));
  }
  return absl::OkStatus();
}

TrustSource PivTrustSource(const PivConfig& config) {
  auto before = std::make_shared<std::optional<PivVerifierOptions>>();
  const FirmwareSource list("attestation.piv.firmware", config.firmware, config.trust);
  std::vector<std::string> paths = list.paths();
  paths.insert(paths.end(), {config.trust, config.issuers, config.crls,
                             config.insecure_simulators ? config.simulator_trust : ""});
  return {"attestation.piv", std::move(paths),
          [config, before, list]() -> absl::StatusOr<TrustReading> {
            FOREKEY_ASSIGN_OR_RETURN(PivVerifierOptions options, LoadPivTrust(config));
            FOREKEY_ASSIGN_OR_RETURN(options.firmware, list.Read());
            if (before->has_value()) FOREKEY_RETURN_IF_ERROR(CheckNewLists(**before, options));
            *before = options;
            TrustReading reading;
            reading.left_out = options.left_out;
            reading.detail = DescribeTrust(options);
            reading.verifier = NewPivVerifier(std::move(options));
            return reading;
          }};
}

TrustSource PivConfig::Trust(const TokenEnvironment&) const { return PivTrustSource(*this); }

std::unique_ptr<TokenVerifier> PivConfig::WithoutTrust(const TokenEnvironment&) const {
  return NewPivVerifier({});
}

}  // namespace forekey

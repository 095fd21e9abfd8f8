// SPDX-License-Identifier: Apache-2.0
// Loads what [attestation.fido2] names: folders of roots, and the metadata BLOB with its history.
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/gate/token/fido2_verifier.h"
#include "src/gate/token/firmware_source.h"
#include "src/gate/token/trust_folder.h"
#include "src/wire/json_object.h"

namespace forekey {
namespace {

constexpr char kMdsKey[] = "attestation.fido2.mds";
constexpr char kMdsRootKey[] = "attestation.fido2.mds_root";
constexpr char kMdsCrlsKey[] = "attestation.fido2.mds_crls";
constexpr size_t kMaxRootSize = 1 << 20;
constexpr mode_t kPrivateMode = 0600;

// What is there and can't be read is an error: it would be the way to forget a number.
absl::StatusOr<std::optional<uint64_t>> LastBlobNumber(const std::string& path) {
  absl::StatusOr<std::string> text = ReadPrivateFile(path);
  if (absl::IsNotFound(text.status())) return std::optional<uint64_t>();
  FOREKEY_RETURN_IF_ERROR(text.status());
  const auto json = ParseBoundedJson(*text);
  const auto number = json.is_object() ? json.find("no") : json.end();
  if (!json.is_object() || number == json.end() || !number->is_number_unsigned()) {
    return absl::DataLossError(absl::StrCat(path,
                                            " is damaged: it holds the number of the last "
                                            "metadata BLOB; remove it to begin anew"));
  }
  return std::optional<uint64_t>(number->get<uint64_t>());
}

absl::StatusOr<FidoMetadata> LoadMetadata(const Fido2Config& config,
                                          const std::string& state_directory, const Clock& clock) {
  const std::string history = state_directory + "/fido-mds.json";
  absl::StatusOr<std::string> blob = ReadFile(config.mds, kMaxMetadataBlobSize);
  if (!blob.ok()) return StatusNaming(kMdsKey, blob.status());
  absl::StatusOr<std::string> root = ReadFile(config.mds_root, kMaxRootSize);
  if (!root.ok()) return StatusNaming(kMdsRootKey, root.status());
  const auto roots = Certificate::ParseAll(*root);
  if (!roots.ok()) return StatusNaming(kMdsRootKey, roots.status());
  MetadataOptions options;
  for (const Certificate& certificate : *roots) options.roots.Add(certificate);
  options.time = clock.WallNow();
  if (!config.mds_crls.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(options.revocation, LoadRevocationLists(config.mds_crls, kMdsCrlsKey));
  }
  FOREKEY_ASSIGN_OR_RETURN(options.previous_no, LastBlobNumber(history));
  absl::StatusOr<FidoMetadata> metadata = FidoMetadata::Parse(*blob, options);
  if (!metadata.ok()) return StatusNaming(kMdsKey, metadata.status());
  FOREKEY_RETURN_IF_ERROR(WriteFileAtomically(
      history, nlohmann::json({{"no", metadata->no()}}).dump() + "\n", kPrivateMode));
  return metadata;
}

Fido2VerifierOptions Bare(const Fido2Config& config, const std::string& audience) {
  Fido2VerifierOptions options;
  options.rp_id = config.rp_id.empty() ? audience : config.rp_id;
  options.origin = Fido2Origin(audience);
  options.policy = config.policy;
  options.refuse_clones = config.refuse_clones;
  return options;
}

TrustReading RevokedMetadata(Fido2VerifierOptions options, const absl::Status& why) {
  options.refuse_all = absl::StrCat("the signer of the metadata is revoked: ", why.message());
  TrustReading reading;
  reading.detail =
      absl::StrCat(options.refuse_all, "; nothing is enrolled until other metadata is imported");
  reading.verifier = NewFido2Verifier(std::move(options));
  return reading;
}

TrustReading ReadingOf(Fido2VerifierOptions options, const Clock& clock) {
  TrustReading reading;
  reading.left_out = options.left_out;
  reading.detail = absl::StrCat(options.trust.anchors().size(), " certificates, ",
                                options.simulators.anchors().size(), " of simulators, ",
                                FirmwareSource::Describe(options.firmware));
  if (options.metadata) {
    const FidoMetadata& metadata = *options.metadata;
    absl::StrAppend(&reading.detail, "; FIDO metadata number ", metadata.no(), ": ",
                    metadata.entries().size(), " of ", metadata.listed(), " models, ",
                    metadata.anchors(), " roots; the next is due on ", metadata.next_update(),
                    metadata.Stale(clock.WallNow()) ? ", which is over: import it" : "");
  }
  reading.verifier = NewFido2Verifier(std::move(options));
  return reading;
}

}  // namespace

absl::StatusOr<Fido2VerifierOptions> LoadFido2Trust(const Fido2Config& config,
                                                    const std::string& audience,
                                                    const std::string& state_directory,
                                                    const Clock& clock) {
  Fido2VerifierOptions options = Bare(config, audience);
  if (!config.trust.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(
        options.trust, LoadTrustFolder(config.trust, "attestation.fido2.trust", &options.left_out));
  }
  if (!config.mds.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(options.metadata, LoadMetadata(config, state_directory, clock));
  }
  if (config.insecure_simulators) {
    FOREKEY_ASSIGN_OR_RETURN(
        options.simulators,
        LoadTrustFolder(config.simulator_trust, "attestation.fido2.simulator_trust",
                        &options.left_out));
  }
  return options;
}

TrustSource Fido2TrustSource(const Fido2Config& config, const std::string& audience,
                             const std::string& state_directory, const Clock& clock) {
  const auto was_read = std::make_shared<std::atomic<bool>>(false);
  const FirmwareSource list("attestation.fido2.firmware", config.firmware,
                            config.trust.empty() ? config.mds : config.trust);
  std::vector<std::string> paths = list.paths();
  paths.insert(paths.end(), {config.trust, config.mds, config.mds_root, config.mds_crls,
                             config.insecure_simulators ? config.simulator_trust : ""});
  return {"attestation.fido2", std::move(paths),
          [config, audience, state_directory, &clock, was_read,
           list]() -> absl::StatusOr<TrustReading> {
            absl::StatusOr<Fido2VerifierOptions> options =
                LoadFido2Trust(config, audience, state_directory, clock);
            if (*was_read && ReasonOf(options.status()) == Reason::kCertificateRevoked) {
              return RevokedMetadata(Bare(config, audience), options.status());
            }
            FOREKEY_RETURN_IF_ERROR(options.status());
            FOREKEY_ASSIGN_OR_RETURN(options->firmware, list.Read());
            *was_read = true;
            return ReadingOf(*std::move(options), clock);
          }};
}

TrustSource Fido2Config::Trust(const TokenEnvironment& environment) const {
  return Fido2TrustSource(*this, environment.audience, environment.state_directory,
                          *environment.clock);
}

std::unique_ptr<TokenVerifier> Fido2Config::WithoutTrust(
    const TokenEnvironment& environment) const {
  return NewFido2Verifier(Bare(*this, environment.audience));
}

}  // namespace forekey

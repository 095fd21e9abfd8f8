// SPDX-License-Identifier: Apache-2.0
// `forekey verify attestation --kind webauthn` and `forekey verify assertion --kind webauthn`.
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/cli/verify/mds_imports.h"
#include "src/cli/verify/verify_command.h"
#include "src/verify/fido_metadata.h"
#include "src/verify/webauthn_assertion.h"
#include "src/verify/webauthn_registration.h"
#include "src/wire/authenticator_data.h"
#include "src/wire/base64url.h"
#include "src/wire/cose_key.h"

namespace forekey {
namespace {

constexpr char kAttestationHelp[] =
    R"(Checks a WebAuthn registration offline (Level 3, section 7.1): formats packed, tpm, fido-u2f
and none.

  forekey verify attestation --kind webauthn --attestation-object att.cbor --client-data client.json
      --challenge <base64url> --rp-id example.org
      --origin https://example.org --trust /etc/fido-roots
  ... --mds blob.jwt        a metadata BLOB that `forekey trust import-mds` has verified
  ... --mds blob.jwt --mds-root root.pem    the same, verified now

What WebAuthn leaves to the relying party's policy is told, not refused: backup eligibility,
frames of other origins, TPM keys that may leave. --gate-policy refuses them, as a Forekey gate does.
)";

constexpr char kAssertionHelp[] =
    R"(Checks a WebAuthn assertion offline (Level 3, section 7.2), with the COSE key that was
enrolled.

  forekey verify assertion --kind webauthn --authenticator-data auth.bin --client-data client.json
      --signature sig.bin --public-key key.cose --challenge <base64url> --rp-id example.org
      --origin https://example.org [--require-uv] [--previous-count 7]
)";

// What both ceremonies take.
struct Ceremony {
  std::string client_data, challenge, rp_id, origin;

  void AddOptions(CLI::App& command) {
    command.add_option("--client-data", client_data, "clientDataJSON, the bytes as they came")
        ->type_name("FILE")
        ->required();
    command.add_option("--challenge", challenge, "The challenge that was given out")
        ->type_name("BASE64URL")
        ->required();
    command.add_option("--rp-id", rp_id, "The relying party's id")->required();
    command.add_option("--origin", origin, "The origin, compared whole")->required();
  }

  absl::StatusOr<std::string> Challenge() const {
    auto bytes = Base64UrlDecode(challenge);
    if (bytes && !bytes->empty()) return *std::move(bytes);
    return absl::InvalidArgumentError("--challenge takes base64url without padding, not empty");
  }
};

// A refusal tells what the evidence says of itself under a name that can't be taken for proof.
nlohmann::json Claims(nlohmann::json seen) {
  if (seen.empty()) return nlohmann::json::object();
  return {{"claims_not_proved", std::move(seen)}};
}

class VerifyWebAuthn : public VerifyKind {
 public:
  absl::string_view name() const override { return "webauthn"; }
  std::string Help() const override { return kAttestationHelp; }

  void AddOptions(CLI::App& command) override {
    command.add_option("--attestation-object", attestation_object_, "attestationObject, raw CBOR")
        ->type_name("FILE")
        ->required();
    ceremony_.AddOptions(command);
    command
        .add_option("--mds", mds_, "FIDO metadata BLOB: whom each model chains to, and its status")
        ->type_name("FILE");
    command.add_option("--mds-root", mds_root_, "Root that the BLOB's signer chains to")
        ->type_name("FILE")
        ->needs("--mds");
    command
        .add_option("--mds-crl", mds_crls_,
                    "Revocation list of a CA of the BLOB's signer; may be repeated")
        ->type_name("FILE")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->needs("--mds-root");
    command.add_flag("--allow-self", allow_self_, "Accept self attestation: it proves no hardware");
    command.add_flag("--allow-none", allow_none_, "Accept no attestation at all: likewise");
    command.add_flag("--require-uv", require_uv_, "Refuse where the user was not verified");
    command.add_flag("--platform-uv", platform_uv_,
                     "With --require-uv: believe an operating system (format tpm) that says so");
    command.add_flag("--gate-policy", gate_policy_,
                     "Refuse also what a gate refuses: backup-eligible keys, frames of other "
                     "origins, TPM keys that may leave");
    command
        .add_option("--allow-aaguid", allow_aaguid_, "Accept these models alone; may be repeated")
        ->type_name("UUID");
    command.add_option("--deny-aaguid", deny_aaguid_, "Refuse this model; may be repeated")
        ->type_name("UUID");
    command.add_option("--min-level", min_level_, "FIDO certification level, by the metadata")
        ->check(CLI::Range(0, 3));
  }

  absl::StatusOr<VerifyReport> Run(const VerifyInputs& inputs) override {
    FOREKEY_ASSIGN_OR_RETURN(const std::string object,
                             ReadEvidenceFile("--attestation-object", attestation_object_));
    FOREKEY_ASSIGN_OR_RETURN(const std::string client,
                             ReadEvidenceFile("--client-data", ceremony_.client_data));
    FOREKEY_ASSIGN_OR_RETURN(const std::string challenge, ceremony_.Challenge());
    if (!inputs.intermediates.empty()) {
      return absl::InvalidArgumentError("--intermediates: a registration brings its own (x5c)");
    }
    std::vector<std::string> skipped;
    TrustAnchors anchors;
    if (!inputs.trust.empty()) {
      FOREKEY_ASSIGN_OR_RETURN(anchors, LoadTrust(inputs.trust, &skipped));
    }
    std::optional<FidoMetadata> metadata;
    if (!mds_.empty()) {
      absl::StatusOr<FidoMetadata> loaded = LoadMetadata(inputs.at);
      if (!loaded.ok()) return RefusedOr(loaded.status());
      metadata = *std::move(loaded);
    }
    const RelyingParty party = RelyingParty::Of(ceremony_.rp_id, ceremony_.origin);
    RegistrationOptions options;
    options.attestation_object = object;
    options.client_data_json = client;
    options.challenge = challenge;
    options.relying_party = &party;
    FOREKEY_ASSIGN_OR_RETURN(options.policy, Policy());
    options.anchors = inputs.trust.empty() ? nullptr : &anchors;
    options.metadata = metadata ? &*metadata : nullptr;
    options.firmware = &inputs.firmware;
    options.time = inputs.at;
    nlohmann::json seen = nlohmann::json::object();
    absl::StatusOr<VerifiedAttestation> verified = VerifyRegistration(options, &seen);
    if (!verified.ok()) return RefusedOr(verified.status(), Claims(std::move(seen)));
    nlohmann::json proved = verified->proved();
    if (!skipped.empty()) proved["skipped"] = skipped;
    if (metadata) {
      proved["metadata_no"] = metadata->no();
      proved["metadata_stale"] = metadata->Stale(inputs.at);
    }
    return VerifyReport::Valid(std::move(proved));
  }

 private:
  absl::StatusOr<WebAuthnPolicy> Policy() const {
    WebAuthnPolicy policy;
    policy.allow_self = allow_self_;
    policy.allow_none = allow_none_;
    policy.require_user_verification = require_uv_;
    policy.platform_user_verification = platform_uv_;
    policy.allow_backup_eligible = policy.allow_cross_origin = !gate_policy_;
    policy.require_fixed_tpm_key = gate_policy_;
    policy.min_certification_level = min_level_;
    const auto add = [](const std::vector<std::string>& texts, std::set<std::string>& set) {
      for (const std::string& text : texts) {
        const auto aaguid = AaguidFromText(text);
        if (!aaguid) return absl::InvalidArgumentError(absl::StrCat(text, " is no AAGUID"));
        set.insert(*aaguid);
      }
      return absl::OkStatus();
    };
    FOREKEY_RETURN_IF_ERROR(add(allow_aaguid_, policy.aaguid_allow));
    FOREKEY_RETURN_IF_ERROR(add(deny_aaguid_, policy.aaguid_deny));
    return policy;
  }

  absl::StatusOr<FidoMetadata> LoadMetadata(absl::Time at) const {
    FOREKEY_ASSIGN_OR_RETURN(const std::string blob, ReadFile(mds_, kMaxMetadataBlobSize));
    MetadataOptions options;
    options.time = at;
    if (!mds_root_.empty()) {
      FOREKEY_ASSIGN_OR_RETURN(const std::string root, ReadEvidenceFile("--mds-root", mds_root_));
      const auto certificates = Certificate::ParseAll(root);
      if (!certificates.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat("--mds-root: ", certificates.status().message()));
      }
      for (const Certificate& certificate : *certificates) options.roots.Add(certificate);
      FOREKEY_ASSIGN_OR_RETURN(options.revocation, ReadRevocationLists("--mds-crl", mds_crls_));
      return FidoMetadata::Parse(blob, options);
    }
    FOREKEY_ASSIGN_OR_RETURN(const MdsImports imports, MdsImports::Open());
    const auto import = imports.Find(blob);
    if (!import) {
      return absl::FailedPreconditionError(
          absl::StrCat("--mds: ", mds_, " was not imported: run `forekey trust import-mds ", mds_,
                       " --root ROOT` once, or give --mds-root"));
    }
    // As of the import: the signer's certificate may be younger than the registration.
    options.time = import->time;
    options.roots.Add(import->anchor);
    return FidoMetadata::Parse(blob, options);
  }

  Ceremony ceremony_;
  std::string attestation_object_, mds_, mds_root_;
  bool allow_self_ = false, allow_none_ = false, require_uv_ = false;
  bool platform_uv_ = false, gate_policy_ = false;
  std::vector<std::string> allow_aaguid_, deny_aaguid_, mds_crls_;
  int min_level_ = 0;
};

class VerifyWebAuthnAssertion : public VerifyKind {
 public:
  absl::string_view name() const override { return "webauthn"; }
  std::string Help() const override { return kAssertionHelp; }

  void AddOptions(CLI::App& command) override {
    const auto file = [&command](const char* name, std::string& value, const char* text) {
      command.add_option(name, value, text)->type_name("FILE")->required();
    };
    file("--authenticator-data", authenticator_data_, "authenticatorData, raw");
    file("--signature", signature_, "The signature, raw");
    file("--public-key", public_key_, "The credential's COSE key, raw CBOR");
    ceremony_.AddOptions(command);
    command.add_flag("--require-uv", require_uv_, "Refuse where the user was not verified");
    command.add_flag("--gate-policy", gate_policy_, "Refuse also frames of other origins");
    command.add_option("--previous-count", previous_count_,
                       "The counter of the assertion before: refuse one that did not grow");
  }

  absl::StatusOr<VerifyReport> Run(const VerifyInputs&) override {
    FOREKEY_ASSIGN_OR_RETURN(const std::string auth_data,
                             ReadEvidenceFile("--authenticator-data", authenticator_data_));
    FOREKEY_ASSIGN_OR_RETURN(const std::string client,
                             ReadEvidenceFile("--client-data", ceremony_.client_data));
    FOREKEY_ASSIGN_OR_RETURN(const std::string signature,
                             ReadEvidenceFile("--signature", signature_));
    FOREKEY_ASSIGN_OR_RETURN(const std::string cose, ReadEvidenceFile("--public-key", public_key_));
    FOREKEY_ASSIGN_OR_RETURN(const std::string challenge, ceremony_.Challenge());
    const absl::StatusOr<CoseKey> key = CoseKey::Parse(cose);
    if (!key.ok()) return RefusedOr(key.status());
    const RelyingParty party = RelyingParty::Of(ceremony_.rp_id, ceremony_.origin);
    AssertionOptions options;
    options.key = &key->key;
    options.authenticator_data = auth_data;
    options.client_data_json = client;
    options.signature = signature;
    options.challenge = challenge;
    options.relying_party = &party;
    options.require_user_verification = require_uv_;
    options.allow_cross_origin = !gate_policy_;
    const absl::StatusOr<VerifiedAssertion> verified = VerifyAssertion(options);
    if (!verified.ok()) return RefusedOr(verified.status());
    nlohmann::json proved = {{"kind", "fido2"},
                             {"algorithm", std::string(AlgorithmName(key->key.algorithm()))},
                             {"flags",
                              {{"up", verified->up()},
                               {"uv", verified->uv()},
                               {"be", verified->backup_eligible()},
                               {"bs", verified->backed_up()}}},
                             {"sign_count", verified->sign_count()},
                             {"extensions", verified->extensions()}};
    if (previous_count_) {
      const absl::Status grown = CheckSignatureCounter(*previous_count_, verified->sign_count());
      if (!grown.ok()) return RefusedOr(grown, std::move(proved));
    }
    return VerifyReport::Valid(std::move(proved));
  }

 private:
  Ceremony ceremony_;
  std::string authenticator_data_, signature_, public_key_;
  bool require_uv_ = false, gate_policy_ = false;
  std::optional<uint32_t> previous_count_;
};

}  // namespace

std::unique_ptr<VerifyKind> NewVerifyWebAuthn() { return std::make_unique<VerifyWebAuthn>(); }
std::unique_ptr<VerifyKind> NewVerifyWebAuthnAssertion() {
  return std::make_unique<VerifyWebAuthnAssertion>();
}

}  // namespace forekey

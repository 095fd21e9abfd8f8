// SPDX-License-Identifier: Apache-2.0
// `forekey verify attestation --kind tpm`: the endorsement, the certified key, or both.
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/cli/verify/verify_command.h"
#include "src/verify/tpm_attestation.h"
#include "src/verify/tpm_endorsement.h"

namespace forekey {
namespace {

constexpr char kHelp[] = R"(Checks a TPM 2.0's attestation offline. Two parts, either alone or both:

The endorsement: is this EK certificate, as read from the TPM, a known vendor's?
  tpm2_nvread 0x1c00002 -o ek.nv          (0x1c0000a: P-256, 0x1c00016: P-384)
  forekey verify attestation --kind tpm --ek-cert ek.nv --trust /etc/forekey/tpm-roots
  ... --intermediates vendor-chain.pem    (the TPM, or the vendor's web site, has them)
  ... --ek-public ek.pub                  (is the certificate for this EK?)

The key: does the attestation key (AK) say that this key was born in its TPM and can't leave it?
  forekey verify attestation --kind tpm --ak-public ak.pub --key-public key.pub
      --certify-info certify.attest --signature certify.sig --qualifying-data 00112233...
  The files are what tpm2_certify and tpm2_readpublic write. --qualifying-data is compared with
  extraData byte for byte; at enrolment Forekey uses the SHA-256 of the enrolment statement.

That the AK is in the TPM of that EK can't be checked offline: it takes TPM2_ActivateCredential, which
the gate asks for at enrolment. A valid second part alone proves nothing of hardware.
)";

class VerifyTpm : public VerifyKind {
 public:
  absl::string_view name() const override { return "tpm"; }
  std::string Help() const override { return kHelp; }

  void AddOptions(CLI::App& command) override {
    const auto file = [&command](const char* name, std::string& value, const char* text) {
      return command.add_option(name, value, text)->type_name("FILE");
    };
    file("--ek-cert", ek_certificate_, "EK certificate: DER, PEM, or an NV index as it was read");
    file("--ek-public", ek_public_, "EK's TPMT_PUBLIC or TPM2B_PUBLIC, to compare");
    file("--ak-public", ak_public_, "AK's TPMT_PUBLIC or TPM2B_PUBLIC");
    file("--key-public", key_public_, "The key's TPMT_PUBLIC or TPM2B_PUBLIC");
    file("--certify-info", certify_info_, "TPMS_ATTEST of TPM2_Certify");
    file("--signature", signature_, "TPMT_SIGNATURE of TPM2_Certify, by the AK");
    command.add_option("--qualifying-data", qualifying_data_, "What extraData must be")
        ->type_name("HEX");
  }

  absl::StatusOr<VerifyReport> Run(const VerifyInputs& inputs) override {
    FOREKEY_RETURN_IF_ERROR(CheckUse(inputs));
    // Everything is read before anything is judged, so that a missing file is never a verdict.
    FOREKEY_ASSIGN_OR_RETURN(Files files, ReadFiles());
    nlohmann::json proved = nlohmann::json::object();
    if (!ek_certificate_.empty()) {
      FOREKEY_ASSIGN_OR_RETURN(std::optional<VerifyReport> refused,
                               RunEndorsement(inputs, files, &proved));
      if (refused) return *std::move(refused);
    }
    if (!ak_public_.empty()) return RunKey(inputs, files, std::move(proved));
    return VerifyReport::Valid(std::move(proved));
  }

 private:
  struct Files {
    std::string ek_certificate, ek_public, ak_public, key_public, certify_info, signature;
    std::string qualifying_data;
  };

  absl::Status CheckUse(const VerifyInputs& inputs) const {
    const std::string* key_part[] = {&ak_public_, &key_public_, &certify_info_, &signature_,
                                     &qualifying_data_};
    size_t given = 0;
    for (const std::string* value : key_part) given += value->empty() ? 0 : 1;
    if (given != 0 && given != std::size(key_part)) {
      return absl::InvalidArgumentError(
          "--ak-public, --key-public, --certify-info, --signature and --qualifying-data belong "
          "together");
    }
    if (ek_certificate_.empty() && given == 0) {
      return absl::InvalidArgumentError(
          "nothing to check: give --ek-cert and --trust, or --ak-public, --key-public, "
          "--certify-info, --signature and --qualifying-data (see --kind tpm --help)");
    }
    if (ek_certificate_.empty() != inputs.trust.empty()) {
      return absl::InvalidArgumentError("--ek-cert and --trust belong together");
    }
    if (ek_certificate_.empty() && (!inputs.intermediates.empty() || !ek_public_.empty())) {
      return absl::InvalidArgumentError("--intermediates and --ek-public go with --ek-cert");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Files> ReadFiles() const {
    Files files;
    const struct {
      const char* option;
      const std::string& path;
      std::string& content;
    } all[] = {{"--ek-cert", ek_certificate_, files.ek_certificate},
               {"--ek-public", ek_public_, files.ek_public},
               {"--ak-public", ak_public_, files.ak_public},
               {"--key-public", key_public_, files.key_public},
               {"--certify-info", certify_info_, files.certify_info},
               {"--signature", signature_, files.signature}};
    for (const auto& [option, path, content] : all) {
      if (path.empty()) continue;
      FOREKEY_ASSIGN_OR_RETURN(content, ReadEvidenceFile(option, path));
    }
    FOREKEY_ASSIGN_OR_RETURN(files.qualifying_data,
                             ParseHex("--qualifying-data", qualifying_data_));
    if (!ak_public_.empty() && files.qualifying_data.empty()) {
      return absl::InvalidArgumentError("--qualifying-data is empty: nothing would be fresh");
    }
    return files;
  }

  // The report when it is refused; nullopt, and what was proved, when not.
  absl::StatusOr<std::optional<VerifyReport>> RunEndorsement(const VerifyInputs& inputs,
                                                             const Files& files,
                                                             nlohmann::json* proved) const {
    std::vector<std::string> skipped;
    FOREKEY_ASSIGN_OR_RETURN(TrustAnchors trust, LoadTrust(inputs.trust, &skipped));
    EndorsementEvidence evidence;
    FOREKEY_ASSIGN_OR_RETURN(evidence.intermediates,
                             LoadIntermediates(inputs.intermediates, &skipped));
    if (!skipped.empty()) (*proved)["skipped"] = skipped;
    EndorsementPolicy policy;
    policy.trust = &trust;
    policy.time = inputs.at;
    policy.max_intermediates = evidence.intermediates.size();  // they are the administrator's own
    evidence.ek_public = files.ek_public;
    if (!ek_public_.empty() && files.ek_public.empty()) {
      return VerifyReport::Refused(Refuse(Reason::kEvidenceMalformed, "--ek-public is empty"),
                                   *proved);
    }
    // PEM is a file's form, not an NV index's.
    std::string der = files.ek_certificate;
    if (absl::StrContains(der, "-----BEGIN ")) {
      absl::StatusOr<Certificate> certificate = Certificate::Parse(der);
      if (!certificate.ok()) return VerifyReport::Refused(certificate.status(), *proved);
      der = certificate->der();
    }
    if (der.empty()) {
      return VerifyReport::Refused(Refuse(Reason::kCertificateMalformed, "the file is empty"),
                                   *proved);
    }
    evidence.ek_certificate = der;
    absl::StatusOr<VerifiedEndorsement> endorsement = VerifyEndorsement(evidence, policy);
    if (!endorsement.ok()) {
      FOREKEY_ASSIGN_OR_RETURN(VerifyReport report, RefusedOr(endorsement.status(), *proved));
      return report;
    }
    proved->update(endorsement->proved());
    (*proved)["endorsement"] = true;
    (*proved)["ek_public_compared"] = endorsement->ek_public().has_value();
    return std::nullopt;
  }

  absl::StatusOr<VerifyReport> RunKey(const VerifyInputs& inputs, const Files& files,
                                      nlohmann::json proved) const {
    absl::StatusOr<AttestationKey> ak = VerifyAkPublic(files.ak_public);
    if (!ak.ok()) return RefusedOr(ak.status(), std::move(proved));
    TpmDevice device;
    device.proved = proved;
    device.firmware = &inputs.firmware;
    absl::StatusOr<VerifiedAttestation> key =
        VerifyTpmKey(*ak, {files.key_public, files.certify_info, files.signature},
                     files.qualifying_data, device);
    if (!key.ok()) return RefusedOr(key.status(), std::move(proved));
    proved = key->proved();
    proved["certified_key"] = true;
    // Said in so many words: the two parts are not bound to each other offline.
    proved["ak_bound_to_ek"] = false;
    return VerifyReport::Valid(std::move(proved));
  }

  std::string ek_certificate_, ek_public_, ak_public_, key_public_, certify_info_, signature_;
  std::string qualifying_data_;
};

}  // namespace

std::unique_ptr<VerifyKind> NewVerifyTpm() { return std::make_unique<VerifyTpm>(); }

}  // namespace forekey

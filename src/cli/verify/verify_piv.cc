// SPDX-License-Identifier: Apache-2.0
// `forekey verify attestation --kind piv`: a slot's attestation, or a card's certificate.
#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/cli/verify/verify_command.h"
#include "src/crypto/public_key.h"
#include "src/verify/piv_attestation.h"

namespace forekey {
namespace {

constexpr char kPivHelp[] =
    R"(Checks a PIV key offline: was it generated in a slot of a card, and what PIN and touch does it take?

A slot's attestation (YubiKey 4.3 and later; trust: Yubico's PIV and attestation roots):
  yubico-piv-tool -a attest -s 9c > slot.pem ; yubico-piv-tool -a read-cert -s f9 > f9.pem
  forekey verify attestation --kind piv --certificate slot.pem --intermediates f9.pem
      --trust /etc/forekey/piv-roots
  Firmware from 5.7 on has further intermediates: give them too, in one file or in several. Order
  does not matter, and certificates that don't help are ignored.

Honest cards of any slot and firmware are valid unless an option asks for more; what was proved says
slot, serial, firmware and known weaknesses, PIN and touch policy, form factor, and the factors that a
session may claim ("piv-shared" alone for slots that other software uses: 9a, 9d, 9e).

The certificate of a card without attestation (trust: its issuing CA):
  ... --card-certificate --certificate card.pem --trust /etc/forekey/agency --crl agency.crl
  Nothing but --policy-oid says that its key is in hardware; without it the factor is "cert".

That you hold the card's key is not asked here: the gate asks for a signature at enrolment.
)";

const std::pair<const char*, uint8_t> kFormFactors[] = {
    {"usb-a-keychain", 1},  {"usb-a-nano", 2}, {"usb-c-keychain", 3}, {"usb-c-nano", 4},
    {"usb-c-lightning", 5}, {"usb-a-bio", 6},  {"usb-c-bio", 7}};

class VerifyPiv : public VerifyKind {
 public:
  absl::string_view name() const override { return "piv"; }
  std::string Help() const override { return kPivHelp; }

  void AddOptions(CLI::App& command) override {
    const auto many = [&command](const char* name, std::vector<std::string>& values,
                                 const char* text) {
      return command.add_option(name, values, text)
          ->expected(1)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    };
    command.add_option("--certificate", certificate_, "The slot's attestation, or its certificate")
        ->type_name("FILE");
    command
        .add_option("--public-key", public_key_,
                    "The key that it must be of: a certificate or SubjectPublicKeyInfo, DER or PEM")
        ->type_name("FILE");
    command.add_flag("--card-certificate", card_certificate_,
                     "--certificate is an issuing CA's, not an attestation");
    many("--crl", crls_, "Revocation list, DER or PEM; may be repeated")->type_name("FILE");
    many("--slot", slots_, "Take this slot (9c, 82, ...) alone; may be repeated");
    command.add_flag("--refuse-shared", refuse_shared_,
                     "Refuse slots, or certificates, that other software signs with");
    command.add_option("--require-pin", require_pin_, "At least this PIN policy")
        ->check(CLI::IsMember({"once", "always"}));
    command.add_option("--require-touch", require_touch_, "At least this touch policy")
        ->check(CLI::IsMember({"cached", "always"}));
    command.add_option("--min-firmware", min_firmware_, "Refuse older firmware")
        ->type_name("5.7.0");
    command.add_flag("--fips", fips_, "FIPS models only");
    many("--form-factor", form_factors_, "Take this form factor alone; may be repeated")
        ->check(CLI::IsMember({"usb-a-keychain", "usb-a-nano", "usb-c-keychain", "usb-c-nano",
                               "usb-c-lightning", "usb-a-bio", "usb-c-bio"}));
    many("--serial", serials_, "Take this serial number alone; may be repeated");
    command
        .add_option("--refuse-weak-firmware", refuse_weak_,
                    "Refuse known weaknesses: those by which the key can be computed from what "
                    "everybody sees (recoverable), or all")
        ->check(CLI::IsMember({"recoverable", "all"}));
    many("--policy-oid", policy_oids_,
         "With --card-certificate: this policy means hardware, and one of them must hold");
    many("--eku", usages_, "With --card-certificate: one of these must be in extKeyUsage");
    many("--dedicated-eku", dedicated_,
         "With --card-certificate: this extKeyUsage is reserved for Forekey");
  }

  absl::StatusOr<VerifyReport> Run(const VerifyInputs& inputs) override {
    if (certificate_.empty() || inputs.trust.empty()) {
      return absl::InvalidArgumentError("--certificate and --trust are needed (see --help)");
    }
    if (!card_certificate_ && !(policy_oids_.empty() && usages_.empty() && dedicated_.empty())) {
      return absl::InvalidArgumentError(
          "--policy-oid, --eku and --dedicated-eku go with --card-certificate");
    }
    PivPolicy policy;
    FOREKEY_RETURN_IF_ERROR(ReadPolicy(&policy));
    // Everything is read before anything is judged, so that a missing file is never a verdict.
    FOREKEY_ASSIGN_OR_RETURN(const std::string content,
                             ReadEvidenceFile("--certificate", certificate_));
    std::string public_key;
    if (!public_key_.empty()) {
      FOREKEY_ASSIGN_OR_RETURN(public_key, ReadEvidenceFile("--public-key", public_key_));
    }
    std::vector<std::string> skipped;
    FOREKEY_ASSIGN_OR_RETURN(const TrustAnchors trust, LoadTrust(inputs.trust, &skipped));
    FOREKEY_ASSIGN_OR_RETURN(std::vector<Certificate> intermediates,
                             LoadIntermediates(inputs.intermediates, &skipped));
    std::vector<std::string> lists;
    for (const std::string& path : crls_) {
      FOREKEY_ASSIGN_OR_RETURN(lists.emplace_back(), ReadEvidenceFile("--crl", path));
    }
    nlohmann::json proved = nlohmann::json::object();
    if (!skipped.empty()) proved["skipped"] = skipped;
    policy.trust = &trust;
    policy.firmware = &inputs.firmware;
    policy.time = inputs.at;
    policy.max_intermediates = intermediates.size() + 64;  // they are the administrator's own
    for (const std::string& bytes : lists) {
      absl::StatusOr<RevocationList> list = RevocationList::Parse(bytes);
      if (!list.ok()) return RefusedOr(list.status(), std::move(proved));
      policy.revocation.push_back(*std::move(list));
    }
    return Judge(content, public_key, std::move(intermediates), policy, std::move(proved));
  }

 private:
  absl::Status ReadPolicy(PivPolicy* policy) const {
    policy->allow_shared = !refuse_shared_;
    policy->fips_only = fips_;
    policy->hardware_policies = policy_oids_;
    policy->hardware_only = !policy_oids_.empty();
    policy->required_usages = usages_;
    policy->dedicated_usages = dedicated_;
    for (const std::string& text : slots_) {
      uint32_t slot = 0;
      if (!absl::SimpleHexAtoi(text, &slot) || slot > 0xff) {
        return absl::InvalidArgumentError(
            absl::StrCat("--slot takes 9c or 82, not \"", text, "\""));
      }
      policy->slots.insert(static_cast<uint8_t>(slot));
    }
    for (const std::string& text : serials_) {
      uint64_t serial = 0;
      if (!absl::SimpleAtoi(text, &serial)) {
        return absl::InvalidArgumentError(
            absl::StrCat("--serial takes a number, not \"", text, "\""));
      }
      policy->serial_allow.insert(serial);
    }
    for (const auto& [text, value] : kFormFactors) {
      const bool wanted =
          std::find(form_factors_.begin(), form_factors_.end(), text) != form_factors_.end();
      if (wanted) policy->form_factors.insert(value);
    }
    if (require_pin_ == "once") policy->pin = PivPolicy::Pin::kOnce;
    if (require_pin_ == "always") policy->pin = PivPolicy::Pin::kAlways;
    if (require_touch_ == "cached") policy->touch = PivPolicy::Touch::kCached;
    if (require_touch_ == "always") policy->touch = PivPolicy::Touch::kAlways;
    policy->weakness = refuse_weak_ == "all"           ? PivWeakness::kRefuseAll
                       : refuse_weak_ == "recoverable" ? PivWeakness::kRefuseRecoverable
                                                       : PivWeakness::kReport;
    if (min_firmware_.empty()) return absl::OkStatus();
    policy->min_firmware = ParsePivFirmwareText(min_firmware_);
    if (policy->min_firmware) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("--min-firmware takes 5.7.0, not \"", min_firmware_, "\""));
  }

  absl::StatusOr<VerifyReport> Judge(const std::string& content, const std::string& public_key,
                                     std::vector<Certificate> intermediates,
                                     const PivPolicy& policy, nlohmann::json proved) const {
    absl::StatusOr<std::vector<Certificate>> all = Certificate::ParseAll(content);
    if (!all.ok()) return RefusedOr(all.status(), std::move(proved));
    // The first of a bundle is the slot's; the others are as good as --intermediates.
    intermediates.insert(intermediates.end(), all->begin() + 1, all->end());
    absl::StatusOr<VerifiedAttestation> verified =
        card_certificate_ ? VerifyPivCertificate(all->front(), intermediates, policy)
                          : VerifyPivAttestation(all->front(), intermediates, policy);
    if (!verified.ok()) return RefusedOr(verified.status(), std::move(proved));
    proved.update(verified->proved());
    if (!public_key_.empty()) {
      const absl::StatusOr<std::string> spki = SpkiOf(public_key);
      if (!spki.ok()) return RefusedOr(spki.status(), std::move(proved));
      if (*spki != verified->key().spki()) {
        return VerifyReport::Refused(
            Refuse(Reason::kCredentialMismatch, "--public-key is another key"), std::move(proved));
      }
      proved["public_key_compared"] = true;
    }
    return VerifyReport::Valid(std::move(proved));
  }

  // In the canonical encoding, as VerifiedAttestation has it.
  static absl::StatusOr<std::string> SpkiOf(const std::string& content) {
    BioPtr bio(BIO_new_mem_buf(content.data(), static_cast<int>(content.size())));
    EvpPkeyPtr pem(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
    ERR_clear_error();
    if (pem != nullptr) {
      FOREKEY_ASSIGN_OR_RETURN(const PublicKey key, PublicKey::FromEvp(pem.get()));
      return key.spki();
    }
    if (const absl::StatusOr<Certificate> certificate = Certificate::Parse(content);
        certificate.ok()) {
      EVP_PKEY* borrowed = certificate->key();
      if (borrowed == nullptr) return Refuse(Reason::kKeyAlgorithm, "--public-key");
      FOREKEY_ASSIGN_OR_RETURN(const PublicKey key, PublicKey::FromEvp(borrowed));
      return key.spki();
    }
    FOREKEY_ASSIGN_OR_RETURN(const PublicKey key, PublicKey::FromSpki(content));
    return key.spki();
  }

  std::string certificate_, public_key_, require_pin_, require_touch_, min_firmware_, refuse_weak_;
  std::vector<std::string> crls_, slots_, form_factors_, serials_, policy_oids_, usages_,
      dedicated_;
  bool card_certificate_ = false, refuse_shared_ = false, fips_ = false;
};

}  // namespace

std::unique_ptr<VerifyKind> NewVerifyPiv() { return std::make_unique<VerifyPiv>(); }

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// Threats to the certification of a key, and what stands against each:
//  C1 a software key shown as a TPM's                  the AK's signature; the AK was activated
//  C2 a key that can leave the TPM, or came from outside
//                                                      fixedTPM, fixedParent, sensitiveDataOrigin
//  C3 an AK that signs what its owner likes            restricted: the TPM refuses to sign, with
//                                                      such a key, bytes that begin like a
//                                                      TPMS_ATTEST
//  C4 an AK that decrypts, so that MakeCredential could be answered by software that knows a parent
//                                                      decrypt clear, fixedTPM
//  C5 a true attestation of another time, enrolment or subject
//                                                      extraData
//  C6 a true attestation of another key, or this key's with other attributes
//                                                      the Name, recomputed over the public area
//  C7 a quote, an audit or a time attestation that reads like a certification
//                                                      magic and type
//  C8 collisions                                       no SHA-1, neither in Names nor in signatures
//  C9 bytes that one parser reads otherwise than another
//                                                      everything is consumed whole, sizes are
//                                                      exact
//  C10 a signature by another scheme than the AK's     scheme and hash are compared with the AK's
//                                                      own
//  C11 a version of the firmware that is none, as the TPM hid it
//                                                      it counts where the AK's qualified name
//                                                      says that it was not hidden
//  C12 a key, or an AK, whose private key follows from the public one
//                                                      roca_modulus.h
#include "src/verify/tpm_attestation.h"

#include <array>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/secret.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/verify/firmware_check.h"
#include "src/verify/roca_modulus.h"
#include "src/wire/tpm_attest.h"
#include "src/wire/tpm_signature.h"

namespace forekey {
namespace {

using namespace tpm;  // NOLINT: the constants of Part 2

constexpr uint32_t kInHardware = kFixedTpm | kFixedParent | kSensitiveDataOrigin;
constexpr uint32_t kNeverSet = kDecrypt | kEncryptedDuplication | kX509Sign;
// Who may use the key, and how: not what the attestation is about.
constexpr uint32_t kFree =
    kStClear | kUserWithAuth | kAdminWithPolicy | kFirmwareLimited | kSvnLimited | kNoDa;

bool IsStrongHash(uint16_t algorithm) {
  return algorithm == kAlgSha256 || algorithm == kAlgSha384 || algorithm == kAlgSha512;
}

// C2, C3, C4: the attributes, but for the free ones, are exactly `expected`.
absl::Status CheckAttributes(const TpmPublic& key, uint32_t expected, Reason reason) {
  const uint32_t actual = key.attributes() & ~kFree;
  if (actual == expected) return absl::OkStatus();
  std::string detail;
  if (const uint32_t missing = expected & ~actual; missing != 0) {
    absl::StrAppend(&detail, AttributesText(missing), " not set; ");
  }
  if (const uint32_t extra = actual & ~expected; extra != 0) {
    absl::StrAppend(&detail, AttributesText(extra), " set; ");
  }
  return Refuse(reason, absl::StrCat(detail, "they are ", AttributesText(key.attributes())));
}

absl::Status RefuseAlgorithm(absl::string_view whose, absl::string_view why) {
  return Refuse(Reason::kKeyAlgorithm, absl::StrCat(whose, " ", why));
}

// C8.
absl::Status CheckNameAlgorithm(const TpmPublic& key, absl::string_view whose) {
  if (IsStrongHash(key.name_algorithm())) return absl::OkStatus();
  return RefuseAlgorithm(whose,
                         absl::StrCat("has the nameAlg ", AlgorithmText(key.name_algorithm())));
}

absl::Status CheckSymmetric(const TpmPublic& key, absl::string_view whose) {
  if (key.symmetric().algorithm == kAlgNull) return absl::OkStatus();
  return RefuseAlgorithm(whose, "is a signing key with a symmetric algorithm");
}

// Restricted signing keys have their scheme in the public area (Part 1 §25.1.5).
absl::Status CheckAkScheme(const TpmPublic& ak) {
  const TpmPublic::Scheme& scheme = ak.scheme();
  const bool known = ak.is_rsa() ? scheme.algorithm == kAlgRsaSsa || scheme.algorithm == kAlgRsaPss
                                 : scheme.algorithm == kAlgEcdsa;
  if (known && IsStrongHash(scheme.hash)) return absl::OkStatus();
  return RefuseAlgorithm("the AK", absl::StrCat("has the scheme ", AlgorithmText(scheme.algorithm),
                                                " with ", AlgorithmText(scheme.hash)));
}

// The device key makes the signatures of its Algorithm (ES256, ES384, RS256) and may name that
// scheme.
absl::Status CheckKeyScheme(const TpmPublic& key, const PublicKey& public_key) {
  const TpmPublic::Scheme& scheme = key.scheme();
  if (scheme.algorithm == kAlgNull) return absl::OkStatus();
  const uint16_t hash = public_key.algorithm() == Algorithm::kEs384 ? kAlgSha384 : kAlgSha256;
  const uint16_t algorithm = key.is_rsa() ? kAlgRsaSsa : kAlgEcdsa;
  if (scheme.algorithm == algorithm && scheme.hash == hash) return absl::OkStatus();
  return RefuseAlgorithm("the key",
                         absl::StrCat("has the scheme ", AlgorithmText(scheme.algorithm), " with ",
                                      AlgorithmText(scheme.hash), ", which can't make ",
                                      AlgorithmName(public_key.algorithm())));
}

// C1, C8, C10.
absl::Status CheckSignature(const AttestationKey& ak, const TpmAttest& attest,
                            const TpmSignature& signature) {
  const TpmPublic::Scheme& scheme = ak.public_area().scheme();
  if (signature.algorithm != scheme.algorithm || signature.hash != scheme.hash) {
    return Refuse(
        Reason::kAttestSignature,
        absl::StrCat("it is ", AlgorithmText(signature.algorithm), " with ",
                     AlgorithmText(signature.hash), "; the AK's scheme is ",
                     AlgorithmText(scheme.algorithm), " with ", AlgorithmText(scheme.hash)));
  }
  absl::Status status =
      VerifyWithHash(ak.key().evp(), HashOf(signature.hash), signature.algorithm == kAlgRsaPss,
                     attest.bytes, signature.openssl);
  if (status.ok()) return status;
  return Refuse(Reason::kAttestSignature, "it is not by this AK over this attestation");
}

// Part 1, "Qualified Name": that of a primary key is the hash, by its nameAlg, of its
// hierarchy's handle and its Name.
std::string QualifiedNameOfPrimary(const TpmPublic& key, uint32_t hierarchy) {
  const std::string name = key.Name();
  const std::string hashed = ByteWriter().U32(hierarchy).Raw(name).bytes();
  std::array<uint8_t, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  const EVP_MD* md = HashOf(key.name_algorithm());
  if (md == nullptr ||
      EVP_Digest(hashed.data(), hashed.size(), digest.data(), &size, md, nullptr) != 1) {
    return "";
  }
  return ByteWriter().U16(key.name_algorithm()).Raw(View(digest.data(), size)).bytes();
}

// C11.
std::optional<uint64_t> ProvedFirmware(const TpmPublic& ak, const TpmAttest& attest) {
  for (const uint32_t hierarchy : {kHierarchyEndorsement, kHierarchyPlatform}) {
    const std::string plain = QualifiedNameOfPrimary(ak, hierarchy);
    if (!plain.empty() && plain == attest.qualified_signer) return attest.firmware_version;
  }
  return std::nullopt;
}

// The TPM as lists of firmware know it; what is not in its certificate is not known.
TokenFirmware FirmwareOf(const TpmDevice& device, std::optional<uint64_t> version) {
  const auto text = [&device](const char* member) {
    const auto found = device.proved.find(member);
    return found != device.proved.end() && found->is_string() ? found->get<std::string>() : "";
  };
  TokenFirmware firmware;
  firmware.kind = v1::TOKEN_KIND_TPM;
  if (device.proved.is_object()) {
    firmware.maker = TpmMakerOf(text("manufacturer_id"));
    firmware.model = text("model");
  }
  firmware.version = version;
  return firmware;
}

nlohmann::json Describe(const TpmPublic& ak, const TpmPublic& key, const PublicKey& public_key,
                        const TpmAttest& attest) {
  return {
      {"ak", ak.KeyText()},
      {"ak_name", absl::BytesToHexString(ak.Name())},
      {"ak_attributes", AttributesText(ak.attributes())},
      {"key", key.KeyText()},
      {"key_sha256", absl::BytesToHexString(Sha256(public_key.spki()))},
      {"key_name", absl::BytesToHexString(key.Name())},
      {"key_attributes", AttributesText(key.attributes())},
      {"key_has_policy", !key.auth_policy().empty()},
      {"key_no_da", key.Has(kNoDa)},
      {"extra_data", absl::BytesToHexString(attest.extra_data)},
      {"firmware_version", absl::StrFormat("%016x", attest.firmware_version)},
      {"clock_ms", attest.clock_ms},
      {"clock_safe", attest.safe},
      {"reset_count", attest.reset_count},
      {"restart_count", attest.restart_count},
  };
}

}  // namespace

absl::StatusOr<AttestationKey> VerifyAkPublic(absl::string_view ak_public) {
  FOREKEY_ASSIGN_OR_RETURN(TpmPublic ak, TpmPublic::Parse(ak_public));
  FOREKEY_RETURN_IF_ERROR(
      CheckAttributes(ak, kInHardware | kRestricted | kSign, Reason::kAkAttributes));
  FOREKEY_RETURN_IF_ERROR(CheckNameAlgorithm(ak, "the AK"));
  FOREKEY_RETURN_IF_ERROR(CheckSymmetric(ak, "the AK"));
  FOREKEY_RETURN_IF_ERROR(CheckAkScheme(ak));
  FOREKEY_ASSIGN_OR_RETURN(PublicKey key, ak.Key());
  FOREKEY_RETURN_IF_ERROR(CheckRocaModulus(key.evp(), Reason::kKeyAlgorithm, "the AK's"));  // C12
  return AttestationKey(std::move(ak), std::move(key));
}

absl::StatusOr<VerifiedAttestation> VerifyTpmKey(const AttestationKey& ak,
                                                 const TpmKeyEvidence& evidence,
                                                 absl::string_view extra_data,
                                                 const TpmDevice& device) {
  if (extra_data.empty()) return absl::InvalidArgumentError("the expected extraData is empty");
  FOREKEY_ASSIGN_OR_RETURN(TpmPublic key, TpmPublic::Parse(evidence.key_public));
  FOREKEY_ASSIGN_OR_RETURN(TpmAttest attest, TpmAttest::ParseCertify(evidence.certify_info));  // C7
  FOREKEY_ASSIGN_OR_RETURN(TpmSignature signature, TpmSignature::Parse(evidence.signature));

  // What costs nothing comes before the signature; nothing is believed until it verified.
  if (!ConstantTimeEqual(attest.extra_data, extra_data)) {  // C5
    return Refuse(Reason::kAttestExtraData,
                  attest.extra_data.empty()
                      ? "it is empty"
                      : absl::StrCat("it is ", absl::BytesToHexString(attest.extra_data)));
  }
  FOREKEY_RETURN_IF_ERROR(CheckNameAlgorithm(key, "the key"));
  if (!ConstantTimeEqual(attest.name, key.Name())) {  // C6
    return Refuse(Reason::kAttestName,
                  absl::StrCat("the attestation is of ", absl::BytesToHexString(attest.name),
                               ", the public area is of ", absl::BytesToHexString(key.Name())));
  }
  FOREKEY_RETURN_IF_ERROR(CheckAttributes(key, kInHardware | kSign, Reason::kKeyAttributes));
  FOREKEY_RETURN_IF_ERROR(CheckSymmetric(key, "the key"));
  FOREKEY_ASSIGN_OR_RETURN(PublicKey public_key, key.Key());
  FOREKEY_RETURN_IF_ERROR(CheckRocaModulus(public_key.evp(), Reason::kKeyAlgorithm, "the key's"));
  FOREKEY_RETURN_IF_ERROR(CheckKeyScheme(key, public_key));
  FOREKEY_RETURN_IF_ERROR(CheckSignature(ak, attest, signature));
  const std::optional<uint64_t> firmware = ProvedFirmware(ak.public_area(), attest);
  FOREKEY_RETURN_IF_ERROR(CheckFirmware(device.firmware, FirmwareOf(device, firmware)));

  nlohmann::json proved = device.proved.is_object() ? device.proved : nlohmann::json::object();
  proved.update(Describe(ak.public_area(), key, public_key, attest));
  proved["firmware_proved"] = firmware.has_value();
  if (firmware) proved["firmware"] = FirmwareText(v1::TOKEN_KIND_TPM, *firmware);
  return AttestationBuilder::Build(v1::TOKEN_KIND_TPM, std::move(public_key), device.device_id,
                                   {"tpm"}, std::move(proved));
}

}  // namespace forekey

// TPM attestation (WebAuthn Level 3 section 8.3; TPM 2.0 Library part 2, sections 10.12 and 12.2).
//
// Threats: a structure that the TPM did not make (magic), another of its attestations (type), one for
// another registration (extraData), one for another key (name), a key that the TPM got from software
// or may give away (attributes), any certificate of the maker in place of an AIK's (section 8.3.1).
//
// The statement's algorithm may be RS1, and in the field nearly always is: Windows Hello signs with
// SHA-1 whatever the credential's algorithm is. Here alone; collisions would have to be found in what
// the TPM itself composes, with its own clock and counters in it.
#include <openssl/obj_mac.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/verify/webauthn_certificate.h"
#include "src/verify/webauthn_statement.h"

namespace forekey {
namespace {

constexpr uint32_t kGenerated = 0xff544347;     // TPM_GENERATED_VALUE
constexpr uint16_t kAttestCertify = 0x8017;     // TPM_ST_ATTEST_CERTIFY
constexpr uint16_t kTypeRsa = 0x0001;
constexpr uint16_t kTypeEcc = 0x0023;
constexpr uint16_t kAlgNull = 0x0010;
constexpr uint16_t kAlgSha256 = 0x000b;
constexpr uint16_t kAlgRsassa = 0x0014;
constexpr uint16_t kAlgEcdsa = 0x0018;
constexpr uint16_t kCurveP256 = 0x0003;
constexpr uint16_t kCurveP384 = 0x0004;
constexpr uint32_t kDefaultExponent = 65537;
// TPMA_OBJECT.
constexpr uint32_t kFixedTpm = 0x00000002;
constexpr uint32_t kFixedParent = 0x00000010;
constexpr uint32_t kSensitiveDataOrigin = 0x00000020;
constexpr uint32_t kRestricted = 0x00010000;
constexpr uint32_t kSign = 0x00040000;

struct PublicArea {
  uint16_t name_alg = 0;
  uint32_t attributes = 0;
  PublicKey key;
};

absl::Status Unsupported(absl::string_view what) {
  return Refuse(Reason::kKeyAlgorithm, absl::StrCat("pubArea: ", what));
}

// A signing scheme: null, or the one that suits the type, with its hash.
bool TakeScheme(ByteReader& reader, uint16_t suitable) {
  const uint16_t scheme = reader.U16();
  if (scheme == suitable) reader.U16();
  return scheme == kAlgNull || scheme == suitable;
}

absl::StatusOr<PublicKey> TakeRsa(ByteReader& reader) {
  if (reader.U16() != kAlgNull) return Unsupported("a symmetric algorithm");
  if (!TakeScheme(reader, kAlgRsassa)) return Unsupported("the scheme");
  const uint16_t bits = reader.U16();
  const uint32_t exponent = reader.U32();
  const absl::string_view modulus = reader.Len2();
  if (!reader.Finished()) return MalformedStatement("pubArea does not parse");
  if (modulus.size() != bits / 8) return Unsupported("a modulus of another size");
  return PublicKey::FromRsa(modulus, exponent == 0 ? kDefaultExponent : exponent);
}

absl::StatusOr<PublicKey> TakeEcc(ByteReader& reader) {
  if (reader.U16() != kAlgNull) return Unsupported("a symmetric algorithm");
  if (!TakeScheme(reader, kAlgEcdsa)) return Unsupported("the scheme");
  const uint16_t curve = reader.U16();
  if (reader.U16() != kAlgNull) return Unsupported("a key derivation scheme");
  std::string x(reader.Len2());
  std::string y(reader.Len2());
  if (!reader.Finished()) return MalformedStatement("pubArea does not parse");
  if (curve != kCurveP256 && curve != kCurveP384) return Unsupported("the curve");
  const size_t size = curve == kCurveP256 ? 32 : 48;
  if (x.size() > size || y.size() > size) return Unsupported("a coordinate of another size");
  // TPMs may leave leading zeros out.
  x.insert(0, size - x.size(), '\0');
  y.insert(0, size - y.size(), '\0');
  return PublicKey::FromEcPoint(curve == kCurveP256 ? NID_X9_62_prime256v1 : NID_secp384r1, x, y);
}

// TPMT_PUBLIC, section 12.2.4.
absl::StatusOr<PublicArea> ParsePublicArea(absl::string_view bytes) {
  ByteReader reader(bytes);
  const uint16_t type = reader.U16();
  const uint16_t name_alg = reader.U16();
  const uint32_t attributes = reader.U32();
  reader.Len2();  // authPolicy
  if (!reader.ok()) return MalformedStatement("pubArea does not parse");
  if (type != kTypeRsa && type != kTypeEcc) return Unsupported("the key type");
  FOREKEY_ASSIGN_OR_RETURN(PublicKey key, type == kTypeRsa ? TakeRsa(reader) : TakeEcc(reader));
  return PublicArea{name_alg, attributes, std::move(key)};
}

absl::Status CheckPublicArea(const PublicArea& area, const StatementInput& input) {
  if (area.key.spki() != input.data.attested->key.key.spki()) {
    return Refuse(Reason::kCredentialMismatch, "pubArea is not the credential's key");
  }
  if (area.name_alg != kAlgSha256) return Unsupported("a name algorithm other than SHA-256");
  const std::string shown = absl::StrCat("attributes 0x", absl::Hex(area.attributes));
  if ((area.attributes & kSign) == 0 || (area.attributes & kRestricted) != 0) {
    return Refuse(Reason::kKeyAttributes, shown);
  }
  constexpr uint32_t kFixed = kFixedTpm | kFixedParent | kSensitiveDataOrigin;
  if (input.policy.require_fixed_tpm_key && (area.attributes & kFixed) != kFixed) {
    return Refuse(Reason::kKeyAttributes, shown);
  }
  return absl::OkStatus();
}

// TPMS_ATTEST, section 10.12.8.
absl::Status CheckCertInfo(absl::string_view bytes, absl::string_view extra_data,
                           absl::string_view name) {
  ByteReader reader(bytes);
  const uint32_t magic = reader.U32();
  const uint16_t type = reader.U16();
  reader.Len2();   // qualifiedSigner
  const absl::string_view actual_extra = reader.Len2();
  reader.Raw(17);  // TPMS_CLOCK_INFO
  reader.Raw(8);   // firmwareVersion
  if (!reader.ok()) return MalformedStatement("certInfo does not parse");
  if (magic != kGenerated) return Refuse(Reason::kAttestMagic);
  if (type != kAttestCertify) return Refuse(Reason::kAttestType);
  const absl::string_view actual_name = reader.Len2();
  reader.Len2();   // qualifiedName
  if (!reader.Finished()) return MalformedStatement("certInfo does not parse");
  if (actual_extra != extra_data) {
    return Refuse(Reason::kAttestExtraData, "extraData is not the hash of this registration");
  }
  if (actual_name != name) return Refuse(Reason::kAttestName);
  return absl::OkStatus();
}

// The hash of the registration, by the statement's algorithm.
absl::StatusOr<std::string> HashToBeSigned(int64_t algorithm, absl::string_view message) {
  const EVP_MD* md = StatementHash(algorithm, /*allow_rs1=*/true);
  if (md == nullptr) {
    return Refuse(Reason::kAttestationAlgorithm, absl::StrCat("COSE algorithm ", algorithm));
  }
  switch (EVP_MD_get_size(md)) {
    case 20: return Sha1(message);
    case 32: return Sha256(message);
    case 48: return Sha384(message);
    default: return Sha512(message);
  }
}

}  // namespace

absl::StatusOr<StatementResult> VerifyTpmStatement(const StatementInput& input) {
  const CborValue& statement = input.object.statement;
  if (statement.Find("ecdaaKeyId") != nullptr) {
    return Refuse(Reason::kAttestationFormatRefused, "tpm by ECDAA");
  }
  FOREKEY_RETURN_IF_ERROR(
      OnlyMembers(statement, {"ver", "alg", "x5c", "sig", "certInfo", "pubArea"}));
  if (statement.Find("ver")->text() != absl::string_view("2.0")) {
    return MalformedStatement("ver is not 2.0");
  }
  FOREKEY_ASSIGN_OR_RETURN(const int64_t algorithm, StatementInteger(statement, "alg"));
  FOREKEY_ASSIGN_OR_RETURN(const absl::string_view signature, StatementBytes(statement, "sig"));
  FOREKEY_ASSIGN_OR_RETURN(const absl::string_view cert_info, StatementBytes(statement, "certInfo"));
  FOREKEY_ASSIGN_OR_RETURN(const absl::string_view pub_area, StatementBytes(statement, "pubArea"));
  StatementResult result;
  result.type = AttestationType::kAttCa;
  FOREKEY_ASSIGN_OR_RETURN(result.x5c, StatementCertificates(statement));

  FOREKEY_ASSIGN_OR_RETURN(const PublicArea area, ParsePublicArea(pub_area));
  FOREKEY_RETURN_IF_ERROR(CheckPublicArea(area, input));
  FOREKEY_ASSIGN_OR_RETURN(
      const std::string extra_data,
      HashToBeSigned(algorithm, absl::StrCat(input.object.auth_data, input.client_data_hash)));
  const std::string name =
      std::move(ByteWriter().U16(kAlgSha256).Raw(Sha256(pub_area))).bytes();
  FOREKEY_RETURN_IF_ERROR(CheckCertInfo(cert_info, extra_data, name));
  FOREKEY_RETURN_IF_ERROR(VerifyStatementSignature(result.x5c.front(), algorithm,
                                                   /*allow_rs1=*/true, cert_info, signature));
  FOREKEY_RETURN_IF_ERROR(CheckAikCertificate(result.x5c.front(), input.data.attested->aaguid,
                                              result.facts));
  result.understood_critical = AikCriticalExtensions();
  result.facts["statement_algorithm"] = algorithm;
  result.facts["tpm_key_attributes"] = absl::StrCat("0x", absl::Hex(area.attributes));
  return result;
}

}  // namespace forekey

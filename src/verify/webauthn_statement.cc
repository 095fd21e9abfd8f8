// SPDX-License-Identifier: Apache-2.0
#include "src/verify/webauthn_statement.h"

#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/public_key.h"
#include "src/verify/roca_modulus.h"

namespace forekey {
namespace {

constexpr size_t kMaxChain = 8;
constexpr size_t kMaxCertificateSize = 16384;
constexpr int kMinRsaBits = 2048;
constexpr int kMaxRsaBits = 8192;

constexpr int64_t kEs256 = -7;
constexpr int64_t kEdDsa = -8;
constexpr int64_t kEd448 = -53;
constexpr int64_t kEs384 = -35;
constexpr int64_t kEs512 = -36;
constexpr int64_t kPs256 = -37;
constexpr int64_t kRs256 = -257;
constexpr int64_t kRs384 = -258;
constexpr int64_t kRs512 = -259;

bool IsEdwards(int64_t algorithm) { return algorithm == kEdDsa || algorithm == kEd448; }

bool IsEcdsa(int64_t algorithm) {
  return algorithm == kEs256 || algorithm == kEs384 || algorithm == kEs512;
}

absl::Status WrongAlgorithm(int64_t algorithm, absl::string_view why) {
  return Refuse(Reason::kAttestationAlgorithm,
                absl::StrCat("COSE algorithm ", algorithm, ": ", why));
}

bool IsNamedNistCurve(EVP_PKEY* key) {
  char group[64] = {};
  if (EVP_PKEY_get_group_name(key, group, sizeof(group), nullptr) != 1) return false;
  const int nid = OBJ_sn2nid(group);
  return nid == NID_X9_62_prime256v1 || nid == NID_secp384r1 || nid == NID_secp521r1;
}

// The key must be of the algorithm's type and strong enough.
absl::Status CheckKeySuits(EVP_PKEY* key, int64_t algorithm) {
  const int type = EVP_PKEY_get_base_id(key);
  if (IsEcdsa(algorithm)) {
    if (type == EVP_PKEY_EC && IsNamedNistCurve(key)) return absl::OkStatus();
    return WrongAlgorithm(algorithm, "the certificate's key is on no NIST curve");
  }
  if (IsEdwards(algorithm)) {
    if (type == (algorithm == kEdDsa ? EVP_PKEY_ED25519 : EVP_PKEY_ED448)) return absl::OkStatus();
    return WrongAlgorithm(algorithm, "the certificate's key is of another curve");
  }
  const int bits = EVP_PKEY_get_bits(key);
  if (type != EVP_PKEY_RSA || bits < kMinRsaBits || bits > kMaxRsaBits) {
    return WrongAlgorithm(algorithm, "the certificate's key is not RSA of an accepted size");
  }
  if (HasSoundRsaExponent(key)) return absl::OkStatus();
  return WrongAlgorithm(algorithm,
                        "the certificate's key has an RSA exponent that is not accepted");
}

}  // namespace

absl::string_view AttestationTypeName(AttestationType type) {
  switch (type) {
    case AttestationType::kNone:
      return "none";
    case AttestationType::kSelf:
      return "self";
    case AttestationType::kBasic:
      return "basic";
    case AttestationType::kAttCa:
      return "attca";
  }
  return "unknown";
}

absl::Status MalformedStatement(absl::string_view what) {
  return Refuse(Reason::kEvidenceMalformed, absl::StrCat("attestation statement: ", what));
}

absl::StatusOr<absl::string_view> StatementBytes(const CborValue& statement,
                                                 absl::string_view name) {
  const CborValue* member = statement.Find(name);
  if (member == nullptr || !member->bytes()) {
    return MalformedStatement(absl::StrCat(name, " is missing or no byte string"));
  }
  return *member->bytes();
}

absl::StatusOr<int64_t> StatementInteger(const CborValue& statement, absl::string_view name) {
  const CborValue* member = statement.Find(name);
  if (member == nullptr || !member->integer()) {
    return MalformedStatement(absl::StrCat(name, " is missing or no integer"));
  }
  return *member->integer();
}

absl::StatusOr<std::vector<Certificate>> StatementCertificates(const CborValue& statement) {
  const CborValue* x5c = statement.Find("x5c");
  if (x5c == nullptr || !x5c->is_array()) return MalformedStatement("x5c is missing or no array");
  if (x5c->elements().empty() || x5c->elements().size() > kMaxChain) {
    return MalformedStatement(absl::StrCat("x5c of ", x5c->elements().size(), " certificates"));
  }
  std::vector<Certificate> certificates;
  for (const CborValue& element : x5c->elements()) {
    const auto der = element.bytes();
    if (!der || der->size() > kMaxCertificateSize) {
      return MalformedStatement("an element of x5c is no byte string, or too long");
    }
    auto certificate = Certificate::ParseDer(*der);
    if (certificate.ok()) {
      certificates.push_back(*std::move(certificate));
    } else if (certificates.empty()) {
      return certificate.status();
    }
  }
  return certificates;
}

absl::Status OnlyMembers(const CborValue& statement,
                         std::initializer_list<absl::string_view> names) {
  for (const absl::string_view name : names) {
    if (statement.Find(name) == nullptr) return MalformedStatement(absl::StrCat("no ", name));
  }
  if (statement.entries() != names.size()) return MalformedStatement("a member too many");
  return absl::OkStatus();
}

const EVP_MD* StatementHash(int64_t algorithm, bool allow_rs1) {
  switch (algorithm) {
    case kEs256:
    case kPs256:
    case kRs256:
      return EVP_sha256();
    case kEs384:
    case kRs384:
      return EVP_sha384();
    case kEs512:
    case kRs512:
      return EVP_sha512();
    case kCoseRs1:
      return allow_rs1 ? EVP_sha1() : nullptr;
    default:
      return nullptr;
  }
}

absl::Status VerifyStatementSignature(const Certificate& signer, int64_t algorithm, bool allow_rs1,
                                      absl::string_view message, absl::string_view signature) {
  EVP_PKEY* key = signer.key();
  if (key == nullptr) return WrongAlgorithm(algorithm, "the certificate's key is not understood");
  const EVP_MD* md = StatementHash(algorithm, allow_rs1);
  if (md == nullptr && !IsEdwards(algorithm)) return WrongAlgorithm(algorithm, "not accepted");
  FOREKEY_RETURN_IF_ERROR(CheckKeySuits(key, algorithm));
  FOREKEY_RETURN_IF_ERROR(
      CheckRocaModulus(key, Reason::kAttestationAlgorithm, "the attestation key's"));
  absl::Status status;
  if (IsEdwards(algorithm)) {
    FOREKEY_ASSIGN_OR_RETURN(const PublicKey edwards, PublicKey::FromEvp(key));
    status = edwards.Verify(message, signature);
  } else {
    status = VerifyWithHash(key, md, /*rsa_pss=*/algorithm == kPs256, message, signature);
  }
  return status.ok() ? status : Refuse(Reason::kAttestationSignature);
}

absl::StatusOr<StatementResult> VerifyNoneStatement(const StatementInput& input) {
  // Section 8.7: an empty map, so that nobody takes its content for something that was verified.
  FOREKEY_RETURN_IF_ERROR(OnlyMembers(input.object.statement, {}));
  StatementResult result;
  result.type = AttestationType::kNone;
  result.covers_authenticator_data = false;
  return result;
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/wire/cose_key.h"

#include <initializer_list>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

// RFC 9052 table 4, RFC 9053 tables 17 to 20, RFC 8230 table 4.
constexpr int64_t kKty = 1;
constexpr int64_t kAlg = 3;
constexpr int64_t kOkp = 1;
constexpr int64_t kEc2 = 2;
constexpr int64_t kRsa = 3;
constexpr int64_t kCrv = -1;  // EC2 and OKP
constexpr int64_t kX = -2;
constexpr int64_t kY = -3;
constexpr int64_t kModulus = -1;
constexpr int64_t kExponent = -2;

absl::Status Malformed(absl::string_view what) {
  return Refuse(Reason::kEvidenceMalformed, absl::StrCat("COSE key: ", what));
}

absl::StatusOr<int64_t> Integer(const CborValue& map, int64_t label) {
  const CborValue* value = map.Find(label);
  if (value == nullptr) return Malformed(absl::StrCat("no parameter ", label));
  const auto integer = value->integer();
  if (!integer) return Malformed(absl::StrCat("parameter ", label, " is no integer"));
  return *integer;
}

// A compressed point has a boolean for y: refused here as no byte string.
absl::StatusOr<absl::string_view> Bytes(const CborValue& map, int64_t label, size_t min,
                                        size_t max) {
  const CborValue* value = map.Find(label);
  if (value == nullptr) return Malformed(absl::StrCat("no parameter ", label));
  const auto bytes = value->bytes();
  if (!bytes) return Malformed(absl::StrCat("parameter ", label, " is no byte string"));
  if (bytes->size() < min || bytes->size() > max) {
    return Malformed(absl::StrCat("parameter ", label, " has ", bytes->size(), " bytes"));
  }
  return *bytes;
}

// Section 6.5.1: alg and nothing else that is optional; a private parameter (-4 and below) must
// never have come here.
absl::Status OnlyLabels(const CborValue& map, std::initializer_list<int64_t> labels) {
  for (size_t i = 0; i < map.entries(); ++i) {
    const auto label = map.key(i).integer();
    if (!label || !absl::c_linear_search(labels, *label)) return Malformed("a parameter too many");
  }
  return absl::OkStatus();
}

absl::Status WrongCurve(int64_t crv) {
  return Refuse(Reason::kKeyAlgorithm,
                absl::StrCat("COSE key: curve ", crv, " for this algorithm"));
}

absl::StatusOr<CoseKey> EcKey(const CborValue& map, const AlgorithmFacts& facts, bool from_u2f) {
  FOREKEY_RETURN_IF_ERROR(OnlyLabels(map, {kKty, kAlg, kCrv, kX, kY}));
  const bool may_lack_curve = from_u2f && facts.algorithm == Algorithm::kEs256;
  if (!may_lack_curve || map.Find(kCrv) != nullptr) {
    FOREKEY_ASSIGN_OR_RETURN(const int64_t crv, Integer(map, kCrv));
    if (crv != facts.cose_curve) return WrongCurve(crv);
  }
  FOREKEY_ASSIGN_OR_RETURN(const absl::string_view x, Bytes(map, kX, facts.size, facts.size));
  FOREKEY_ASSIGN_OR_RETURN(const absl::string_view y, Bytes(map, kY, facts.size, facts.size));
  FOREKEY_ASSIGN_OR_RETURN(PublicKey key, PublicKey::FromEcPoint(facts.nid, x, y));
  return CoseKey{std::move(key), std::string(x), std::string(y)};
}

absl::StatusOr<CoseKey> EdKey(const CborValue& map, const AlgorithmFacts& facts) {
  FOREKEY_RETURN_IF_ERROR(OnlyLabels(map, {kKty, kAlg, kCrv, kX}));
  FOREKEY_ASSIGN_OR_RETURN(const int64_t crv, Integer(map, kCrv));
  if (crv != facts.cose_curve) return WrongCurve(crv);
  FOREKEY_ASSIGN_OR_RETURN(const absl::string_view x, Bytes(map, kX, facts.size, facts.size));
  FOREKEY_ASSIGN_OR_RETURN(PublicKey key, PublicKey::FromEdwards(facts.algorithm, x));
  return CoseKey{std::move(key), "", ""};
}

absl::StatusOr<CoseKey> RsaKey(const CborValue& map) {
  FOREKEY_RETURN_IF_ERROR(OnlyLabels(map, {kKty, kAlg, kModulus, kExponent}));
  FOREKEY_ASSIGN_OR_RETURN(const absl::string_view n, Bytes(map, kModulus, 1, 1024));
  FOREKEY_ASSIGN_OR_RETURN(const absl::string_view e, Bytes(map, kExponent, 1, 4));
  // RFC 8230 section 4: the minimum number of octets.
  if (n[0] == 0 || e[0] == 0) return Malformed("a leading zero in an RSA parameter");
  uint32_t exponent = 0;
  for (char c : e) exponent = exponent << 8 | static_cast<uint8_t>(c);
  FOREKEY_ASSIGN_OR_RETURN(PublicKey key, PublicKey::FromRsa(n, exponent));
  return CoseKey{std::move(key), "", ""};
}

}  // namespace

absl::StatusOr<CoseKey> CoseKey::FromCbor(const CborValue& map, const CoseKeyOptions& options) {
  if (!map.is_map()) return Malformed("no map");
  FOREKEY_ASSIGN_OR_RETURN(const int64_t kty, Integer(map, kKty));
  FOREKEY_ASSIGN_OR_RETURN(const int64_t alg, Integer(map, kAlg));
  const auto algorithm = alg >= INT32_MIN && alg <= INT32_MAX
                             ? AlgorithmFromCose(static_cast<int>(alg))
                             : std::nullopt;
  if (!algorithm) {
    return Refuse(Reason::kKeyAlgorithm, absl::StrCat("COSE key: algorithm ", alg));
  }
  const AlgorithmFacts& facts = FactsOf(*algorithm);
  const int64_t expected_kty = facts.family == KeyFamily::kRsa       ? kRsa
                               : facts.family == KeyFamily::kEdwards ? kOkp
                                                                     : kEc2;
  if (kty != expected_kty) {
    return Refuse(Reason::kKeyAlgorithm,
                  absl::StrCat("COSE key: key type ", kty, " for algorithm ", alg));
  }
  if (kty == kEc2) return EcKey(map, facts, options.from_u2f);
  return kty == kOkp ? EdKey(map, facts) : RsaKey(map);
}

absl::StatusOr<CoseKey> CoseKey::Parse(absl::string_view bytes) {
  FOREKEY_ASSIGN_OR_RETURN(const CborValue map, CborValue::Parse(bytes));
  return FromCbor(map);
}

}  // namespace forekey

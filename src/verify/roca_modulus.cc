// SPDX-License-Identifier: Apache-2.0
#include "src/verify/roca_modulus.h"

#include <openssl/core_names.h>

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"
#include "src/crypto/openssl.h"

namespace forekey {
namespace {

bool IsPowerOf65537(uint64_t residue, uint64_t prime) {
  uint64_t power = 1;
  do {
    if (power == residue) return true;
    power = power * 65537 % prime;
  } while (power != 1);
  return false;
}

}  // namespace

bool HasRocaModulus(const EVP_PKEY* key) {
  if (!EVP_PKEY_is_a(key, "RSA") && !EVP_PKEY_is_a(key, "RSA-PSS")) return false;
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &raw) != 1) return false;
  const BignumPtr modulus(raw);
  // The primes of which 65537 generates less than the whole group.
  for (const uint64_t prime :
       {11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157}) {
    if (!IsPowerOf65537(BN_mod_word(modulus.get(), prime), prime)) return false;
  }
  return true;
}

absl::Status CheckRocaModulus(const EVP_PKEY* key, Reason reason, absl::string_view whose) {
  if (!HasRocaModulus(key)) return absl::OkStatus();
  return Refuse(reason,
                absl::StrCat(whose,
                             " RSA modulus is of the kind that Infineon's library made until 2017: "
                             "the private key can be computed from it (CVE-2017-15361); take an "
                             "elliptic-curve key"));
}

absl::Status CheckRocaIssuers(const VerifiedPath& path, size_t first) {
  const std::vector<Certificate>& certificates = path.certificates();
  for (size_t i = first; i + 1 < certificates.size(); ++i) {
    FOREKEY_RETURN_IF_ERROR(
        CheckRocaModulus(certificates[i].key(), Reason::kCertificateAlgorithm,
                         absl::StrCat("the CA's (", certificates[i].SubjectText(), ")")));
  }
  return absl::OkStatus();
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// RSA keys that Infineon's library made until 2017 (CVE-2017-15361, ROCA): in its TPMs and cards,
// whosever name is on them. The private key follows from the public one, so that it does not matter
// any more where it lives.
#ifndef FOREKEY_SRC_VERIFY_ROCA_MODULUS_H_
#define FOREKEY_SRC_VERIFY_ROCA_MODULUS_H_

#include <openssl/evp.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/base/reason.h"
#include "src/crypto/certificate.h"

namespace forekey {

// Whatever the firmware says: modulo each of a set of small primes the modulus is a power of 65537.
// True for one other RSA modulus in 2^27; false for other kinds of keys. `key` is not null.
bool HasRocaModulus(const EVP_PKEY* key);

// Refuses such a key with `reason`. `whose`: "the EK's".
absl::Status CheckRocaModulus(const EVP_PKEY* key, Reason reason, absl::string_view whose);

// Refuses (kCertificateAlgorithm) a path with such a key of a CA in it: whoever computes it issues
// what he likes. From its `first` certificate on, and below the anchor, which is trusted as it is.
absl::Status CheckRocaIssuers(const VerifiedPath& path, size_t first = 1);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_ROCA_MODULUS_H_

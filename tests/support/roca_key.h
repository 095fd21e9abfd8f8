// SPDX-License-Identifier: Apache-2.0
// An RSA key of 2048 bits as Infineon's library made them (CVE-2017-15361): its primes are
// k * M + (65537^a mod M), M a product of small primes. It signs like any other.
#ifndef FOREKEY_TESTS_SUPPORT_ROCA_KEY_H_
#define FOREKEY_TESTS_SUPPORT_ROCA_KEY_H_

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include <memory>

#include "src/crypto/openssl.h"

namespace forekey::testing {

inline BignumPtr NewRocaPrime(BN_CTX* context) {
  BignumPtr product(BN_new()), base(BN_new()), exponent(BN_new()), residue(BN_new()), k(BN_new()),
      prime(BN_new());
  BN_one(product.get());
  for (const BN_ULONG small :
       {2, 3, 5, 7, 11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157}) {
    BN_mul_word(product.get(), small);
  }
  BN_set_word(base.get(), 65537);
  do {
    BN_rand(exponent.get(), 64, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY);
    BN_mod_exp(residue.get(), base.get(), exponent.get(), product.get(), context);
    // Its two topmost bits set, so that two of them make 2048 bits.
    BN_rand(prime.get(), 1024, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ANY);
    BN_div(k.get(), nullptr, prime.get(), product.get(), context);
    BN_mul(prime.get(), k.get(), product.get(), context);
    BN_add(prime.get(), prime.get(), residue.get());
  } while (BN_num_bits(prime.get()) != 1024 || BN_check_prime(prime.get(), context, nullptr) != 1);
  return prime;
}

inline std::shared_ptr<EVP_PKEY> MakeRocaKey() {
  const std::unique_ptr<BN_CTX, OpenSslFree<BN_CTX_free>> context(BN_CTX_new());
  const BignumPtr p = NewRocaPrime(context.get()), q = NewRocaPrime(context.get());
  BignumPtr n(BN_new()), e(BN_new()), d(BN_new()), order(BN_new()), p1(BN_dup(p.get())),
      q1(BN_dup(q.get()));
  BN_mul(n.get(), p.get(), q.get(), context.get());
  BN_sub_word(p1.get(), 1);
  BN_sub_word(q1.get(), 1);
  BN_mul(order.get(), p1.get(), q1.get(), context.get());
  BN_set_word(e.get(), 65537);
  BN_mod_inverse(d.get(), e.get(), order.get(), context.get());
  const std::unique_ptr<OSSL_PARAM_BLD, OpenSslFree<OSSL_PARAM_BLD_free>> build(
      OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_N, n.get());
  OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
  OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_D, d.get());
  const std::unique_ptr<OSSL_PARAM, OpenSslFree<OSSL_PARAM_free>> parameters(
      OSSL_PARAM_BLD_to_param(build.get()));
  const EvpPkeyCtxPtr maker(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* key = nullptr;
  EVP_PKEY_fromdata_init(maker.get());
  if (EVP_PKEY_fromdata(maker.get(), &key, EVP_PKEY_KEYPAIR, parameters.get()) != 1) std::abort();
  return std::shared_ptr<EVP_PKEY>(EvpPkeyPtr(key));
}

// One for the whole program: it takes a while.
inline std::shared_ptr<EVP_PKEY> RocaKey() {
  static const auto* const key = new std::shared_ptr<EVP_PKEY>(MakeRocaKey());
  return *key;
}

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_SUPPORT_ROCA_KEY_H_

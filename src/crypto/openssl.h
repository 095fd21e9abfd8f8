// SPDX-License-Identifier: Apache-2.0
// One deleter an OpenSSL type, and OpenSSL's error queue as an absl::Status.
#ifndef FOREKEY_SRC_CRYPTO_OPENSSL_H_
#define FOREKEY_SRC_CRYPTO_OPENSSL_H_

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace forekey {

template <auto Function>
struct OpenSslFree {
  template <typename T>
  void operator()(T* object) const {
    Function(object);
  }
};

using BioPtr = std::unique_ptr<BIO, OpenSslFree<BIO_free_all>>;
using BignumPtr = std::unique_ptr<BIGNUM, OpenSslFree<BN_free>>;
using EcdsaSigPtr = std::unique_ptr<ECDSA_SIG, OpenSslFree<ECDSA_SIG_free>>;
using EvpCipherCtxPtr = std::unique_ptr<EVP_CIPHER_CTX, OpenSslFree<EVP_CIPHER_CTX_free>>;
using EvpMdCtxPtr = std::unique_ptr<EVP_MD_CTX, OpenSslFree<EVP_MD_CTX_free>>;
using EvpPkeyCtxPtr = std::unique_ptr<EVP_PKEY_CTX, OpenSslFree<EVP_PKEY_CTX_free>>;
using EvpPkeyPtr = std::unique_ptr<EVP_PKEY, OpenSslFree<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, OpenSslFree<X509_free>>;

// Takes OpenSSL's queued errors, empties the queue, and names the call that failed.
absl::Status OpenSslError(absl::string_view call);

// Ends the process unless `ok`: for calls that fail only without memory, randomness or the default
// provider, and after which nothing that Forekey does would be safe. Never for a peer's input.
void OrDie(bool ok, absl::string_view call);

}  // namespace forekey

#endif  // FOREKEY_SRC_CRYPTO_OPENSSL_H_

// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/public_key.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/rsa.h>
#include <sodium/crypto_core_ed25519.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/spki.h"

namespace forekey {
namespace {

constexpr size_t kMaxRsaSpkiSize = 600;  // 4096 bits take 550

constexpr int kMinRsaBits = 2048;
constexpr int kMaxRsaBits = 4096;
constexpr uint32_t kRsaExponent = 65537;

const EVP_MD* FetchOrDie(const char* name) {
  const EVP_MD* md = EVP_MD_fetch(nullptr, name, nullptr);
  OrDie(md != nullptr, "EVP_MD_fetch");
  return md;
}

const EVP_MD* HashOf(Algorithm algorithm) {
  static const EVP_MD* const sha256 = FetchOrDie("SHA256");
  static const EVP_MD* const sha384 = FetchOrDie("SHA384");
  static const EVP_MD* const sha512 = FetchOrDie("SHA512");
  if (algorithm == Algorithm::kEs512) return sha512;
  return algorithm == Algorithm::kEs384 ? sha384 : sha256;
}

absl::Status CheckRsa(EVP_PKEY* key, bool canonical) {
  if (!EVP_PKEY_is_a(key, "RSA")) {  // RSA-PSS keys have a type of their own
    return Refuse(Reason::kKeyAlgorithm, "not a key of an algorithm that is accepted");
  }
  BIGNUM* n = nullptr;
  BIGNUM* e = nullptr;
  bool read = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
              EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1;
  BignumPtr own_n(n), own_e(e);
  if (!read) return OpenSslError("EVP_PKEY_get_bn_param");
  if (BN_num_bits(n) < kMinRsaBits || BN_num_bits(n) > kMaxRsaBits || !BN_is_odd(n)) {
    return Refuse(Reason::kKeyAlgorithm,
                  absl::StrCat("RSA of ", BN_num_bits(n), " bits; 2048 to 4096 are accepted"));
  }
  if (!BN_is_word(e, kRsaExponent)) {
    return Refuse(Reason::kKeyAlgorithm, "an RSA exponent other than 65537");
  }
  if (!canonical) return Refuse(Reason::kKeyAlgorithm, "not the canonical encoding of the key");
  return absl::OkStatus();
}

// One INTEGER of an ECDSA signature: positive, minimal, no wider than the field.
bool SkipDerInteger(ByteReader& reader, size_t field_size) {
  if (reader.U8() != 0x02) return false;
  absl::string_view value = reader.Len1();
  if (!reader.ok() || value.empty()) return false;
  bool leading_zero = value[0] == 0;
  if (leading_zero && (value.size() == 1 || (U8(value)[1] & 0x80) == 0)) return false;
  if (!leading_zero && (U8(value)[0] & 0x80) != 0) return false;
  return value.size() - leading_zero <= field_size;
}

// SEQUENCE of two INTEGERs (RFC 3279 §2.2.3). Up to P-384's 104 bytes they fit a short-form length;
// P-521's take one more byte where they are longer than 127.
bool IsStrictEcdsaDer(absl::string_view signature, size_t field_size) {
  ByteReader reader(signature);
  if (reader.U8() != 0x30) return false;
  size_t head = 2, size = reader.U8();
  if (size == 0x81) {
    head = 3;
    size = reader.U8();
    if (size <= 0x7f) return false;
  } else if (size > 0x7f) {
    return false;
  }
  return reader.ok() && size == signature.size() - head && SkipDerInteger(reader, field_size) &&
         SkipDerInteger(reader, field_size) && reader.Finished();
}

// A context ready to verify with `key`, hash and padding set; null when OpenSSL can't.
EvpPkeyCtxPtr NewVerifyContext(EVP_PKEY* key, const EVP_MD* md, bool rsa_pss) {
  EvpPkeyCtxPtr context(EVP_PKEY_CTX_new(key, nullptr));
  if (context == nullptr || EVP_PKEY_verify_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_signature_md(context.get(), md) != 1) {
    return nullptr;
  }
  if (!EVP_PKEY_is_a(key, "RSA")) return context;
  int padding = rsa_pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;
  if (EVP_PKEY_CTX_set_rsa_padding(context.get(), padding) != 1 ||
      (rsa_pss && EVP_PKEY_CTX_set_rsa_pss_saltlen(context.get(), RSA_PSS_SALTLEN_AUTO) != 1)) {
    return nullptr;
  }
  return context;
}

absl::Status RefuseSignature(absl::string_view detail = "") {
  ERR_clear_error();
  return Refuse(Reason::kSignatureInvalid, detail);
}

// A key of small order verifies signatures that nobody made. Ed448's such points, of order 1, 2 and
// 4, are those with y = 1, -1 and 0; `raw` is y, little endian, and a byte whose top bit is x's
// sign. An encoding that is not the least one (y of p and more) is another key's or none.
bool IsSoundEd448Key(absl::string_view raw) {
  constexpr size_t kFieldSize = 56;
  // p = 2^448 - 2^224 - 1, little endian, less one.
  std::string minus_one(kFieldSize, '\xff');
  minus_one[0] = '\xfe';
  minus_one[28] = '\xfe';
  if (raw.size() != kFieldSize + 1 || (U8(raw)[kFieldSize] & 0x7f) != 0) return false;
  std::string y(raw.substr(0, kFieldSize));
  if (y == minus_one) return false;
  std::string one(kFieldSize, '\0');
  if (y == one) return false;
  one[0] = 1;
  if (y == one) return false;
  std::reverse(y.begin(), y.end());
  std::reverse(minus_one.begin(), minus_one.end());
  return y < minus_one;  // std::string compares its bytes as unsigned
}

absl::Status CheckEdwardsKey(Algorithm algorithm, absl::string_view raw) {
  if (algorithm == Algorithm::kEd448) {
    return IsSoundEd448Key(raw)
               ? absl::OkStatus()
               : Refuse(Reason::kKeyAlgorithm, "a point of small order, or no point of Ed448");
  }
  return crypto_core_ed25519_is_valid_point(U8(raw)) == 1
             ? absl::OkStatus()
             : Refuse(Reason::kKeyAlgorithm, "not a point of Ed25519's prime-order group");
}

absl::Status VerifyEdwards(EVP_PKEY* key, const AlgorithmFacts& facts, absl::string_view message,
                           absl::string_view signature) {
  if (signature.size() != facts.signature_size) {
    return RefuseSignature(
        absl::StrCat("an ", facts.curve, " signature has ", facts.signature_size, " bytes"));
  }
  EvpMdCtxPtr context(EVP_MD_CTX_new());
  if (context == nullptr ||
      EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key) != 1) {
    return OpenSslError("EVP_DigestVerifyInit");
  }
  if (EVP_DigestVerify(context.get(), U8(signature), signature.size(), U8(message),
                       message.size()) != 1) {
    return RefuseSignature();
  }
  return absl::OkStatus();
}

}  // namespace

struct PublicKey::Data {
  Data(EvpPkeyPtr k, Algorithm a, absl::string_view s)
      : key(std::move(k)), algorithm(a), facts(&FactsOf(a)), spki(s) {}
  ~Data() { EVP_PKEY_CTX_free(idle.load()); }
  EvpPkeyPtr key;
  Algorithm algorithm;
  const AlgorithmFacts* facts;
  std::string spki;
  // One context of this key that nobody is verifying with, or null. Setting up a context costs
  // OpenSSL about as much as a twentieth of a P-256 verification (fetches under locks), and only
  // one thread may use it at a time: whoever takes it out has it, whoever finds none makes one.
  mutable std::atomic<EVP_PKEY_CTX*> idle{nullptr};
};

PublicKey::PublicKey(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
Algorithm PublicKey::algorithm() const { return data_->algorithm; }
const std::string& PublicKey::spki() const { return data_->spki; }
EVP_PKEY* PublicKey::evp() const { return data_->key.get(); }

absl::StatusOr<PublicKey> PublicKey::FromSpki(absl::string_view spki) {
  Algorithm algorithm = Algorithm::kRs256;
  for (const AlgorithmFacts& facts : AllAlgorithms()) {
    if (facts.family == KeyFamily::kRsa) continue;
    const size_t key_size = facts.size * (facts.family == KeyFamily::kNistCurve ? 2 : 1);
    const size_t head_size = facts.spki_head.size();
    if (!absl::StartsWith(spki, facts.spki_head) || spki.size() != head_size + key_size) continue;
    algorithm = facts.algorithm;
    if (facts.family == KeyFamily::kEdwards) {
      FOREKEY_RETURN_IF_ERROR(CheckEdwardsKey(algorithm, spki.substr(head_size)));
    }
  }
  if (algorithm == Algorithm::kRs256 && spki.size() > kMaxRsaSpkiSize) {
    return Refuse(Reason::kKeyAlgorithm, "a public key of more than 600 bytes");
  }
  std::optional<EvpPkeyPtr> canonical = KeyOfCanonicalSpki(spki);
  const bool is_canonical = canonical.has_value();
  EvpPkeyPtr key = is_canonical ? *std::move(canonical) : KeyOfSpki(spki);
  if (key == nullptr) return Refuse(Reason::kKeyAlgorithm, "not a public key that can be read");
  if (algorithm == Algorithm::kRs256) {
    FOREKEY_RETURN_IF_ERROR(CheckRsa(key.get(), is_canonical));
  }
  return PublicKey(std::make_shared<const Data>(std::move(key), algorithm, spki));
}

absl::StatusOr<PublicKey> PublicKey::FromEvp(EVP_PKEY* key) { return FromSpki(SpkiOfKey(key)); }

absl::StatusOr<PublicKey> PublicKey::FromEcPoint(int nid, absl::string_view x,
                                                 absl::string_view y) {
  for (const AlgorithmFacts& facts : AllAlgorithms()) {
    if (facts.family != KeyFamily::kNistCurve || facts.nid != nid) continue;
    if (x.size() != facts.size || y.size() != facts.size) {
      return Refuse(Reason::kKeyAlgorithm, "coordinates of another size than the curve's");
    }
    return FromSpki(absl::StrCat(facts.spki_head, x, y));
  }
  return Refuse(Reason::kKeyAlgorithm, "a curve other than P-256, P-384 and P-521");
}

absl::StatusOr<PublicKey> PublicKey::FromRsa(absl::string_view modulus, uint32_t exponent) {
  while (!modulus.empty() && modulus.front() == 0) modulus.remove_prefix(1);
  if (modulus.size() > kMaxRsaBits / 8 || modulus.size() < kMinRsaBits / 8) {
    return Refuse(Reason::kKeyAlgorithm, "an RSA modulus outside 2048 to 4096 bits");
  }
  const EvpPkeyPtr key = RsaKey(modulus, exponent);
  if (key == nullptr) return OpenSslError("EVP_PKEY_fromdata(RSA)");
  return FromEvp(key.get());
}

absl::StatusOr<PublicKey> PublicKey::FromEd25519(absl::string_view raw) {
  return FromEdwards(Algorithm::kEdDsa, raw);
}

absl::StatusOr<PublicKey> PublicKey::FromEdwards(Algorithm algorithm, absl::string_view raw) {
  const AlgorithmFacts& facts = FactsOf(algorithm);
  if (facts.family != KeyFamily::kEdwards || raw.size() != facts.size) {
    return Refuse(Reason::kKeyAlgorithm,
                  absl::StrCat("an ", facts.name, " key of ", raw.size(), " bytes"));
  }
  return FromSpki(absl::StrCat(facts.spki_head, raw));
}

absl::Status PublicKey::Verify(absl::string_view message, absl::string_view signature) const {
  const Data& data = *data_;
  const AlgorithmFacts& facts = *data.facts;
  if (facts.family == KeyFamily::kEdwards) {
    return VerifyEdwards(data.key.get(), facts, message, signature);
  }
  if (facts.family == KeyFamily::kNistCurve && !IsStrictEcdsaDer(signature, facts.size)) {
    return RefuseSignature("not an ECDSA signature in strict DER");
  }
  const EVP_MD* md = HashOf(data.algorithm);
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned digest_size = 0;
  if (EVP_Digest(message.data(), message.size(), digest, &digest_size, md, nullptr) != 1) {
    return OpenSslError("EVP_Digest");
  }
  EvpPkeyCtxPtr context(data.idle.exchange(nullptr, std::memory_order_acquire));
  if (context == nullptr) context = NewVerifyContext(data.key.get(), md, /*rsa_pss=*/false);
  if (context == nullptr) return OpenSslError("EVP_PKEY_verify_init");
  bool good =
      EVP_PKEY_verify(context.get(), U8(signature), signature.size(), digest, digest_size) == 1;
  EVP_PKEY_CTX* empty = nullptr;
  if (data.idle.compare_exchange_strong(empty, context.get(), std::memory_order_release,
                                        std::memory_order_relaxed)) {
    static_cast<void>(context.release());
  }
  return good ? absl::OkStatus() : RefuseSignature();
}

bool HasSoundRsaExponent(EVP_PKEY* key) {
  BIGNUM* e = nullptr;
  const bool read = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1;
  const BignumPtr own_e(e);
  ERR_clear_error();
  return read && BN_is_odd(e) && !BN_is_one(e) && BN_num_bits(e) <= 32;
}

absl::Status VerifyWithHash(EVP_PKEY* key, const EVP_MD* md, bool rsa_pss,
                            absl::string_view message, absl::string_view signature) {
  bool rsa = EVP_PKEY_is_a(key, "RSA") == 1;
  if (!rsa && !EVP_PKEY_is_a(key, "EC")) return RefuseSignature("neither an RSA nor an EC key");
  if (rsa_pss && !rsa) return RefuseSignature("PSS asked of a key that is not RSA");
  size_t field_size = (EVP_PKEY_get_bits(key) + 7) / 8;
  if (!rsa && !IsStrictEcdsaDer(signature, field_size)) {
    return RefuseSignature("not an ECDSA signature in strict DER");
  }
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned digest_size = 0;
  if (EVP_Digest(message.data(), message.size(), digest, &digest_size, md, nullptr) != 1) {
    return OpenSslError("EVP_Digest");
  }
  EvpPkeyCtxPtr context = NewVerifyContext(key, md, rsa_pss);
  if (context == nullptr) return OpenSslError("EVP_PKEY_verify_init");
  if (EVP_PKEY_verify(context.get(), U8(signature), signature.size(), digest, digest_size) != 1) {
    return RefuseSignature();
  }
  return absl::OkStatus();
}

SoftwareKey::SoftwareKey(EvpPkeyPtr key, PublicKey public_key)
    : key_(std::move(key)), public_key_(std::move(public_key)) {}

absl::StatusOr<SoftwareKey> SoftwareKey::Ed25519FromSeed(absl::string_view seed) {
  if (seed.size() != 32) return absl::InvalidArgumentError("an Ed25519 seed has 32 bytes");
  EvpPkeyPtr key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, U8(seed), seed.size()));
  if (key == nullptr) return OpenSslError("EVP_PKEY_new_raw_private_key");
  FOREKEY_ASSIGN_OR_RETURN(PublicKey public_key, PublicKey::FromEvp(key.get()));
  return SoftwareKey(std::move(key), std::move(public_key));
}

SoftwareKey SoftwareKey::Generate(Algorithm algorithm) {
  const AlgorithmFacts& facts = FactsOf(algorithm);
  const std::string curve(facts.curve);
  EvpPkeyPtr key;
  switch (facts.family) {
    case KeyFamily::kNistCurve:
      key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve.c_str()));
      break;
    case KeyFamily::kEdwards:
      key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, curve.c_str()));
      break;
    case KeyFamily::kRsa:
      key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{kMinRsaBits}));
      break;
  }
  OrDie(key != nullptr, "EVP_PKEY_Q_keygen");
  absl::StatusOr<PublicKey> public_key = PublicKey::FromEvp(key.get());
  OrDie(public_key.ok(), "PublicKey::FromEvp of a new key");
  return SoftwareKey(std::move(key), *std::move(public_key));
}

std::string SoftwareKey::Sign(absl::string_view message) const {
  const Algorithm algorithm = public_key_.algorithm();
  const bool edwards = FactsOf(algorithm).family == KeyFamily::kEdwards;
  const EVP_MD* md = edwards ? nullptr : HashOf(algorithm);
  EvpMdCtxPtr context(EVP_MD_CTX_new());
  size_t size = EVP_PKEY_get_size(key_.get());
  std::string signature(size, '\0');
  OrDie(context != nullptr &&
            EVP_DigestSignInit(context.get(), nullptr, md, nullptr, key_.get()) == 1 &&
            EVP_DigestSign(context.get(), U8(signature), &size, U8(message), message.size()) == 1,
        "EVP_DigestSign");
  signature.resize(size);
  return signature;
}

}  // namespace forekey

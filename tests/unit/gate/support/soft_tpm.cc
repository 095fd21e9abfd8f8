// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/gate/support/soft_tpm.h"

#include <stdlib.h>

#include "absl/strings/escaping.h"
#include "openssl/core_names.h"
#include "openssl/rsa.h"
#include "src/base/bytes.h"
#include "src/crypto/digest.h"

namespace forekey::testing {
namespace {

// Part 2: algorithm, curve and structure numbers.
constexpr uint16_t kRsa = 0x0001, kAes = 0x0006, kSha256 = 0x000b, kNull = 0x0010, kEcdsa = 0x0018,
                   kEcc = 0x0023, kCfb = 0x0043, kNistP256 = 0x0003, kAttestCertify = 0x8017;

std::string Sized(const std::string& bytes) { return ByteWriter().Len2(bytes).bytes(); }

std::string NameOf(const std::string& sized_public) {
  return ByteWriter().U16(kSha256).Raw(Sha256(sized_public.substr(2))).bytes();
}

std::string BignumBytes(const BIGNUM* number, int size) {
  std::string bytes(size, '\0');
  BN_bn2binpad(number, U8(bytes), size);
  return bytes;
}

}  // namespace

SoftTpm::SoftTpm() : ek_(EVP_RSA_gen(2048)) {}

std::string SoftTpm::EkPublic() const {
  BIGNUM* modulus = nullptr;
  EVP_PKEY_get_bn_param(ek_.get(), OSSL_PKEY_PARAM_RSA_N, &modulus);
  const std::string unique = BignumBytes(modulus, 256);
  BN_free(modulus);
  return Sized(ByteWriter()
                   .U16(kRsa)
                   .U16(kSha256)
                   .U32(0x000300b2)
                   .Len2(absl::HexStringToBytes(
                       "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"))
                   .U16(kAes)
                   .U16(128)
                   .U16(kCfb)
                   .U16(kNull)
                   .U16(2048)
                   .U32(0)
                   .Len2(unique)
                   .bytes());
}

std::string SoftTpm::EkHash() const {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(ek_.get(), &der);
  const std::string hash = Sha256(View(der, size));
  OPENSSL_free(der);
  return hash;
}

std::string SoftTpm::EccPublic(const SoftwareKey& key, uint32_t attributes) {
  const std::string& spki = key.public_key().spki();
  const std::string point = spki.substr(spki.size() - 64);
  return Sized(ByteWriter()
                   .U16(kEcc)
                   .U16(kSha256)
                   .U32(attributes)
                   .Len2("")
                   .U16(kNull)
                   .U16(kEcdsa)
                   .U16(kSha256)
                   .U16(kNistP256)
                   .U16(kNull)
                   .Len2(point.substr(0, 32))
                   .Len2(point.substr(32))
                   .bytes());
}

std::string SoftTpm::Activate(absl::string_view credential_blob,
                              absl::string_view encrypted_secret) const {
  ByteReader sealed(encrypted_secret);
  const absl::string_view ciphertext = sealed.Len2();
  EvpPkeyCtxPtr ctx(EVP_PKEY_CTX_new(ek_.get(), nullptr));
  std::string seed(256, '\0');
  size_t seed_size = seed.size();
  char* label = static_cast<char*>(OPENSSL_memdup("IDENTITY", 9));
  if (EVP_PKEY_decrypt_init(ctx.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(ctx.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_CTX_set_rsa_oaep_md(ctx.get(), EVP_sha256()) != 1 ||
      EVP_PKEY_CTX_set0_rsa_oaep_label(ctx.get(), label, 9) != 1 ||
      EVP_PKEY_decrypt(ctx.get(), U8(seed), &seed_size, U8(ciphertext), ciphertext.size()) != 1) {
    return "not for this TPM";
  }
  seed.resize(seed_size);
  // KDFa (Part 1 §11.4.10.2), one round: 128 bits.
  const std::string input =
      ByteWriter().U32(1).Raw("STORAGE").U8(0).Raw(NameOf(AkPublic())).U32(128).bytes();
  const auto key = HmacSha256(seed).Mac({input});
  ByteReader outer(credential_blob);
  ByteReader object(outer.Len2());
  object.Len2();  // the integrity HMAC
  const absl::string_view encrypted = object.Rest();
  const std::string iv(16, '\0');
  std::string plain(encrypted.size(), '\0');
  int size = 0;
  EvpCipherCtxPtr cipher(EVP_CIPHER_CTX_new());
  EVP_DecryptInit_ex(cipher.get(), EVP_aes_128_cfb128(), nullptr, key.data(), U8(iv));
  EVP_DecryptUpdate(cipher.get(), U8(plain), &size, U8(encrypted),
                    static_cast<int>(encrypted.size()));
  return std::string(ByteReader(plain).Len2());
}

std::shared_ptr<EVP_PKEY> SoftTpm::ek() const {
  EVP_PKEY_up_ref(ek_.get());
  return {ek_.get(), EVP_PKEY_free};
}

SoftTpm::Certified SoftTpm::Certify(absl::string_view qualifying_data) const {
  // Part 1, "Qualified Name"; of a key under another it is some other value.
  const std::string ak_name = NameOf(AkPublic());
  const std::string signer =
      ak_hierarchy_ == 0 ? ak_name
                         : ByteWriter()
                               .U16(kSha256)
                               .Raw(Sha256(ByteWriter().U32(ak_hierarchy_).Raw(ak_name).bytes()))
                               .bytes();
  Certified certified;
  certified.info = ByteWriter()
                       .U32(0xff544347)
                       .U16(kAttestCertify)
                       .Len2(signer)
                       .Len2(qualifying_data)
                       .U64(123456)
                       .U32(7)
                       .U32(0)
                       .U8(1)
                       .U64(kFirmware)
                       .Len2(NameOf(KeyPublic()))
                       .Len2(NameOf(KeyPublic()))
                       .bytes();
  const std::string der = ak_->Sign(certified.info);
  const unsigned char* data = U8(absl::string_view(der));
  EcdsaSigPtr signature(d2i_ECDSA_SIG(nullptr, &data, static_cast<long>(der.size())));
  certified.signature = ByteWriter()
                            .U16(kEcdsa)
                            .U16(kSha256)
                            .Len2(BignumBytes(ECDSA_SIG_get0_r(signature.get()), 32))
                            .Len2(BignumBytes(ECDSA_SIG_get0_s(signature.get()), 32))
                            .bytes();
  return certified;
}

}  // namespace forekey::testing

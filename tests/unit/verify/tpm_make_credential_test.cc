// SPDX-License-Identifier: Apache-2.0
// Laws guarded: only the EK's private key opens a credential, and only for the Name it was made
// for. The opening here is written from Part 1 §24 with HMAC and SHA alone, not with the library's
// KDFs. (That a TPM opens it is tested in tests/interop.)
#include "src/verify/tpm_make_credential.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "src/base/reason.h"
#include "tests/support/certificate_maker.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tpm_evidence.h"

namespace forekey {
namespace {

using namespace forekey::testing;  // NOLINT: makers of structures

std::string Hmac(const EVP_MD* md, absl::string_view key, absl::string_view data) {
  std::string mac(EVP_MD_get_size(md), '\0');
  HMAC(md, key.data(), static_cast<int>(key.size()), U8(data), data.size(), U8(mac), nullptr);
  return mac;
}

std::string Hash(const EVP_MD* md, absl::string_view data) {
  std::string digest(EVP_MD_get_size(md), '\0');
  EVP_Digest(data.data(), data.size(), U8(digest), nullptr, md, nullptr);
  return digest;
}

// One round is enough for every size that is used here.
std::string KdfA(const EVP_MD* md, absl::string_view key, absl::string_view label,
                 absl::string_view context, unsigned bits) {
  return Hmac(md, key, Concat({Big32(1), label, std::string(1, '\0'), context, Big32(bits)}))
      .substr(0, bits / 8);
}

std::string OpenRsaSeed(EVP_PKEY* ek, const EVP_MD* md, absl::string_view encrypted) {
  EvpPkeyCtxPtr context(EVP_PKEY_CTX_new(ek, nullptr));
  EVP_PKEY_decrypt_init(context.get());
  EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING);
  EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), md);
  EVP_PKEY_CTX_set0_rsa_oaep_label(context.get(), OPENSSL_memdup("IDENTITY", 9), 9);
  std::string seed(512, '\0');
  size_t size = seed.size();
  if (EVP_PKEY_decrypt(context.get(), U8(seed), &size, U8(encrypted), encrypted.size()) != 1) {
    return "";
  }
  return seed.substr(0, size);
}

std::string OpenEccSeed(EVP_PKEY* ek, const EVP_MD* md, absl::string_view encrypted) {
  const size_t field = EVP_PKEY_get_bits(ek) / 8;
  ByteReader reader(encrypted);
  const std::string x(reader.Len2()), y(reader.Len2());
  EXPECT_TRUE(reader.Finished());
  EvpPkeyPtr peer(EVP_PKEY_new());
  EVP_PKEY_copy_parameters(peer.get(), ek);
  const std::string point = Concat({"\x04", x, y});
  EXPECT_EQ(
      EVP_PKEY_set1_encoded_public_key(peer.get(), U8(absl::string_view(point)), point.size()), 1);
  EvpPkeyCtxPtr context(EVP_PKEY_CTX_new(ek, nullptr));
  EVP_PKEY_derive_init(context.get());
  EVP_PKEY_derive_set_peer(context.get(), peer.get());
  std::string z(field, '\0');
  size_t size = field;
  EVP_PKEY_derive(context.get(), U8(z), &size);
  return Hash(md, Concat({Big32(1), z, absl::string_view("IDENTITY\0", 9), x,
                          BigParam(ek, OSSL_PKEY_PARAM_EC_PUB_X, field)}));
}

// TPM2_ActivateCredential. Empty where a TPM would refuse.
std::string Activate(const PublicSpec& ek, absl::string_view name,
                     const TpmCredential& credential) {
  const EVP_MD* md = ek.name_algorithm == 0x0c ? EVP_sha384() : EVP_sha256();
  const unsigned digest_bits = 8 * EVP_MD_get_size(md);
  ByteReader outer(credential.encrypted_secret);
  const absl::string_view encrypted_seed = outer.Len2();
  EXPECT_TRUE(outer.Finished());
  const std::string seed = EVP_PKEY_is_a(ek.key.get(), "RSA")
                               ? OpenRsaSeed(ek.key.get(), md, encrypted_seed)
                               : OpenEccSeed(ek.key.get(), md, encrypted_seed);
  ByteReader blob(credential.credential_blob);
  ByteReader inner(blob.Len2());
  EXPECT_TRUE(blob.Finished());
  const absl::string_view mac = inner.Len2();
  const absl::string_view encrypted = inner.Rest();
  const std::string mac_key = KdfA(md, seed, "INTEGRITY", "", digest_bits);
  if (Hmac(md, mac_key, Concat({encrypted, name})) != mac) return "";
  const std::string aes_key = KdfA(md, seed, "STORAGE", name, ek.aes_bits);
  const std::string iv(16, '\0');
  std::string plain(encrypted.size(), '\0');
  int size = 0;
  EvpCipherCtxPtr context(EVP_CIPHER_CTX_new());
  EVP_DecryptInit_ex(context.get(),
                     ek.aes_bits == 256 ? EVP_aes_256_cfb128() : EVP_aes_128_cfb128(), nullptr,
                     U8(absl::string_view(aes_key)), U8(absl::string_view(iv)));
  EVP_DecryptUpdate(context.get(), U8(plain), &size, U8(encrypted),
                    static_cast<int>(encrypted.size()));
  ByteReader secret(plain);
  const std::string result(secret.Len2());
  EXPECT_TRUE(secret.Finished());
  return result;
}

TEST(TpmMakeCredentialTest, OnlyTheEkOpensItForItsName) {
  const std::string name = Concat({Big16(0x0b), std::string(32, 'n')});
  for (const auto& key : {NewRsaKey(2048), NewRsaKey(3072), NewEcKey(), NewEcKey("P-384")}) {
    const PublicSpec spec = EkSpec(key);
    auto ek = TpmPublic::Parse(MakePublic(spec));
    ASSERT_THAT(ek, IsOk());
    auto credential = MakeCredential(*ek, name, Secret(std::string(32, 's')));
    ASSERT_THAT(credential, IsOk());
    EXPECT_EQ(Activate(spec, name, *credential), std::string(32, 's'));
    EXPECT_EQ(Activate(spec, Concat({Big16(0x0b), std::string(32, 'm')}), *credential), "");
    // Fresh seeds each time.
    EXPECT_NE(MakeCredential(*ek, name, Secret(std::string(32, 's')))->credential_blob,
              credential->credential_blob);
  }
}

TEST(TpmMakeCredentialTest, RefusesSizesThatDoNotFit) {
  auto ek = TpmPublic::Parse(MakePublic(EkSpec(NewEcKey())));
  EXPECT_THAT(MakeCredential(*ek, "name", Secret(std::string(33, 's'))),
              HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(MakeCredential(*ek, "name", Secret()), HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(MakeCredential(*ek, "", Secret(std::string(32, 's'))),
              HasCode(absl::StatusCode::kInvalidArgument));
  PublicSpec spec = EkSpec(NewEcKey());
  spec.aes_bits = 0;
  EXPECT_THAT(
      MakeCredential(*TpmPublic::Parse(MakePublic(spec)), "name", Secret(std::string(32, 's'))),
      RefusedWith(Reason::kEkUnsupported));
}

}  // namespace
}  // namespace forekey

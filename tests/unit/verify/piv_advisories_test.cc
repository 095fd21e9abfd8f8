// SPDX-License-Identifier: Apache-2.0
#include "src/verify/piv_advisories.h"

#include <gtest/gtest.h>

#include "src/crypto/openssl.h"

namespace forekey {
namespace {

std::string Ids(const PivFirmware& firmware, const PublicKey& key,
                std::optional<uint8_t> form_factor = std::nullopt) {
  std::string ids;
  for (const PivAdvisory& advisory :
       PivAdvisoriesFor(PivTokenFirmware(firmware, form_factor, key), key)) {
    ids += advisory.id + (advisory.key_recoverable ? "! " : " ");
  }
  return ids;
}

TEST(PivAdvisoriesTest, RocaIsOfRsaKeysOfItsFirmwareAlone) {
  const PublicKey rsa = SoftwareKey::Generate(Algorithm::kRs256).public_key();
  const PublicKey ec = SoftwareKey::Generate(Algorithm::kEs256).public_key();
  EXPECT_EQ(Ids({4, 2, 5}, rsa), "");
  EXPECT_EQ(Ids({4, 2, 6}, rsa), "YSA-2017-01! ");
  EXPECT_EQ(Ids({4, 3, 4}, rsa), "YSA-2017-01! ");
  EXPECT_EQ(Ids({4, 3, 5}, rsa), "");
  EXPECT_EQ(Ids({4, 3, 4}, ec), "");
}

TEST(PivAdvisoriesTest, BiasedNoncesAreOfTwoVersions) {
  const PublicKey ec = SoftwareKey::Generate(Algorithm::kEs384).public_key();
  EXPECT_EQ(Ids({4, 4, 2}, ec), "YSA-2019-02! ");
  EXPECT_EQ(Ids({4, 4, 4}, ec), "YSA-2019-02! ");
  EXPECT_EQ(Ids({4, 4, 5}, ec), "");
  EXPECT_EQ(Ids({4, 4, 3}, ec), "");
  // RSA keys of these are weaker, not lost; Ed25519 is made without a nonce of that kind.
  for (Algorithm algorithm : {Algorithm::kRs256, Algorithm::kEdDsa}) {
    EXPECT_EQ(Ids({4, 4, 2}, SoftwareKey::Generate(algorithm).public_key()), "");
    EXPECT_EQ(Ids({4, 4, 4}, SoftwareKey::Generate(algorithm).public_key()), "");
  }
}

TEST(PivAdvisoriesTest, EucleakEndsWith570AndWith572OnTheBio) {
  const PublicKey ec = SoftwareKey::Generate(Algorithm::kEs256).public_key();
  EXPECT_EQ(Ids({5, 6, 9}, ec, 1), "YSA-2024-03 ");
  EXPECT_EQ(Ids({5, 7, 0}, ec, 1), "");
  EXPECT_EQ(Ids({5, 7, 1}, ec, 6), "YSA-2024-03 ");
  EXPECT_EQ(Ids({5, 7, 1}, ec, 7), "YSA-2024-03 ");
  EXPECT_EQ(Ids({5, 7, 1}, ec, 5), "");
  EXPECT_EQ(Ids({5, 7, 1}, ec, 8), "");
  EXPECT_EQ(Ids({5, 7, 2}, ec, 6), "");
  EXPECT_EQ(Ids({5, 7, 2}, ec, 7), "");
  EXPECT_EQ(Ids({5, 0, 0}, ec), "YSA-2024-03 ");
  EXPECT_EQ(Ids({4, 9, 9}, ec), "");
  EXPECT_EQ(Ids({5, 4, 3}, SoftwareKey::Generate(Algorithm::kEs384).public_key()), "YSA-2024-03 ");
  EXPECT_EQ(Ids({5, 4, 3}, SoftwareKey::Generate(Algorithm::kEdDsa).public_key()), "");
  EXPECT_EQ(Ids({5, 4, 3}, SoftwareKey::Generate(Algorithm::kRs256).public_key()), "");
}

// p = k * M + (65537^a mod M), as the library made its primes, M the product of the first 39
// primes: the shape of the modulus is what is asked, so p and q need not be prime.
TEST(PivAdvisoriesTest, TellsARocaModulusByItsShape) {
  BN_CTX* context = BN_CTX_new();
  BignumPtr product(BN_new()), base(BN_new()), modulus(BN_new());
  BN_one(product.get());
  for (uint64_t prime = 2; prime <= 167; ++prime) {
    bool is_prime = true;
    for (uint64_t d = 2; d * d <= prime; ++d) is_prime = is_prime && prime % d != 0;
    if (is_prime) BN_mul_word(product.get(), prime);
  }
  BN_set_word(base.get(), 65537);
  const auto factor = [&](uint64_t exponent, int shift) {
    BignumPtr power(BN_new()), e(BN_new()), multiple(BN_new());
    BN_set_word(e.get(), exponent);
    BN_mod_exp(power.get(), base.get(), e.get(), product.get(), context);
    BN_lshift(multiple.get(), product.get(), shift);
    BN_add(power.get(), power.get(), multiple.get());
    return power;
  };
  const int shift = 1024 - BN_num_bits(product.get());
  // One of them a bit longer, so that the product has 2048 bits and not 2047.
  const BignumPtr p = factor(123456789, shift), q = factor(987654321, shift + 1);
  BN_mul(modulus.get(), p.get(), q.get(), context);
  BN_CTX_free(context);
  std::string bytes(BN_num_bytes(modulus.get()), '\0');
  BN_bn2bin(modulus.get(), reinterpret_cast<uint8_t*>(bytes.data()));
  const absl::StatusOr<PublicKey> key = PublicKey::FromRsa(bytes, 65537);
  ASSERT_TRUE(key.ok()) << key.status() << BN_num_bits(modulus.get());
  EXPECT_TRUE(HasRocaModulus(*key));
  EXPECT_EQ(Ids({5, 4, 3}, *key), "YSA-2017-01! ");
  EXPECT_EQ(Ids({4, 3, 1}, *key), "YSA-2017-01! ") << "once, though both say so";
  EXPECT_FALSE(HasRocaModulus(SoftwareKey::Generate(Algorithm::kRs256).public_key()));
  EXPECT_FALSE(HasRocaModulus(SoftwareKey::Generate(Algorithm::kEs256).public_key()));
}

}  // namespace
}  // namespace forekey

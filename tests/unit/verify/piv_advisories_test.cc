// SPDX-License-Identifier: Apache-2.0
#include "src/verify/piv_advisories.h"

#include <gtest/gtest.h>

#include "src/verify/roca_modulus.h"
#include "tests/support/roca_key.h"

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

TEST(PivAdvisoriesTest, TellsARocaModulusByItsShape) {
  const absl::StatusOr<PublicKey> key = PublicKey::FromEvp(testing::RocaKey().get());
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_TRUE(HasRocaModulus(key->evp()));
  EXPECT_EQ(Ids({5, 4, 3}, *key), "YSA-2017-01! ");
  EXPECT_EQ(Ids({4, 3, 1}, *key), "YSA-2017-01! ") << "once, though both say so";
  EXPECT_FALSE(HasRocaModulus(SoftwareKey::Generate(Algorithm::kRs256).evp()));
  EXPECT_FALSE(HasRocaModulus(SoftwareKey::Generate(Algorithm::kEs256).evp()));
}

}  // namespace
}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/public_key.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/rsa.h>

#include <atomic>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/crypto/random.h"
#include "tests/support/hex.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using testing::FromHex;
using testing::IsError;
using testing::IsOk;
using testing::RefusedWith;
using testing::ToHex;

constexpr absl::string_view kP256X =
    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6";
constexpr absl::string_view kP256Y =
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
constexpr absl::string_view kP256R =
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716";
constexpr absl::string_view kP256S =
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
constexpr absl::string_view kP256Order =
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

std::string DerInteger(absl::string_view bytes) { return ByteWriter().U8(2).Len1(bytes).bytes(); }
// `r` and `s` as they shall stand in the encoding.
std::string Signature(absl::string_view r, absl::string_view s) {
  return ByteWriter().U8(0x30).Len1(DerInteger(r) + DerInteger(s)).bytes();
}
std::string Positive(absl::string_view hex) {
  return absl::StrCat(absl::string_view("\0", 1), FromHex(hex));
}

PublicKey P256() {
  return *PublicKey::FromEcPoint(NID_X9_62_prime256v1, FromHex(kP256X), FromHex(kP256Y));
}

std::string SpkiOf(EVP_PKEY* key) {
  uint8_t* der = nullptr;
  int size = i2d_PUBKEY(key, &der);
  std::string spki(View(der, size));
  OPENSSL_free(der);
  return spki;
}

// RFC 6979 A.2.5 and A.2.6.
TEST(PublicKeyTest, VerifiesTheVectorsOfRfc6979) {
  EXPECT_THAT(P256().Verify("sample", Signature(Positive(kP256R), Positive(kP256S))), IsOk());
  auto p384 = PublicKey::FromEcPoint(
      NID_secp384r1,
      FromHex("ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64"
              "def8f0ea9055866064a254515480bc13"),
      FromHex("8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1"
              "288b231c3ae0d4fe7344fd2533264720"));
  ASSERT_THAT(p384, IsOk());
  EXPECT_EQ(p384->algorithm(), Algorithm::kEs384);
  EXPECT_THAT(p384->Verify("sample",
                           Signature(Positive("94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d"
                                              "64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46"),
                                     Positive("99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b"
                                              "6351d0a3a94fa329c145786e679e7b82c71a38628ac8"))),
              IsOk());
}

// RFC 8032 §7.1, TEST 1 and TEST 2.
TEST(PublicKeyTest, SignsAndVerifiesTheVectorsOfRfc8032) {
  struct Vector {
    absl::string_view seed, key, message, signature;
  };
  for (const Vector& v :
       {Vector{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
               "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
               "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
               "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
        Vector{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
               "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
               "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
               "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"}}) {
    auto key = SoftwareKey::Ed25519FromSeed(FromHex(v.seed));
    auto public_key = PublicKey::FromEd25519(FromHex(v.key));
    ASSERT_THAT(key, IsOk());
    ASSERT_THAT(public_key, IsOk());
    EXPECT_EQ(key->public_key().spki(), public_key->spki());
    EXPECT_EQ(ToHex(key->Sign(FromHex(v.message))), v.signature);
    EXPECT_THAT(public_key->Verify(FromHex(v.message), FromHex(v.signature)), IsOk());
  }
}

// RFC 6979 A.2.7, with SHA-512.
TEST(PublicKeyTest, VerifiesTheVectorOfRfc6979ForP521) {
  const auto key = PublicKey::FromEcPoint(NID_secp521r1,
                                          FromHex("01894550d0785932e00eaa23b694f213f8c3121f86dc97a0"
                                                  "4e5a7167db4e5bcd371123d46e45db6b5d5370a7f20fb6"
                                                  "33155d38ffa16d2bd761dcac474b9a2f5023a4"),
                                          FromHex("00493101c962cd4d2fddf782285e64584139c2f91b47f87f"
                                                  "f82354d6630f746a28a0db25741b5b34a828008b22acc2"
                                                  "3f924faafbd4d33f81ea66956dfeaa2bfdfcf5"));
  ASSERT_THAT(key, IsOk());
  EXPECT_EQ(key->algorithm(), Algorithm::kEs512);
  const std::string r = FromHex(
      "00c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f174e25a1ee9017b5d450606add15"
      "2b534931d7"
      "d4e8455cc91f9b15bf05ec36e377fa");
  const std::string s = FromHex(
      "00617cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308281b68af282623eaa63e5b5c0723d8b8c37f"
      "f0777b1a20"
      "f8ccb1dccc43997f1ee0e44da4a67a");
  // r keeps its zero, because of the bit after it. Both are longer than a short-form length tells.
  const std::string body = DerInteger(r) + DerInteger(s.substr(1));
  ASSERT_GT(body.size(), 127u);
  const auto wrap = [&](const std::string& head) { return "0" + head + body; };
  const std::string size(1, static_cast<char>(body.size()));
  EXPECT_THAT(key->Verify("sample", wrap("\x81" + size)), IsOk());
  const auto refused = RefusedWith(Reason::kSignatureInvalid);
  EXPECT_THAT(key->Verify("sample", wrap(size)), refused) << "a length that is a count of lengths";
  EXPECT_THAT(key->Verify("sample", wrap("\x82" + std::string(1, '\0') + size)), refused);
  EXPECT_THAT(key->Verify("sample", wrap("\x81" + size) + '\0'), refused);
  EXPECT_THAT(key->Verify("sample", wrap("\x80")), refused);
  EXPECT_THAT(key->Verify("sample", std::string("0\x81\x7f", 3) + body.substr(0, 127)), refused);
  EXPECT_THAT(key->Verify("sample", std::string("0\x81", 2)), refused);
  EXPECT_THAT(key->Verify("sample", "0"), refused);
  EXPECT_THAT(key->Verify("test", wrap("\x81" + size)), refused);
}

// RFC 8032 §7.4, "Blank" and "1 octet".
TEST(PublicKeyTest, VerifiesTheVectorsOfRfc8032ForEd448) {
  const auto blank = PublicKey::FromEdwards(
      Algorithm::kEd448,
      FromHex("5fd7449b59b461fd2ce787ec616ad46a1da1342485a70e1f8a0ea75d80e96778edf124769b46c7061"
              "bd6783df1e50f6cd1fa1abeafe8256180"));
  ASSERT_THAT(blank, IsOk());
  const std::string signature = FromHex(
      "533a37f6bbe457251f023c0d88f976ae2dfb504a843e34d2074fd823d41a591f2b233f034f628281f2fd7a22ddd4"
      "7d7828c59bd0"
      "a21bfd3980ff0d2028d4b18a9df63e006c5d1c2d345b925d8dc00b4104852db99ac5c7cdda8530a113a0f4dbb611"
      "49f05a736326"
      "8c71d95808ff2e652600");
  EXPECT_THAT(blank->Verify("", signature), IsOk());
  const auto refused = RefusedWith(Reason::kSignatureInvalid);
  EXPECT_THAT(blank->Verify("x", signature), refused);
  EXPECT_THAT(blank->Verify("", signature + '\0'), refused);
  EXPECT_THAT(blank->Verify("", signature.substr(0, 64)), refused);
  const auto octet = PublicKey::FromEdwards(
      Algorithm::kEd448,
      FromHex("43ba28f430cdff456ae531545f7ecd0ac834a55d9358c0372bfa0c6c6798c0866aea01eb00742802b"
              "8438ea4cb82169c235160627b4c3a9480"));
  ASSERT_THAT(octet, IsOk());
  EXPECT_THAT(
      octet->Verify(
          "\x03",
          FromHex(
              "26b8f91727bd62897af15e41eb43c377efb9c610d48f2335cb0bd0087810f4352541b143c4b981b7e1"
              "8f62de8ccdf633fc1bf037ab7cd779805e0dbcc0aae1cbcee1afb2e027df36bc04dcecbf154336c19f"
              "0af7e0a6472905e799f1953d2a0ff3348ab21aa4adafd1d234441cf807c03a00")),
      IsOk());
}

// Such a key would take a signature of anybody's over anything.
TEST(PublicKeyTest, RefusesEd448KeysOfSmallOrderAndOtherEncodings) {
  const auto refused = RefusedWith(Reason::kKeyAlgorithm);
  const auto key = [](std::string y, char sign) {
    y.resize(56, '\0');
    return PublicKey::FromEdwards(Algorithm::kEd448, y + sign);
  };
  std::string prime(56, '\xff');
  prime[28] = '\xfe';
  std::string minus_one = prime, plus_one = prime;
  minus_one[0] = '\xfe';
  plus_one = std::string(28, '\0') + '\xff' + std::string(27, '\xff');  // p + 1 = 1
  for (char sign : {'\0', '\x80'}) {
    EXPECT_THAT(key("", sign), refused) << "order 4";
    EXPECT_THAT(key("\x01", sign), refused) << "the neutral element";
    EXPECT_THAT(key(minus_one, sign), refused) << "order 2";
    EXPECT_THAT(key(prime, sign), refused) << "0, encoded otherwise";
    EXPECT_THAT(key(plus_one, sign), refused) << "1, encoded otherwise";
    EXPECT_THAT(key(std::string(56, '\xff'), sign), refused);
  }
  std::string good = SoftwareKey::Generate(Algorithm::kEd448).public_key().spki().substr(12);
  EXPECT_THAT(PublicKey::FromEdwards(Algorithm::kEd448, good), IsOk());
  good[56] |= 1;
  EXPECT_THAT(PublicKey::FromEdwards(Algorithm::kEd448, good), refused) << "bits without a meaning";
  EXPECT_THAT(PublicKey::FromEdwards(Algorithm::kEd448, good.substr(1)), refused);
  EXPECT_THAT(PublicKey::FromEdwards(Algorithm::kEs256, good.substr(0, 32)), refused);
}

class EveryAlgorithmTest : public ::testing::TestWithParam<Algorithm> {};
INSTANTIATE_TEST_SUITE_P(All, EveryAlgorithmTest,
                         ::testing::Values(Algorithm::kEs256, Algorithm::kEs384, Algorithm::kEs512,
                                           Algorithm::kEdDsa, Algorithm::kEd448, Algorithm::kRs256),
                         [](const auto& info) { return std::string(AlgorithmName(info.param)); });

TEST_P(EveryAlgorithmTest, GoesRoundAndSurvivesRefusals) {
  const SoftwareKey key = SoftwareKey::Generate(GetParam());
  auto public_key = PublicKey::FromSpki(key.public_key().spki());
  ASSERT_THAT(public_key, IsOk());
  EXPECT_EQ(public_key->algorithm(), GetParam());
  EXPECT_EQ(public_key->spki(), key.public_key().spki());
  const std::string signature = key.Sign("message");
  // Twice, with a refusal between: a context that is used again must not remember either.
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(public_key->Verify("message", signature), IsOk());
    EXPECT_THAT(public_key->Verify("messagf", signature), RefusedWith(Reason::kSignatureInvalid));
    EXPECT_THAT(public_key->Verify("", signature), RefusedWith(Reason::kSignatureInvalid));
  }
  EXPECT_THAT(SoftwareKey::Generate(GetParam()).public_key().Verify("message", signature),
              RefusedWith(Reason::kSignatureInvalid));
}

// TLS code on the same thread reads OpenSSL's error queue after its own calls: what a stranger's
// signature left there would end somebody else's connection.
TEST_P(EveryAlgorithmTest, LeavesNoErrorBehind) {
  const SoftwareKey key = SoftwareKey::Generate(GetParam());
  const std::string signature = key.Sign("message");
  for (const std::string& wrong : {std::string(), std::string("garbage"), signature + '\0',
                                   signature.substr(1), std::string(signature.size(), '\xff')}) {
    EXPECT_THAT(key.public_key().Verify("message", wrong), RefusedWith(Reason::kSignatureInvalid));
    EXPECT_EQ(ERR_peek_error(), 0u);
  }
  EXPECT_THAT(key.public_key().Verify("another", signature),
              RefusedWith(Reason::kSignatureInvalid));
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST_P(EveryAlgorithmTest, EveryBitOfTheSignatureCounts) {
  const SoftwareKey key = SoftwareKey::Generate(GetParam());
  const std::string signature = key.Sign("message");
  for (size_t at = 0; at < signature.size(); at += 7) {
    std::string changed = signature;
    changed[at] ^= 1 << at % 8;
    EXPECT_THAT(key.public_key().Verify("message", changed), RefusedWith(Reason::kSignatureInvalid))
        << at;
  }
}

TEST_P(EveryAlgorithmTest, VerifiesOnManyThreadsAtOnce) {
  const SoftwareKey key = SoftwareKey::Generate(GetParam());
  const std::string good = key.Sign("message");
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t, copy = key.public_key()] {
      for (int i = 0; i < 50; ++i) {
        const bool want = (i + t) % 2 == 0;
        wrong += copy.Verify(want ? "message" : "messagf", good).ok() != want;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_P(EveryAlgorithmTest, SpkiIsTheWholeBufferInOneEncoding) {
  const std::string spki = SoftwareKey::Generate(GetParam()).public_key().spki();
  auto refused = RefusedWith(Reason::kKeyAlgorithm);
  EXPECT_THAT(PublicKey::FromSpki(spki + '\0'), refused);
  EXPECT_THAT(PublicKey::FromSpki('\0' + spki), refused);
  for (size_t size = 0; size < spki.size(); ++size) {
    EXPECT_THAT(PublicKey::FromSpki(spki.substr(0, size)), refused) << size;
  }
  // The outer length in a form one byte longer than DER's.
  absl::string_view body = absl::string_view(spki).substr(U8(spki)[1] < 0x80 ? 2 : 4);
  ByteWriter loose;
  loose.U8(0x30).U8(0x83).U8(0).U16(static_cast<uint16_t>(body.size())).Raw(body);
  EXPECT_THAT(PublicKey::FromSpki(loose.bytes()), refused);
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST(PublicKeyTest, RefusesGarbageAndOtherMessages) {
  auto refused = RefusedWith(Reason::kKeyAlgorithm);
  EXPECT_THAT(PublicKey::FromSpki(""), refused);
  EXPECT_THAT(PublicKey::FromSpki("-----BEGIN PUBLIC KEY-----\n"), refused);
  EXPECT_THAT(PublicKey::FromSpki(RandomBytes(91)), refused);
  EXPECT_THAT(PublicKey::FromSpki(std::string(1 << 20, '\x30')), refused);
  // A private key's DER is not a public key's.
  const SoftwareKey key = SoftwareKey::Generate(Algorithm::kEs256);
  uint8_t* der = nullptr;
  int size = i2d_PrivateKey(key.evp(), &der);
  EXPECT_THAT(PublicKey::FromSpki(View(der, size)), refused);
  OPENSSL_clear_free(der, size);
}

TEST(PublicKeyTest, RefusesOtherKindsOfKey) {
  auto refused = RefusedWith(Reason::kKeyAlgorithm);
  for (const char* curve : {"P-224", "secp256k1", "brainpoolP256r1", "brainpoolP512r1"}) {
    EvpPkeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve));
    ASSERT_NE(key, nullptr) << curve;
    EXPECT_THAT(PublicKey::FromEvp(key.get()), refused) << curve;
  }
  for (const char* type : {"X25519", "X448"}) {
    EvpPkeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, type));
    ASSERT_NE(key, nullptr) << type;
    EXPECT_THAT(PublicKey::FromEvp(key.get()), refused) << type;
  }
  // A key that is RSA-PSS's alone has an AlgorithmIdentifier of its own.
  EvpPkeyCtxPtr context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA-PSS", nullptr));
  EVP_PKEY* pss = nullptr;
  ASSERT_EQ(EVP_PKEY_keygen_init(context.get()), 1);
  ASSERT_EQ(EVP_PKEY_generate(context.get(), &pss), 1);
  EvpPkeyPtr own(pss);
  EXPECT_THAT(PublicKey::FromEvp(pss), refused);
}

TEST(PublicKeyTest, RefusesExplicitCurveParameters) {
  const SoftwareKey key = SoftwareKey::Generate(Algorithm::kEs256);
  EvpPkeyPtr copy(EVP_PKEY_dup(key.evp()));
  ASSERT_EQ(EVP_PKEY_set_utf8_string_param(copy.get(), OSSL_PKEY_PARAM_EC_ENCODING, "explicit"), 1);
  const std::string spki = SpkiOf(copy.get());
  ASSERT_GT(spki.size(), 200u);
  EXPECT_THAT(PublicKey::FromSpki(spki), RefusedWith(Reason::kKeyAlgorithm));
}

TEST(PublicKeyTest, RefusesCompressedAndHybridPoints) {
  const SoftwareKey key = SoftwareKey::Generate(Algorithm::kEs256);
  EvpPkeyPtr copy(EVP_PKEY_dup(key.evp()));
  ASSERT_EQ(EVP_PKEY_set_utf8_string_param(copy.get(), OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                           "compressed"),
            1);
  EXPECT_THAT(PublicKey::FromSpki(SpkiOf(copy.get())), RefusedWith(Reason::kKeyAlgorithm));
  std::string hybrid = key.public_key().spki();
  ASSERT_EQ(hybrid[26], 4);
  hybrid[26] = static_cast<char>(6 | (hybrid.back() & 1));
  EXPECT_THAT(PublicKey::FromSpki(hybrid), RefusedWith(Reason::kKeyAlgorithm));
}

TEST(PublicKeyTest, RefusesPointsThatAreNotOnTheCurve) {
  std::string y = FromHex(kP256Y);
  y[31] ^= 1;
  auto refused = RefusedWith(Reason::kKeyAlgorithm);
  EXPECT_THAT(PublicKey::FromEcPoint(NID_X9_62_prime256v1, FromHex(kP256X), y), refused);
  EXPECT_THAT(
      PublicKey::FromEcPoint(NID_X9_62_prime256v1, std::string(32, '\0'), std::string(32, '\0')),
      refused);
  EXPECT_THAT(PublicKey::FromEcPoint(NID_X9_62_prime256v1, std::string(32, '\xff'),
                                     std::string(32, '\xff')),
              refused);
}

TEST(PublicKeyTest, RefusesCoordinatesOfAnotherSizeAndOtherCurves) {
  auto refused = RefusedWith(Reason::kKeyAlgorithm);
  const std::string x = FromHex(kP256X), y = FromHex(kP256Y);
  EXPECT_THAT(PublicKey::FromEcPoint(NID_X9_62_prime256v1, x.substr(1), y), refused);
  EXPECT_THAT(PublicKey::FromEcPoint(NID_X9_62_prime256v1, x, '\0' + y), refused);
  // The sizes must hold one by one: together these two have the right one.
  EXPECT_THAT(PublicKey::FromEcPoint(NID_X9_62_prime256v1, x + y[0], y.substr(1)), refused);
  EXPECT_THAT(PublicKey::FromEcPoint(NID_secp384r1, x, y), refused);
  EXPECT_THAT(PublicKey::FromEcPoint(NID_secp256k1, x, y), refused);
}

TEST(PublicKeyTest, RefusesRsaOutsideItsBounds) {
  auto refused = RefusedWith(Reason::kKeyAlgorithm);
  auto modulus = [](size_t size) {
    return std::string(size, '\xff');
  };  // odd; its factors don't matter
  EXPECT_THAT(PublicKey::FromRsa(modulus(256), 65537), IsOk());
  EXPECT_THAT(PublicKey::FromRsa(modulus(512), 65537), IsOk());
  EXPECT_THAT(PublicKey::FromRsa(modulus(128), 65537), refused);
  EXPECT_THAT(PublicKey::FromRsa(modulus(255), 65537), refused);
  EXPECT_THAT(PublicKey::FromRsa('\x7f' + modulus(255), 65537), refused);  // 2047 bits
  EXPECT_THAT(PublicKey::FromRsa('\x01' + modulus(512), 65537), refused);  // 4097 bits
  EXPECT_THAT(PublicKey::FromRsa(modulus(1024), 65537), refused);
  EXPECT_THAT(PublicKey::FromRsa("", 65537), refused);
  EXPECT_THAT(PublicKey::FromRsa(std::string(256, '\0'), 65537), refused);
  EXPECT_THAT(PublicKey::FromRsa(modulus(255) + '\xfe', 65537), refused);  // even
  for (uint32_t exponent : {0u, 1u, 3u, 17u, 65535u, 65539u, 4294967295u}) {
    EXPECT_THAT(PublicKey::FromRsa(modulus(256), exponent), refused) << exponent;
  }
  // From DER, where FromRsa's own checks do not stand in front.
  EvpPkeyPtr small(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{1024}));
  EXPECT_THAT(PublicKey::FromEvp(small.get()), refused);
}

TEST(PublicKeyTest, LeadingZerosOfAModulusAreNotPartOfTheKey) {
  const std::string modulus(256, '\xff');
  EXPECT_EQ(PublicKey::FromRsa(modulus, 65537)->spki(),
            PublicKey::FromRsa(std::string(3, '\0') + modulus, 65537)->spki());
}

TEST(PublicKeyTest, RefusesRsaWithoutItsNullParameters) {
  std::string spki = SoftwareKey::Generate(Algorithm::kRs256).public_key().spki();
  const size_t at = spki.find(std::string("\x05\x00", 2));
  ASSERT_EQ(at, 17u);
  spki.erase(at, 2);
  spki[5] -= 2;  // the AlgorithmIdentifier's length
  spki[3] -= 2;  // the whole's
  EXPECT_THAT(PublicKey::FromSpki(spki), RefusedWith(Reason::kKeyAlgorithm));
}

// With such a key, anybody has a signature that verifies for many messages.
TEST(PublicKeyTest, RefusesEd25519KeysOutsideThePrimeOrderGroup) {
  auto refused = RefusedWith(Reason::kKeyAlgorithm);
  for (absl::string_view hex : {
           "0100000000000000000000000000000000000000000000000000000000000000",
           "0000000000000000000000000000000000000000000000000000000000000000",
           "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
           // y = 1 written as p + 1
           "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           // no point at all
           "0200000000000000000000000000000000000000000000000000000000000000",
       }) {
    EXPECT_THAT(PublicKey::FromEd25519(FromHex(hex)), refused) << hex;
  }
  EXPECT_THAT(PublicKey::FromEd25519(std::string(31, 'k')), refused);
  EXPECT_THAT(PublicKey::FromEd25519(std::string(33, 'k')), refused);
}

TEST(PublicKeyTest, EcdsaSignaturesAreStrictDer) {
  const PublicKey key = P256();
  const std::string r = Positive(kP256R), s = Positive(kP256S);
  ASSERT_THAT(key.Verify("sample", Signature(r, s)), IsOk());
  const std::string zero(1, '\0');
  struct Case {
    absl::string_view what;
    std::string signature;
  };
  for (const Case& c : std::vector<Case>{
           {"empty", ""},
           {"an empty sequence", FromHex("3000")},
           {"bytes left over", Signature(r, s) + '\0'},
           {"bytes left over inside",
            ByteWriter().U8(0x30).Len1(DerInteger(r) + DerInteger(s) + '\0').bytes()},
           {"a third integer",
            ByteWriter().U8(0x30).Len1(DerInteger(r) + DerInteger(s) + DerInteger(s)).bytes()},
           {"one integer", ByteWriter().U8(0x30).Len1(DerInteger(r)).bytes()},
           {"a zero too many", Signature(zero + r, s)},
           {"another zero too many", Signature(r, zero + s)},
           {"negative r", Signature(FromHex(kP256R), s)},
           {"negative s", Signature(r, FromHex(kP256S))},
           {"an empty integer", Signature("", s)},
           {"a long length", FromHex("3081") + Signature(r, s).substr(1)},
           {"an indefinite length", FromHex("3080") + Signature(r, s).substr(2) + FromHex("0000")},
           {"a set", '\x31' + Signature(r, s).substr(1)},
           {"no integer",
            ByteWriter().U8(0x30).Len1(DerInteger(r) + '\x04' + DerInteger(s).substr(1)).bytes()},
           {"too wide", Signature(zero + '\x80' + std::string(32, '\1'), s)},
           {"raw r and s", FromHex(kP256R) + FromHex(kP256S)},
       }) {
    absl::Status status = key.Verify("sample", c.signature);
    EXPECT_THAT(status, RefusedWith(Reason::kSignatureInvalid)) << c.what;
    EXPECT_THAT(status, IsError(status.code(), "strict DER")) << c.what;
  }
  // Well-formed, but no values that a signature has.
  for (const std::string& wrong :
       {Signature(zero, s), Signature(r, zero), Signature(Positive(kP256Order), s),
        Signature(r, Positive(kP256Order)), Signature(Positive(std::string(64, 'f')), s)}) {
    EXPECT_THAT(key.Verify("sample", wrong), RefusedWith(Reason::kSignatureInvalid));
  }
}

// Tokens make them, and nothing here takes a signature for an identity.
TEST(PublicKeyTest, TakesBothHighAndLowS) {
  BignumPtr order(BN_new()), s(BN_new());
  BIGNUM* raw = order.get();
  ASSERT_GT(BN_hex2bn(&raw, std::string(kP256Order).c_str()), 0);
  raw = s.get();
  ASSERT_GT(BN_hex2bn(&raw, std::string(kP256S).c_str()), 0);
  ASSERT_EQ(BN_sub(s.get(), order.get(), s.get()), 1);
  std::string other(32, '\0');
  ASSERT_EQ(BN_bn2binpad(s.get(), U8(other), 32), 32);
  ASSERT_EQ(other[0] & 0x80, 0);
  EXPECT_THAT(P256().Verify("sample", Signature(Positive(kP256R), other)), IsOk());
}

std::string SignRsa(EVP_PKEY* key, const EVP_MD* md, int padding, int salt,
                    absl::string_view message) {
  EvpMdCtxPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* pkey = nullptr;
  size_t size = EVP_PKEY_get_size(key);
  std::string signature(size, '\0');
  EXPECT_EQ(EVP_DigestSignInit(context.get(), &pkey, md, nullptr, key), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(pkey, padding), 1);
  if (padding == RSA_PKCS1_PSS_PADDING) {
    EXPECT_EQ(EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, salt), 1);
  }
  EXPECT_EQ(EVP_DigestSign(context.get(), U8(signature), &size, U8(message), message.size()), 1);
  return signature;
}

TEST(PublicKeyTest, Rs256IsPkcs1WithSha256Alone) {
  const SoftwareKey key = SoftwareKey::Generate(Algorithm::kRs256);
  const PublicKey& public_key = key.public_key();
  auto refused = RefusedWith(Reason::kSignatureInvalid);
  EXPECT_THAT(public_key.Verify("m", SignRsa(key.evp(), EVP_sha256(), RSA_PKCS1_PADDING, 0, "m")),
              IsOk());
  EXPECT_THAT(
      public_key.Verify("m", SignRsa(key.evp(), EVP_sha256(), RSA_PKCS1_PSS_PADDING, 32, "m")),
      refused);
  EXPECT_THAT(public_key.Verify("m", SignRsa(key.evp(), EVP_sha1(), RSA_PKCS1_PADDING, 0, "m")),
              refused);
  EXPECT_THAT(public_key.Verify("m", SignRsa(key.evp(), EVP_sha512(), RSA_PKCS1_PADDING, 0, "m")),
              refused);
  EXPECT_THAT(public_key.Verify("m", '\0' + key.Sign("m")), refused);
}

TEST(VerifyWithHashTest, TakesTheHashAndThePaddingItIsTold) {
  const SoftwareKey key = SoftwareKey::Generate(Algorithm::kRs256);
  auto refused = RefusedWith(Reason::kSignatureInvalid);
  const std::string sha1 = SignRsa(key.evp(), EVP_sha1(), RSA_PKCS1_PADDING, 0, "m");
  EXPECT_THAT(VerifyWithHash(key.evp(), EVP_sha1(), false, "m", sha1), IsOk());
  EXPECT_THAT(VerifyWithHash(key.evp(), EVP_sha256(), false, "m", sha1), refused);
  EXPECT_THAT(VerifyWithHash(key.evp(), EVP_sha1(), true, "m", sha1), refused);
  for (int salt : {0, 20, 32, RSA_PSS_SALTLEN_MAX}) {
    const std::string pss = SignRsa(key.evp(), EVP_sha256(), RSA_PKCS1_PSS_PADDING, salt, "m");
    EXPECT_THAT(VerifyWithHash(key.evp(), EVP_sha256(), true, "m", pss), IsOk()) << salt;
    EXPECT_THAT(VerifyWithHash(key.evp(), EVP_sha256(), true, "n", pss), refused) << salt;
    EXPECT_THAT(VerifyWithHash(key.evp(), EVP_sha256(), false, "m", pss), refused) << salt;
  }
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST(VerifyWithHashTest, TakesOtherCurvesInStrictDer) {
  for (const char* curve : {"P-256", "P-384", "P-521"}) {
    EvpPkeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve));
    EvpMdCtxPtr context(EVP_MD_CTX_new());
    ASSERT_EQ(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()), 1);
    size_t size = EVP_PKEY_get_size(key.get());
    std::string signature(size, '\0');
    ASSERT_EQ(EVP_DigestSign(context.get(), U8(signature), &size, U8("m"), 1), 1);
    signature.resize(size);
    auto refused = RefusedWith(Reason::kSignatureInvalid);
    EXPECT_THAT(VerifyWithHash(key.get(), EVP_sha256(), false, "m", signature), IsOk()) << curve;
    EXPECT_THAT(VerifyWithHash(key.get(), EVP_sha384(), false, "m", signature), refused) << curve;
    EXPECT_THAT(VerifyWithHash(key.get(), EVP_sha256(), false, "m", signature + '\0'), refused)
        << curve;
    EXPECT_THAT(VerifyWithHash(key.get(), EVP_sha256(), true, "m", signature), refused) << curve;
  }
}

TEST(VerifyWithHashTest, RefusesOtherKindsOfKey) {
  const SoftwareKey key = SoftwareKey::Generate(Algorithm::kEdDsa);
  EXPECT_THAT(VerifyWithHash(key.evp(), EVP_sha256(), false, "m", key.Sign("m")),
              RefusedWith(Reason::kSignatureInvalid));
}

TEST(AlgorithmTest, NamesAndValuesAreCoses) {
  for (auto [algorithm, value, name] :
       {std::tuple(Algorithm::kEs256, -7, "ES256"), std::tuple(Algorithm::kEdDsa, -8, "EdDSA"),
        std::tuple(Algorithm::kEs384, -35, "ES384"), std::tuple(Algorithm::kEs512, -36, "ES512"),
        std::tuple(Algorithm::kEd448, -53, "Ed448"),
        std::tuple(Algorithm::kRs256, -257, "RS256")}) {
    EXPECT_EQ(static_cast<int>(algorithm), value);
    EXPECT_EQ(AlgorithmFromCose(value), algorithm);
    EXPECT_EQ(AlgorithmName(algorithm), name);
  }
  for (int value : {0, 7, -19, -37, -52, -65535}) EXPECT_EQ(AlgorithmFromCose(value), std::nullopt);
}

TEST(SoftwareKeyTest, RefusesSeedsOfAnotherSize) {
  for (size_t size : {0, 16, 31, 33}) {
    EXPECT_THAT(SoftwareKey::Ed25519FromSeed(std::string(size, 's')),
                IsError(absl::StatusCode::kInvalidArgument, "32 bytes"));
  }
}

}  // namespace
}  // namespace forekey

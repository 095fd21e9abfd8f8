// SPDX-License-Identifier: Apache-2.0
// Laws guarded: KeyOfSpki() reads what OpenSSL's decoder reads, as the same key, and nothing else;
// a Certificate has the key that OpenSSL's X509 has, and IsSignedBy() says what X509_verify() says.
// Both over all certificates and keys that lie in tests/, and over what is made here and then
// damaged.
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/file.h"
#include "src/crypto/certificate.h"
#include "src/crypto/certificate_quirks.h"
#include "src/crypto/public_key.h"
#include "src/crypto/spki.h"
#include "tests/support/certificate_maker.h"

namespace forekey::testing {
namespace {

constexpr size_t kLargest = 1 << 16;

EvpPkeyPtr OpenSslKey(absl::string_view spki) {
  const uint8_t* at = U8(spki);
  EvpPkeyPtr key(d2i_PUBKEY(nullptr, &at, static_cast<long>(spki.size())));
  if (key != nullptr && at != U8(spki) + spki.size()) key.reset();
  ERR_clear_error();
  return key;
}

std::string OpenSslSpki(EVP_PKEY* key) {
  uint8_t* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  std::string spki = size > 0 ? std::string(View(der, size)) : "";
  OPENSSL_free(der);
  ERR_clear_error();
  return spki;
}

// "" or how they differ.
std::string KeysDiffer(EVP_PKEY* ours, EVP_PKEY* theirs) {
  if (ours == nullptr && theirs == nullptr) return "";
  if (ours == nullptr) return "OpenSSL reads the key, we do not";
  if (theirs == nullptr) return "we read a key that OpenSSL does not";
  if (EVP_PKEY_get_base_id(ours) != EVP_PKEY_get_base_id(theirs)) return "of another kind";
  if (OpenSslSpki(ours) != OpenSslSpki(theirs)) return "OpenSSL encodes the two otherwise";
  if (SpkiOfKey(ours) != OpenSslSpki(ours)) return "we encode ours otherwise than OpenSSL";
  if (SpkiOfKey(theirs) != OpenSslSpki(theirs)) return "we encode OpenSSL's otherwise";
  return "";
}

std::string SpkisDiffer(absl::string_view spki) {
  const EvpPkeyPtr ours = KeyOfSpki(spki);
  if (ERR_peek_error() != 0) return "an error is left in the queue";
  return KeysDiffer(ours.get(), OpenSslKey(spki).get());
}

std::vector<std::string> SomeSpkis() {
  std::vector<std::string> all;
  for (const char* curve : {"P-256", "P-384", "P-521", "P-224", "secp256k1"}) {
    const auto key = NewEcKey(curve);
    all.push_back(OpenSslSpki(key.get()));
    EVP_PKEY_set_utf8_string_param(key.get(), "point-format", "compressed");
    all.push_back(OpenSslSpki(key.get()));
  }
  for (const char* kind : {"ED25519", "ED448", "X25519"}) {
    all.push_back(OpenSslSpki(EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, kind)).get()));
  }
  for (size_t bits : {1024, 2048, 3072}) all.push_back(OpenSslSpki(NewRsaKey(bits).get()));
  return all;
}

TEST(OpenSslAgreesTest, OnKeys) {
  for (const std::string& spki : SomeSpkis()) {
    EXPECT_EQ(SpkisDiffer(spki), "") << absl::BytesToHexString(spki);
    EXPECT_NE(KeyOfSpki(spki), nullptr) << absl::BytesToHexString(spki);
  }
}

TEST(OpenSslAgreesTest, OnDamagedKeys) {
  for (const std::string& spki : SomeSpkis()) {
    SCOPED_TRACE(absl::BytesToHexString(spki));
    for (size_t i = 0; i < spki.size(); ++i) {
      // Heads, and lengths within, decide on the kind: every bit of them; of the rest, some.
      for (int bit = 0; bit < 8; bit += i < 48 ? 1 : 7) {
        std::string damaged = spki;
        damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
        ASSERT_EQ(SpkisDiffer(damaged), "") << "byte " << i << ", bit " << bit;
      }
    }
    for (const std::string& other :
         {spki + std::string(1, '\0'), spki.substr(0, spki.size() - 1), std::string()}) {
      ASSERT_EQ(SpkisDiffer(other), "");
    }
  }
}

TEST(OpenSslAgreesTest, OnRsaNumbersOfOtherShapes) {
  const std::string modulus = absl::StrCat("\xc3", std::string(255, 'n'));
  const std::string zero(1, '\0');
  for (const std::string& n : {modulus, zero + modulus, zero + zero + modulus, zero, std::string(),
                               std::string(256, 'n'), zero + std::string(256, 'n')}) {
    for (const std::string& e : {std::string("\x01\x00\x01", 3), std::string("\x00\x01\x00\x01", 4),
                                 std::string("\x03"), zero, std::string(), std::string("\xff"),
                                 std::string("\x00\xff\xff\xff\xff", 5), std::string(5, 'e')}) {
      const auto integer = [](const std::string& value) {
        const std::string size =
            value.size() < 0x80 ? std::string(1, static_cast<char>(value.size()))
            : value.size() < 0x100
                ? absl::StrCat("\x81", std::string(1, static_cast<char>(value.size())))
                : absl::StrCat("\x82", std::string(1, static_cast<char>(value.size() >> 8)),
                               std::string(1, static_cast<char>(value.size())));
        return absl::StrCat("\x02", size, value);
      };
      const auto wrap = [](absl::string_view tag, const std::string& value) {
        return absl::StrCat(tag, "\x82", std::string(1, static_cast<char>(value.size() >> 8)),
                            std::string(1, static_cast<char>(value.size())), value);
      };
      const std::string numbers = wrap("\x30", absl::StrCat(integer(n), integer(e)));
      const std::string algorithm("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00",
                                  15);
      const std::string spki =
          wrap("\x30", absl::StrCat(algorithm, wrap("\x03", absl::StrCat(zero, numbers))));
      EXPECT_EQ(SpkisDiffer(spki), "") << absl::BytesToHexString(spki);
    }
  }
}

// ---- Certificates ----

X509Ptr OpenSslX509(const Certificate& certificate) {
  std::string der = certificate.der();
  if (auto fixed = RepairUnusedBits(der)) der = *std::move(fixed);
  if (certificate.repaired()) der = RepairSerial(der).value_or("");
  const uint8_t* at = U8(absl::string_view(der));
  X509Ptr x509(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  return x509;
}

// "" or how they differ, about a certificate and its signature by `issuer`.
std::string CertificatesDiffer(const Certificate& certificate, const Certificate& issuer) {
  const X509Ptr theirs = OpenSslX509(certificate), their_issuer = OpenSslX509(issuer);
  if (theirs == nullptr || their_issuer == nullptr) return "OpenSSL does not read it";
  EVP_PKEY* const their_key = X509_get0_pubkey(their_issuer.get());
  ERR_clear_error();
  if (std::string why = KeysDiffer(issuer.key(), their_key); !why.empty()) return why;
  if (certificate.repaired()) return "";  // X509_verify would check other bytes
  const bool good = their_key != nullptr && X509_verify(theirs.get(), their_key) == 1;
  ERR_clear_error();
  if (certificate.IsSignedBy(issuer.key()) != good) {
    return good ? "OpenSSL accepts the signature, we do not"
                : "we accept a signature that OpenSSL does not";
  }
  return "";
}

void AddFrom(const std::filesystem::path& folder, std::vector<Certificate>* all) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file() || entry.file_size() > kLargest) continue;
    const absl::StatusOr<std::string> bytes = ReadFile(entry.path());
    if (!bytes.ok()) continue;
    for (absl::StatusOr<Certificate>& certificate : Certificate::ParseEach(*bytes)) {
      if (certificate.ok()) all->push_back(*std::move(certificate));
    }
    EXPECT_EQ(SpkisDiffer(*bytes), "") << entry.path();
  }
}

TEST(OpenSslAgreesTest, OnEveryCertificateInTheTests) {
  std::vector<Certificate> all;
  for (const char* folder : {"attacks", "data", "fuzz/corpus"}) {
    AddFrom(absl::StrCat(FOREKEY_SOURCE, "/tests/", folder), &all);
  }
  int issued = 0, good = 0;
  for (const Certificate& certificate : all) {
    EXPECT_EQ(CertificatesDiffer(certificate, certificate), "") << certificate.SubjectText();
    int tried = 0;
    for (const Certificate& issuer : all) {
      if (!certificate.IsIssuedByNameOf(issuer) || ++tried > 4) continue;
      EXPECT_EQ(CertificatesDiffer(certificate, issuer), "") << certificate.SubjectText();
      ++issued;
      good += certificate.IsSignedBy(issuer.key()) ? 1 : 0;
    }
  }
  EXPECT_GT(all.size(), 500u);
  EXPECT_GT(issued, 300);
  EXPECT_GT(good, 100);
}

TEST(OpenSslAgreesTest, OnDamagedCertificates) {
  const std::shared_ptr<EVP_PKEY> signers[] = {
      NewEcKey(), NewEcKey("P-384"), NewRsaKey(),
      std::shared_ptr<EVP_PKEY>(EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")))};
  for (const auto& signer : signers) {
    CertificateSpec spec;
    spec.subject = spec.issuer = "CA";
    spec.key = spec.signer = signer;
    spec.basic_constraints = "critical,CA:TRUE";
    const std::string der = MakeDer(spec);
    const Certificate whole = *Certificate::ParseDer(der);
    ASSERT_TRUE(whole.IsSignedBy(whole.key()));
    int read = 0;
    for (size_t i = 0; i < der.size(); ++i) {
      std::string damaged = der;
      damaged[i] = static_cast<char>(damaged[i] ^ (i % 3 == 0 ? 0x80 : 1 << (i % 7)));
      const absl::StatusOr<Certificate> certificate = Certificate::ParseDer(damaged);
      if (!certificate.ok()) continue;
      ++read;
      ASSERT_EQ(CertificatesDiffer(*certificate, whole), "") << "byte " << i;
      EXPECT_FALSE(certificate->IsSignedBy(whole.key())) << "byte " << i;
    }
    EXPECT_GT(read, 100);
  }
}

TEST(OpenSslAgreesTest, OnSignaturesOfEveryAlgorithmAndKey) {
  std::vector<Certificate> all;
  for (const auto& key :
       {NewEcKey(), NewEcKey("P-384"), NewEcKey("P-521"), NewEcKey("secp256k1"), NewRsaKey(1024),
        NewRsaKey(),
        std::shared_ptr<EVP_PKEY>(EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED448")))}) {
    for (const EVP_MD* md :
         {EVP_sha1(), EVP_sha256(), EVP_sha384(), EVP_sha512(), EVP_sha3_256()}) {
      CertificateSpec spec;
      spec.subject = spec.issuer = "CA";
      spec.key = spec.signer = key;
      spec.md = md;
      all.push_back(*Certificate::ParseDer(MakeDer(spec)));
    }
  }
  for (const Certificate& certificate : all) {
    for (const Certificate& issuer : all) {
      EXPECT_EQ(CertificatesDiffer(certificate, issuer), "");
    }
  }
}

}  // namespace
}  // namespace forekey::testing

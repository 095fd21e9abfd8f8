// SPDX-License-Identifier: Apache-2.0
// Revocation lists: which are read, whose they are, when they hold, and whom they revoke.
#include "src/crypto/revocation_list.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/reason.h"
#include "tests/support/crl_maker.h"
#include "tests/support/status_matchers.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;

constexpr time_t kFrom = 1'700'000'000;
constexpr time_t kTo = 1'900'000'000;
const absl::Time kWithin = absl::FromTimeT(1'800'000'000);
constexpr size_t kLargest = 64 << 20;

void ExpectRefused(const absl::Status& status, Reason reason, absl::string_view words) {
  EXPECT_EQ(ReasonOf(status), reason) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(words));
}

// Root, issuing CA, leaf (serial 42).
class RevocationTest : public ::testing::Test {
 protected:
  static Certificate Parsed(const CertificateSpec& spec) {
    return *Certificate::ParseDer(MakeDer(spec));
  }
  static RevocationList List(const CrlSpec& spec) {
    return *RevocationList::Parse(MakeCrlDer(spec));
  }
  Certificate Ca(const std::string& key_usage) const {
    CertificateSpec spec = ca_.CaSpec(root_);
    spec.key_usage = key_usage;
    spec.serial = 21;
    return Parsed(spec);
  }
  Certificate Leaf(long serial) const {
    CertificateSpec spec = ca_.Spec("Leaf", NewEcKey());
    spec.serial = serial;
    return Parsed(spec);
  }
  VerifiedPath Path() const {
    TrustAnchors anchors;
    anchors.Add(Parsed(root_.CaSpec(root_)));
    PathOptions options;
    options.time = kWithin;
    absl::StatusOr<VerifiedPath> path = VerifyPath(leaf_, {issuer_}, anchors, options);
    EXPECT_TRUE(path.ok()) << path.status();
    return *path;
  }
  absl::StatusOr<bool> Check(const std::vector<RevocationList>& lists,
                             RevocationScope scope) const {
    return CheckRevocation(Path(), lists, scope, kWithin);
  }

  const TestCa root_ = TestCa::New("Root");
  const TestCa ca_ = TestCa::New("Issuing CA");
  const Certificate issuer_ = Ca("critical,keyCertSign,cRLSign");
  const Certificate leaf_ = Leaf(42);
};

TEST_F(RevocationTest, OneListInDerOrPemAndNothingElse) {
  const std::string der = MakeCrlDer({ca_, {42}});
  const std::string pem = MakeCrlPem({ca_, {42}});
  for (const std::string& bytes : {der, pem, "issued by us\n" + pem, pem + "\n"}) {
    const auto list = RevocationList::Parse(bytes);
    ASSERT_TRUE(list.ok()) << list.status();
    EXPECT_EQ(list->IssuerText(), "CN=Issuing CA");
    EXPECT_EQ(ReasonOf(list->Check(leaf_, issuer_, kWithin)), Reason::kCertificateRevoked);
  }
  for (const std::string& bytes :
       {std::string(), der + "x", der + der, der.substr(1), MakeDer(ca_.CaSpec(root_))}) {
    ExpectRefused(RevocationList::Parse(bytes).status(), Reason::kCrlInvalid,
                  "not one revocation list in DER");
  }
  // A second list would go unread.
  ExpectRefused(RevocationList::Parse(pem + pem).status(), Reason::kCrlInvalid,
                "more than one PEM block");
  for (const std::string& bytes :
       {absl::StrReplaceAll(pem, {{"X509 CRL", "CERTIFICATE"}}), pem.substr(0, pem.size() - 40)}) {
    ExpectRefused(RevocationList::Parse(bytes).status(), Reason::kCrlInvalid,
                  "no X509 CRL in the PEM text");
  }
}

TEST_F(RevocationTest, NoListIsLargerThan64MiB) {
  ExpectRefused(RevocationList::Parse(std::string(kLargest + 1, 'x')).status(), Reason::kCrlInvalid,
                "larger than 64 MiB");
  ExpectRefused(RevocationList::Parse(std::string(kLargest, 'x')).status(), Reason::kCrlInvalid,
                "not one revocation list");
}

TEST_F(RevocationTest, NamesWhoIsRevokedAndNobodyElse) {
  const RevocationList list = List({ca_, {41, 42, 44}});
  ExpectRefused(list.Check(leaf_, issuer_, kWithin), Reason::kCertificateRevoked, "serial 2a");
  EXPECT_TRUE(list.Check(Leaf(43), issuer_, kWithin).ok());
}

TEST_F(RevocationTest, HoldsFromItsFirstSecondToItsLast) {
  const RevocationList list = List({ca_, {}, kFrom, kTo});
  EXPECT_TRUE(list.Check(leaf_, issuer_, absl::FromTimeT(kFrom)).ok());
  EXPECT_TRUE(list.Check(leaf_, issuer_, absl::FromTimeT(kTo)).ok());
  ExpectRefused(list.Check(leaf_, issuer_, absl::FromTimeT(kFrom - 1)), Reason::kCrlExpired,
                "CN=Issuing CA");
  ExpectRefused(list.Check(leaf_, issuer_, absl::FromTimeT(kTo + 1)), Reason::kCrlExpired,
                "2030-03-17");
  EXPECT_EQ(list.this_update(), absl::FromTimeT(kFrom));
  EXPECT_EQ(list.next_update(), absl::FromTimeT(kTo));
  ExpectRefused(List({ca_, {}, kFrom, 0}).Check(leaf_, issuer_, kWithin), Reason::kCrlInvalid,
                "does not say how long it holds");
}

TEST_F(RevocationTest, IsOfItsIssuerByNameKeyAndRight) {
  const RevocationList list = List({ca_, {}});
  // Another CA's.
  const TestCa other = TestCa::New("Another CA");
  ExpectRefused(List({other, {}}).Check(leaf_, issuer_, kWithin), Reason::kCrlInvalid, "is not of");
  // Of the name, by another key.
  const TestCa forger = TestCa::New(ca_.name);
  ExpectRefused(List({forger, {}}).Check(leaf_, issuer_, kWithin), Reason::kCrlInvalid,
                "does not verify");
  // By the key of a CA that may not sign lists; one without keyUsage may.
  ExpectRefused(list.Check(leaf_, Ca("critical,keyCertSign"), kWithin), Reason::kCrlInvalid,
                "lacks cRLSign");
  EXPECT_TRUE(list.Check(leaf_, Ca("critical,cRLSign"), kWithin).ok());
  EXPECT_TRUE(list.Check(leaf_, Ca(""), kWithin).ok());
  EXPECT_TRUE(list.CheckIssuer(issuer_).ok());
}

// A list that was passed over in silence would let in whom it names.
TEST_F(RevocationTest, RefusesAtOnceListsThatAreNotTheWholeWordOfTheirIssuer) {
  const std::string base("\x02\x01\x01", 3);
  const auto idp = [](const std::string& field) {
    return std::string("\x30") + static_cast<char>(field.size()) + field;
  };
  struct Case {
    const char* oid;
    std::string der;
    const char* why;
  };
  const Case cases[] = {
      {"2.5.29.27", base, "a delta list"},
      {"2.5.29.28", idp("\x83\x02\x01\x60"), "for some reasons of revocation alone"},
      {"2.5.29.28", idp("\x81\x01\xff"), "for certificates of users alone"},
      {"2.5.29.28", idp("\x82\x01\xff"), "for certificates of CAs alone"},
      {"2.5.29.28", idp("\x85\x01\xff"), "for attribute certificates alone"},
      {"2.5.29.28", idp("\x84\x01\xff"), "an indirect list"},
      {"2.5.29.28", idp("\xa0\x07\xa0\x05\x86\x03urn"), "of one distribution point alone"},
      {"2.5.29.28", "nonsense", "does not parse"}};
  for (const Case& c : cases) {
    for (const bool critical : {true, false}) {
      CrlSpec spec{ca_, {42}};
      spec.extensions = {{c.oid, critical, c.der}};
      ExpectRefused(RevocationList::Parse(MakeCrlDer(spec)).status(), Reason::kCrlInvalid, c.why);
    }
  }
  CrlSpec unknown{ca_, {42}};
  unknown.extensions = {{"1.2.3.4", false, base}};
  EXPECT_TRUE(RevocationList::Parse(MakeCrlDer(unknown)).ok());
  unknown.extensions[0].critical = true;
  ExpectRefused(RevocationList::Parse(MakeCrlDer(unknown)).status(), Reason::kCrlInvalid,
                "not understood: 1.2.3.4");
}

TEST_F(RevocationTest, RefusesAtOnceEntriesThatMeanSomethingElse) {
  CrlSpec spec{ca_, {42}};
  // reasonCode keyCompromise, as most lists have it.
  spec.entry_extensions = {{"2.5.29.21", false, std::string("\x0a\x01\x01", 3)}};
  ExpectRefused(List(spec).Check(leaf_, issuer_, kWithin), Reason::kCertificateRevoked,
                "serial 2a");
  // certificateIssuer: OpenSSL takes the entry, and those behind it, for another issuer's.
  const std::string other("\x30\x05\x86\x03urn", 7);
  for (const bool critical : {true, false}) {
    spec.entry_extensions = {{"2.5.29.29", critical, other}};
    ExpectRefused(RevocationList::Parse(MakeCrlDer(spec)).status(), Reason::kCrlInvalid,
                  "an indirect list, with entries");
  }
  spec.entry_extensions = {{"1.2.3.4", true, other}};
  ExpectRefused(RevocationList::Parse(MakeCrlDer(spec)).status(), Reason::kCrlInvalid,
                "an entry with a critical extension that is not understood: 1.2.3.4");
}

TEST_F(RevocationTest, WhomItsIssuerNamedIsRevokedWhateverElseIsWrongWithTheList) {
  const auto revoked = [this](const CrlSpec& spec) {
    return ReasonOf(List(spec).Check(leaf_, issuer_, kWithin));
  };
  CrlSpec old{ca_, {42}, kFrom, kFrom + 1}, endless{ca_, {42}, kFrom, 0}, weak{ca_, {42}};
  weak.md = EVP_sha1();
  for (const CrlSpec& spec : {old, endless, weak}) {
    EXPECT_EQ(revoked(spec), Reason::kCertificateRevoked);
  }
  EXPECT_EQ(ReasonOf(List({ca_, {42}}).Check(leaf_, Ca("critical,keyCertSign"), kWithin)),
            Reason::kCertificateRevoked);
  // Beside a good one that does not name it, too: the message says which list to look at.
  for (const auto& lists :
       {std::vector{List({ca_, {}}), List(old)}, std::vector{List(old), List({ca_, {}})}}) {
    ExpectRefused(Check(lists, RevocationScope::kLeafToo).status(), Reason::kCertificateRevoked,
                  "of 2023-11-14T22:13:20");
  }
  // Not its issuer's word.
  EXPECT_EQ(revoked({TestCa::New(ca_.name), {42}}), Reason::kCrlInvalid);
}

TEST_F(RevocationTest, ANumberedListIsWhole) {
  CrlSpec numbered{ca_, {}};
  numbered.numbered = true;
  EXPECT_TRUE(List(numbered).Check(leaf_, issuer_, kWithin).ok());
}

TEST_F(RevocationTest, WeakAndUnknownHashesAreNotTaken) {
  CrlSpec spec{ca_, {}};
  spec.md = EVP_sha1();
  ExpectRefused(List(spec).Check(leaf_, issuer_, kWithin), Reason::kCrlInvalid, "weak hash");
  for (const EVP_MD* md : {EVP_sha256(), EVP_sha384(), EVP_sha512()}) {
    spec.md = md;
    EXPECT_TRUE(List(spec).Check(leaf_, issuer_, kWithin).ok()) << EVP_MD_get0_name(md);
  }
  // ecdsa-with-SHA256, its OID made one that nobody has given.
  const std::string unknown = absl::StrReplaceAll(
      MakeCrlDer({ca_, {}}),
      {{"\x2a\x86\x48\xce\x3d\x04\x03\x02", "\x2a\x86\x48\xce\x3d\x04\x03\x7f"}});
  const auto list = RevocationList::Parse(unknown);
  ASSERT_TRUE(list.ok()) << list.status();
  ExpectRefused(list->Check(leaf_, issuer_, kWithin), Reason::kCrlInvalid, "weak hash");
}

// What a CA may sign certificates with it may sign its lists with.
TEST_F(RevocationTest, PssAndSha3AreTakenAsInCertificates) {
  const TestCa rsa{"RSA CA", NewRsaKey()};
  const Certificate issuer = Parsed(rsa.CaSpec(root_));
  CrlSpec spec{rsa, {}};
  const auto check = [&](const EVP_MD* md, bool pss) {
    spec.md = md;
    spec.pss = pss;
    return List(spec).Check(leaf_, issuer, kWithin);
  };
  for (const EVP_MD* md : {EVP_sha256(), EVP_sha384(), EVP_sha512()}) {
    EXPECT_THAT(check(md, /*pss=*/true), IsOk()) << EVP_MD_get0_name(md);
  }
  for (const EVP_MD* md : {EVP_sha3_256(), EVP_sha3_384(), EVP_sha3_512()}) {
    EXPECT_THAT(check(md, /*pss=*/false), IsOk()) << EVP_MD_get0_name(md);
  }
  // PSS names no hash where it is SHA-1.
  ExpectRefused(check(EVP_sha1(), /*pss=*/true), Reason::kCrlInvalid, "weak hash");
  ExpectRefused(check(EVP_sha224(), /*pss=*/true), Reason::kCrlInvalid, "weak hash");
  ExpectRefused(check(EVP_sha3_224(), /*pss=*/false), Reason::kCrlInvalid, "weak hash");
  // Its parameters made something else: hashAlgorithm is an OCTET STRING.
  spec.md = EVP_sha256();
  spec.pss = true;
  const std::string odd = absl::StrReplaceAll(
      MakeCrlDer(spec), {{"\x30\x34\xa0\x0f\x30\x0d", "\x30\x34\xa0\x0f\x04\x0d"}});
  ASSERT_NE(odd, MakeCrlDer(spec));
  const auto list = RevocationList::Parse(odd);
  ASSERT_TRUE(list.ok()) << list.status();
  ExpectRefused(list->Check(leaf_, issuer, kWithin), Reason::kCrlInvalid, "weak hash");
}

TEST_F(RevocationTest, EdwardsCurvesHaveTheirOwnHash) {
  for (const char* type : {"ED25519", "ED448"}) {
    const TestCa edwards{"Edwards", std::shared_ptr<EVP_PKEY>(
                                        EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, type)))};
    CrlSpec spec{edwards, {42}};
    spec.md = nullptr;
    CertificateSpec ca = edwards.CaSpec(root_);
    ExpectRefused(List(spec).Check(leaf_, Parsed(ca), kWithin), Reason::kCertificateRevoked,
                  "serial 2a");
  }
}

TEST_F(RevocationTest, WithoutListsNothingIsAsked) {
  const auto checked = Check({}, RevocationScope::kLeafToo);
  ASSERT_TRUE(checked.ok());
  EXPECT_FALSE(*checked);
}

TEST_F(RevocationTest, TheLeafsIssuerMustHaveAListWhereThatIsAskedFor) {
  const std::vector<RevocationList> of_root = {List({root_, {}})};
  EXPECT_EQ(*Check(of_root, RevocationScope::kWhereListed), true);
  ExpectRefused(Check(of_root, RevocationScope::kLeafToo).status(), Reason::kCrlInvalid,
                "no list of \"CN=Issuing CA\"");
  // A list of the leaf's issuer alone does: the root need not have one.
  EXPECT_EQ(*Check({List({ca_, {}})}, RevocationScope::kLeafToo), true);
  // Of nobody in the path.
  EXPECT_EQ(*Check({List({TestCa::New("Another CA"), {}})}, RevocationScope::kWhereListed), false);
}

TEST_F(RevocationTest, EveryCertificateOfThePathIsLookedFor) {
  EXPECT_EQ(ReasonOf(Check({List({ca_, {42}})}, RevocationScope::kWhereListed).status()),
            Reason::kCertificateRevoked);
  ExpectRefused(
      Check({List({ca_, {}}), List({root_, {21}})}, RevocationScope::kWhereListed).status(),
      Reason::kCertificateRevoked, "CN=Issuing CA");
}

TEST_F(RevocationTest, OfSeveralListsOneThatRevokesIsEnough) {
  for (const auto& lists : {std::vector{List({ca_, {}}), List({ca_, {42}})},
                            std::vector{List({ca_, {42}}), List({ca_, {}})}}) {
    EXPECT_EQ(ReasonOf(Check(lists, RevocationScope::kLeafToo).status()),
              Reason::kCertificateRevoked);
  }
}

TEST_F(RevocationTest, OfSeveralListsTheUnusableOnesArePassedOver) {
  const RevocationList good = List({ca_, {}});
  const RevocationList old = List({ca_, {}, kFrom, kFrom + 1});
  // Of another CA of the same name: that CA's business, and its word counts for nothing here.
  const RevocationList namesake = List({TestCa::New(ca_.name), {42}});
  for (const auto& lists : {std::vector{old, namesake, good}, std::vector{good, namesake, old}}) {
    EXPECT_EQ(*Check(lists, RevocationScope::kLeafToo), true);
  }
  ExpectRefused(Check({namesake}, RevocationScope::kWhereListed).status(), Reason::kCrlInvalid,
                "does not verify");
  // The first that can't be used says why.
  ExpectRefused(Check({old, namesake}, RevocationScope::kWhereListed).status(), Reason::kCrlExpired,
                "is of");
  ExpectRefused(Check({namesake, old}, RevocationScope::kLeafToo).status(), Reason::kCrlInvalid,
                "does not verify");
}

TEST_F(RevocationTest, AListOfARenewedKeyDoesNotBlockWhatHangsUnderTheOldOne) {
  const TestCa renewed = TestCa::New(ca_.name);
  const auto aki = [](const TestCa& ca) {
    CertificateSpec spec = ca.CaSpec(ca);
    uint8_t id[20];
    unsigned int size = 0;
    X509_pubkey_digest(Parsed(spec).x509(), EVP_sha1(), id, &size);
    return ExtensionSpec{"2.5.29.35", false, "\x30\x16\x80\x14" + std::string(View(id, size))};
  };
  CrlSpec of_renewed{renewed, {}}, of_old{ca_, {}};
  of_renewed.extensions = {aki(renewed)};
  of_old.extensions = {aki(ca_)};
  const RevocationList other = List(of_renewed), own = List(of_old);
  EXPECT_TRUE(other.IsByAnotherKeyThan(issuer_));
  EXPECT_FALSE(own.IsByAnotherKeyThan(issuer_));
  EXPECT_EQ(*Check({other}, RevocationScope::kWhereListed), false) << "nobody was asked";
  EXPECT_EQ(*Check({other, own}, RevocationScope::kLeafToo), true);
  // It does not know who is good there, either.
  ExpectRefused(Check({other}, RevocationScope::kLeafToo).status(), Reason::kCrlInvalid,
                "by another key of that name");
  // Serial numbers are the issuer's, whatever its key: who is named by it is never passed over.
  CrlSpec naming{renewed, {42}};
  naming.extensions = {aki(renewed)};
  ExpectRefused(Check({List(naming)}, RevocationScope::kWhereListed).status(), Reason::kCrlInvalid,
                "by another key of");
  // It says that it is by this key, and is not: a damaged or forged list is never passed over.
  of_renewed.extensions = {aki(ca_)};
  ExpectRefused(Check({List(of_renewed)}, RevocationScope::kWhereListed).status(),
                Reason::kCrlInvalid, "does not verify");
  // Whatever a list says of its key, by its signature it is its issuer's.
  CrlSpec revokes{ca_, {42}};
  revokes.extensions = {aki(renewed)};
  EXPECT_EQ(ReasonOf(Check({List(revokes)}, RevocationScope::kWhereListed).status()),
            Reason::kCertificateRevoked);
}

TEST_F(RevocationTest, AListIsVerifiedOnceForEachKey) {
  const RevocationList list = List({ca_, {41}});
  const RevocationList copy = list;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(list.Check(leaf_, issuer_, kWithin).ok());
    EXPECT_TRUE(copy.Check(leaf_, Ca(""), kWithin).ok()) << "another certificate of the key";
  }
  EXPECT_EQ(list.signatures_checked(), 1);
  const TestCa forger = TestCa::New(ca_.name);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(copy.Check(leaf_, Parsed(forger.CaSpec(root_)), kWithin).ok());
    EXPECT_TRUE(list.Check(leaf_, issuer_, kWithin).ok());
  }
  EXPECT_EQ(list.signatures_checked(), 2);
}

TEST_F(RevocationTest, WhatIsRememberedOfSignaturesIsBounded) {
  const RevocationList list = List({ca_, {}});
  std::vector<Certificate> strangers;
  for (int i = 0; i < 16; ++i) strangers.push_back(Parsed(TestCa::New(ca_.name).CaSpec(root_)));
  EXPECT_TRUE(list.Check(leaf_, issuer_, kWithin).ok());
  for (const Certificate& stranger : strangers) EXPECT_FALSE(list.CheckIssuer(stranger).ok());
  EXPECT_EQ(list.signatures_checked(), 17);
  EXPECT_FALSE(list.CheckIssuer(strangers.back()).ok());
  EXPECT_EQ(list.signatures_checked(), 17);
  EXPECT_TRUE(list.Check(leaf_, issuer_, kWithin).ok()) << "forgotten, and checked again";
  EXPECT_EQ(list.signatures_checked(), 18);
}

TEST_F(RevocationTest, OneNameIsOneName) {
  EXPECT_TRUE(List({ca_, {}}).IsOfSameName(List({TestCa::New(ca_.name), {}})));
  EXPECT_FALSE(List({ca_, {}}).IsOfSameName(List({root_, {}})));
}

}  // namespace
}  // namespace forekey::testing

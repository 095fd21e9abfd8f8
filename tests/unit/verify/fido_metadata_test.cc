// SPDX-License-Identifier: Apache-2.0
#include "src/verify/fido_metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <openssl/core_names.h>

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/verify/webauthn_certificate.h"
#include "src/verify/webauthn_registration.h"
#include "tests/support/crl_maker.h"
#include "tests/support/status_matchers.h"
#include "tests/support/webauthn_maker.h"

namespace forekey {
namespace {

using nlohmann::json;
using testing::CertificateSpec;
using ::testing::Contains;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::RefusedWith;
using testing::TestCa;

constexpr char kAaguid[] = "41424344-4546-4748-494a-4b4c4d4e4f50";

std::string Base64(absl::string_view bytes) { return absl::Base64Escape(bytes); }
std::string Base64Url(absl::string_view bytes) { return absl::WebSafeBase64Escape(bytes); }

// An ES256 signature as JOSE has it.
std::string RawEs256(EVP_PKEY* key, absl::string_view message) {
  const std::string der = testing::SignWith(key, EVP_sha256(), message);
  const unsigned char* at = U8(der);
  EcdsaSigPtr signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  std::string raw(64, '\0');
  BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), U8(raw), 32);
  BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), U8(raw) + 32, 32);
  return raw;
}

class FidoMetadataTest : public ::testing::Test {
 protected:
  FidoMetadataTest() {
    signer_spec_ = root_.Spec("Metadata Signer", signer_key_);
    x5c_ = {};
    model_ = {
        {"aaguid", kAaguid},
        {"metadataStatement",
         {{"description", "Token One"},
          {"attestationTypes", {"basic_full"}},
          {"attestationRootCertificates", {Base64(testing::MakeDer(vendor_.CaSpec(vendor_)))}}}},
        {"statusReports", {{{"status", "FIDO_CERTIFIED_L1"}, {"effectiveDate", "2020-01-01"}}}}};
    payload_ = {
        {"legalHeader", "read me"}, {"no", 5}, {"nextUpdate", "2027-02-01"}, {"entries", {model_}}};
  }

  std::string Blob() {
    json chain = json::array({Base64(testing::MakeDer(signer_spec_))});
    for (const std::string& der : x5c_) chain.push_back(Base64(der));
    json header = {{"alg", alg_}, {"typ", "JWT"}, {"x5c", chain}};
    header.update(more_header_);
    const std::string input =
        absl::StrCat(Base64Url(header.dump()), ".", Base64Url(payload_.dump()));
    const std::string signature = alg_ == "RS256"
                                      ? testing::SignWith(signer_key_.get(), EVP_sha256(), input)
                                      : RawEs256(signer_key_.get(), input);
    return absl::StrCat(input, ".", Base64Url(signature));
  }
  absl::StatusOr<FidoMetadata> Parse() { return Parse(Blob()); }
  absl::StatusOr<FidoMetadata> Parse(const std::string& blob) {
    MetadataOptions options;
    options.roots.Add(testing::Make(root_.CaSpec(root_)));
    options.time = time_;
    options.previous_no = previous_no_;
    options.revocation = revocation_;
    return FidoMetadata::Parse(blob, options);
  }
  void SetEntry(const json& entry) { payload_["entries"] = json::array({entry}); }

  TestCa root_ = TestCa::New("Metadata Root");
  TestCa vendor_ = TestCa::New("Tokens Root");
  std::shared_ptr<EVP_PKEY> signer_key_ = testing::NewEcKey();
  CertificateSpec signer_spec_;
  std::vector<std::string> x5c_;
  std::string alg_ = "ES256";
  json more_header_ = json::object();
  json model_;
  json payload_;
  std::optional<uint64_t> previous_no_;
  std::vector<RevocationList> revocation_;
  absl::Time time_ = absl::FromUnixSeconds(1'800'000'000);  // 2027-01-15
};

TEST_F(FidoMetadataTest, ReadsWhatIsSigned) {
  const auto metadata = Parse();
  ASSERT_THAT(metadata, IsOk());
  EXPECT_EQ(metadata->no(), 5u);
  EXPECT_EQ(metadata->next_update(), "2027-02-01");
  EXPECT_FALSE(metadata->Stale(time_));
  EXPECT_TRUE(metadata->Stale(time_ + absl::Hours(24 * 60)));
  EXPECT_EQ(metadata->listed(), 1u);
  EXPECT_EQ(metadata->anchors(), 1u);
  EXPECT_TRUE(metadata->skipped().empty());
  const MetadataEntry* entry = metadata->FindByAaguid("ABCDEFGHIJKLMNOP");
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->description, "Token One");
  EXPECT_EQ(entry->CertificationLevel(time_), 1);
  EXPECT_EQ(metadata->FindByAaguid(std::string(16, 'z')), nullptr);
}

TEST_F(FidoMetadataTest, RsaSignersAndWhiteSpaceAroundAreFine) {
  signer_key_ = testing::NewRsaKey();
  signer_spec_.key = signer_key_;
  alg_ = "RS256";
  EXPECT_THAT(Parse(Blob() + "\n"), IsOk());
}

TEST_F(FidoMetadataTest, TheChainEndsAtTheFirstAnchor) {
  // The root itself in x5c, cross-signed by an older one that is not trusted, and something
  // unreadable.
  TestCa old = TestCa::New("Older Root");
  x5c_ = {testing::MakeDer(root_.CaSpec(old)), "unreadable", testing::MakeDer(old.CaSpec(old))};
  EXPECT_THAT(Parse(), IsOk());
}

TEST_F(FidoMetadataTest, RejectsSignaturesByAnybodyElse) {
  std::string blob = Blob();
  const size_t payload_at = blob.find('.') + 1;
  blob[payload_at + 2] = blob[payload_at + 2] == 'A' ? 'B' : 'A';
  EXPECT_THAT(Parse(blob), RefusedWith(Reason::kMetadataInvalid));
  TestCa forger = TestCa::New("Metadata Root");
  signer_spec_.signer = forger.key;
  EXPECT_THAT(Parse(), RefusedWith(Reason::kCertificateSignatureInvalid));
  signer_spec_.issuer = "Another Root";
  EXPECT_THAT(Parse(), RefusedWith(Reason::kCertificateUntrusted));
}

TEST_F(FidoMetadataTest, RejectsAnExpiredSigner) {
  time_ = absl::FromUnixSeconds(1'950'000'000);
  EXPECT_THAT(Parse(), RefusedWith(Reason::kCertificateExpired));
}

TEST_F(FidoMetadataTest, ACertificateForWebSitesMustBeFidosOwn) {
  signer_spec_.extended_key_usage = "serverAuth";
  EXPECT_THAT(Parse(), RefusedWith(Reason::kMetadataInvalid));
  const auto san = [](absl::string_view host) {
    return testing::ExtensionSpec{"2.5.29.17", false,
                                  absl::StrCat("\x30", std::string(1, char(host.size() + 2)),
                                               "\x82", std::string(1, char(host.size())), host)};
  };
  signer_spec_.extensions = {san("shop.example")};
  EXPECT_THAT(Parse(), RefusedWith(Reason::kMetadataInvalid));
  signer_spec_.extensions = {san("*.fidoalliance.org")};
  EXPECT_THAT(Parse(), RefusedWith(Reason::kMetadataInvalid));
  signer_spec_.extensions = {san("mds.fidoalliance.org")};
  EXPECT_THAT(Parse(), IsOk());
  // Of its name, and not for servers.
  for (const char* other : {"emailProtection", "codeSigning,clientAuth"}) {
    signer_spec_.extended_key_usage = other;
    const auto refused = Parse();
    EXPECT_THAT(refused, RefusedWith(Reason::kMetadataInvalid)) << other;
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("not for a server")) << other;
  }
  signer_spec_.extended_key_usage = "anyExtendedKeyUsage";
  EXPECT_THAT(Parse(), IsOk());
}

TEST_F(FidoMetadataTest, ACaWithAPurposeMakesTheSignerOneOfThatPurpose) {
  const TestCa issuing = TestCa::New("Issuing CA");
  const auto below = [&](const std::string& usage) {
    CertificateSpec ca = issuing.CaSpec(root_);
    ca.extended_key_usage = usage;
    signer_spec_ = issuing.Spec("Metadata Signer", signer_key_);
    x5c_ = {testing::MakeDer(ca)};
    return Parse();
  };
  EXPECT_THAT(below(""), IsOk());
  EXPECT_THAT(below("serverAuth"), RefusedWith(Reason::kMetadataInvalid)) << "of no host";
  EXPECT_THAT(below("emailProtection"), RefusedWith(Reason::kCertificatePurpose));
}

TEST_F(FidoMetadataTest, ARevokedSignerIsRefusedWhereThereAreLists) {
  EXPECT_FALSE(Parse()->revocation_checked());
  const auto list = [](const TestCa& ca, std::vector<long> serials) {
    return *RevocationList::Parse(testing::MakeCrlDer({ca, std::move(serials)}));
  };
  revocation_ = {list(root_, {signer_spec_.serial + 1})};
  ASSERT_THAT(Parse(), IsOk());
  EXPECT_TRUE(Parse()->revocation_checked());
  revocation_ = {list(root_, {signer_spec_.serial})};
  EXPECT_THAT(Parse(), RefusedWith(Reason::kCertificateRevoked));
  // With lists, one of the signer's issuer must be there.
  revocation_ = {list(vendor_, {})};
  EXPECT_THAT(Parse(), RefusedWith(Reason::kCrlInvalid));
}

TEST_F(FidoMetadataTest, WhatIsUnsignedIsNeitherFollowedDeepNorPrinted) {
  const auto with_header = [](const std::string& header) {
    return absl::StrCat(Base64Url(header), ".e30.", Base64Url("x"));
  };
  const std::string deep = std::string(90000, '[') + std::string(90000, ']');
  for (const std::string& header : {absl::StrCat("{\"alg\":", deep, "}"),
                                    absl::StrCat("{\"alg\":\"RS256\",\"x5c\":", deep, "}"), deep,
                                    absl::StrCat("{\"typ\":\"\\\"\",\"alg\":", deep, "}")}) {
    const auto refused = Parse(with_header(header));
    EXPECT_THAT(refused, RefusedWith(Reason::kMetadataInvalid));
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("too deep"));
  }
  const auto refused = Parse(with_header("{\"alg\":\"" + std::string(190000, 'A') + "\"}"));
  EXPECT_THAT(refused, RefusedWith(Reason::kMetadataInvalid));
  EXPECT_LT(refused.status().message().size(), 200u);
  // A member that is there twice has two readings.
  EXPECT_THAT(Parse(with_header("{\"alg\":\"RS256\",\"alg\":\"RS256\"}")),
              RefusedWith(Reason::kMetadataInvalid));
  // Signed and deep: no better.
  json nested = 1;
  for (int i = 0; i < 80; ++i) nested = json::array({nested});
  payload_["legalHeader"] = nested;
  const auto signed_deep = Parse();
  EXPECT_THAT(signed_deep, RefusedWith(Reason::kMetadataInvalid));
  EXPECT_THAT(std::string(signed_deep.status().message()), HasSubstr("nested too deep"));
}

TEST_F(FidoMetadataTest, RejectsOtherAlgorithmsKeysAndHeaders) {
  const auto invalid = RefusedWith(Reason::kMetadataInvalid);
  for (const char* alg : {"none", "HS256", "PS256", "RS1"}) {
    more_header_ = {{"alg", alg}};
    EXPECT_THAT(Parse(), invalid) << alg;
  }
  // The other of the two, with a key that does not fit.
  more_header_ = {{"alg", "RS256"}};
  EXPECT_THAT(Parse(), invalid);
  more_header_ = {{"crit", {"b64"}}};
  EXPECT_THAT(Parse(), invalid);
  more_header_ = {{"x5c", json::array()}, {"x5u", "https://mds.example/chain"}};
  EXPECT_THAT(Parse(), invalid);
  more_header_ = {{"x5c", {"AAAA"}}};
  EXPECT_THAT(Parse(), invalid);
  more_header_ = {{"x5c", json(11, Base64(testing::MakeDer(signer_spec_)))}};
  EXPECT_THAT(Parse(), invalid);
  more_header_ = json::object();
  signer_key_ = testing::NewEcKey("P-384");
  signer_spec_.key = signer_key_;
  EXPECT_THAT(Parse(), invalid);
  alg_ = "RS256";
  signer_key_ = testing::NewRsaKey(1024);
  signer_spec_.key = signer_key_;
  EXPECT_THAT(std::string(Parse().status().message()), HasSubstr("not RSA of 2048 to 8192 bits"));
  signer_spec_.key_algorithm = "1.2.3.4.5";
  EXPECT_THAT(std::string(Parse().status().message()), HasSubstr("key is not understood"));
}

TEST_F(FidoMetadataTest, BoundsWhatItReads) {
  const auto why = [](const absl::StatusOr<FidoMetadata>& metadata) {
    return std::string(metadata.status().message());
  };
  EXPECT_THAT(why(Parse(std::string(kMaxMetadataBlobSize + 1, 'x'))), HasSubstr("too long"));
  EXPECT_THAT(why(Parse(std::string(kMaxMetadataBlobSize, 'x'))), HasSubstr("not three parts"));
  const auto header = [](size_t size) { return std::string(size, 'e') + ".e30.eA"; };
  EXPECT_THAT(why(Parse(header((1 << 18) + 4))), HasSubstr("the header is too long"));
  EXPECT_THAT(why(Parse(header(1 << 18))), HasSubstr("the header: "));
  payload_["entries"] = json(20001, json::object());
  EXPECT_THAT(why(Parse()), HasSubstr("too many entries"));
  payload_["entries"] = json(20000, json::object());
  EXPECT_THAT(Parse(), IsOk());
}

TEST_F(FidoMetadataTest, RejectsWhatIsNoBlob) {
  const auto invalid = RefusedWith(Reason::kMetadataInvalid);
  const std::string good = Blob();
  for (const std::string& blob : {std::string(), std::string("a.b"), std::string(".."), good + ".x",
                                  good + "=", good.substr(0, good.size() / 2)}) {
    EXPECT_THAT(Parse(blob), invalid);
  }
  for (const char* member : {"no", "nextUpdate", "entries"}) {
    const json before = payload_;
    payload_.erase(member);
    EXPECT_THAT(Parse(), invalid) << member;
    payload_[member] = json::object();
    EXPECT_THAT(Parse(), invalid) << member;
    payload_ = before;
  }
  payload_["no"] = -1;
  EXPECT_THAT(Parse(), invalid);
  payload_ = json::array();
  EXPECT_THAT(Parse(), invalid);
}

TEST_F(FidoMetadataTest, NumbersNeverGoBack) {
  previous_no_ = 5;
  EXPECT_THAT(Parse(), IsOk());
  previous_no_ = 6;
  EXPECT_THAT(Parse(), RefusedWith(Reason::kMetadataRollback));
}

TEST_F(FidoMetadataTest, SkipsAndNamesWhatItCannotUse) {
  json no_statement = {{"aaguid", "00000000-0000-0000-0000-000000000001"}};
  json malformed = model_;
  malformed["aaguid"] = "not one";
  json u2f = model_;
  u2f.erase("aaguid");
  u2f["attestationCertificateKeyIdentifiers"] = {std::string(40, 'a'), "short"};
  payload_["entries"] = {
      model_, model_, no_statement, malformed, u2f, {{"aaid", "4e4e#4005"}}, 7, json::object()};
  const auto metadata = Parse();
  ASSERT_THAT(metadata, IsOk());
  EXPECT_EQ(metadata->listed(), 8u);
  EXPECT_EQ(metadata->entries().size(), 3u);
  EXPECT_EQ(metadata->anchors(), 2u);
  EXPECT_NE(metadata->FindByKeyId(std::string(20, '\xaa')), nullptr);
  for (const char* why :
       {"second entry", "no metadata statement", "malformed AAGUID", "malformed key identifier",
        "4e4e#4005: a UAF model", "no object", "names no model"}) {
    EXPECT_THAT(metadata->skipped(), Contains(HasSubstr(why)));
  }
}

// A report that is lost is a model that is not known to be bad.
TEST_F(FidoMetadataTest, WhatIsBadCountsWhicheverEntrySaysSo) {
  const auto bad = RefusedWith(Reason::kAuthenticatorStatus);
  const json reports = {{{"status", "REVOKED"}}, {{"status", "FIDO_CERTIFIED_L3"}}};
  json bare = {{"aaguid", kAaguid}, {"statusReports", reports}};
  SetEntry(bare);
  auto metadata = Parse();
  ASSERT_THAT(metadata, IsOk());
  const MetadataEntry* entry = metadata->FindByAaguid("ABCDEFGHIJKLMNOP");
  ASSERT_NE(entry, nullptr) << "an entry without a statement";
  EXPECT_THAT(entry->CheckStatus({}, time_), bad);
  EXPECT_THAT(std::string(entry->CheckStatus({}, time_).message()), HasSubstr(kAaguid));
  EXPECT_TRUE(entry->roots.empty());
  EXPECT_EQ(entry->CertificationLevel(time_), 0) << "it says nothing good";
  json second = model_;
  second["statusReports"] = reports;
  for (const json& other : {bare, second}) {
    for (const bool before : {false, true}) {
      payload_["entries"] = before ? json::array({other, model_}) : json::array({model_, other});
      metadata = Parse();
      ASSERT_THAT(metadata, IsOk());
      EXPECT_EQ(metadata->entries().size(), 1u);
      entry = metadata->FindByAaguid("ABCDEFGHIJKLMNOP");
      EXPECT_THAT(entry->CheckStatus({}, time_), bad) << other << before;
      EXPECT_EQ(entry->roots.anchors().size(), 1u);
      EXPECT_EQ(entry->description, "Token One");
      if (before) continue;
      EXPECT_EQ(entry->CertificationLevel(time_), 1) << other;
    }
  }
}

TEST_F(FidoMetadataTest, AKeyInTwoEntriesIsOfBoth) {
  json good = model_, revoked = model_, bare = model_;
  for (json* entry : {&good, &revoked, &bare}) entry->erase("aaguid");
  const auto id = [](char digit) { return std::string(40, digit); };
  bare.erase("metadataStatement");
  bare["attestationCertificateKeyIdentifiers"] = {id('d')};
  bare["statusReports"] = {{{"status", "REVOKED"}}};
  good["attestationCertificateKeyIdentifiers"] = {id('a'), id('b'), id('b'), id('d')};
  revoked["attestationCertificateKeyIdentifiers"] = {id('b'), id('c')};
  revoked["statusReports"] = {{{"status", "REVOKED"}}};
  payload_["entries"] = {bare, good, revoked};
  const auto metadata = Parse();
  ASSERT_THAT(metadata, IsOk());
  EXPECT_EQ(metadata->entries().size(), 3u);
  const auto status = [&](char byte) {
    const MetadataEntry* entry = metadata->FindByKeyId(std::string(20, byte));
    EXPECT_FALSE(entry == nullptr || entry->roots.empty());
    return entry->CheckStatus({}, time_);
  };
  EXPECT_THAT(status('\xaa'), IsOk());
  EXPECT_THAT(status('\xbb'), RefusedWith(Reason::kAuthenticatorStatus));
  EXPECT_THAT(status('\xcc'), RefusedWith(Reason::kAuthenticatorStatus));
  EXPECT_THAT(status('\xdd'), RefusedWith(Reason::kAuthenticatorStatus));
}

TEST_F(FidoMetadataTest, AMalformedAaguidLosesNoKeyIdentifier) {
  model_["aaguid"] = "not one";
  model_["attestationCertificateKeyIdentifiers"] = {std::string(40, 'a')};
  SetEntry(model_);
  const auto metadata = Parse();
  ASSERT_THAT(metadata, IsOk());
  EXPECT_NE(metadata->FindByKeyId(std::string(20, '\xaa')), nullptr);
}

TEST_F(FidoMetadataTest, OneBadRootDoesNotStopTheOthers) {
  std::string spaced = Base64(testing::MakeDer(vendor_.CaSpec(vendor_)));
  spaced.insert(10, "\r\n ");
  CertificateSpec odd = vendor_.Spec("Odd Root", testing::NewEcKey());  // CA:FALSE, not self-issued
  odd.serial = 0;
  odd.version = 0;
  odd.not_after = absl::FromUnixSeconds(1'700'000'001);
  model_["metadataStatement"]["attestationRootCertificates"] = {
      spaced,
      "AAAA",
      "%%%",
      7,
      Base64(testing::MakeDer(odd)),
      absl::StrCat("-----BEGIN CERTIFICATE-----\n",
                   Base64(testing::MakeDer(vendor_.CaSpec(vendor_))),
                   "\n-----END CERTIFICATE-----")};
  SetEntry(model_);
  const auto metadata = Parse();
  ASSERT_THAT(metadata, IsOk());
  EXPECT_EQ(metadata->anchors(), 3u);
  EXPECT_EQ(metadata->skipped().size(), 2u);
}

TEST_F(FidoMetadataTest, StatusReportsInForceDecide) {
  const auto check = [&](const json& report, const std::vector<Certificate>& path) {
    model_["statusReports"] = json::array({{{"status", "FIDO_CERTIFIED_L2"}}, report});
    SetEntry(model_);
    const auto metadata = Parse();
    EXPECT_THAT(metadata, IsOk());
    return metadata->entries().front().CheckStatus(path, time_);
  };
  const auto bad = RefusedWith(Reason::kAuthenticatorStatus);
  for (const char* status :
       {"REVOKED", "USER_VERIFICATION_BYPASS", "ATTESTATION_KEY_COMPROMISE",
        "USER_KEY_REMOTE_COMPROMISE", "USER_KEY_PHYSICAL_COMPROMISE", "SOME_FUTURE_COMPROMISE"}) {
    EXPECT_THAT(check({{"status", status}}, {}), bad) << status;
    EXPECT_THAT(check({{"status", status}, {"effectiveDate", "2026-01-01"}}, {}), bad) << status;
    EXPECT_THAT(check({{"status", status}, {"effectiveDate", "2028-01-01"}}, {}), IsOk()) << status;
    EXPECT_THAT(check({{"status", status}, {"effectiveDate", "soon"}}, {}), bad) << status;
  }
  for (const char* status :
       {"UPDATE_AVAILABLE", "NOT_FIDO_CERTIFIED", "SELF_ASSERTION_SUBMITTED"}) {
    EXPECT_THAT(check({{"status", status}}, {}), IsOk()) << status;
  }
  // A report that names a batch concerns that batch; one whose certificate is unreadable, all.
  const Certificate batch = testing::Make(vendor_.CaSpec(vendor_));
  json report = {{"status", "ATTESTATION_KEY_COMPROMISE"}, {"certificate", Base64(batch.der())}};
  EXPECT_THAT(check(report, {batch}), bad);
  CertificateSpec renewed = vendor_.CaSpec(root_);
  renewed.serial = 8;
  EXPECT_THAT(check(report, {testing::Make(renewed)}), bad) << "another certificate of that key";
  EXPECT_THAT(check(report, {testing::Make(root_.CaSpec(root_))}), IsOk());
  report["certificate"] = "AAAA";
  EXPECT_THAT(check(report, {}), bad);
}

// The latest report is the current status: a model that lost a level has it no more.
TEST_F(FidoMetadataTest, TheLastLevelInForceCounts) {
  const auto level = [&](const json& reports) {
    model_["statusReports"] = reports;
    SetEntry(model_);
    const auto metadata = Parse();
    EXPECT_THAT(metadata, IsOk());
    return metadata->entries().front().CertificationLevel(time_);
  };
  const auto report = [](const char* status, const char* date) {
    return json{{"status", status}, {"effectiveDate", date}};
  };
  const json one = report("FIDO_CERTIFIED", "2019-01-01");
  const json two = report("FIDO_CERTIFIED_L2plus", "2020-01-01");
  const json unknown = {{"status", "FIDO_CERTIFIED_L9"}};
  EXPECT_EQ(level({one, two, report("FIDO_CERTIFIED_L3", "2029-01-01"), unknown}), 2);
  EXPECT_EQ(level({two, one}), 2) << "in whatever order they stand";
  EXPECT_EQ(level({one, two, report("FIDO_CERTIFIED_L1", "2021-01-01")}), 1);
  EXPECT_EQ(level({report("FIDO_CERTIFIED_L1", "2021-01-01"), two}), 1);
  EXPECT_EQ(level({two, report("FIDO_CERTIFIED", "2020-01-01")}), 2) << "the highest of one day";
  for (const char* status : {"NOT_FIDO_CERTIFIED", "RETIRED"}) {
    EXPECT_EQ(level({two, report(status, "2021-01-01")}), 0) << status;
    EXPECT_EQ(level({report(status, "2019-01-01"), two}), 2) << status;
    EXPECT_EQ(level({two, report(status, "2029-01-01")}), 2) << status;
  }
  for (const char* status : {"UPDATE_AVAILABLE", "SELF_ASSERTION_SUBMITTED", "REVOKED"}) {
    EXPECT_EQ(level({two, report(status, "2021-01-01")}), 2) << status << " says nothing of it";
  }
}

// A fault of firmware below the one that is proved, and an update reported after it.
TEST_F(FidoMetadataTest, AnUpdateMendsAFaultOfOlderFirmwareAlone) {
  const auto concerned = [&](const json& fault, const json& update,
                             std::optional<uint64_t> proved) {
    model_["statusReports"] = json::array({fault, update});
    SetEntry(model_);
    const auto metadata = Parse();
    EXPECT_THAT(metadata, IsOk());
    return !metadata->entries().front().CheckStatus({}, time_, proved).ok();
  };
  const json fault = {{"status", "USER_VERIFICATION_BYPASS"},
                      {"effectiveDate", "2024-05-01"},
                      {"authenticatorVersion", 5}};
  const json update = {
      {"status", "UPDATE_AVAILABLE"}, {"effectiveDate", "2024-06-01"}, {"authenticatorVersion", 7}};
  const auto with = [](json report, const char* name, const json& value) {
    report[name] = value;
    return report;
  };
  const auto without = [](json report, const char* name) {
    report.erase(name);
    return report;
  };
  EXPECT_FALSE(concerned(fault, update, 7));
  EXPECT_FALSE(concerned(fault, without(update, "authenticatorVersion"), 6));
  EXPECT_FALSE(concerned(fault, with(update, "effectiveDate", "2024-05-01"), 7));
  EXPECT_FALSE(concerned(with(fault, "status", "USER_KEY_REMOTE_COMPROMISE"), update, 8));
  EXPECT_TRUE(concerned(fault, update, std::nullopt)) << "nothing proves a version";
  EXPECT_TRUE(concerned(fault, update, 6)) << "not the update";
  EXPECT_TRUE(concerned(fault, without(update, "authenticatorVersion"), 5));
  EXPECT_TRUE(concerned(without(fault, "authenticatorVersion"), update, 7));
  EXPECT_TRUE(concerned(with(fault, "authenticatorVersion", "5"), update, 7));
  EXPECT_TRUE(concerned(without(fault, "effectiveDate"), update, 7))
      << "nobody knows which is later";
  EXPECT_TRUE(concerned(fault, without(update, "effectiveDate"), 7));
  EXPECT_TRUE(concerned(fault, with(update, "effectiveDate", "2024-04-01"), 7)) << "the one before";
  EXPECT_TRUE(concerned(fault, with(update, "effectiveDate", "2029-01-01"), 7)) << "not yet";
  EXPECT_TRUE(concerned(with(update, "effectiveDate", "2024-05-01"), fault, 7)) << "one day";
  for (const char* status : {"REVOKED", "ATTESTATION_KEY_COMPROMISE", "SOME_FUTURE_COMPROMISE"}) {
    EXPECT_TRUE(concerned(with(fault, "status", status), update, 7)) << status;
  }
}

// ---- Registrations against metadata ----

class MetadataTrustTest : public FidoMetadataTest {
 protected:
  absl::StatusOr<VerifiedAttestation> Register(absl::string_view format = "packed") {
    const auto metadata = Parse();
    EXPECT_THAT(metadata, IsOk());
    const std::string challenge(32, 'q');
    const std::string client = testing::ClientJson("webauthn.create", challenge);
    const std::string auth_data = token_.AuthData();
    std::string message = absl::StrCat(auth_data, Sha256(client));
    testing::CborEntries statement = {{testing::CborText("alg"), testing::CborInt(-7)}};
    if (format == "fido-u2f") {
      statement.clear();
      EVP_PKEY* key = token_.credential.evp();
      message = absl::StrCat(absl::string_view("\0", 1), Sha256(token_.rp_id), Sha256(client),
                             token_.credential_id, "\x04", testing::EcCoordinate(key, "qx", 32),
                             testing::EcCoordinate(key, "qy", 32));
    }
    statement.emplace_back(
        testing::CborText("sig"),
        testing::CborBytes(testing::SignWith(attestation_key_.get(), EVP_sha256(), message)));
    statement.emplace_back(testing::CborText("x5c"),
                           testing::CborArray({testing::CborBytes(testing::MakeDer(leaf_))}));
    if (format == "self") {
      statement = {{testing::CborText("alg"), testing::CborInt(-7)},
                   {testing::CborText("sig"), testing::CborBytes(token_.credential.Sign(message))}};
      format = "packed";
    }
    const std::string object =
        testing::AttestationObjectBytes(format, testing::CborMap(statement), auth_data);
    const RelyingParty party = RelyingParty::Of(testing::kTestRpId, testing::kTestOrigin);
    RegistrationOptions options;
    options.attestation_object = object;
    options.client_data_json = client;
    options.challenge = challenge;
    options.relying_party = &party;
    options.policy = policy_;
    options.metadata = &*metadata;
    options.anchors = &anchors_;
    options.firmware = &firmware_;
    options.time = time_;
    return VerifyRegistration(options);
  }

  testing::TestToken token_;
  std::shared_ptr<EVP_PKEY> attestation_key_ = testing::NewEcKey();
  CertificateSpec leaf_ = testing::PackedLeafSpec(vendor_, attestation_key_);
  WebAuthnPolicy policy_;
  TrustAnchors anchors_;  // beside the metadata's
  FirmwareList firmware_;
};

TEST_F(MetadataTrustTest, ProvesTheModel) {
  policy_.min_certification_level = 1;
  const auto verified = Register();
  ASSERT_THAT(verified, IsOk());
  EXPECT_EQ(verified->proved()["model"], "Token One");
  EXPECT_EQ(verified->proved()["certification_level"], 1);
  policy_.min_certification_level = 2;
  EXPECT_THAT(Register(), RefusedWith(Reason::kAaguidRefused));
}

TEST_F(MetadataTrustTest, RootsServeTheirOwnModelAlone) {
  token_.aaguid = std::string(16, 'z');
  EXPECT_THAT(Register(), RefusedWith(Reason::kCertificateUntrusted));
  json other = model_;
  other["aaguid"] = "7a7a7a7a-7a7a-7a7a-7a7a-7a7a7a7a7a7a";
  TestCa other_vendor = TestCa::New("Other Vendor");
  other["metadataStatement"]["attestationRootCertificates"] = {
      Base64(testing::MakeDer(other_vendor.CaSpec(other_vendor)))};
  payload_["entries"] = {model_, other};
  EXPECT_THAT(Register(), RefusedWith(Reason::kCertificateUntrusted));
}

TEST_F(MetadataTrustTest, RevokedModelsAreRefusedUnlessThePolicyAllows) {
  model_["statusReports"].push_back({{"status", "REVOKED"}});
  SetEntry(model_);
  EXPECT_THAT(Register(), RefusedWith(Reason::kAuthenticatorStatus));
  policy_.allow_self = true;
  EXPECT_THAT(Register("self"), RefusedWith(Reason::kAuthenticatorStatus));
  policy_.refuse_bad_status = false;
  EXPECT_THAT(Register(), IsOk());
}

TEST_F(MetadataTrustTest, AKeyThatWasUpdatedIsTakenByWhatItsCertificateProves) {
  model_["statusReports"].push_back({{"status", "USER_VERIFICATION_BYPASS"},
                                     {"effectiveDate", "2024-05-01"},
                                     {"authenticatorVersion", 0x050200}});
  model_["statusReports"].push_back({{"status", "UPDATE_AVAILABLE"},
                                     {"effectiveDate", "2024-06-01"},
                                     {"authenticatorVersion", 0x050704}});
  SetEntry(model_);
  EXPECT_THAT(Register(), RefusedWith(Reason::kAuthenticatorStatus)) << "no version is proved";
  leaf_.extensions = {{"1.3.6.1.4.1.41482.13.1", false, "\x04\x03\x05\x02\x03"}};
  EXPECT_THAT(Register(), RefusedWith(Reason::kAuthenticatorStatus)) << "5.2.3";
  leaf_.extensions = {{"1.3.6.1.4.1.41482.13.1", false, "\x04\x03\x05\x07\x04"}};
  EXPECT_THAT(Register(), IsOk()) << "5.7.4";
  policy_.allow_self = true;
  EXPECT_THAT(Register("self"), RefusedWith(Reason::kAuthenticatorStatus));
}

TEST_F(MetadataTrustTest, AModelOfWhichOnlyItsRevocationIsListedIsRefused) {
  anchors_.Add(testing::Make(vendor_.CaSpec(vendor_)));
  payload_["entries"] = json::array();
  ASSERT_THAT(Register(), IsOk());
  json bare = {{"aaguid", kAaguid}, {"statusReports", {{{"status", "REVOKED"}}}}};
  SetEntry(bare);
  EXPECT_THAT(Register(), RefusedWith(Reason::kAuthenticatorStatus));
  bare["statusReports"] = {{{"status", "FIDO_CERTIFIED_L3"}}};
  SetEntry(bare);
  const auto verified = Register();
  ASSERT_THAT(verified, IsOk());
  EXPECT_FALSE(verified->proved().contains("model")) << "nothing says what it is called";
  policy_.min_certification_level = 1;
  EXPECT_THAT(Register(), RefusedWith(Reason::kAaguidRefused));
}

TEST_F(MetadataTrustTest, ALeafMayBeListedAsItsOwnRoot) {
  leaf_.issuer = "Nobody";
  model_["metadataStatement"]["attestationRootCertificates"] = {Base64(testing::MakeDer(leaf_))};
  SetEntry(model_);
  // Signatures of ECDSA differ each time, so the very certificate of the statement must be listed.
  EXPECT_THAT(Register(), RefusedWith(Reason::kCertificateUntrusted));
}

TEST_F(MetadataTrustTest, U2fModelsAreFoundByTheirAttestationKeyNeverByAaguid) {
  EXPECT_THAT(Register("fido-u2f"), RefusedWith(Reason::kCertificateUntrusted));
  model_.erase("aaguid");
  model_["attestationCertificateKeyIdentifiers"] = {
      absl::BytesToHexString(AttestationKeyId(testing::Make(leaf_)))};
  SetEntry(model_);
  const auto verified = Register("fido-u2f");
  ASSERT_THAT(verified, IsOk());
  EXPECT_EQ(verified->proved()["model"], "Token One");
  EXPECT_THAT(Register("packed"), RefusedWith(Reason::kCertificateUntrusted));
}

// A key of a model that the list names may answer U2F's commands, whose certificate need not name
// it.
TEST_F(MetadataTrustTest, U2fIsNoWayRoundTheListOfFirmware) {
  const auto list = [this](absl::string_view aaguid, absl::string_view rule) {
    firmware_ = *FirmwareList::Parse(
        absl::StrCat("forekey-firmware-list 1\nfido2 ", aaguid, " ", rule, "\n"));
  };
  const TestCa other = TestCa::New("Other Vendor");
  anchors_.Add(testing::Make(vendor_.CaSpec(vendor_)));
  anchors_.Add(testing::Make(other.CaSpec(other)));
  ASSERT_THAT(Register("fido-u2f"), IsOk());
  // Never as weak: a recheck would revoke keys of other models by that root.
  for (const char* rule : {"least 5.7", "weak 5.0-5.6", "weak all", "least metadata"}) {
    list(kAaguid, rule);
    EXPECT_THAT(Register("fido-u2f"), RefusedWith(Reason::kFirmwareUnproved)) << rule;
  }
  leaf_ = testing::PackedLeafSpec(other, attestation_key_);
  EXPECT_THAT(Register("fido-u2f"), IsOk()) << "by no root of that model";
  leaf_ = testing::PackedLeafSpec(vendor_, attestation_key_);
  list("7a7a7a7a-7a7a-7a7a-7a7a-7a7a7a7a7a7a", "least 5.7");
  EXPECT_THAT(Register("fido-u2f"), IsOk()) << "the metadata knows no such model";
}

TEST_F(MetadataTrustTest, SelfAttestationProvesNoModelWhateverTheMetadataSays) {
  policy_.allow_self = true;
  const auto verified = Register("self");
  ASSERT_THAT(verified, IsOk());
  EXPECT_FALSE(verified->proved().contains("model"));
  policy_.min_certification_level = 1;
  EXPECT_THAT(Register("self"), RefusedWith(Reason::kAaguidRefused));
}

TEST_F(MetadataTrustTest, ACompromisedCertificateIsLookedForInThePathThatWasFound) {
  json report = {{"status", "ATTESTATION_KEY_COMPROMISE"},
                 {"certificate", model_["metadataStatement"]["attestationRootCertificates"][0]}};
  model_["statusReports"] = json::array({report});
  SetEntry(model_);
  EXPECT_THAT(Register(), RefusedWith(Reason::kAuthenticatorStatus));
  model_["statusReports"][0]["certificate"] = Base64(testing::MakeDer(root_.CaSpec(root_)));
  SetEntry(model_);
  EXPECT_THAT(Register(), IsOk()) << "another batch";
}

TEST_F(MetadataTrustTest, ALevelThatIsNotYetInForceIsNone) {
  policy_.min_certification_level = 3;
  model_["statusReports"] = {{{"status", "FIDO_CERTIFIED_L3"}, {"effectiveDate", "2029-01-01"}}};
  SetEntry(model_);
  EXPECT_THAT(Register(), RefusedWith(Reason::kAaguidRefused));
  model_["statusReports"][0]["effectiveDate"] = "2026-01-01";
  SetEntry(model_);
  EXPECT_THAT(Register(), IsOk());
}

}  // namespace
}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// The TPM driver's own laws, on the TPM simulator.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hw/drivers.h"
#include "hw/tpm/key_file.h"
#include "simulators/process.h"
#include "src/base/bytes.h"
#include "src/crypto/certificate.h"
#include "src/crypto/digest.h"
#include "src/wire/tpm_public.h"
#include "tests/contract/tpm_token.h"

namespace forekey {
namespace {

using testing::HasSubstr;

std::unique_ptr<TpmToken> NewToken(const TpmSimulatorConfig& config = {}) {
  auto token = TpmToken::New(config);
  EXPECT_TRUE(token.ok()) << token.status();
  return token.ok() ? *std::move(token) : nullptr;
}

absl::Status With(TpmToken& token, absl::FunctionRef<absl::Status(RawTpm)> commands) {
  return token.simulator().proxy().WithTpm(commands);
}

absl::StatusOr<forekey::v1::EnrollmentOpening> OpeningOf(TpmToken& token) {
  auto enroller = token.driver().Enroll(token.uri(), {});
  if (!enroller.ok()) return enroller.status();
  return (*enroller)->Opening();
}

// What is shown with that value of the option, and what is noted about it.
absl::StatusOr<forekey::v1::EnrollmentOpening> OpeningWith(TpmToken& token, absl::string_view ek,
                                                           std::string* note = nullptr) {
  EnrollOptions options;
  options.named.Set("ek", ek);
  auto enroller = token.driver().Enroll(token.uri(), std::move(options));
  if (!enroller.ok()) return enroller.status();
  auto opening = (*enroller)->Opening();
  if (note != nullptr) *note = (*enroller)->Note();
  return opening;
}

// The SHA-256 that a gate's ek_allow_list has for it.
std::string HashOf(const forekey::v1::EnrollmentOpening& opening) {
  const auto area = TpmPublic::Parse(opening.tpm().ek_public());
  const auto key = area.ok() ? area->Key() : area.status();
  return key.ok() ? absl::BytesToHexString(Sha256(key->spki())) : key.status().ToString();
}

// Type and size of the key in a TPM2B_PUBLIC: "ecc 256", "rsa 2048", ...
std::string KeyOfCertificate(const std::string& der) {
  auto certificate = Certificate::ParseDer(der);
  if (!certificate.ok()) return certificate.status().ToString();
  EVP_PKEY* key = certificate->key();
  return absl::StrCat(EVP_PKEY_get0_type_name(key), " ", EVP_PKEY_get_bits(key));
}

// The path from the EK certificate to the simulator's CA, as the gate will want it.
absl::Status VerifyChain(TpmToken& token, const forekey::v1::TpmOpening& opening) {
  auto anchors = TrustAnchors::FromDirectory(token.simulator().trust_directory(), nullptr);
  if (!anchors.ok()) return anchors.status();
  auto leaf = Certificate::ParseDer(opening.ek_certificate());
  if (!leaf.ok()) return leaf.status();
  if (leaf->HasExtendedKeyUsage("2.23.133.8.1") != true) return absl::InternalError("EKU");
  std::vector<Certificate> intermediates;
  for (const std::string& der : opening.ek_intermediates()) {
    auto intermediate = Certificate::ParseDer(der);
    if (!intermediate.ok()) return intermediate.status();
    intermediates.push_back(*intermediate);
  }
  PathOptions options;
  options.time = absl::Now();
  options.understood_critical = {"2.5.29.17"};
  return VerifyPath(*leaf, intermediates, *anchors, options).status();
}

struct EkCase {
  const char* name;
  std::vector<uint32_t> undefined;  // certificates taken out of NV
  bool evict;                       // persistent EKs taken away, too
  const char* key;
};

class EndorsementKeyTest : public testing::TestWithParam<EkCase> {};

TEST_P(EndorsementKeyTest, EnrolsWithEachKindOfEk) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  ASSERT_TRUE(With(*token, [&](RawTpm tpm) {
                absl::Status status;
                for (uint32_t index : GetParam().undefined) status.Update(tpm.UndefineNv(index));
                if (GetParam().evict) {
                  status.Update(tpm.EvictPersistent(0x81010001, false));
                  status.Update(tpm.EvictPersistent(0x81010016, false));
                }
                return status;
              }).ok());
  auto opening = OpeningOf(*token);
  ASSERT_TRUE(opening.ok()) << opening.status();
  EXPECT_EQ(KeyOfCertificate(opening->tpm().ek_certificate()), GetParam().key);
  absl::Status chain = VerifyChain(*token, opening->tpm());
  EXPECT_TRUE(chain.ok()) << chain;
  auto reference = EnrollKey(*token, {});
  EXPECT_TRUE(reference.ok()) << reference.status();
  EXPECT_EQ(token->Leftovers(), 0);
}

INSTANTIATE_TEST_SUITE_P(
    All, EndorsementKeyTest,
    testing::Values(EkCase{"P256", {}, false, "EC 256"},
                    EkCase{"RsaPersistent", {0x01c0000a}, false, "RSA 2048"},
                    EkCase{"RsaMadeAnew", {0x01c0000a}, true, "RSA 2048"},
                    EkCase{"P384Persistent", {0x01c0000a, 0x01c00002}, false, "EC 384"},
                    EkCase{"P384MadeAnew", {0x01c0000a, 0x01c00002}, true, "EC 384"}),
    [](const auto& info) { return info.param.name; });

TEST(TpmDriverTest, HandsOverTheIntermediatesInNv) {
  TpmSimulatorConfig config;
  config.manufacture.intermediate = true;
  auto token = NewToken(config);
  ASSERT_NE(token, nullptr);
  auto opening = OpeningOf(*token);
  ASSERT_TRUE(opening.ok()) << opening.status();
  EXPECT_EQ(opening->tpm().ek_intermediates_size(), 1);
  // What an enrolment would show is shown without one, too.
  const auto shown = token->driver().HardwareCertificates(token->uri());
  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_THAT(*shown, testing::ElementsAre(opening->tpm().ek_certificate(),
                                           opening->tpm().ek_intermediates(0)));
  absl::Status chain = VerifyChain(*token, opening->tpm());
  EXPECT_TRUE(chain.ok()) << chain;
}

TEST(TpmDriverTest, EnrolsWithoutAnEkCertificate) {
  TpmSimulatorConfig config;
  config.manufacture.ek_certificates = false;
  auto token = NewToken(config);
  ASSERT_NE(token, nullptr);
  auto opening = OpeningOf(*token);
  ASSERT_TRUE(opening.ok()) << opening.status();
  EXPECT_EQ(opening->tpm().ek_certificate(), "");
  EXPECT_FALSE(opening->tpm().ek_public().empty());
  EXPECT_TRUE(token->driver().HardwareCertificates(token->uri())->empty());
  EXPECT_TRUE(EnrollKey(*token, {}).ok());
}

TEST(TpmDriverTest, PassesOverACertificateOfAnotherTpmsKey) {
  auto token = NewToken();
  TpmSimulatorConfig config;
  config.identity = 1;
  auto other = NewToken(config);
  ASSERT_TRUE(token != nullptr && other != nullptr);
  auto foreign = OpeningOf(*other);
  ASSERT_TRUE(foreign.ok());
  ASSERT_TRUE(With(*token, [&](RawTpm tpm) {
                absl::Status status = tpm.UndefineNv(0x01c0000a);
                status.Update(tpm.WriteNv(0x01c0000a, foreign->tpm().ek_certificate()));
                return status;
              }).ok());
  auto opening = OpeningOf(*token);
  ASSERT_TRUE(opening.ok()) << opening.status();
  EXPECT_EQ(KeyOfCertificate(opening->tpm().ek_certificate()), "RSA 2048");
  ASSERT_TRUE(With(*token, [&](RawTpm tpm) {
                absl::Status status = tpm.UndefineNv(0x01c00002);
                status.Update(tpm.UndefineNv(0x01c00016));
                return status;
              }).ok());
  // None is left: a gate may know the EK by its hash all the same.
  std::string note;
  opening = OpeningWith(*token, "", &note);
  ASSERT_TRUE(opening.ok()) << opening.status();
  EXPECT_EQ(opening->tpm().ek_certificate(), "");
  EXPECT_THAT(note, testing::AllOf(HasSubstr("0x01c0000a"), HasSubstr("seed"),
                                   HasSubstr(HashOf(*opening))));
  EXPECT_TRUE(EnrollKey(*token, {}).ok());
}

// An index that is filled up, and one with bytes that are no certificate.
TEST(TpmDriverTest, AnIndexWithoutACertificateIsAsGoodAsNone) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  ASSERT_TRUE(With(*token, [&](RawTpm tpm) {
                absl::Status status = tpm.UndefineNv(0x01c0000a);
                status.Update(tpm.WriteNv(0x01c0000a, std::string(700, '\xff')));
                return status;
              }).ok());
  auto opening = OpeningOf(*token);
  ASSERT_TRUE(opening.ok()) << opening.status();
  EXPECT_EQ(KeyOfCertificate(opening->tpm().ek_certificate()), "RSA 2048");
  ASSERT_TRUE(With(*token, [&](RawTpm tpm) {
                absl::Status status = tpm.UndefineNv(0x01c00002);
                status.Update(tpm.WriteNv(0x01c00002, "0\x03no\n"));
                status.Update(tpm.UndefineNv(0x01c00016));
                return status;
              }).ok());
  std::string note;
  opening = OpeningWith(*token, "", &note);
  ASSERT_TRUE(opening.ok()) << opening.status();
  EXPECT_EQ(opening->tpm().ek_certificate(), "");
  EXPECT_THAT(note, testing::AllOf(HasSubstr("0x01c0000a, 0x01c00002 can't be read"),
                                   testing::Not(HasSubstr("seed")), HasSubstr(HashOf(*opening))));
}

// What the gate reads, and OpenSSL by itself does not: a serial number with a zero too many.
TEST(TpmDriverTest, SendsACertificateThatOnlyTheGateCanRead) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  auto opening = OpeningOf(*token);
  ASSERT_TRUE(opening.ok()) << opening.status();
  std::string der = opening->tpm().ek_certificate();
  ASSERT_EQ(der[13], 2) << "the serial number";
  ASSERT_LT(static_cast<uint8_t>(der[15]), 0x80);
  der.insert(15, 1, '\0');
  for (size_t length : {14, 7, 3}) ++der[length];  // of the number, and of what it lies in
  ASSERT_TRUE(der[7] != 0 && der[3] != 0) << "a carry";
  ASSERT_TRUE(With(*token, [&](RawTpm tpm) {
                absl::Status status = tpm.UndefineNv(0x01c0000a);
                status.Update(tpm.WriteNv(0x01c0000a, der));
                return status;
              }).ok());
  opening = OpeningOf(*token);
  ASSERT_TRUE(opening.ok()) << opening.status();
  EXPECT_EQ(opening->tpm().ek_certificate(), der);
}

TEST(TpmDriverTest, ShowsTheEkThatIsChosen) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  for (const auto& [ek, key] :
       {std::pair{"", "EC 256"}, std::pair{"p256", "EC 256"}, std::pair{"rsa", "RSA 2048"},
        std::pair{"rsa2048", "RSA 2048"}, std::pair{"p384", "EC 384"},
        std::pair{"0x81010001", "RSA 2048"}, std::pair{"0x81010016", "EC 384"}}) {
    auto opening = OpeningWith(*token, ek);
    ASSERT_TRUE(opening.ok()) << ek << ": " << opening.status();
    EXPECT_EQ(KeyOfCertificate(opening->tpm().ek_certificate()), key) << ek;
    EnrollOptions options;
    options.named.Set("ek", ek);
    const absl::Status enrolled = EnrollKey(*token, std::move(options)).status();
    EXPECT_TRUE(enrolled.ok()) << ek << ": " << enrolled;
  }
  for (const char* wrong : {"p521", "rsa1024", "0x01c00002", "0x81010001x", "81010001"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(OpeningWith(*token, wrong).status())) << wrong;
  }
  EXPECT_FALSE(OpeningWith(*token, "0x81010fff").ok());
  EXPECT_EQ(token->Leftovers(), 0);
}

// As a TPM of a cloud is: the administrator has the hash of one of its EKs.
TEST(TpmDriverTest, ShowsTheEkThatIsChosenWithoutACertificateToo) {
  TpmSimulatorConfig config;
  config.manufacture.ek_certificates = false;
  auto token = NewToken(config);
  ASSERT_NE(token, nullptr);
  std::set<std::string> hashes;
  for (const char* ek : {"p256", "rsa2048", "p384"}) {
    std::string note;
    auto opening = OpeningWith(*token, ek, &note);
    ASSERT_TRUE(opening.ok()) << ek << ": " << opening.status();
    EXPECT_EQ(opening->tpm().ek_certificate(), "");
    EXPECT_THAT(note, HasSubstr(HashOf(*opening))) << ek;
    hashes.insert(HashOf(*opening));
    EnrollOptions options;
    options.named.Set("ek", ek);
    const absl::Status enrolled = EnrollKey(*token, std::move(options)).status();
    EXPECT_TRUE(enrolled.ok()) << ek << ": " << enrolled;
  }
  EXPECT_EQ(hashes.size(), 3u);
}

TEST(TpmDriverTest, ReadsACertificateWithFillerBehindIt) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  auto opening = OpeningOf(*token);
  ASSERT_TRUE(opening.ok());
  const std::string certificate = opening->tpm().ek_certificate();
  ASSERT_TRUE(With(*token, [&](RawTpm tpm) {
                absl::Status status = tpm.UndefineNv(0x01c0000a);
                status.Update(tpm.WriteNv(0x01c0000a, certificate + std::string(700, '\xff')));
                return status;
              }).ok());
  opening = OpeningOf(*token);
  ASSERT_TRUE(opening.ok());
  EXPECT_EQ(opening->tpm().ek_certificate(), certificate);
}

TEST(TpmDriverTest, UsesTheManufacturersTemplateFromNv) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  // Another unique field makes another key: the certificate is then of none that this TPM has.
  auto opening = OpeningOf(*token);
  ASSERT_TRUE(opening.ok());
  std::string area = opening->tpm().ek_public().substr(2);
  for (size_t i = area.size() - 34 - 32; i < area.size() - 34; ++i) area[i] = 1;
  ASSERT_TRUE(With(*token, [&](RawTpm tpm) { return tpm.WriteNv(0x01c0000c, area); }).ok());
  auto other = OpeningOf(*token);
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(KeyOfCertificate(other->tpm().ek_certificate()), "RSA 2048");
}

TEST(TpmDriverTest, RefusesADemandForAnotherTpm) {
  auto token = NewToken();
  TpmSimulatorConfig config;
  config.identity = 1;
  auto other = NewToken(config);
  ASSERT_TRUE(token != nullptr && other != nullptr);
  auto foreign = OpeningOf(*other);
  ASSERT_TRUE(foreign.ok());
  auto enroller = token->driver().Enroll(token->uri(), {});
  ASSERT_TRUE(enroller.ok());
  auto opening = (*enroller)->Opening();
  ASSERT_TRUE(opening.ok());
  opening->mutable_tpm()->set_ek_public(foreign->tpm().ek_public());
  auto demand = token->Demand(*opening);
  ASSERT_TRUE(demand.ok()) << demand.status();
  absl::Status status = (*enroller)->CreateKey(*demand, "x").status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("Esys_ActivateCredential"));
  EXPECT_EQ(token->Leftovers(), 0);
}

TEST(TpmDriverTest, RefusesAMalformedDemand) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  auto enroller = token->driver().Enroll(token->uri(), {});
  auto opening = (*enroller)->Opening();
  ASSERT_TRUE(opening.ok());
  auto demand = token->Demand(*opening);
  ASSERT_TRUE(demand.ok());
  auto is_refused = [&](const forekey::v1::EnrollmentDemand& bad) {
    return (*enroller)->CreateKey(bad, "x").status().code() == absl::StatusCode::kInvalidArgument;
  };
  forekey::v1::EnrollmentDemand bad = *demand;
  bad.mutable_tpm()->mutable_credential_blob()->push_back('\0');
  EXPECT_TRUE(is_refused(bad));
  bad = *demand;
  bad.mutable_tpm()->mutable_encrypted_secret()->pop_back();
  EXPECT_TRUE(is_refused(bad));
  bad = *demand;
  bad.mutable_tpm()->clear_credential_blob();
  EXPECT_TRUE(is_refused(bad));
  bad.clear_tpm();
  EXPECT_TRUE(is_refused(bad));
  EXPECT_TRUE((*enroller)->CreateKey(*demand, "x").ok());
}

TEST(TpmDriverTest, WorksBesideAnotherProgramsObject) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  ASSERT_TRUE(With(*token, [](RawTpm tpm) {
                RawTpm::Point point;
                return tpm.LoadP256EndorsementKey(&point).status();
              }).ok());
  std::string spki;
  auto reference = EnrollKey(*token, {}, &spki);
  ASSERT_TRUE(reference.ok()) << reference.status();
  auto key = token->driver().Load(*reference, Secret());
  ASSERT_TRUE(key.ok());
  EXPECT_TRUE((*key)->Sign("x", {}).ok());
  EXPECT_EQ(token->Leftovers(), 1);
}

TEST(TpmDriverTest, SaysWhatToDoWhenAllSlotsAreTakenAndGoesOnOnceOneIsFree) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  auto reference = EnrollKey(*token, {});
  ASSERT_TRUE(reference.ok());
  auto key = token->driver().Load(*reference, Secret());
  ASSERT_TRUE(key.ok());
  std::vector<uint32_t> handles;
  ASSERT_TRUE(With(*token, [&](RawTpm tpm) {
                RawTpm::Point point;
                for (int i = 0; i < 3; ++i) {
                  auto handle = tpm.LoadP256EndorsementKey(&point);
                  if (!handle.ok()) return handle.status();
                  handles.push_back(*handle);
                }
                return absl::OkStatus();
              }).ok());
  SignOptions options;
  options.deadline = Deadline::In(absl::Seconds(1));
  absl::Status status = (*key)->Sign("x", options).status();
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kBusy) << status;
  EXPECT_THAT(
      std::string(status.message()),
      testing::AllOf(HasSubstr("0x00000902 TPM_RC_OBJECT_MEMORY"), HasSubstr("tpm2_flushcontext")));
  // It asks again while it waits; the other program ends at the second time.
  int asked = 0;
  options.deadline = Deadline::Never();
  options.cancelled = [&] {
    if (++asked == 2) {
      EXPECT_TRUE(With(*token, [&](RawTpm tpm) {
                    absl::Status freed = tpm.Flush(handles[0]);
                    freed.Update(tpm.Flush(handles[1]));
                    return freed;
                  }).ok());
    }
    return false;
  };
  EXPECT_TRUE((*key)->Sign("x", options).ok());
  EXPECT_EQ(token->Leftovers(), 1);
}

// It has three slots for objects and three for sessions, and no resource manager looks after them.
TEST(TpmDriverTest, WhatIsGivenUpLeavesNothingInTheTpm) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  EnrollOptions options;
  options.key_password = Secret::CopyOf("a key's password");
  auto reference = EnrollKey(*token, std::move(options));
  ASSERT_TRUE(reference.ok()) << reference.status();
  auto key = token->driver().Load(*reference, Secret::CopyOf("a key's password"));
  ASSERT_TRUE(key.ok()) << key.status();
  TpmProxy& proxy = token->simulator().proxy();
  for (int round = 0; round < 2; ++round) {
    for (const auto& [code, name] :
         {std::pair{0x131u, "TPM2_CreatePrimary"}, std::pair{0x176u, "TPM2_StartAuthSession"},
          std::pair{0x157u, "TPM2_Load"}, std::pair{0x165u, "TPM2_FlushContext"},
          std::pair{0x15du, "TPM2_Sign"}}) {
      proxy.Misbehave({.latency = absl::Hours(1), .latency_command = code});
      SignOptions sign;
      sign.cancelled = [&proxy] {
        const auto status = proxy.GetStatus();
        return status.ok() && status->delaying;
      };
      const absl::Status given_up = (*key)->Sign("x", sign).status();
      EXPECT_EQ(DeviceErrorOf(given_up), DeviceError::kCancelled) << given_up;
      proxy.Misbehave({});  // the answer comes
      absl::Status next;
      do {
        next = (*key)->Sign("x", {}).status();
      } while (absl::StrContains(next.message(), "does not answer"));
      ASSERT_TRUE(next.ok()) << name << ": " << next;
      EXPECT_EQ(token->Leftovers(), 0) << name;
    }
  }
}

TEST(TpmDriverTest, TellsAnOwnerOrEndorsementPasswordFromAWrongKeyPassword) {
  for (const auto& [hierarchy, name] : {std::pair{0x40000001u, "owner hierarchy"},
                                        std::pair{0x4000000Bu, "endorsement hierarchy"}}) {
    auto token = NewToken();
    ASSERT_NE(token, nullptr);
    ASSERT_TRUE(With(*token, [h = hierarchy](RawTpm tpm) {
                  return tpm.ChangeHierarchyPassword(h, "secret");
                }).ok());
    absl::Status status = EnrollKey(*token, {}).status();
    EXPECT_EQ(DeviceErrorOf(status), DeviceError::kNotSetUp) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(name));
    EXPECT_EQ(token->Leftovers(), 0);
  }
}

TEST(TpmDriverTest, UsesTheOwnersPersistentStorageKey) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  const std::string folder = token->simulator().state_directory();
  const std::vector<std::string> environment = {"TPM2TOOLS_TCTI=" + token->simulator().tcti()};
  for (const std::vector<std::string>& argv :
       {std::vector<std::string>{"tpm2_createprimary", "-Q", "-C", "o", "-g", "sha256", "-G", "ecc",
                                 "-c", folder + "/srk"},
        {"tpm2_evictcontrol", "-Q", "-C", "o", "-c", folder + "/srk", "0x81000001"},
        {"tpm2_flushcontext", "-t"}}) {
    auto output = RunTool({.argv = argv, .environment = environment});
    ASSERT_TRUE(output.ok()) << output.status();
  }
  ASSERT_TRUE(With(*token, [](RawTpm tpm) {
                return tpm.ChangeHierarchyPassword(0x40000001, "the owner's");
              }).ok());
  for (const char* password : {"", "key password"}) {
    EnrollOptions options;
    options.key_password = Secret::CopyOf(password);
    auto reference = EnrollKey(*token, std::move(options));
    ASSERT_TRUE(reference.ok()) << reference.status();
    auto file = ParseKeyFile(*reference);
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(file->parent, 0x81000001u);
    auto key = token->driver().Load(*reference, Secret::CopyOf(password));
    ASSERT_TRUE(key.ok());
    EXPECT_TRUE((*key)->Sign("x", {}).ok());
  }
}

TEST(TpmDriverTest, AKeyOfAnotherTpmSaysSo) {
  auto token = NewToken();
  TpmSimulatorConfig config;
  config.identity = 1;
  auto other = NewToken(config);
  ASSERT_TRUE(token != nullptr && other != nullptr);
  auto reference = EnrollKey(*token, {});
  ASSERT_TRUE(reference.ok());
  auto file = ParseKeyFile(*reference);
  ASSERT_TRUE(file.ok());
  file->device_uri = other->uri();
  auto key = token->driver().Load(*SerializeKeyFile(*file), Secret());
  ASSERT_TRUE(key.ok());
  absl::Status status = (*key)->Sign("x", {}).status();
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kNotSetUp) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("storage key is not the one"));
  // Without the storage key's Name in the file, the TPM itself refuses the blob.
  file->parent_name.clear();
  key = token->driver().Load(*SerializeKeyFile(*file), Secret());
  ASSERT_TRUE(key.ok());
  status = (*key)->Sign("x", {}).status();
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kNotSetUp) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("TPM_RC_INTEGRITY"));
  EXPECT_EQ(other->Leftovers(), 0);
}

TEST(TpmDriverTest, AnEmptyAnswerIsGivingUpAndCostsNoTry) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  EnrollOptions options;
  options.key_password = Secret::CopyOf("key password");
  auto reference = EnrollKey(*token, std::move(options));
  ASSERT_TRUE(reference.ok()) << reference.status();
  auto key = token->driver().Load(*reference, Secret());
  ASSERT_TRUE(key.ok());
  ScriptedPrompt nothing("");
  SignOptions sign;
  sign.prompt = &nothing;
  EXPECT_EQ(DeviceErrorOf((*key)->Sign("x", sign).status()), DeviceError::kCancelled);
  const int tries = nothing.last_tries_left;
  EXPECT_GT(tries, 0);
  EXPECT_EQ(DeviceErrorOf((*key)->Sign("x", sign).status()), DeviceError::kCancelled);
  EXPECT_EQ(nothing.last_tries_left, tries);
}

TEST(TpmDriverTest, TriesAGivenPasswordOnceForAllCallsThatWait) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  EnrollOptions options;
  options.key_password = Secret::CopyOf("key password");
  auto reference = EnrollKey(*token, std::move(options));
  ASSERT_TRUE(reference.ok()) << reference.status();
  const auto tries_left = [&] {
    ScriptedPrompt nothing("");
    SignOptions sign;
    sign.prompt = &nothing;
    (void)(*token->driver().Load(*reference, Secret()))->Sign("x", sign);
    return nothing.last_tries_left;
  };
  const int before = tries_left();
  auto key = token->driver().Load(*reference, Secret::CopyOf("another password"));
  ASSERT_TRUE(key.ok()) << key.status();
  token->simulator().proxy().Misbehave({.latency = absl::Milliseconds(20)});
  std::vector<std::thread> calls;
  for (int i = 0; i < 4; ++i) {
    calls.emplace_back([&key] {
      const absl::Status status = (*key)->Sign("x", {}).status();
      EXPECT_THAT(DeviceErrorOf(status),
                  testing::AnyOf(DeviceError::kWrongPin, DeviceError::kPinRequired))
          << status;
    });
  }
  for (std::thread& call : calls) call.join();
  token->simulator().proxy().Misbehave({});
  EXPECT_EQ(tries_left(), before - 1);
}

TEST(TpmDriverTest, RefusesPasswordsThatATpmCantKeep) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  for (const std::string& password : {std::string(33, 'x'), std::string("x\0", 2)}) {
    EnrollOptions options;
    options.key_password = Secret::CopyOf(password);
    EXPECT_EQ(EnrollKey(*token, std::move(options)).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

// A bus can be listened to: no secret may cross it in the clear, and no session that protects one
// may have a key that follows from what was heard.
TEST(TpmDriverTest, NoSecretCrossesTheBusInTheClear) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  const std::string password = "a password to listen for";
  token->simulator().proxy().StartRecording();
  EnrollOptions options;
  options.key_password = Secret::CopyOf(password);
  auto reference = EnrollKey(*token, std::move(options));
  ASSERT_TRUE(reference.ok()) << reference.status();
  auto key = token->driver().Load(*reference, Secret::CopyOf(password));
  ASSERT_TRUE(key.ok());
  ASSERT_TRUE((*key)->Sign("x", {}).ok());
  const std::vector<std::string> traffic = token->simulator().proxy().StopRecording();
  int sessions = 0;
  for (const std::string& bytes : traffic) {
    EXPECT_FALSE(absl::StrContains(bytes, password));
    EXPECT_FALSE(absl::StrContains(bytes, token->activation_secret()));
    ByteReader reader(bytes);
    reader.Raw(6);
    if (reader.U32() != 0x176) continue;  // TPM2_StartAuthSession
    const uint32_t salted_to = reader.U32();
    reader.U32();
    reader.Len2();
    const size_t salt = reader.Len2().size();
    if (reader.U8() != 0) continue;  // TPM_SE_HMAC
    ++sessions;
    EXPECT_NE(salted_to, 0x40000007u);  // TPM_RH_NULL
    EXPECT_GT(salt, 0u);
  }
  EXPECT_EQ(sessions, 4);  // create, activate, certify, sign
}

TEST(TpmDriverTest, RefusesASignatureThatWasAlteredOnTheWay) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  for (const char* password : {"", "correct horse"}) {
    token->simulator().proxy().Misbehave({});
    EnrollOptions options;
    options.key_password = Secret::CopyOf(password);
    auto reference = EnrollKey(*token, std::move(options));
    ASSERT_TRUE(reference.ok()) << reference.status();
    auto key = token->driver().Load(*reference, Secret::CopyOf(password));
    ASSERT_TRUE(key.ok());
    TpmMisbehaviour misbehaviour;
    misbehaviour.flip_command = 0x15d;  // TPM2_Sign
    misbehaviour.flip_offset = 25;      // within r
    token->simulator().proxy().Misbehave(misbehaviour);
    absl::Status status = (*key)->Sign("x", {}).status();
    EXPECT_EQ(DeviceErrorOf(status), DeviceError::kOther) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(*password == '\0' ? "does not verify"
                                            : "altered between the TPM and this program"));
  }
}

// An interposer that answers with a storage key of its own could read every salt.
TEST(TpmDriverTest, RefusesAStorageKeyThatIsNotTheOneOfTheEnrolment) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  auto reference = EnrollKey(*token, {});
  ASSERT_TRUE(reference.ok());
  auto file = ParseKeyFile(*reference);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->parent_name.size(), 34u);
  file->parent_name[10] ^= 1;
  auto key = token->driver().Load(*SerializeKeyFile(*file), Secret());
  ASSERT_TRUE(key.ok());
  EXPECT_EQ(DeviceErrorOf((*key)->Sign("x", {}).status()), DeviceError::kNotSetUp);
}

TEST(TpmDriverTest, NamesTheGroupWhenAccessIsDenied) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  // Root may do anything: then this process is somebody else for a moment.
  const bool root = geteuid() == 0;
  if (root) {
    ASSERT_EQ(seteuid(65534), 0);
  } else {
    ASSERT_EQ(chmod(token->simulator().socket_path().c_str(), 0), 0);
  }
  absl::Status status = OpeningOf(*token).status();
  if (root) {
    ASSERT_EQ(seteuid(0), 0);
  }
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kNoAccess) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("group tss"));
}

// A seated user could else reset the counter of wrong passwords, try on, or clear the TPM.
TEST(TpmDriverTest, WarnsOfALockoutHierarchyWithoutPassword) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  std::vector<std::string> problems;
  token->driver().List(&problems);
  EXPECT_THAT(problems, testing::Contains(testing::AllOf(HasSubstr(token->uri()),
                                                         HasSubstr("tpm2_changeauth -c lockout"))));

  ASSERT_TRUE(With(*token, [](RawTpm tpm) {
                return tpm.ChangeHierarchyPassword(0x4000000Au, "secret");
              }).ok());
  problems.clear();
  token->driver().List(&problems);
  EXPECT_THAT(problems, testing::Not(testing::Contains(HasSubstr(token->uri()))));
}

TEST(TpmDriverTest, IsListedAmongAllDrivers) {
  auto token = NewToken();
  ASSERT_NE(token, nullptr);
  int found = 0;
  for (const auto& driver : AllDrivers({token->uri(), "other:x"})) {
    for (const DeviceInfo& device : driver->List(nullptr)) found += device.uri == token->uri();
  }
  EXPECT_EQ(found, 1);
}

}  // namespace
}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// The PIV driver's own laws, on the simulated card behind the real pcscd: each misbehaviour, other
// programs that use the same card, cards and readers and pcscd that come and go.
#include <winscard.h>

#include <atomic>
#include <random>
#include <thread>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hw/piv/new_key.h"
#include "hw/piv/tlv.h"
#include "simulators/piv/piv_certificates.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"
#include "tests/contract/piv_token.h"
#include "tests/contract/tpm_token.h"

namespace forekey {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

piv::PivSimulatorConfig CardWithFirmware(uint8_t major, uint8_t minor, uint8_t patch) {
  piv::PivSimulatorConfig config;
  config.card.firmware = {major, minor, patch};
  return config;
}

class PivDriverTest : public ::testing::Test {
 protected:
  void Start(const piv::PivSimulatorConfig& config = CardWithFirmware(5, 7, 4)) {
    auto token = PivToken::New(config);
    ASSERT_TRUE(token.ok()) << token.status();
    token_ = *std::move(token);
  }

  // A new key with these policies, enrolled.
  std::unique_ptr<DeviceKey> Enroll(absl::string_view pin_policy, absl::string_view touch_policy,
                                    absl::string_view given_pin = "",
                                    absl::string_view overwritten = "") {
    EnrollOptions options;
    options.named.Set("slot", overwritten);
    options.named.SetFlag("overwrite", !overwritten.empty());
    options.named.Set("pin-policy", pin_policy);
    options.named.Set("touch-policy", touch_policy);
    auto reference = EnrollKey(*token_, std::move(options), &spki_);
    EXPECT_TRUE(reference.ok()) << reference.status();
    if (!reference.ok()) return nullptr;
    auto key = token_->driver().Load(*reference, Secret::CopyOf(given_pin));
    EXPECT_TRUE(key.ok()) << key.status();
    return key.ok() ? *std::move(key) : nullptr;
  }
  absl::Status SignAndCheck(DeviceKey& key) { return SignAndCheck(key, token_->Sign()); }
  absl::Status SignAndCheck(DeviceKey& key, const SignOptions& options) {
    auto signature = key.Sign("a statement", options);
    if (!signature.ok()) return signature.status();
    return token_->CheckSignature(spki_, "a statement", *signature);
  }
  // A misbehaviour that begins with the command after so many of the next signature's.
  void Misbehave(const piv::PivMisbehaviour& misbehaviour) {
    token_->simulator().Misbehave(misbehaviour);
  }

  std::unique_ptr<PivToken> token_;
  std::string spki_;
};

TEST_F(PivDriverTest, EnrolsOnEachGenerationOfFirmware) {
  for (auto config : {CardWithFirmware(4, 3, 7), CardWithFirmware(5, 2, 4),
                      CardWithFirmware(5, 4, 3), CardWithFirmware(5, 7, 4)}) {
    ASSERT_NO_FATAL_FAILURE(Start(config));
    // Before 5.3 a card can't say that a slot is free.
    const bool says = config.card.AtLeast(5, 3, 0);
    if (!says) {
      EXPECT_THAT(EnrollKey(*token_, {}).status().message(), HasSubstr("--overwrite"));
    }
    auto key = Enroll("always", "never", "", says ? "" : "82");
    ASSERT_NE(key, nullptr) << int{config.card.firmware.major};
    EXPECT_TRUE(SignAndCheck(*key).ok());
    EXPECT_EQ(token_->Leftovers(), 0);
    EXPECT_EQ(token_->tries_left(), 3);
    token_.reset();
  }
}

TEST_F(PivDriverTest, ShowsTheCertificateThatAttestsWhereItHasOne) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const auto shown = token_->driver().HardwareCertificates(token_->uri());
  ASSERT_TRUE(shown.ok()) << shown.status();
  ASSERT_EQ(shown->size(), 1u);
  EXPECT_TRUE(Certificate::ParseDer(shown->front())->IsCa());
  token_.reset();
  piv::PivSimulatorConfig agency;
  agency.card.kind = piv::PivConfig::Kind::kPlainCard;
  ASSERT_NO_FATAL_FAILURE(Start(agency));
  const auto none = token_->driver().HardwareCertificates(token_->uri());
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->empty());
}

TEST_F(PivDriverTest, MakesAndUsesKeysOfEveryAlgorithmThatTheCardHas) {
  const std::vector<std::string> always = {"eccp256", "eccp384", "rsa2048"};
  const std::vector<std::string> later = {"rsa3072", "rsa4096", "ed25519"};
  for (const bool extended : {true, false}) {
    for (auto config :
         {CardWithFirmware(4, 3, 7), CardWithFirmware(5, 4, 3), CardWithFirmware(5, 7, 4)}) {
      config.card.extended_apdus = extended;
      ASSERT_NO_FATAL_FAILURE(Start(config));
      const bool is_new = config.card.AtLeast(5, 7, 0);
      std::vector<std::string> names = always;
      if (is_new) names.insert(names.end(), later.begin(), later.end());
      for (const std::string& name : names) {
        EnrollOptions options;
        options.named.Set("slot", "9c");
        options.named.SetFlag("overwrite", true);
        options.named.Set("algorithm", name);
        auto reference = EnrollKey(*token_, std::move(options), &spki_);
        ASSERT_TRUE(reference.ok()) << name << ": " << reference.status();
        EXPECT_EQ(NewKeyAlgorithmName(*AlgorithmOf(*PublicKey::FromSpki(spki_))), name);
        auto key = token_->driver().Load(*reference, Secret());
        ASSERT_TRUE(key.ok());
        absl::Status status = SignAndCheck(**key);
        EXPECT_TRUE(status.ok()) << name << ": " << status;
      }
      for (const std::string& name : later) {
        if (is_new) break;
        EnrollOptions options;
        options.named.Set("slot", "9c");
        options.named.SetFlag("overwrite", true);
        options.named.Set("algorithm", name);
        EXPECT_EQ(DeviceErrorOf(EnrollKey(*token_, std::move(options)).status()),
                  DeviceError::kNotSetUp)
            << name;
      }
      EXPECT_EQ(token_->tries_left(), 3);
      token_.reset();
    }
  }
}

TEST_F(PivDriverTest, WritesTheNewKeysCertificateWhereThatIsAskedFor) {
  for (auto config : {CardWithFirmware(5, 4, 3), CardWithFirmware(5, 7, 4)}) {
    ASSERT_NO_FATAL_FAILURE(Start(config));
    EnrollOptions options;
    options.named.Set("algorithm", "rsa2048");
    options.named.SetFlag("write-certificate", true);
    auto reference = EnrollKey(*token_, std::move(options), &spki_);
    ASSERT_TRUE(reference.ok()) << reference.status();
    std::string object;
    token_->simulator().card().WithApplet(
        [&](piv::PivApplet& applet) { object = applet.state().objects[CertificateObject(0x82)]; });
    auto content = SoleTlv(object, 0x53);
    ASSERT_TRUE(content.ok()) << content.status();
    auto certificate = ParseCertificateObject(*content);
    ASSERT_TRUE(certificate.ok()) << certificate.status();
    EXPECT_EQ(Certificate::ParseDer(*certificate)->Spki(), spki_);
    auto key = token_->driver().Load(*reference, Secret());
    ASSERT_TRUE(key.ok());
    EXPECT_TRUE(SignAndCheck(**key).ok());
    token_.reset();
  }
}

TEST_F(PivDriverTest, EnrolsWhatAnAgencysCardHasOfEveryAlgorithm) {
  for (piv::Algorithm algorithm :
       {piv::Algorithm::kRsa2048, piv::Algorithm::kRsa3072, piv::Algorithm::kP384}) {
    piv::PivSimulatorConfig config;
    config.card.kind = piv::PivConfig::Kind::kPlainCard;
    config.card.key_algorithm = algorithm;
    ASSERT_NO_FATAL_FAILURE(Start(config));
    for (const char* slot : {"9a", "9c"}) {
      EnrollOptions options;
      options.named.SetFlag("existing", true);
      options.named.Set("slot", slot);
      auto reference = EnrollKey(*token_, std::move(options), &spki_);
      ASSERT_TRUE(reference.ok()) << slot << ": " << reference.status();
      auto key = token_->driver().Load(*reference, Secret());
      ASSERT_TRUE(key.ok());
      EXPECT_TRUE(SignAndCheck(**key).ok()) << slot;
    }
    token_.reset();
  }
}

// A card that attests, with a key in 9A that an issuing CA has certified since.
class PivCertifiedKeyTest : public PivDriverTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(Start());
    EnrollOptions options;
    options.named.Set("slot", "9a");
    ASSERT_TRUE(EnrollKey(*token_, std::move(options), &spki_).ok());
    const auto key = PublicKey::FromSpki(spki_);
    ASSERT_TRUE(key.ok());
    WithState([&](piv::PivState& state) {
      piv::PivState agency = state.Clone();
      ASSERT_TRUE(piv::FoundAgency(&agency).ok());
      const auto der = piv::IssueSlotCertificate(agency, 0x9a, key->evp());
      ASSERT_TRUE(der.ok()) << der.status();
      certificate_ = *der;
      state.objects[piv::CertificateObjectTag(0x9a)] = piv::CertificateObject(*der);
    });
  }
  void WithState(absl::FunctionRef<void(piv::PivState&)> change) {
    token_->simulator().card().WithApplet([&](piv::PivApplet& applet) { change(applet.state()); });
  }
  // What proves the key that is there, with that value of the option.
  absl::StatusOr<forekey::v1::PivEvidence> Evidence(absl::string_view proof,
                                                    const forekey::v1::PivDemand& asked = {}) {
    EnrollOptions options;
    options.named.SetFlag("existing", true);
    options.named.Set("slot", "9a");
    options.named.Set("proof", proof);
    options.sign = token_->Sign();
    FOREKEY_ASSIGN_OR_RETURN(auto enroller,
                             token_->driver().Enroll(token_->uri(), std::move(options)));
    FOREKEY_RETURN_IF_ERROR(enroller->Opening().status());
    forekey::v1::EnrollmentDemand demand;
    *demand.mutable_piv() = asked;
    FOREKEY_RETURN_IF_ERROR(enroller->CreateKey(demand, kUnkeyedStatement).status());
    forekey::v1::EnrollmentProof made;
    FOREKEY_RETURN_IF_ERROR(enroller->Prove("a statement", &made));
    note_ = enroller->Note();
    return made.piv();
  }
  std::string certificate_, note_;
};

TEST_F(PivCertifiedKeyTest, IsProvedByItsIssuersCertificateWhereThatIsWanted) {
  auto evidence = Evidence("certificate");
  ASSERT_TRUE(evidence.ok()) << evidence.status();
  EXPECT_FALSE(evidence->is_attestation());
  EXPECT_EQ(evidence->certificate(), certificate_);
  EXPECT_EQ(note_, "");
  for (const char* attested : {"", "attestation"}) {
    evidence = Evidence(attested);
    ASSERT_TRUE(evidence.ok()) << evidence.status();
    EXPECT_TRUE(evidence->is_attestation()) << attested;
    EXPECT_EQ(note_.empty(), *attested != '\0') << note_;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(Evidence("either").status()));
  WithState([](piv::PivState& state) { state.objects.erase(piv::CertificateObjectTag(0x9a)); });
  EXPECT_EQ(DeviceErrorOf(Evidence("certificate").status()), DeviceError::kNotSetUp);
}

TEST_F(PivCertifiedKeyTest, IsProvedByWhatTheGateSaysThatItTakes) {
  forekey::v1::PivDemand attestations, certificates, both;
  attestations.set_attestations(true);
  certificates.set_certificates(true);
  both.set_attestations(true);
  both.set_certificates(true);
  for (const auto* asked : {&attestations, &certificates, &both}) {
    const auto evidence = Evidence("", *asked);
    ASSERT_TRUE(evidence.ok()) << evidence.status();
    EXPECT_EQ(evidence->is_attestation(), asked->attestations());
    EXPECT_EQ(note_.empty(), asked != &both) << note_;
  }
  const uint64_t signatures = token_->simulator().card().counts().signatures;
  EXPECT_THAT(Evidence("attestation", certificates).status().message(), HasSubstr("leave that"));
  EXPECT_THAT(Evidence("certificate", attestations).status().message(), HasSubstr("leave that"));
  auto new_key = token_->driver().Enroll(token_->uri(), {});
  ASSERT_TRUE(new_key.ok() && (*new_key)->Opening().ok());
  forekey::v1::EnrollmentDemand demand;
  *demand.mutable_piv() = certificates;
  EXPECT_THAT((*new_key)->CreateKey(demand, kUnkeyedStatement).status().message(),
              HasSubstr("--existing"));
  EXPECT_EQ(token_->simulator().card().counts().signatures, signatures);
}

TEST_F(PivCertifiedKeyTest, IsProvedByItWhereTheCardsOwnCertificateIsGone) {
  WithState([](piv::PivState& state) { state.objects.erase(0x5fff01); });
  const auto evidence = Evidence("");
  ASSERT_TRUE(evidence.ok()) << evidence.status();
  EXPECT_FALSE(evidence->is_attestation());
  EXPECT_EQ(evidence->certificate(), certificate_);
  EXPECT_EQ(DeviceErrorOf(Evidence("attestation").status()), DeviceError::kNotSetUp);
}

TEST_F(PivDriverTest, EnrolsWhatAnAgencysCardHasWithoutWriting) {
  piv::PivSimulatorConfig config;
  config.card.kind = piv::PivConfig::Kind::kPlainCard;
  ASSERT_NO_FATAL_FAILURE(Start(config));
  for (const char* slot : {"9a", "9c", "9e"}) {
    EnrollOptions options;
    options.named.SetFlag("existing", true);
    options.named.Set("slot", slot);
    auto reference = EnrollKey(*token_, std::move(options), &spki_);
    ASSERT_TRUE(reference.ok()) << slot << ": " << reference.status();
    auto key = token_->driver().Load(*reference, Secret());
    ASSERT_TRUE(key.ok());
    EXPECT_TRUE(SignAndCheck(**key).ok()) << slot;
  }
  EnrollOptions fresh;
  fresh.named.Set("slot", "82");
  absl::Status status = EnrollKey(*token_, std::move(fresh)).status();
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kNotSetUp) << status;
}

TEST_F(PivDriverTest, LocksACardThatKnowsResetsAlone) {
  piv::PivSimulatorConfig config = CardWithFirmware(5, 4, 3);
  config.card.verify_reset = false;
  ASSERT_NO_FATAL_FAILURE(Start(config));
  auto key = Enroll("once", "never");
  ASSERT_NE(key, nullptr);
  const uint64_t resets = token_->simulator().card().counts().resets;
  EXPECT_TRUE(SignAndCheck(*key).ok());
  EXPECT_EQ(token_->Leftovers(), 0);
  EXPECT_GT(token_->simulator().card().counts().resets, resets);
}

TEST_F(PivDriverTest, TellsAWrongPinWithTheTriesThatAreLeft) {
  ASSERT_NO_FATAL_FAILURE(Start());
  auto key = Enroll("always", "never");
  ASSERT_NE(key, nullptr);
  PinPrompt wrong("654321");
  SignOptions options;
  options.prompt = &wrong;
  absl::Status status = SignAndCheck(*key, options);
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kWrongPin) << status;
  EXPECT_THAT(status.message(), HasSubstr("tries left: 2"));
  EXPECT_EQ(wrong.asked, 1);
  EXPECT_EQ(wrong.last_tries_left, 3);
  EXPECT_EQ(token_->tries_left(), 2);
  EXPECT_TRUE(SignAndCheck(*key).ok());
  EXPECT_EQ(token_->tries_left(), 3);
}

TEST_F(PivDriverTest, TriesAGivenPinOnceForAllCallsThatWait) {
  ASSERT_NO_FATAL_FAILURE(Start());
  auto key = Enroll("always", "never", "654321");
  ASSERT_NE(key, nullptr);
  Misbehave({.latency = absl::Milliseconds(10)});  // all four are there before the first has ended
  std::vector<std::thread> calls;
  for (int i = 0; i < 4; ++i) {
    calls.emplace_back([&key] {
      const absl::Status status = key->Sign("a statement", {}).status();
      EXPECT_THAT(DeviceErrorOf(status), AnyOf(DeviceError::kWrongPin, DeviceError::kPinRequired))
          << status;
    });
  }
  for (std::thread& call : calls) call.join();
  EXPECT_EQ(token_->tries_left(), 2);
}

TEST_F(PivDriverTest, AGivenPinThatUsedUpTheLastTryIsNotSentOnceItIsUnblocked) {
  ASSERT_NO_FATAL_FAILURE(Start());
  auto key = Enroll("always", "never", "654321");
  ASSERT_NE(key, nullptr);
  const auto leave = [this](int tries) {
    token_->simulator().card().WithApplet(
        [tries](piv::PivApplet& applet) { applet.state().pin_tries_left = tries; });
  };
  leave(1);
  absl::Status status = key->Sign("a statement", {}).status();
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kPinBlocked) << status;
  EXPECT_EQ(token_->tries_left(), 0);
  leave(3);  // by the PUK, which gave it another PIN
  status = key->Sign("a statement", {}).status();
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kPinRequired) << status;
  EXPECT_EQ(token_->tries_left(), 3);
}

TEST_F(PivDriverTest, TellsABlockedPinAndABlockedPuk) {
  ASSERT_NO_FATAL_FAILURE(Start());
  auto key = Enroll("always", "never");
  ASSERT_NE(key, nullptr);
  ASSERT_TRUE(token_->LockOut(true).ok());
  const int asked = token_->prompt().asked;
  absl::Status status = SignAndCheck(*key);
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kPinBlocked) << status;
  EXPECT_THAT(status.message(), HasSubstr("unblock it with the PUK"));
  EXPECT_EQ(token_->prompt().asked, asked);
  token_->simulator().card().WithApplet(
      [](piv::PivApplet& applet) { applet.state().puk_tries_left = 0; });
  EXPECT_THAT(SignAndCheck(*key).message(), HasSubstr("so is the PUK"));
}

TEST_F(PivDriverTest, TellsATouchThatDidNotComeAndOneThatDid) {
  piv::PivSimulatorConfig config = CardWithFirmware(5, 7, 4);
  config.touch_timeout = absl::Milliseconds(300);
  ASSERT_NO_FATAL_FAILURE(Start(config));
  auto key = Enroll("always", "always");
  ASSERT_NE(key, nullptr);
  token_->simulator().card().SetAutoTouch(false);
  const int touches = token_->prompt().touches;
  absl::Status status = SignAndCheck(*key);
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kTouchTimeout) << status;
  EXPECT_EQ(token_->prompt().touches, touches + 1);
  EXPECT_EQ(token_->tries_left(), 3);
  token_->simulator().card().SetAutoTouch(true);
  EXPECT_TRUE(SignAndCheck(*key).ok());
}

TEST_F(PivDriverTest, SignsOnASlowCard) {
  ASSERT_NO_FATAL_FAILURE(Start());
  auto key = Enroll("always", "never");
  ASSERT_NE(key, nullptr);
  Misbehave({.latency = absl::Milliseconds(10), .key_latency = absl::Milliseconds(300)});
  EXPECT_TRUE(SignAndCheck(*key).ok());
}

TEST_F(PivDriverTest, ResetByAnotherProgramAnywhere) {
  ASSERT_NO_FATAL_FAILURE(Start());
  auto key = Enroll("always", "never", "123456");
  ASSERT_NE(key, nullptr);
  const uint64_t before = token_->Commands();
  ASSERT_TRUE(SignAndCheck(*key).ok());
  const int commands = static_cast<int>(token_->Commands() - before);
  for (int after = 0; after < commands; ++after) {
    Misbehave({.reset_after = after});
    absl::Status status = SignAndCheck(*key);
    EXPECT_TRUE(status.ok()) << "after " << after << ": " << status;
    Misbehave({.forget_after = after});
    status = SignAndCheck(*key);
    EXPECT_TRUE(status.ok()) << "forgot after " << after << ": " << status;
    EXPECT_EQ(token_->tries_left(), 3) << after;
  }
  EXPECT_EQ(token_->Leftovers(), 0);
}

TEST_F(PivDriverTest, WrongStatusWordsAndTruncatedAnswersAreErrorsAndNoMore) {
  ASSERT_NO_FATAL_FAILURE(Start());
  auto key = Enroll("always", "never", "123456");
  ASSERT_NE(key, nullptr);
  for (int status_word : {0x6F00, 0x6982, 0x6985, 0x6A80, 0x6A88, 0x6700, 0x6D00, 0x1234}) {
    Misbehave({.wrong_status = static_cast<uint16_t>(status_word)});
    EXPECT_FALSE(SignAndCheck(*key).ok()) << status_word;
  }
  for (size_t truncated : {1u, 2u, 10u}) {
    Misbehave({.truncate = truncated});
    EXPECT_FALSE(SignAndCheck(*key).ok()) << truncated;
  }
  Misbehave({.corrupt_signature = true});
  EXPECT_EQ(DeviceErrorOf(SignAndCheck(*key)), DeviceError::kNotSetUp);
  Misbehave({});
  EXPECT_EQ(token_->tries_left(), 3);
  EXPECT_TRUE(SignAndCheck(*key).ok());
}

TEST_F(PivDriverTest, AnAttestationOfAnotherKeyIsNotSent) {
  ASSERT_NO_FATAL_FAILURE(Start());
  Misbehave({.attest_other_key = true});
  EXPECT_EQ(DeviceErrorOf(EnrollKey(*token_, {}).status()), DeviceError::kOther);
  Misbehave({});
  EXPECT_EQ(token_->Leftovers(), 0) << "the new key stayed on the card";
}

TEST_F(PivDriverTest, NamesWhoHasTheCardToItself) {
  ASSERT_NO_FATAL_FAILURE(Start());
  auto key = Enroll("never", "never");
  ASSERT_NE(key, nullptr);
  token_->BeBusy(1'000'000);
  SignOptions options = token_->Sign();
  options.deadline = Deadline::In(absl::Milliseconds(300));
  absl::Status status = SignAndCheck(*key, options);
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kBusy) << status;
  EXPECT_THAT(status.message(), HasSubstr("another program"));
  token_->BeBusy(0);
  EXPECT_TRUE(SignAndCheck(*key).ok());
}

// A transaction that another program holds: libpcsclite waits for it without end.
class TransactionHolder {
 public:
  explicit TransactionHolder(const std::string& reader) {
    SCardEstablishContext(SCARD_SCOPE_SYSTEM, nullptr, nullptr, &context_);
    DWORD protocol = 0;
    EXPECT_EQ(SCardConnect(context_, reader.c_str(), SCARD_SHARE_SHARED, SCARD_PROTOCOL_ANY, &card_,
                           &protocol),
              SCARD_S_SUCCESS);
    EXPECT_EQ(SCardBeginTransaction(card_), SCARD_S_SUCCESS);
  }
  ~TransactionHolder() {
    SCardEndTransaction(card_, SCARD_LEAVE_CARD);
    SCardDisconnect(card_, SCARD_LEAVE_CARD);
    SCardReleaseContext(context_);
  }

 private:
  SCARDCONTEXT context_ = 0;
  SCARDHANDLE card_ = 0;
};

TEST_F(PivDriverTest, WaitsForATransactionNoLongerThanItsCaller) {
  ASSERT_NO_FATAL_FAILURE(Start());
  auto key = Enroll("never", "never");
  ASSERT_NE(key, nullptr);
  {
    TransactionHolder holder(token_->simulator().reader());
    for (int i = 0; i < 3; ++i) {
      SignOptions options = token_->Sign();
      options.deadline = Deadline::In(absl::Milliseconds(100));
      EXPECT_EQ(DeviceErrorOf(SignAndCheck(*key, options)), DeviceError::kBusy);
      int asked = 0;
      options.deadline = Deadline::Never();
      options.cancelled = [&asked] { return ++asked > 3; };
      EXPECT_EQ(DeviceErrorOf(SignAndCheck(*key, options)), DeviceError::kCancelled);
    }
  }
  EXPECT_TRUE(SignAndCheck(*key).ok());
}

TEST_F(PivDriverTest, PcscdRestartedBetweenAndDuringSignatures) {
  ASSERT_NO_FATAL_FAILURE(Start());
  auto key = Enroll("always", "never", "123456");
  ASSERT_NE(key, nullptr);
  ASSERT_TRUE(token_->simulator().RestartPcscd().ok());
  EXPECT_TRUE(SignAndCheck(*key).ok());
  // In the middle: the card takes its time, pcscd goes meanwhile.
  Misbehave({.key_latency = absl::Milliseconds(500)});
  absl::Notification signing;
  std::thread restarter([&] {
    signing.WaitForNotification();
    EXPECT_TRUE(token_->simulator().RestartPcscd().ok());
  });
  SignOptions options = token_->Sign();
  options.cancelled = [&signing] {
    if (!signing.HasBeenNotified()) signing.Notify();
    return false;
  };
  absl::Status status = SignAndCheck(*key, options);
  restarter.join();
  // A PIN whose fate was lost with pcscd is not sent again by itself.
  EXPECT_TRUE(status.ok() || DeviceErrorOf(status) == DeviceError::kOther) << status;
  Misbehave({});
  EXPECT_TRUE(SignAndCheck(*key).ok());
  EXPECT_EQ(token_->tries_left(), 3);
}

TEST_F(PivDriverTest, ReaderUnpluggedAndBack) {
  ASSERT_NO_FATAL_FAILURE(Start());
  auto key = Enroll("never", "never");
  ASSERT_NE(key, nullptr);
  ASSERT_TRUE(token_->simulator().Unplug().ok());
  EXPECT_EQ(DeviceErrorOf(SignAndCheck(*key)), DeviceError::kGone);
  ASSERT_TRUE(token_->simulator().PlugIn().ok());
  token_->PlugIn();
  EXPECT_TRUE(SignAndCheck(*key).ok());
}

TEST_F(PivDriverTest, NoPcscdIsSaidWithWhatToDo) {
  ASSERT_NO_FATAL_FAILURE(Start());
  token_->simulator().pcscd().Stop();
  std::vector<std::string> problems;
  EXPECT_TRUE(token_->driver().List(&problems).empty());
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_THAT(problems[0], HasSubstr("systemctl enable --now pcscd.socket"));
  ASSERT_TRUE(token_->simulator().RestartPcscd().ok());
  token_->PlugIn();
  EXPECT_EQ(token_->driver().List(nullptr).size(), 1u);
}

// Another program that lives off the same card: it selects another application, holds transactions,
// and resets the card, again and again.
void UseTheCardToo(const std::string& reader, const absl::Notification& stop,
                   std::atomic<int>* resets) {
  std::mt19937 random(7);
  while (!stop.HasBeenNotified()) {
    SCARDCONTEXT context = 0;
    SCARDHANDLE card = 0;
    DWORD protocol = 0;
    if (SCardEstablishContext(SCARD_SCOPE_SYSTEM, nullptr, nullptr, &context) != SCARD_S_SUCCESS)
      continue;
    if (SCardConnect(context, reader.c_str(), SCARD_SHARE_SHARED, SCARD_PROTOCOL_ANY, &card,
                     &protocol) == SCARD_S_SUCCESS) {
      const BYTE select_openpgp[] = {0x00, 0xA4, 0x04, 0x00, 0x06, 0xD2,
                                     0x76, 0x00, 0x01, 0x24, 0x01, 0x00};
      for (int i = 0; i < 3 && SCardBeginTransaction(card) == SCARD_S_SUCCESS; ++i) {
        BYTE answer[300];
        DWORD size = sizeof answer;
        SCardTransmit(card, SCARD_PCI_T1, select_openpgp, sizeof select_openpgp, nullptr, answer,
                      &size);
        stop.WaitForNotificationWithTimeout(absl::Milliseconds(random() % 4));
        SCardEndTransaction(card, random() % 3 == 0 ? SCARD_RESET_CARD : SCARD_LEAVE_CARD);
      }
      if (SCardReconnect(card, SCARD_SHARE_SHARED, SCARD_PROTOCOL_ANY, SCARD_RESET_CARD,
                         &protocol) == SCARD_S_SUCCESS) {
        ++*resets;
      }
      SCardDisconnect(card, random() % 2 == 0 ? SCARD_RESET_CARD : SCARD_LEAVE_CARD);
    }
    SCardReleaseContext(context);
    stop.WaitForNotificationWithTimeout(absl::Milliseconds(random() % 10));
  }
}

TEST_F(PivDriverTest, LivesBesideOtherProgramsAndACardThatIsPulled) {
  constexpr int kSignatures = 2000;
  constexpr int kPullEvery = 100;
  ASSERT_NO_FATAL_FAILURE(Start());
  auto key = Enroll("always", "never", "123456");
  ASSERT_NE(key, nullptr);
  absl::Notification stop;
  std::atomic<int> resets{0};
  std::thread other([&] { UseTheCardToo(token_->simulator().reader(), stop, &resets); });
  int good = 0, gone = 0, refused = 0;
  for (int i = 0; good < kSignatures && i < 2 * kSignatures; ++i) {
    const bool pull = i % kPullEvery == kPullEvery - 1;
    if (pull) token_->UnplugAfter(i / kPullEvery % 12);
    const std::string statement = absl::StrCat("statement ", i);
    auto signature = key->Sign(statement, token_->Sign());
    if (signature.ok()) {
      ++good;
      EXPECT_TRUE(token_->CheckSignature(spki_, statement, *signature).ok()) << i;
    } else if (DeviceErrorOf(signature.status()) == DeviceError::kGone) {
      EXPECT_TRUE(pull) << i << ": " << signature.status();
      ++gone;
    } else {
      // The one answer that is no signature on a card that is there: a PIN whose fate was lost.
      EXPECT_EQ(DeviceErrorOf(signature.status()), DeviceError::kOther) << signature.status();
      EXPECT_THAT(signature.status().message(), HasSubstr("the PIN was not sent")) << i;
      ++refused;
    }
    if (pull) token_->PlugIn();
  }
  stop.Notify();
  other.join();
  EXPECT_EQ(good, kSignatures);
  EXPECT_GT(gone, 0);
  EXPECT_GT(resets, 100);
  EXPECT_LE(refused, kSignatures / 100);
  EXPECT_EQ(token_->tries_left(), 3);
  EXPECT_EQ(token_->Leftovers(), 0);
  RecordProperty("resets", resets);
  RecordProperty("gone", gone);
  RecordProperty("refused", refused);
}

}  // namespace
}  // namespace forekey

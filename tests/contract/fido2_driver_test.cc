// SPDX-License-Identifier: Apache-2.0
// The FIDO2 driver on simulated security keys: each misbehaviour told apart, no PIN sent twice,
// several keys plugged in, and what it makes verified by the gate's own verifiers.
#include <atomic>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hw/drivers.h"
#include "src/base/reason.h"
#include "src/crypto/digest.h"
#include "src/verify/webauthn_assertion.h"
#include "src/verify/webauthn_registration.h"
#include "tests/contract/fido2_token.h"

namespace forekey {
namespace {

using fido2sim::Fido2Simulator;
using fido2sim::Misbehaviour;
using fido2sim::SimulatorOptions;
using ::testing::HasSubstr;

std::unique_ptr<Fido2Simulator> NewKey(
    const std::function<void(SimulatorOptions&)>& change = nullptr) {
  SimulatorOptions options;
  options.config.auto_touch = true;
  if (change) change(options);
  auto simulator = Fido2Simulator::Start(std::move(options));
  EXPECT_TRUE(simulator.ok()) << simulator.status();
  return simulator.ok() ? *std::move(simulator) : nullptr;
}

class Fido2DriverTest : public ::testing::Test {
 protected:
  Fido2DriverTest() : simulator_(NewKey()), driver_({simulator_->uri()}) {}
  std::unique_ptr<DeviceKey> EnrolledKey(EnrollOptions options = {}) {
    forekey::v1::EnrollmentProof proof;
    auto reference =
        EnrollFidoKey(driver_, simulator_->uri(), DemandForGate(), std::move(options), &proof);
    EXPECT_TRUE(reference.ok()) << reference.status();
    if (!reference.ok()) return nullptr;
    auto key = driver_.Load(*reference, Secret());
    EXPECT_TRUE(key.ok()) << key.status();
    return key.ok() ? *std::move(key) : nullptr;
  }
  std::optional<DeviceError> ErrorOf(DeviceKey& key, const SignOptions& options = SignForGate()) {
    last_ = key.Sign("a statement", options).status();
    return DeviceErrorOf(last_);
  }
  std::unique_ptr<Fido2Simulator> simulator_;
  Fido2Driver driver_;
  absl::Status last_;
};

TEST_F(Fido2DriverTest, WhatItMakesSatisfiesTheGatesVerifiers) {
  TrustAnchors anchors;
  const auto roots = Certificate::ParseAll(simulator_->root_pem());
  ASSERT_TRUE(roots.ok());
  for (const Certificate& root : *roots) anchors.Add(root);
  const RelyingParty party = RelyingParty::Of(kFidoRpId, kFidoOrigin);
  for (int algorithm : {-7, -8, -35, -257}) {
    forekey::v1::EnrollmentProof proof;
    std::string spki;
    auto reference =
        EnrollFidoKey(driver_, simulator_->uri(), DemandForGate({algorithm}), {}, &proof, &spki);
    ASSERT_TRUE(reference.ok()) << algorithm << " " << reference.status();
    const std::string challenge = Sha256("unkeyed");
    RegistrationOptions registration;
    registration.attestation_object = proof.fido2().attestation_object();
    registration.client_data_json = proof.fido2().client_data_json();
    registration.challenge = challenge;
    registration.relying_party = &party;
    registration.anchors = &anchors;
    registration.time = absl::Now();
    const auto verified = VerifyRegistration(registration);
    ASSERT_TRUE(verified.ok()) << algorithm << " " << verified.status();
    EXPECT_EQ(verified->key().spki(), spki);
    EXPECT_EQ(static_cast<int>(verified->key().algorithm()), algorithm);
    auto key = driver_.Load(*reference, Secret());
    ASSERT_TRUE(key.ok());
    auto signature = (*key)->Sign("a statement", SignForGate());
    ASSERT_TRUE(signature.ok()) << signature.status();
    const std::string signed_hash = Sha256("a statement"), another = Sha256("another");
    AssertionOptions options;
    options.key = &verified->key();
    options.authenticator_data = signature->authenticator_data;
    options.client_data_json = signature->client_data_json;
    options.signature = signature->signature;
    options.relying_party = &party;
    options.challenge = signed_hash;
    const auto assertion = VerifyAssertion(options);
    EXPECT_TRUE(assertion.ok()) << assertion.status();
    options.challenge = another;
    EXPECT_EQ(ReasonOf(VerifyAssertion(options).status()), Reason::kClientDataChallenge);
  }
}

TEST_F(Fido2DriverTest, ListsKeysAndNamesThoseThatAreGone) {
  int found = 0;
  for (const auto& driver : AllDrivers({simulator_->uri()})) {
    for (const DeviceInfo& device : driver->List(nullptr)) found += device.uri == simulator_->uri();
  }
  EXPECT_EQ(found, 1);
  simulator_->Unplug();
  std::vector<std::string> problems;
  for (const DeviceInfo& device : driver_.List(&problems)) EXPECT_NE(device.uri, simulator_->uri());
  EXPECT_THAT(problems, ::testing::Contains(HasSubstr(simulator_->uri())));
}

TEST_F(Fido2DriverTest, RefusesUrisAndReferencesThatAreNone) {
  for (const char* uri : {"", "x", "tpm:", "fido2:sim:path=", "fido2:x"}) {
    EXPECT_EQ(driver_.Enroll(uri, {}).status().code(), absl::StatusCode::kInvalidArgument) << uri;
  }
  for (const char* reference : {"", "{}", "{\"forekey_fido2_key\":1}", "[1]"}) {
    EXPECT_EQ(driver_.Load(reference, Secret()).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(Fido2DriverTest, SignsForItsOwnRelyingPartyAlone) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  SignOptions options = SignForGate();
  options.rp_id = "other.example";
  EXPECT_EQ(key->Sign("x", options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(Fido2DriverTest, PulledOutAndBack) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  simulator_->Unplug();
  EXPECT_EQ(ErrorOf(*key), DeviceError::kGone) << last_;
  ASSERT_TRUE(simulator_->Replug().ok());
  EXPECT_EQ(ErrorOf(*key), std::nullopt) << last_;
  simulator_->Misbehave({Misbehaviour::kGoneInMidCommand});
  EXPECT_EQ(ErrorOf(*key), DeviceError::kGone) << last_;
  simulator_->Misbehave({});
  simulator_->Replug().IgnoreError();
  EXPECT_EQ(ErrorOf(*key), std::nullopt) << last_;
}

TEST_F(Fido2DriverTest, TellsRefusalsApart) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  simulator_->Misbehave({Misbehaviour::kDenied});
  EXPECT_EQ(ErrorOf(*key), DeviceError::kDenied) << last_;
  EXPECT_THAT(std::string(last_.message()), HasSubstr("FIDO_ERR_OPERATION_DENIED"));
  simulator_->Misbehave({Misbehaviour::kOtherKeysSignature});
  EXPECT_EQ(ErrorOf(*key), DeviceError::kOther) << last_;
  for (Misbehaviour broken : {Misbehaviour::kMalformedCbor, Misbehaviour::kEmptyAnswer}) {
    simulator_->Misbehave({broken});
    EXPECT_NE(ErrorOf(*key), std::nullopt);
  }
  simulator_->Misbehave({});
  EXPECT_EQ(ErrorOf(*key), std::nullopt) << last_;
}

TEST_F(Fido2DriverTest, BusyUntilTheDeadline) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  simulator_->Misbehave({Misbehaviour::kChannelBusy});
  SignOptions options = SignForGate();
  options.deadline = Deadline::In(absl::Milliseconds(200));
  EXPECT_EQ(ErrorOf(*key, options), DeviceError::kBusy) << last_;
  int asked = 0;
  options = SignForGate();
  options.cancelled = [&asked] { return ++asked > 3; };
  EXPECT_EQ(ErrorOf(*key, options), DeviceError::kCancelled) << last_;
  simulator_->Misbehave({});
  EXPECT_EQ(ErrorOf(*key), std::nullopt) << last_;
}

TEST_F(Fido2DriverTest, NobodyTouchesIt) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  simulator_->SetAutoTouch(false);
  SignOptions options = SignForGate();
  options.deadline = Deadline::In(absl::Milliseconds(500));
  EXPECT_EQ(ErrorOf(*key, options), DeviceError::kTouchTimeout) << last_;
  std::atomic<bool> cancel{false};
  options = SignForGate();
  options.cancelled = [&cancel] { return cancel.load(); };
  std::thread canceller([&] {
    EXPECT_TRUE(simulator_->WaitUntilAsked());
    cancel = true;
  });
  EXPECT_EQ(ErrorOf(*key, options), DeviceError::kCancelled) << last_;
  canceller.join();
  std::thread person([&] { EXPECT_TRUE(simulator_->TouchWhenAsked()); });
  EXPECT_EQ(ErrorOf(*key), std::nullopt) << "it is as good as before: " << last_;
  person.join();
}

TEST_F(Fido2DriverTest, ATokenThatHoldsAnotherCredentialSaysSo) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  auto other = NewKey();
  auto reference = [&] {
    forekey::v1::EnrollmentProof proof;
    Fido2Driver driver({other->uri()});
    return *EnrollFidoKey(driver, other->uri(), DemandForGate(), {}, &proof);
  }();
  other->Unplug();
  auto absent = driver_.Load(reference, Secret());
  ASSERT_TRUE(absent.ok());
  const auto error = ErrorOf(**absent);
  EXPECT_TRUE(error == DeviceError::kNoCredentials || error == DeviceError::kGone) << last_;
}

TEST_F(Fido2DriverTest, OfSeveralKeysTheOneWithTheCredentialSigns) {
  auto second = NewKey();
  Fido2Driver both({second->uri(), simulator_->uri()});
  forekey::v1::EnrollmentProof proof;
  auto reference = EnrollFidoKey(both, simulator_->uri(), DemandForGate(), {}, &proof);
  ASSERT_TRUE(reference.ok()) << reference.status();
  auto key = both.Load(*reference, Secret());
  ASSERT_TRUE(key.ok());
  EXPECT_EQ(ErrorOf(**key), std::nullopt) << last_;
}

TEST_F(Fido2DriverTest, AKeyThatWaitsForItsTouchKeepsNobodyFromTheOthers) {
  auto second = NewKey();
  Fido2Driver both({simulator_->uri(), second->uri()});
  std::vector<std::unique_ptr<DeviceKey>> keys;
  for (const std::string& uri : {simulator_->uri(), second->uri()}) {
    forekey::v1::EnrollmentProof proof;
    auto reference = EnrollFidoKey(both, uri, DemandForGate(), {}, &proof);
    ASSERT_TRUE(reference.ok()) << reference.status();
    keys.push_back(*both.Load(*reference, Secret()));
  }
  simulator_->SetAutoTouch(false);
  std::atomic<bool> touched{false};
  std::thread waiting([&] {
    EXPECT_TRUE(keys[0]->Sign("x", SignForGate()).ok());
    EXPECT_TRUE(touched);
  });
  ASSERT_TRUE(simulator_->WaitUntilAsked());
  SignOptions options = SignForGate();
  options.deadline = Deadline::In(absl::Seconds(20));
  EXPECT_EQ(ErrorOf(*keys[1], options), std::nullopt) << last_;
  touched = true;
  EXPECT_TRUE(simulator_->Touch());
  waiting.join();
}

TEST_F(Fido2DriverTest, OfSeveralKeysTheOneThatIsTouchedIsEnrolled) {
  auto second = NewKey([](SimulatorOptions& o) { o.config.auto_touch = false; });
  simulator_->SetAutoTouch(false);
  Fido2Driver both({simulator_->uri(), second->uri()});
  std::thread person([&] {
    EXPECT_TRUE(second->TouchWhenAsked());
    second->SetAutoTouch(true);
  });
  forekey::v1::EnrollmentProof proof;
  auto reference = EnrollFidoKey(both, "fido2:", DemandForGate(), {}, &proof);
  person.join();
  ASSERT_TRUE(reference.ok()) << reference.status();
  EXPECT_THAT(*reference,
              HasSubstr(second->socket_path().substr(second->socket_path().rfind('/'))));
}

TEST_F(Fido2DriverTest, SignsFromManyThreads) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 3; ++n) good += key->Sign("x", SignForGate()).ok() ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 12);
}

// ---- PINs ----

class Fido2PinTest : public Fido2DriverTest {
 protected:
  Fido2PinTest() { EXPECT_TRUE(simulator_->SetPin("1234").ok()); }
};

TEST_F(Fido2PinTest, TheUserIsVerifiedByThePinThatIsAskedForOnce) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  ScriptedPrompt prompt("1234");
  SignOptions options = SignForGate();
  options.prompt = &prompt;
  auto signature = key->Sign("x", options);
  ASSERT_TRUE(signature.ok()) << signature.status();
  EXPECT_EQ(prompt.asked, 1);
  EXPECT_GT(prompt.last_tries_left, 0);
  EXPECT_EQ(signature->authenticator_data[32] & 0x05, 0x05) << "UP and UV";
  signature = key->Sign("x", SignForGate());
  ASSERT_TRUE(signature.ok()) << signature.status();
  EXPECT_EQ(signature->authenticator_data[32] & 0x05, 0x01) << "nobody can be asked: UP alone";
  options = SignForGate();
  options.user_verification = true;
  EXPECT_EQ(ErrorOf(*key, options), DeviceError::kPinRequired) << last_;
}

TEST_F(Fido2PinTest, AWrongPinIsNeverSentTwice) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  ScriptedPrompt prompt("9999");
  SignOptions options = SignForGate();
  options.prompt = &prompt;
  EXPECT_EQ(ErrorOf(*key, options), DeviceError::kWrongPin) << last_;
  const int before = prompt.last_tries_left;
  EXPECT_EQ(prompt.asked, 1);
  EXPECT_EQ(ErrorOf(*key, options), DeviceError::kWrongPin) << last_;
  EXPECT_EQ(prompt.last_tries_left, before - 1);
  EXPECT_EQ(ErrorOf(*key, options), DeviceError::kPinAuthBlocked) << last_;
  simulator_->Unplug();
  ASSERT_TRUE(simulator_->Replug().ok());
  ScriptedPrompt right("1234");
  options.prompt = &right;
  EXPECT_EQ(ErrorOf(*key, options), std::nullopt) << last_;
}

TEST_F(Fido2PinTest, OneThatUsedUpTheLastTryInARowIsNotSentAgain) {
  forekey::v1::EnrollmentProof proof;
  auto reference = EnrollFidoKey(driver_, simulator_->uri(), DemandForGate(), {}, &proof);
  ASSERT_TRUE(reference.ok()) << reference.status();
  auto asking = driver_.Load(*reference, Secret());
  auto holding = driver_.Load(*reference, Secret::CopyOf("9999"));
  ASSERT_TRUE(asking.ok() && holding.ok());
  ScriptedPrompt prompt("9998");
  SignOptions options = SignForGate();
  options.prompt = &prompt;
  for (int wrong = 0; wrong < 2; ++wrong) {
    EXPECT_EQ(ErrorOf(**asking, options), DeviceError::kWrongPin) << last_;
  }
  EXPECT_EQ(ErrorOf(**holding), DeviceError::kPinAuthBlocked) << last_;
  simulator_->Unplug();
  ASSERT_TRUE(simulator_->Replug().ok());
  options = SignForGate();
  options.user_verification = true;
  EXPECT_EQ(ErrorOf(**holding, options), DeviceError::kPinRequired) << last_;
  int tries = -1;
  simulator_->WithAuthenticator([&](fido2sim::Authenticator& a) { tries = a.state().pin_retries; });
  EXPECT_EQ(tries, 5) << "of eight";
}

TEST_F(Fido2PinTest, OneThatWasWrongWhileItsCallerGaveUpIsNotSentAgain) {
  forekey::v1::EnrollmentProof proof;
  auto reference = EnrollFidoKey(driver_, simulator_->uri(), DemandForGate(), {}, &proof);
  ASSERT_TRUE(reference.ok()) << reference.status();
  auto key = driver_.Load(*reference, Secret::CopyOf("9999"));
  ASSERT_TRUE(key.ok());
  const auto tries = [this] {
    int left = -1;
    simulator_->WithAuthenticator(
        [&](fido2sim::Authenticator& a) { left = a.state().pin_retries; });
    return left;
  };
  SignOptions options = SignForGate();
  options.cancelled = [&] { return tries() < 8; };
  EXPECT_EQ(ErrorOf(**key, options), DeviceError::kWrongPin) << last_;
  options = SignForGate();
  options.user_verification = true;
  EXPECT_EQ(ErrorOf(**key, options), DeviceError::kPinRequired) << last_;
  EXPECT_EQ(tries(), 7);
}

// Who is asked, and by what name; nobody answers.
class SilentPrompt final : public Prompt {
 public:
  absl::StatusOr<Secret> AskPin(absl::string_view device, int) override {
    asked.emplace_back(device);
    return absl::CancelledError("nobody");
  }
  void ShowTouch(absl::string_view) override {}
  void HideTouch() override {}
  std::vector<std::string> asked;
};

// The only key that is plugged in is another one of the same model, with another PIN.
class Fido2OtherKeyTest : public Fido2PinTest {
 protected:
  Fido2OtherKeyTest() : other_(NewKey()), others_driver_({other_->uri()}) {
    EXPECT_TRUE(other_->SetPin("5678").ok());
    forekey::v1::EnrollmentProof proof;
    auto reference = EnrollFidoKey(driver_, simulator_->uri(), DemandForGate(), {}, &proof);
    EXPECT_TRUE(reference.ok()) << reference.status();
    reference_ = reference.value_or("");
    simulator_->Unplug();
  }
  int TriesLeft() {
    int tries = -1;
    other_->WithAuthenticator([&](fido2sim::Authenticator& a) { tries = a.state().pin_retries; });
    return tries;
  }
  std::unique_ptr<Fido2Simulator> other_;
  Fido2Driver others_driver_;
  std::string reference_;
};

TEST_F(Fido2OtherKeyTest, IsNeverSentThePinOfTheEnrolledOne) {
  const int tries = TriesLeft();
  ScriptedPrompt prompt("1234");
  SignOptions options = SignForGate();
  options.prompt = &prompt;
  options.user_verification = true;
  for (const char* given : {"", "1234"}) {
    auto key = others_driver_.Load(reference_, Secret::CopyOf(given));
    ASSERT_TRUE(key.ok()) << key.status();
    EXPECT_EQ(ErrorOf(**key, options), DeviceError::kNoCredentials) << last_;
    EXPECT_EQ(prompt.asked, 0);
    EXPECT_EQ(TriesLeft(), tries);
  }
}

// A credential that shows itself to nobody without a PIN: people are asked about the key by its
// name, and a PIN that was given before anybody could see which key it goes to is not sent.
TEST_F(Fido2OtherKeyTest, ThatCantBeToldApartIsAskedAboutByName) {
  const size_t end = reference_.rfind('\n', reference_.size() - 3);
  reference_.insert(end, ",\n  \"hidden\": true");
  const int tries = TriesLeft();
  auto key = others_driver_.Load(reference_, Secret::CopyOf("1234"));
  ASSERT_TRUE(key.ok()) << key.status();
  SilentPrompt prompt;
  SignOptions options = SignForGate();
  options.user_verification = true;
  EXPECT_EQ(ErrorOf(**key, options), DeviceError::kPinRequired) << last_;
  options.prompt = &prompt;
  EXPECT_TRUE(ErrorOf(**key, options).has_value() || absl::IsCancelled(last_)) << last_;
  ASSERT_EQ(prompt.asked.size(), 1u);
  EXPECT_THAT(prompt.asked[0], HasSubstr(other_->uri()));
  EXPECT_THAT(prompt.asked[0], HasSubstr("does not say whether it is the enrolled one"));
  EXPECT_EQ(TriesLeft(), tries);
}

// Answers as an agent with --keep-pins does: with the PIN of the enrolled key, and asks the person
// only where that is told to be of no use.
class KeepingPrompt final : public Prompt {
 public:
  absl::StatusOr<Secret> AskPin(absl::string_view, int) override { return Secret::CopyOf("1234"); }
  absl::StatusOr<Secret> AskPinAnew(absl::string_view, int) override {
    ++asked;
    return absl::CancelledError("nobody");
  }
  void ShowTouch(absl::string_view) override {}
  void HideTouch() override {}
  int asked = 0;
};

TEST_F(Fido2OtherKeyTest, ThatCantBeToldApartIsNotSentAKeptPin) {
  const size_t end = reference_.rfind('\n', reference_.size() - 3);
  reference_.insert(end, ",\n  \"hidden\": true");
  const int tries = TriesLeft();
  auto key = others_driver_.Load(reference_, Secret());
  ASSERT_TRUE(key.ok()) << key.status();
  KeepingPrompt prompt;
  SignOptions options = SignForGate();
  options.user_verification = true;
  options.prompt = &prompt;
  EXPECT_TRUE(ErrorOf(**key, options).has_value() || absl::IsCancelled(last_)) << last_;
  EXPECT_EQ(prompt.asked, 1);
  EXPECT_EQ(TriesLeft(), tries);
}

TEST_F(Fido2PinTest, ThePromptNamesTheKey) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  SilentPrompt prompt;
  SignOptions options = SignForGate();
  options.prompt = &prompt;
  EXPECT_FALSE(key->Sign("x", options).ok());
  ASSERT_EQ(prompt.asked.size(), 1u);
  EXPECT_THAT(prompt.asked[0], HasSubstr(simulator_->uri()));
  EXPECT_THAT(prompt.asked[0], ::testing::Not(HasSubstr("does not say")));
}

TEST_F(Fido2PinTest, ABlockedPinIsNotAskedFor) {
  auto key = EnrolledKey();
  ASSERT_NE(key, nullptr);
  simulator_->Misbehave({Misbehaviour::kPinBlocked});
  ScriptedPrompt prompt("1234");
  SignOptions options = SignForGate();
  options.prompt = &prompt;
  EXPECT_EQ(ErrorOf(*key, options), DeviceError::kPinBlocked) << last_;
  EXPECT_EQ(prompt.asked, 0);
}

TEST_F(Fido2PinTest, EnrolsDiscoverableCredentialsAndWithBothPinProtocols) {
  for (int protocol : {1, 2}) {
    simulator_->WithAuthenticator(
        [protocol](fido2sim::Authenticator& a) { a.config().pin_protocols = {protocol}; });
    ScriptedPrompt prompt("1234");
    EnrollOptions options;
    options.named.SetFlag("discoverable", true);
    options.sign.prompt = &prompt;
    auto key = EnrolledKey(std::move(options));
    ASSERT_NE(key, nullptr) << protocol;
    EXPECT_EQ(prompt.asked, 1) << "once for both signatures of an enrolment";
    EXPECT_EQ(ErrorOf(*key), std::nullopt) << last_;
  }
}

// The gate gives each enrolment another user handle, so that the second takes nothing's place.
TEST_F(Fido2PinTest, AnEnrolmentThatBeginsAnewLeavesOneDiscoverableCredentialAndAsksForOnePin) {
  ScriptedPrompt prompt("1234");
  EnrollOptions options;
  options.named.SetFlag("discoverable", true);
  options.sign.prompt = &prompt;
  auto enroller = driver_.Enroll(simulator_->uri(), std::move(options));
  ASSERT_TRUE(enroller.ok()) << enroller.status();
  std::vector<std::string> made;
  for (const char* handle : {"one enrolment", "another one"}) {
    forekey::v1::EnrollmentDemand demand = DemandForGate();
    demand.mutable_fido2()->set_user_handle(handle);
    ASSERT_TRUE((*enroller)->Opening().ok());
    auto spki = (*enroller)->CreateKey(demand, "unkeyed");
    ASSERT_TRUE(spki.ok()) << spki.status();
    made.push_back(*spki);
    forekey::v1::EnrollmentProof proof;
    ASSERT_TRUE((*enroller)->Prove("keyed", &proof).ok());
    ASSERT_TRUE((*enroller)->KeyReference().ok());
    if (made.size() == 1) {
      ASSERT_TRUE((*enroller)->BeginAnew().ok());
    }
  }
  EXPECT_NE(made[0], made[1]);
  EXPECT_EQ(prompt.asked, 1);
  simulator_->WithAuthenticator([](fido2sim::Authenticator& authenticator) {
    EXPECT_EQ(authenticator.state().credentials.size(), 1u);
  });
}

TEST(Fido2BuiltInVerificationTest, IsUsedAndItsBlockIsTold) {
  auto simulator = NewKey([](SimulatorOptions& o) { o.config.built_in_uv = true; });
  Fido2Driver driver({simulator->uri()});
  forekey::v1::EnrollmentProof proof;
  auto reference = EnrollFidoKey(driver, simulator->uri(),
                                 DemandForGate({-7}, /*verify_user=*/true), {}, &proof);
  ASSERT_TRUE(reference.ok()) << reference.status();
  EXPECT_EQ(proof.possession().authenticator_data()[32] & 0x05, 0x05);
  simulator->Misbehave({Misbehaviour::kUvBlocked});
  auto key = driver.Load(*reference, Secret());
  ASSERT_TRUE(key.ok());
  SignOptions options = SignForGate();
  options.user_verification = true;
  const absl::Status status = (*key)->Sign("x", options).status();
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kUvBlocked) << status;
}

TEST(Fido2U2fTest, AnOldKeyEnrolsAndSigns) {
  auto simulator = NewKey([](SimulatorOptions& o) { o.config.ctap2 = false; });
  Fido2Driver driver({simulator->uri()});
  forekey::v1::EnrollmentProof proof;
  auto reference = EnrollFidoKey(driver, simulator->uri(), DemandForGate(), {}, &proof);
  ASSERT_TRUE(reference.ok()) << reference.status();
  auto key = driver.Load(*reference, Secret());
  ASSERT_TRUE(key.ok());
  EXPECT_TRUE((*key)->Sign("x", SignForGate()).ok());
}

}  // namespace
}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// Simulated security keys as USB devices: what the stock tool and our driver find, and that they
// follow when keys come, go, and move to other ports. Runs with libumockdev-preload.
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "simulators/fido2_testbed/hid_testbed.h"
#include "simulators/process.h"
#include "tests/contract/fido2_token.h"

namespace forekey {
namespace {

using fido2sim::Fido2Simulator;
using fido2sim::HidTestbed;
using fido2sim::SimulatorOptions;
using fido2sim::UsbIdentity;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class Fido2TestbedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto testbed = HidTestbed::New();
    ASSERT_TRUE(testbed.ok()) << testbed.status();
    testbed_ = *std::move(testbed);
    token_ = NewToken();
    ASSERT_NE(token_, nullptr);
  }

  static std::unique_ptr<Fido2Simulator> NewToken(bool auto_touch = true) {
    SimulatorOptions options;
    options.config.auto_touch = auto_touch;
    auto token = Fido2Simulator::Start(std::move(options));
    EXPECT_TRUE(token.ok()) << token.status();
    return token.ok() ? *std::move(token) : nullptr;
  }
  std::string Plug(Fido2Simulator& token, const UsbIdentity& identity = {}) {
    auto path = testbed_->Plug(token, identity);
    EXPECT_TRUE(path.ok()) << path.status();
    return path.ok() ? *path : "";
  }
  std::vector<std::string> Uris() {
    std::vector<std::string> uris;
    std::vector<std::string> problems;
    for (const DeviceInfo& device : driver_.List(&problems)) uris.push_back(device.uri);
    EXPECT_THAT(problems, IsEmpty());
    return uris;
  }
  static std::string Stock(std::vector<std::string> argv) {
    auto output = RunTool({.argv = std::move(argv)});
    EXPECT_TRUE(output.ok()) << output.status();
    return output.value_or("");
  }
  std::unique_ptr<DeviceKey> Enroll(const std::string& uri) {
    forekey::v1::EnrollmentProof proof;
    auto reference = EnrollFidoKey(driver_, uri, DemandForGate(), {}, &proof);
    EXPECT_TRUE(reference.ok()) << reference.status();
    if (!reference.ok()) return nullptr;
    auto key = driver_.Load(*reference, Secret());
    EXPECT_TRUE(key.ok()) << key.status();
    return key.ok() ? *std::move(key) : nullptr;
  }
  // nullopt: it signed.
  static std::optional<DeviceError> ErrorOf(DeviceKey& key) {
    return DeviceErrorOf(key.Sign("a statement", SignForGate()).status());
  }

  std::unique_ptr<HidTestbed> testbed_;
  std::unique_ptr<Fido2Simulator> token_;
  Fido2Driver driver_;
};

TEST_F(Fido2TestbedTest, TheStockToolListsIt) {
  EXPECT_EQ(Stock({"fido2-token", "-L"}), "");
  const std::string path = Plug(*token_);
  EXPECT_EQ(Stock({"fido2-token", "-L"}),
            path + ": vendor=0x1050, product=0x0407 (Forekey Simulated security key)\n");
  EXPECT_THAT(Stock({"fido2-token", "-I", path}), AllOf(HasSubstr("FIDO_2_1"), HasSubstr("es256")));
  testbed_->Unplug(path);
  EXPECT_EQ(Stock({"fido2-token", "-L"}), "");
}

TEST_F(Fido2TestbedTest, OurDriverNamesItBySerialNumberOrPort) {
  EXPECT_THAT(Uris(), IsEmpty());
  const std::string path = Plug(*token_, {.serial = "A 1/2?", .port = 2});
  EXPECT_THAT(Uris(), ElementsAre("fido2:hid:1050:0407:serial=A1/2"));
  auto second = NewToken();
  Plug(*second, {.vendor = 0x096e, .product = 0x0858, .port = 3});
  EXPECT_THAT(Uris(), UnorderedElementsAre("fido2:hid:1050:0407:serial=A1/2",
                                           "fido2:hid:096e:0858:port=usb-0000:00:14.0-3"));
  testbed_->Unplug(path);
  EXPECT_THAT(Uris(), ElementsAre("fido2:hid:096e:0858:port=usb-0000:00:14.0-3"));
  for (const DeviceInfo& device : driver_.List(nullptr)) {
    EXPECT_THAT(device.description, HasSubstr("Forekey Simulated security key"));
  }
}

TEST_F(Fido2TestbedTest, AKeyboardIsNoToken) {
  ASSERT_TRUE(testbed_->PlugKeyboard({.port = 4}).ok());
  EXPECT_EQ(Stock({"fido2-token", "-L"}), "");
  EXPECT_THAT(Uris(), IsEmpty());
  EXPECT_EQ(DeviceErrorOf((*driver_.Enroll("fido2:", {}))->Opening().status()), DeviceError::kGone);
}

TEST_F(Fido2TestbedTest, ACredentialIsFoundAgainInAnotherPort) {
  const std::string path = Plug(*token_, {.port = 1});
  auto key = Enroll("fido2:");
  ASSERT_NE(key, nullptr);
  EXPECT_EQ(ErrorOf(*key), std::nullopt);
  testbed_->Unplug(path);
  EXPECT_EQ(ErrorOf(*key), DeviceError::kGone);
  const std::string elsewhere = Plug(*token_, {.port = 5});
  EXPECT_NE(elsewhere, path);
  EXPECT_EQ(ErrorOf(*key), std::nullopt);
  // Another key takes the old port, and the credential is not there.
  auto other = NewToken();
  Plug(*other, {.port = 1});
  EXPECT_EQ(ErrorOf(*key), std::nullopt);
  testbed_->Unplug(elsewhere);
  EXPECT_EQ(ErrorOf(*key), DeviceError::kNoCredentials);
}

TEST_F(Fido2TestbedTest, PulledOutWhileItWaitsForATouch) {
  const std::string path = Plug(*token_);
  auto key = Enroll("fido2:");
  ASSERT_NE(key, nullptr);
  token_->SetAutoTouch(false);
  std::optional<DeviceError> error;
  std::thread signer([&] { error = ErrorOf(*key); });
  EXPECT_TRUE(token_->WaitUntilAsked());
  testbed_->Unplug(path);
  signer.join();
  EXPECT_EQ(error, DeviceError::kGone);
  EXPECT_THAT(Uris(), IsEmpty());
  token_->SetAutoTouch(true);
  Plug(*token_);
  EXPECT_EQ(ErrorOf(*key), std::nullopt);
}

TEST_F(Fido2TestbedTest, OfSeveralTheOneThatIsTouchedIsEnrolled) {
  Plug(*token_, {.port = 1});
  token_->SetAutoTouch(false);
  auto second = NewToken(/*auto_touch=*/false);
  Plug(*second, {.serial = "77", .port = 2});
  std::thread person([&] {
    EXPECT_TRUE(second->TouchWhenAsked());
    second->SetAutoTouch(true);
  });
  forekey::v1::EnrollmentProof proof;
  auto reference = EnrollFidoKey(driver_, "fido2:", DemandForGate(), {}, &proof);
  person.join();
  ASSERT_TRUE(reference.ok()) << reference.status();
  EXPECT_THAT(*reference, HasSubstr("fido2:hid:1050:0407:serial=77"));
}

}  // namespace
}  // namespace forekey

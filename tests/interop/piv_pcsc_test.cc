// SPDX-License-Identifier: Apache-2.0
// The simulated card and its reader as a PC/SC program sees them: coming, going, resets, a pcscd
// that restarts.
#include <signal.h>
#include <stdlib.h>
#include <winscard.h>

#include <filesystem>
#include <string>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "simulators/piv/piv_simulator.h"

namespace forekey::piv {
namespace {

// A client's context and card handle.
class PcscClient {
 public:
  explicit PcscClient(const std::string& reader) : reader_(reader) {}
  ~PcscClient() { Close(); }
  LONG Open() {
    Close();
    LONG code = SCardEstablishContext(SCARD_SCOPE_SYSTEM, nullptr, nullptr, &context_);
    if (code != SCARD_S_SUCCESS) return code;
    open_ = true;
    DWORD protocol = 0;
    return SCardConnect(context_, reader_.c_str(), SCARD_SHARE_SHARED, SCARD_PROTOCOL_T1, &card_,
                        &protocol);
  }
  void Close() {
    if (open_) SCardReleaseContext(context_);
    open_ = false;
  }
  LONG Reconnect() {
    DWORD protocol = 0;
    return SCardReconnect(card_, SCARD_SHARE_SHARED, SCARD_PROTOCOL_T1, SCARD_LEAVE_CARD,
                          &protocol);
  }
  // The answer in hexadecimal; empty with code() set when there is none.
  std::string Send(absl::string_view hex) {
    const std::string command = absl::HexStringToBytes(hex);
    std::string answer(MAX_BUFFER_SIZE_EXTENDED, '\0');
    DWORD size = answer.size();
    code_ = SCardTransmit(card_, SCARD_PCI_T1, reinterpret_cast<const BYTE*>(command.data()),
                          command.size(), nullptr, reinterpret_cast<BYTE*>(answer.data()), &size);
    return code_ == SCARD_S_SUCCESS ? absl::BytesToHexString(answer.substr(0, size)) : "";
  }
  // Waits until the reader's state has that bit.
  bool WaitFor(DWORD wanted) {
    SCARD_READERSTATE state{};
    state.szReader = reader_.c_str();
    for (const absl::Time end = absl::Now() + absl::Seconds(60); absl::Now() < end;) {
      const LONG code = SCardGetStatusChange(context_, 1000, &state, 1);
      if (code != SCARD_S_SUCCESS && code != static_cast<LONG>(SCARD_E_TIMEOUT)) return false;
      if ((state.dwEventState & wanted) != 0) return true;
      state.dwCurrentState = state.dwEventState;
    }
    return false;
  }
  // Begins anew until the applet can be selected; false after a minute.
  bool WaitUntilItAnswers() {
    for (const absl::Time end = absl::Now() + absl::Seconds(60); absl::Now() < end;) {
      if (Open() == SCARD_S_SUCCESS && absl::StartsWith(Send("00a4040005a000000308"), "61"))
        return true;
    }
    return false;
  }
  LONG code() const { return code_; }
  SCARDHANDLE card() const { return card_; }

 private:
  std::string reader_;
  SCARDCONTEXT context_ = 0;
  SCARDHANDLE card_ = 0;
  bool open_ = false;
  LONG code_ = 0;
};

constexpr char kSelect[] = "00a4040005a000000308";
constexpr char kSelected[] = "61114f0600001000010079074f05a0000003089000";

class PivPcscTest : public testing::Test {
 protected:
  void Start(PivSimulatorConfig config = {}) {
    config.card.attestation = false;  // quick to make
    auto simulator = PivSimulator::Start(config);
    ASSERT_TRUE(simulator.ok()) << simulator.status();
    simulator_ = *std::move(simulator);
    client_ = std::make_unique<PcscClient>(simulator_->reader());
    ASSERT_EQ(client_->Open(), SCARD_S_SUCCESS);
    ASSERT_EQ(client_->Send(kSelect), kSelected);
  }
  void TearDown() override {
    client_.reset();
    simulator_.reset();
  }
  std::unique_ptr<PivSimulator> simulator_;
  std::unique_ptr<PcscClient> client_;
};

TEST_F(PivPcscTest, TheCardComesAndGoes) {
  Start();
  for (int i = 0; i < 3; ++i) {
    simulator_->Remove();
    EXPECT_TRUE(client_->WaitFor(SCARD_STATE_EMPTY));
    EXPECT_EQ(client_->Send(kSelect), "");
    EXPECT_EQ(client_->code(), static_cast<LONG>(SCARD_W_REMOVED_CARD));
    simulator_->Insert();
    EXPECT_TRUE(client_->WaitFor(SCARD_STATE_PRESENT));
    EXPECT_TRUE(client_->WaitUntilItAnswers());
  }
}

TEST_F(PivPcscTest, AShortRemovalIsARemoval) {
  Start();
  // pcscd may notice the removal only when the card that came back has answered already, and takes
  // the handle away then.
  const auto answer = [this](absl::string_view hex) {
    std::string got = client_->Send(hex);
    while (got.empty() && client_->WaitUntilItAnswers()) got = client_->Send(hex);
    return got;
  };
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(answer("0020008008313233343536ffff"), "9000");
    simulator_->Remove();
    simulator_->Insert();
    ASSERT_TRUE(client_->WaitUntilItAnswers()) << i;
    EXPECT_EQ(answer("00200080"), "63c3");
  }
}

TEST_F(PivPcscTest, TheReaderComesAndGoes) {
  Start();
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(simulator_->Unplug().ok());
    EXPECT_EQ(client_->Send(kSelect), "");
    EXPECT_EQ(client_->Open(), static_cast<LONG>(SCARD_E_UNKNOWN_READER));
    ASSERT_TRUE(simulator_->PlugIn().ok());
    EXPECT_EQ(client_->Open(), SCARD_S_SUCCESS);
    EXPECT_EQ(client_->Send(kSelect), kSelected);
  }
}

TEST_F(PivPcscTest, GoneInTheMiddleOfACommand) {
  Start();
  simulator_->Misbehave({.remove_after = 1});
  EXPECT_EQ(client_->Send("00200080"), "63c3");
  EXPECT_EQ(client_->Send("0020008008313233343536ffff"), "");
  EXPECT_NE(client_->code(), SCARD_S_SUCCESS);
  EXPECT_FALSE(simulator_->card().present());
  simulator_->Insert();
  ASSERT_TRUE(client_->WaitUntilItAnswers());
  // With the effect that the command had, though its answer was lost.
  simulator_->Misbehave({.remove_after = 0, .executes_before_removal = true});
  EXPECT_EQ(client_->Send("0020008008303030303030ffff"), "");
  simulator_->card().WithApplet(
      [](PivApplet& applet) { EXPECT_EQ(applet.state().pin_tries_left, 2); });
}

TEST_F(PivPcscTest, AnotherClientResetsTheCard) {
  Start();
  EXPECT_EQ(client_->Send("0020008008313233343536ffff"), "9000");
  ASSERT_TRUE(simulator_->ResetByOther().ok());
  EXPECT_EQ(client_->Send("00200080"), "");
  EXPECT_EQ(client_->code(), static_cast<LONG>(SCARD_W_RESET_CARD));
  EXPECT_EQ(client_->Reconnect(), SCARD_S_SUCCESS);
  EXPECT_EQ(client_->Send(kSelect), kSelected);
  EXPECT_EQ(client_->Send("00200080"), "63c3");
}

TEST_F(PivPcscTest, AResetWaitsForATransactionToEnd) {
  Start();
  ASSERT_EQ(SCardBeginTransaction(client_->card()), SCARD_S_SUCCESS);
  simulator_->Misbehave({.reset_after = 0});
  EXPECT_EQ(client_->Send("00200080"), "63c3");
  EXPECT_EQ(client_->Send("0020008008313233343536ffff"), "9000");
  EXPECT_EQ(client_->Send("00200080"), "9000");
  EXPECT_EQ(SCardEndTransaction(client_->card(), SCARD_LEAVE_CARD), SCARD_S_SUCCESS);
  // From then on the reset may come at any moment; it comes.
  for (const absl::Time end = absl::Now() + absl::Seconds(60); absl::Now() < end;) {
    if (client_->Send("00200080").empty()) break;
  }
  EXPECT_EQ(client_->code(), static_cast<LONG>(SCARD_W_RESET_CARD));
}

TEST_F(PivPcscTest, PcscdRestarts) {
  Start();
  ASSERT_TRUE(simulator_->RestartPcscd().ok());
  EXPECT_EQ(client_->Send(kSelect), "");
  ASSERT_EQ(client_->Open(), SCARD_S_SUCCESS);
  EXPECT_EQ(client_->Send(kSelect), kSelected);
}

TEST_F(PivPcscTest, ATouchIsWaitedForAndGiven) {
  PivSimulatorConfig config;
  config.auto_touch = false;
  Start(config);
  simulator_->card().WithApplet([](PivApplet& applet) {
    auto pkey = GenerateKey(Algorithm::kP256);
    PivKey key;
    key.pin_policy = PinPolicy::kNever;
    key.touch_policy = TouchPolicy::kAlways;
    key.private_der = StoreKey(pkey->get());
    applet.state().keys[0x82] = std::move(key);
  });
  EXPECT_FALSE(simulator_->Touch());  // nobody waits
  std::thread finger([&] {
    EXPECT_TRUE(simulator_->card().WaitUntilTouchIsDue(absl::Seconds(60)));
    EXPECT_TRUE(simulator_->Touch());
  });
  const std::string sign = "00871182267c2482008120" + std::string(64, 'a');
  EXPECT_THAT(client_->Send(sign), testing::EndsWith("9000"));
  finger.join();
  EXPECT_EQ(simulator_->card().counts().signatures, 1u);
  // Pulled while it blinks.
  std::thread hand([&] {
    EXPECT_TRUE(simulator_->card().WaitUntilTouchIsDue(absl::Seconds(60)));
    simulator_->Remove();
  });
  EXPECT_EQ(client_->Send(sign), "");
  hand.join();
  EXPECT_EQ(simulator_->card().counts().signatures, 1u);
}

TEST_F(PivPcscTest, ATouchThatNeverComesTimesOut) {
  PivSimulatorConfig config;
  config.touch_timeout = absl::Milliseconds(20);
  Start(config);
  simulator_->Misbehave({.touch_never = true});
  simulator_->card().WithApplet([](PivApplet& applet) {
    auto pkey = GenerateKey(Algorithm::kP256);
    PivKey key;
    key.pin_policy = PinPolicy::kNever;
    key.touch_policy = TouchPolicy::kAlways;
    key.private_der = StoreKey(pkey->get());
    applet.state().keys[0x82] = std::move(key);
  });
  EXPECT_EQ(client_->Send("00871182267c2482008120" + std::string(64, 'a')), "6982");
}

TEST_F(PivPcscTest, TheStateOutlivesTheSimulator) {
  std::string folder = "/tmp/forekey-pivkept-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  PivSimulatorConfig config;
  config.state_directory = folder + "/card";
  Start(config);
  EXPECT_EQ(client_->Send("0020008008303030303030ffff"), "63c2");
  EXPECT_EQ(PivSimulator::Start(config).status().code(), absl::StatusCode::kFailedPrecondition);
  TearDown();
  Start(config);
  EXPECT_EQ(client_->Send("00200080"), "63c2");
  TearDown();
  std::filesystem::remove_all(folder);
}

TEST_F(PivPcscTest, PcscdEndsWhenItIsToldTo) {
  Start();
  const pid_t pid = simulator_->pcscd().pid();
  client_.reset();
  simulator_.reset();
  EXPECT_EQ(kill(pid, 0), -1);
}

}  // namespace
}  // namespace forekey::piv

// SPDX-License-Identifier: Apache-2.0
// The PIV driver on the simulated card behind the real pcscd, for the contract suite and the
// driver's own tests.
#ifndef FOREKEY_TESTS_CONTRACT_PIV_TOKEN_H_
#define FOREKEY_TESTS_CONTRACT_PIV_TOKEN_H_

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "hw/piv/pcsc.h"
#include "hw/piv/piv_driver.h"
#include "simulators/piv/piv_simulator.h"
#include "tests/contract/token.h"

namespace forekey {

// Another program that has the card to itself (SCARD_SHARE_EXCLUSIVE), until it is told to let go
// or, with `until` in the finite, by itself.
class ExclusiveHolder {
 public:
  ExclusiveHolder(std::string reader, absl::Duration until);
  ~ExclusiveHolder();
  void WaitUntilHeld() { held_.WaitForNotification(); }

 private:
  absl::Notification held_;
  absl::Notification let_go_;
  std::thread thread_;
};

// Always the same PIN; safe from any thread.
class PinPrompt : public Prompt {
 public:
  explicit PinPrompt(std::string pin) : pin_(std::move(pin)) {}
  absl::StatusOr<Secret> AskPin(absl::string_view, int tries_left) override {
    ++asked;
    last_tries_left = tries_left;
    return Secret::CopyOf(pin_);
  }
  void ShowTouch(absl::string_view) override { ++touches; }
  void HideTouch() override {}
  std::atomic<int> asked{0}, touches{0}, last_tries_left{-2};

 private:
  const std::string pin_;
};

class PivToken : public TokenUnderTest {
 public:
  static absl::StatusOr<std::unique_ptr<PivToken>> New(const piv::PivSimulatorConfig& config = {});

  Driver& driver() override { return *driver_; }
  const std::string& uri() const override { return uri_; }
  absl::StatusOr<forekey::v1::EnrollmentDemand> Demand(
      const forekey::v1::EnrollmentOpening& opening) override;
  // The chain goes up to the simulator's vendor, or issuer.
  absl::Status CheckEvidence(absl::string_view spki, absl::string_view statement,
                             const forekey::v1::EnrollmentProof& proof) override;
  absl::Status CheckSignature(absl::string_view spki, absl::string_view statement,
                              const DeviceSignature& signature) override;
  SignOptions Sign() override;
  void Unplug() override { simulator_->Remove(); }
  void UnplugAfter(int commands) override;
  void PlugIn() override;  // returns once pcscd has seen the card
  void BeBusy(int commands) override;
  absl::Status LockOut(bool locked_out) override;
  uint64_t Commands() override { return simulator_->card().counts().commands; }
  // Keys that were made and not enrolled, and a PIN that still counts.
  int Leftovers() override;
  int ClosingCommands() override { return 2; }  // the card is locked, and asked whether it is

  piv::PivSimulator& simulator() { return *simulator_; }
  PinPrompt& prompt() { return prompt_; }
  int tries_left();

 private:
  PivToken() : prompt_("123456") {}
  std::unique_ptr<piv::PivSimulator> simulator_;
  std::unique_ptr<PivDriver> driver_;
  std::string uri_;
  PinPrompt prompt_;
  PcscService service_;
  std::unique_ptr<ExclusiveHolder> holder_;
  int keys_before_ = 0;
  int enrolled_ = 0;
};

absl::StatusOr<std::unique_ptr<TokenUnderTest>> MakePivToken();

}  // namespace forekey

#endif  // FOREKEY_TESTS_CONTRACT_PIV_TOKEN_H_

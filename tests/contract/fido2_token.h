// SPDX-License-Identifier: Apache-2.0
// The FIDO2 driver on the simulated security key, for the contract suite and the driver's own
// tests.
#ifndef FOREKEY_TESTS_CONTRACT_FIDO2_TOKEN_H_
#define FOREKEY_TESTS_CONTRACT_FIDO2_TOKEN_H_

#include <memory>
#include <string>
#include <vector>

#include "hw/fido2/fido2_driver.h"
#include "simulators/fido2/fido2_simulator.h"
#include "src/verify/webauthn_registration.h"
#include "tests/contract/token.h"

namespace forekey {

inline constexpr char kFidoRpId[] = "gate.example";
inline constexpr char kFidoOrigin[] = "forekey://gate.example";

// Options for that relying party.
SignOptions SignForGate();
// What its gate demands of a new key.
forekey::v1::EnrollmentDemand DemandForGate(const std::vector<int>& algorithms = {-7},
                                            bool verify_user = false);
// A whole enrolment over "unkeyed" and "keyed": its reference, with the evidence in `proof`.
absl::StatusOr<std::string> EnrollFidoKey(Driver& driver, const std::string& uri,
                                          const forekey::v1::EnrollmentDemand& demand,
                                          EnrollOptions options,
                                          forekey::v1::EnrollmentProof* proof,
                                          std::string* spki = nullptr);

class Fido2Token : public TokenUnderTest {
 public:
  static absl::StatusOr<std::unique_ptr<Fido2Token>> New(fido2sim::SimulatorOptions options = {});

  Driver& driver() override { return *driver_; }
  const std::string& uri() const override { return simulator_->uri(); }
  absl::StatusOr<forekey::v1::EnrollmentDemand> Demand(
      const forekey::v1::EnrollmentOpening& opening) override;
  // The registration is verified up to the simulator's vendor, the possession over the statement.
  absl::Status CheckEvidence(absl::string_view spki, absl::string_view statement,
                             const forekey::v1::EnrollmentProof& proof) override;
  absl::Status CheckSignature(absl::string_view spki, absl::string_view statement,
                              const DeviceSignature& signature) override;
  SignOptions Sign() override { return SignForGate(); }
  void Unplug() override { simulator_->Unplug(); }
  void UnplugAfter(int commands) override { simulator_->UnplugAfter(commands); }
  void PlugIn() override { simulator_->Replug().IgnoreError(); }
  void BeBusy(int commands) override { simulator_->BeBusy(commands); }
  absl::Status LockOut(bool locked_out) override;
  uint64_t Commands() override { return simulator_->commands(); }
  int ClosingCommands() override { return 0; }  // nothing is to be ended at a security key
  // Discoverable credentials: others take no place in a key.
  int Leftovers() override;

  fido2sim::Fido2Simulator& simulator() { return *simulator_; }

 private:
  std::unique_ptr<fido2sim::Fido2Simulator> simulator_;
  std::unique_ptr<Fido2Driver> driver_;
  TrustAnchors anchors_;
};

absl::StatusOr<std::unique_ptr<TokenUnderTest>> MakeFido2Token();

}  // namespace forekey

#endif  // FOREKEY_TESTS_CONTRACT_FIDO2_TOKEN_H_

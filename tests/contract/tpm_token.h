// SPDX-License-Identifier: Apache-2.0
// The TPM driver on the TPM simulator, for the contract suite and the driver's own tests.
#ifndef FOREKEY_TESTS_CONTRACT_TPM_TOKEN_H_
#define FOREKEY_TESTS_CONTRACT_TPM_TOKEN_H_

#include <memory>
#include <string>

#include "hw/tpm/tpm_driver.h"
#include "simulators/tpm/tpm_simulator.h"
#include "tests/contract/token.h"

namespace forekey {

// A credential for that EK and AK, made by tpm2-tools' tpm2_makecredential without a TPM:
// independent of what is tested here and of the gate's own.
absl::StatusOr<forekey::v1::TpmDemand> MakeCredentialWithTool(absl::string_view ek_public,
                                                              absl::string_view ak_public,
                                                              absl::string_view secret);

class TpmToken : public TokenUnderTest {
 public:
  static absl::StatusOr<std::unique_ptr<TpmToken>> New(const TpmSimulatorConfig& config = {});

  Driver& driver() override { return *driver_; }
  const std::string& uri() const override { return simulator_->uri(); }
  absl::StatusOr<forekey::v1::EnrollmentDemand> Demand(
      const forekey::v1::EnrollmentOpening& opening) override;
  absl::Status CheckEvidence(absl::string_view spki, absl::string_view statement,
                             const forekey::v1::EnrollmentProof& proof) override;
  absl::Status CheckSignature(absl::string_view spki, absl::string_view statement,
                              const DeviceSignature& signature) override;
  void Unplug() override { simulator_->proxy().Vanish(); }
  void UnplugAfter(int commands) override;
  void PlugIn() override;
  void BeBusy(int commands) override;
  absl::Status LockOut(bool locked_out) override;
  uint64_t Commands() override;
  int Leftovers() override;

  TpmSimulator& simulator() { return *simulator_; }
  const std::string& activation_secret() const { return secret_; }  // of the last Demand()

 private:
  std::unique_ptr<TpmSimulator> simulator_;
  std::unique_ptr<TpmDriver> driver_;
  std::string secret_;
  std::string ak_public_;
};

// A whole enrolment as the agent makes it; returns the key's reference.
absl::StatusOr<std::string> EnrollKey(TokenUnderTest& token, EnrollOptions options,
                                      std::string* spki = nullptr);

}  // namespace forekey

#endif  // FOREKEY_TESTS_CONTRACT_TPM_TOKEN_H_

// SPDX-License-Identifier: Apache-2.0
// A TPM 2.0 for tests: swtpm behind a proxy that can misbehave. Never linked into a product binary.
//
//   TpmSimulatorConfig config;                       // what it is (capabilities)
//   auto tpm = TpmSimulator::Start(config);          // its own sockets and state
//   driver.Enroll((*tpm)->uri(), ...);               // "tpm:swtpm:path=..."
//   (*tpm)->proxy().Misbehave({.latency = ...});     // what it does now (misbehaviours)
//
// Several may run at once. Safe from any thread.
#ifndef FOREKEY_SIMULATORS_TPM_TPM_SIMULATOR_H_
#define FOREKEY_SIMULATORS_TPM_TPM_SIMULATOR_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "simulators/tpm/manufacture.h"
#include "simulators/tpm/tpm_proxy.h"

namespace forekey {

struct TpmSimulatorConfig {
  // Where the TPM lives, to be started again later. Empty: a copy, in a temporary folder, of a TPM
  // that is made once a process for each pair of `manufacture` and `identity`.
  std::string state_directory;
  ManufactureOptions manufacture;
  // Two simulators of one identity in one process are the same TPM (same seeds, same EKs); another
  // identity is another TPM from another manufacturer.
  int identity = 0;
  TpmMisbehaviour misbehaviour;
  bool locked_out = false;
};

class TpmSimulator {
 public:
  static absl::StatusOr<std::unique_ptr<TpmSimulator>> Start(const TpmSimulatorConfig& config = {});
  ~TpmSimulator();

  const std::string& uri() const { return uri_; }    // "tpm:swtpm:path=..."
  const std::string& tcti() const { return tcti_; }  // "swtpm:path=...", for tpm2-tools
  const std::string& socket_path() const { return socket_; }
  const std::string& trust_directory() const { return trust_; }  // CA certificates, PEM
  const std::string& state_directory() const { return state_; }
  TpmProxy& proxy() { return *proxy_; }
  // Ends it cleanly; the state stays where a state_directory was given.
  absl::Status Stop();

 private:
  TpmSimulator() = default;
  std::string state_, trust_, socket_, tcti_, uri_;
  std::string temporary_;  // removed at the end
  UniqueFd lock_;
  std::unique_ptr<TpmProxy> proxy_;
};

}  // namespace forekey

#endif  // FOREKEY_SIMULATORS_TPM_TPM_SIMULATOR_H_

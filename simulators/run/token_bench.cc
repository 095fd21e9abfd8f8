// SPDX-License-Identifier: Apache-2.0
#include "simulators/run/token_bench.h"

#include <stdlib.h>

#include "absl/strings/str_cat.h"
#include "simulators/trust_out.h"
#include "src/base/file.h"
#include "src/base/status.h"

namespace forekey {

absl::StatusOr<std::unique_ptr<TokenBench>> TokenBench::Start(const std::string& folder,
                                                              const TokenBenchOptions& options) {
  std::unique_ptr<TokenBench> bench(new TokenBench);
  if (!options.state.empty()) FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(options.state));
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(folder + "/trust"));
  bench->environment_.push_back(absl::StrCat("FOREKEY_SIM_TRUST=", folder, "/trust"));
  if (options.tpm) FOREKEY_RETURN_IF_ERROR(bench->StartTpm(folder, options));
  if (options.fido2) FOREKEY_RETURN_IF_ERROR(bench->StartFido2(folder, options));
  if (options.piv) FOREKEY_RETURN_IF_ERROR(bench->StartPiv(folder, options));
  return bench;
}

absl::Status TokenBench::StartTpm(const std::string& folder, const TokenBenchOptions& options) {
  TpmSimulatorConfig config;
  config.state_directory = (options.state.empty() ? folder : options.state) + "/tpm";
  FOREKEY_ASSIGN_OR_RETURN(tpm_, TpmSimulator::Start(config));
  FOREKEY_RETURN_IF_ERROR(CopyTrust(tpm_->trust_directory(), folder + "/trust/tpm"));
  environment_.push_back("FOREKEY_SIM_TPM=" + tpm_->uri());
  environment_.push_back(absl::StrCat("FOREKEY_SIM_TPM_REQUESTS=", tpm_->socket_path(), ".sim"));
  environment_.push_back("TPM2TOOLS_TCTI=" + tpm_->tcti());
  environment_.push_back("TPM2OPENSSL_TCTI=" + tpm_->tcti());
  return absl::OkStatus();
}

absl::Status TokenBench::StartFido2(const std::string& folder, const TokenBenchOptions& options) {
  fido2sim::SimulatorOptions token;
  token.state_directory = (options.state.empty() ? folder : options.state) + "/fido2";
  token.socket_path = folder + "/fido2.sock";
  token.pty = true;
  token.pin = options.fido2_pin;
  token.config.auto_touch = !options.manual_touch;
  FOREKEY_ASSIGN_OR_RETURN(fido2_, fido2sim::Fido2Simulator::Start(std::move(token)));
  FOREKEY_RETURN_IF_ERROR(fido2_->WriteTrust(folder + "/trust/fido2"));
  environment_.push_back("FOREKEY_SIM_FIDO2=" + fido2_->uri());
  environment_.push_back("FOREKEY_SIM_FIDO2_REQUESTS=" + fido2_->control_path());
  environment_.push_back("FOREKEY_SIM_FIDO2_DEVICE=" + fido2_->pty_path());
  return absl::OkStatus();
}

absl::Status TokenBench::StartPiv(const std::string& folder, const TokenBenchOptions& options) {
  piv::PivSimulatorConfig config;
  config.state_directory = (options.state.empty() ? folder : options.state) + "/piv";
  config.pcscd_socket = folder + "/pcscd.sock";
  config.auto_touch = !options.manual_touch;
  // For the simulator's own resets of the card: libpcsclite reads it when it is first used.
  setenv("PCSCLITE_CSOCK_NAME", config.pcscd_socket.c_str(), /*overwrite=*/1);
  FOREKEY_ASSIGN_OR_RETURN(piv_, piv::PivSimulator::Start(config));
  FOREKEY_RETURN_IF_ERROR(CopyTrust(piv_->trust_directory(), folder + "/trust/piv"));
  FOREKEY_ASSIGN_OR_RETURN(piv_control_,
                           piv::ControlSocket::Listen(folder + "/piv.ctl", piv_.get()));
  environment_.push_back("FOREKEY_SIM_PIV=" + piv_->uri());
  environment_.push_back(absl::StrCat("FOREKEY_SIM_PIV_REQUESTS=", folder, "/piv.ctl"));
  environment_.push_back("PCSCLITE_CSOCK_NAME=" + piv_->socket());
  return absl::OkStatus();
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// The tokens that `forekey-sim run` serves: what they are called in the environment of the command.
#ifndef FOREKEY_SIMULATORS_RUN_TOKEN_BENCH_H_
#define FOREKEY_SIMULATORS_RUN_TOKEN_BENCH_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "simulators/fido2/fido2_simulator.h"
#include "simulators/piv/control_socket.h"
#include "simulators/piv/piv_simulator.h"
#include "simulators/tpm/tpm_simulator.h"

namespace forekey {

struct TokenBenchOptions {
  bool tpm = false, fido2 = false, piv = false;
  std::string state;      // tokens are kept in it; empty: they are new, and gone at the end
  std::string fido2_pin;  // empty: none is set
  bool manual_touch = false;
};

// Not thread-safe. The end of it ends the tokens.
class TokenBench {
 public:
  // `folder`: this user's alone, for sockets, trust, and the state where none was given; whoever
  // made it removes it.
  static absl::StatusOr<std::unique_ptr<TokenBench>> Start(const std::string& folder,
                                                           const TokenBenchOptions& options);
  // "NAME=value", what the command finds its tokens by.
  const std::vector<std::string>& environment() const { return environment_; }

 private:
  TokenBench() = default;
  absl::Status StartTpm(const std::string& folder, const TokenBenchOptions& options);
  absl::Status StartFido2(const std::string& folder, const TokenBenchOptions& options);
  absl::Status StartPiv(const std::string& folder, const TokenBenchOptions& options);

  std::vector<std::string> environment_;
  std::unique_ptr<TpmSimulator> tpm_;
  std::unique_ptr<fido2sim::Fido2Simulator> fido2_;
  std::unique_ptr<piv::PivSimulator> piv_;
  std::unique_ptr<piv::ControlSocket> piv_control_;
};

}  // namespace forekey

#endif  // FOREKEY_SIMULATORS_RUN_TOKEN_BENCH_H_

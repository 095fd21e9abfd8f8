// SPDX-License-Identifier: Apache-2.0
// deps: forekey_sim_fido2
// What a simulated security key reads from strangers: reports, CTAP2 commands, U2F messages. The
// first byte chooses.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "simulators/fido2/authenticator.h"
#include "simulators/fido2/ctaphid.h"
#include "src/base/bytes.h"

namespace {

using namespace forekey::fido2sim;  // NOLINT: a program of one file

class AlwaysTouched : public UserPresence {
 public:
  TouchResult Wait(absl::Duration) override { return TouchResult::kTouched; }
  bool Take() override { return true; }
};

Authenticator NewAuthenticator() {
  Config config;
  config.algorithms = {kEs256, kEdDsa};  // making RSA keys takes too long
  State state;
  if (!state.EnsureVendor(config).ok()) std::abort();
  return Authenticator(config, std::move(state), "");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Authenticator authenticator = NewAuthenticator();
  AlwaysTouched person;
  if (size == 0) return 0;
  const absl::string_view input = forekey::View(data + 1, size - 1);
  if (data[0] % 3 == 0) {
    Ctaphid hid(true, true);
    for (size_t at = 0; at < input.size(); at += kReportSize) {
      std::string report(input.substr(at, kReportSize));
      report.resize(kReportSize, '\0');
      const auto step = hid.Receive(report, absl::UnixEpoch());
      if (step.request && step.request->payload.size() > kMaxHidMessage) std::abort();
    }
  } else if (data[0] % 3 == 1) {
    if (authenticator.Cbor(input, person).empty()) std::abort();
  } else if (authenticator.U2f(input, person).size() < 2) {
    std::abort();
  }
  if (authenticator.state().credentials.size() > 100) authenticator.state().credentials.clear();
  return 0;
}

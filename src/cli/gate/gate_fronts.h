// SPDX-License-Identifier: Apache-2.0
// What `forekey-gate serve` runs for programs in front of services, as [fronts] says.
#ifndef FOREKEY_SRC_CLI_GATE_GATE_FRONTS_H_
#define FOREKEY_SRC_CLI_GATE_GATE_FRONTS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/gate/caller/caller_keys.h"
#include "src/gate/caller/caller_token.h"
#include "src/gate/front/envoy_check.h"
#include "src/gate/front/front_judge.h"
#include "src/gate/front/http_server.h"
#include "src/gate/service/gate_core.h"

namespace forekey {

class GateFronts {
 public:
  // Everything is borrowed. Nothing listens where [fronts] names no address.
  static absl::StatusOr<std::unique_ptr<GateFronts>> Start(GateCore* core, CallerTokens* tokens,
                                                           const CallerKeys* keys);
  ~GateFronts() {
    if (judge_ != nullptr) judge_->Stop();  // whom it tells is there still
  }
  absl::Status Reload() { return judge_ == nullptr ? absl::OkStatus() : judge_->Reload(); }
  // For people: " (fronts: http 127.0.0.1 port 9080)", or empty.
  const std::string& told() const { return told_; }

 private:
  std::string told_;
  std::unique_ptr<FrontJudge> judge_;
  std::unique_ptr<HttpServer> http_;
  std::unique_ptr<EnvoyServer> envoy_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_GATE_FRONTS_H_

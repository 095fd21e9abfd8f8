// SPDX-License-Identifier: Apache-2.0
// The [[upstream]]s of the configuration: services that stand behind `forekey-gate serve`. They can
// be read again while the gate runs.
#ifndef FOREKEY_SRC_GATE_CONFIG_CONFIG_UPSTREAMS_H_
#define FOREKEY_SRC_GATE_CONFIG_CONFIG_UPSTREAMS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/gate/settings/config_reader.h"

namespace forekey {

struct UpstreamOptions {
  std::string name;                    // unique; what it is called in messages and tokens
  std::vector<std::string> methods;    // MethodPattern; the most specific of all upstreams' wins
  std::vector<std::string> addresses;  // "host:port", "[v6]:port", "unix:/path"
  enum class Balance { kRoundRobin, kLeastRequests };
  Balance balance = Balance::kRoundRobin;
  bool health = false;       // gRPC's own health checks: who says NOT_SERVING gets no new calls
  uint32_t connections = 1;  // to each address
  // A connection that has said nothing for so long is asked whether it lives, while it has calls.
  absl::Duration keepalive = absl::Seconds(330);

  bool tls = false;
  std::string ca;           // PEM; empty: the system's
  std::string certificate;  // the gate's own, for the upstream to know it by
  std::string private_key;
  std::string server_name;  // that the upstream's certificate must have; empty: the address's

  bool operator==(const UpstreamOptions&) const = default;
};

void ReadUpstreams(ConfigTable& root, absl::string_view base,
                   std::vector<UpstreamOptions>& upstreams);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CONFIG_CONFIG_UPSTREAMS_H_

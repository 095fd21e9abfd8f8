// SPDX-License-Identifier: Apache-2.0
// Prometheus metrics on a loopback address ([metrics] listen), at /metrics. They hold numbers and
// reasons; no subject, peer or method, which strangers choose and which are nobody's business
// there. They are read when they are asked for, from counters that the gate has anyway.
#ifndef FOREKEY_SRC_GATE_GRPC_METRICS_H_
#define FOREKEY_SRC_GATE_GRPC_METRICS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "src/gate/grpc/connections.h"
#include "src/gate/service/gate_core.h"

namespace forekey {

class Metrics {
 public:
  // Both must outlive this. Errors: the address can't be listened on.
  static absl::StatusOr<std::unique_ptr<Metrics>> New(const GateCore* core,
                                                      const Connections* connections,
                                                      const std::string& address);
  virtual ~Metrics() = default;
  virtual int port() const = 0;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_METRICS_H_

// SPDX-License-Identifier: Apache-2.0
// The sockets that the gate listens on.
#ifndef FOREKEY_SRC_GATE_GRPC_LISTENERS_H_
#define FOREKEY_SRC_GATE_GRPC_LISTENERS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace forekey {

class Listeners {
 public:
  // Binds and listens on numeric addresses (ResolveListenAddress); of several with port 0, all get
  // the same port. Connections wait in the kernel until they are accepted. Errors: the system's,
  // with the address.
  static absl::StatusOr<std::unique_ptr<Listeners>> New(const std::vector<std::string>& addresses);
  ~Listeners();
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  std::vector<int>& fds() { return fds_; }
  int port() const { return port_; }
  // Who is at the other end, as gRPC writes it: "ipv4:192.0.2.1:4711"; "unknown" where it is gone.
  static std::string PeerOf(int fd);

 private:
  Listeners() = default;
  absl::Status Listen(const std::string& address);

  std::vector<int> fds_;
  int port_ = 0;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_LISTENERS_H_

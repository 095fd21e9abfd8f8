// SPDX-License-Identifier: Apache-2.0
// The line protocol by which a running `forekey-sim piv` is told what happens to its card: one
// request a line, one line as the answer, "ok", "ok <JSON>" or "error <why>". See
// simulators/README.md.
#ifndef FOREKEY_SIMULATORS_PIV_CONTROL_SOCKET_H_
#define FOREKEY_SIMULATORS_PIV_CONTROL_SOCKET_H_

#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "simulators/piv/piv_simulator.h"
#include "simulators/process.h"

namespace forekey::piv {

class ControlSocket {
 public:
  // `simulator` outlives it.
  static absl::StatusOr<std::unique_ptr<ControlSocket>> Listen(const std::string& path,
                                                               PivSimulator* simulator);
  ~ControlSocket();

 private:
  ControlSocket(std::string path, PivSimulator* simulator)
      : path_(std::move(path)), simulator_(simulator) {}
  void Loop();
  void Serve(int fd);
  std::string Answer(absl::string_view line);

  std::string path_;
  PivSimulator* simulator_;
  UniqueFd listener_, stop_;
  std::thread thread_;
};

}  // namespace forekey::piv

#endif  // FOREKEY_SIMULATORS_PIV_CONTROL_SOCKET_H_

#include "src/cli/gate_serve.h"

#include <forekey/gate.h>
#include <signal.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"

namespace forekey {

absl::Status ServeGate(const std::string& config_file, std::ostream& out, std::ostream& err) {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGHUP, SIGINT, SIGTERM}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<Gate> gate, Gate::New({.config_file = config_file}));
  grpc::ServerBuilder builder;
  FOREKEY_RETURN_IF_ERROR(gate->Install(builder));
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    return absl::UnavailableError("gRPC could not start the server: its log has the reason");
  }
  out << "gate " << gate->audience() << " listening on port " << gate->port() << std::endl;

  for (int signal = 0; sigwait(&signals, &signal) == 0 && signal == SIGHUP;) {
    if (absl::Status reloaded = gate->Reload(); !reloaded.ok()) {
      err << "forekey-gate: " << reloaded.message() << std::endl;
    }
  }
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2));
  return absl::OkStatus();
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// forekey-example-echo CONFIG [sync|callback]: an echo service behind a gate.
#include <forekey/gate.h>
#include <signal.h>

#include <iostream>

#include "examples/echo_services.h"

int main(int argc, char** argv) {
  if (argc > 1 && argv[1][0] == '-') {
    return std::cerr << "usage: forekey-example-echo [CONFIG [sync|callback]]\n", 2;
  }
  sigset_t signals;  // blocked in every thread, and taken by sigwait() below
  sigemptyset(&signals);
  for (int signal : {SIGHUP, SIGINT, SIGTERM}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  auto gate = forekey::Gate::New({.config_file = argc > 1 ? argv[1] : "/etc/forekey/gate.toml"});
  if (!gate.ok()) return std::cerr << gate.status().message() << "\n", 2;

  forekey::example::SyncEcho sync;
  forekey::example::CallbackEcho callback;
  grpc::ServerBuilder builder;
  if (argc > 2 && std::string(argv[2]) == "callback")
    builder.RegisterService(&callback);
  else
    builder.RegisterService(&sync);
  if (absl::Status installed = (*gate)->Install(builder); !installed.ok()) {
    return std::cerr << installed.message() << "\n", 2;
  }
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return std::cerr << "the server did not start\n", 2;
  std::cout << "listening on port " << (*gate)->port() << std::endl;

  const timespec second = {1, 0};
  for (int signal; (signal = sigtimedwait(&signals, nullptr, &second)) < 0 || signal == SIGHUP;) {
    (*gate)->TellHealth(*server);
    if (signal < 0) continue;
    if (absl::Status reloaded = (*gate)->Reload(); !reloaded.ok())
      std::cerr << reloaded.message() << "\n";
  }
  // An orderly end; a second signal shortens the notice.
  const timespec notice = absl::ToTimespec((*gate)->AnnounceEnd(*server));
  sigtimedwait(&signals, nullptr, &notice);
  (*gate)->Drain(*server);
}

// SPDX-License-Identifier: Apache-2.0
// Uses each public header; says what the gate says of a config that is not there.
#include <forekey/caller.h>
#include <forekey/client.h>
#include <forekey/gate.h>

#include <iostream>

int main(int argc, char** argv) {
  auto gate = forekey::Gate::New({.config_file = argc > 1 ? argv[1] : "gate.toml"});
  if (!gate.ok()) return std::cerr << gate.status().message() << "\n", 2;
  grpc::ServerBuilder builder;
  if (!(*gate)->Install(builder).ok()) return 2;
  auto channel = forekey::Channel({});
  std::cout << (*gate)->audience() << " " << channel.ok() << "\n";
}

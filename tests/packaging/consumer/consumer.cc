// SPDX-License-Identifier: Apache-2.0
// A server of somebody else's, with each public header and a gate in it.
//   consumer CONFIG      says what is wrong with CONFIG, and exits with 2
//   consumer CONFIG CA   runs the gate of CONFIG and asks it without a prefix; 0 when refused
#include <forekey/caller.h>
#include <forekey/client.h>
#include <forekey/gate.h>
#include <forekey/refusal.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <fstream>
#include <future>
#include <iostream>
#include <sstream>

// What a client is told that knows nothing of Forekey.
grpc::Status AskWithoutPrefix(int port, const char* ca_file) {
  std::stringstream ca;
  ca << std::ifstream(ca_file).rdbuf();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = ca.str();
  grpc::GenericStub stub(
      grpc::CreateChannel("localhost:" + std::to_string(port), grpc::SslCredentials(options)));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  context.set_wait_for_ready(true);
  grpc::Slice nothing;
  grpc::ByteBuffer request(&nothing, 1), response;
  std::promise<grpc::Status> answer;
  stub.UnaryCall(&context, "/somebody.Else/Asks", {}, &request, &response,
                 [&](grpc::Status status) { answer.set_value(std::move(status)); });
  return answer.get_future().get();
}

int main(int argc, char** argv) {
  auto gate = forekey::Gate::New({.config_file = argc > 1 ? argv[1] : "gate.toml"});
  if (!gate.ok()) return std::cerr << gate.status().message() << "\n", 2;
  if (argc < 3) return 0;
  grpc::ServerBuilder builder;
  if (absl::Status installed = (*gate)->Install(builder); !installed.ok())
    return std::cerr << installed.message() << "\n", 2;
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 2;
  grpc::Status answer = AskWithoutPrefix((*gate)->port(), argv[2]);
  (*gate)->Drain(*server);
  // No agent runs here: the client's half says so.
  auto channel = forekey::Channel({.agent_socket = "/nonexistent/agent.sock"});
  std::cout << (*gate)->audience() << " answers " << answer.error_code() << ": "
            << answer.error_message() << "; the client says " << channel.status().message() << "\n";
  return answer.error_code() == grpc::StatusCode::UNAUTHENTICATED && !channel.ok() ? 0 : 1;
}

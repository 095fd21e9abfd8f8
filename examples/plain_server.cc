// SPDX-License-Identifier: Apache-2.0
// forekey-example-plain ADDRESS: an echo server that knows nothing of Forekey, to put behind a gate
// (docs/EXISTING_SERVER.md). It believes what the gate says of the caller: only the gate may reach
// it.
#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <iostream>

#include "echo.grpc.pb.h"

namespace {

using forekey::example::EchoRequest;
using forekey::example::EchoResponse;

class PlainEcho final : public forekey::example::Echo::Service {
  grpc::Status Say(grpc::ServerContext* context, const EchoRequest* request,
                   EchoResponse* response) override {
    response->set_text(request->text());
    const auto& metadata = context->client_metadata();
    if (const auto subject = metadata.find("forekey-subject"); subject != metadata.end()) {
      response->set_subject(std::string(subject->second.data(), subject->second.size()));
    }
    return grpc::Status::OK;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || argv[1][0] == '-') {
    return std::cerr << "usage: forekey-example-plain ADDRESS\n", 2;
  }
  sigset_t signals;  // blocked in every thread, and taken by sigwait() below
  sigemptyset(&signals);
  for (int signal : {SIGINT, SIGTERM}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  PlainEcho echo;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(argv[1], grpc::InsecureServerCredentials());
  builder.RegisterService(&echo);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return std::cerr << "the server did not start\n", 2;
  std::cout << "listening" << std::endl;
  int signal = 0;
  sigwait(&signals, &signal);
  server->Shutdown();
}

// SPDX-License-Identifier: Apache-2.0
// forekey-test-counting-server CONFIG: the echo service behind a gate, whose Say() and Chat() first
// append the text that came to CONFIG.calls (or the file that FOREKEY_TEST_CALLS names), in one
// write: what was accepted is known whatever becomes of this process. A text that begins with
// "deny" is answered with an UNAUTHENTICATED of the handler's own. SIGHUP reads again what a gate
// reads again.
#include <fcntl.h>
#include <forekey/gate.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <iostream>
#include <string>

#include "examples/echo_services.h"

namespace {

class CountingEcho final : public forekey::example::SyncEcho {
 public:
  explicit CountingEcho(const std::string& path)
      : fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {}
  ~CountingEcho() override { close(fd_); }
  bool usable() const { return fd_ >= 0; }

  grpc::Status Say(grpc::ServerContext* context, const forekey::example::EchoRequest* request,
                   forekey::example::EchoResponse* response) override {
    if (!Count(*request)) {
      return grpc::Status(grpc::StatusCode::INTERNAL, "the call could not be counted");
    }
    if (request->text().rfind("deny", 0) == 0) {
      return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "the handler's own");
    }
    return SyncEcho::Say(context, request, response);
  }

  grpc::Status Chat(grpc::ServerContext* context,
                    grpc::ServerReaderWriter<forekey::example::EchoResponse,
                                             forekey::example::EchoRequest>* stream) override {
    forekey::example::EchoRequest request;
    while (stream->Read(&request)) {
      if (!Count(request)) {
        return grpc::Status(grpc::StatusCode::INTERNAL, "the message could not be counted");
      }
      forekey::example::EchoResponse response;
      response.set_text(request.text());
      if (!stream->Write(response)) break;
    }
    return grpc::Status::OK;
  }

 private:
  bool Count(const forekey::example::EchoRequest& request) const {
    const std::string line = request.text() + "\n";
    return write(fd_, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  }

  const int fd_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::cerr << "forekey-test-counting-server CONFIG\n", 2;
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGHUP, SIGINT, SIGTERM}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  auto gate = forekey::Gate::New({.config_file = argv[1]});
  if (!gate.ok()) return std::cerr << gate.status().message() << "\n", 2;
  const char* const calls = getenv("FOREKEY_TEST_CALLS");
  const std::string path = calls != nullptr ? calls : std::string(argv[1]) + ".calls";
  CountingEcho echo(path);
  if (!echo.usable()) return std::cerr << path << " can't be written\n", 2;
  grpc::ServerBuilder builder;
  builder.RegisterService(&echo);
  if (absl::Status installed = (*gate)->Install(builder); !installed.ok()) {
    return std::cerr << installed.message() << "\n", 2;
  }
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return std::cerr << "the server did not start\n", 2;
  std::cout << "listening on port " << (*gate)->port() << std::endl;
  for (int signal = 0; sigwait(&signals, &signal) == 0 && signal == SIGHUP;) {
    if (absl::Status reloaded = (*gate)->Reload(); !reloaded.ok())
      std::cerr << reloaded.message() << "\n";
  }
  const timespec notice = absl::ToTimespec((*gate)->AnnounceEnd(*server));
  sigtimedwait(&signals, nullptr, &notice);
  (*gate)->Drain(*server);
  return 0;
}

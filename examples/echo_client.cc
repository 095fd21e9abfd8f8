// SPDX-License-Identifier: Apache-2.0
// forekey-example-echo-client [--gate AUDIENCE] [--socket AGENT_SOCKET] [--target HOST:PORT]
// [--stream] TEXT...: says each TEXT to the echo service, in calls of their own or in one stream,
// and prints the answers.
#include <forekey/client.h>

#include <iostream>
#include <string>
#include <vector>

#include "echo.grpc.pb.h"

namespace {

using forekey::example::Echo;
using forekey::example::EchoRequest;
using forekey::example::EchoResponse;

void Print(const EchoResponse& response) {
  std::cout << response.text() << "  (" << response.subject() << ")" << std::endl;
}

grpc::Status Say(Echo::Stub& echo, const std::string& text) {
  grpc::ClientContext context;
  EchoRequest request;
  EchoResponse response;
  request.set_text(text);
  const grpc::Status status = echo.Say(&context, request, &response);
  if (status.ok()) Print(response);
  return status;
}

grpc::Status Chat(Echo::Stub& echo, const std::vector<std::string>& texts) {
  grpc::ClientContext context;
  auto stream = echo.Chat(&context);
  EchoRequest request;
  EchoResponse response;
  for (const std::string& text : texts) {
    request.set_text(text);
    if (!stream->Write(request) || !stream->Read(&response)) break;
    Print(response);
  }
  stream->WritesDone();
  return stream->Finish();
}

int Usage() {
  std::cerr << "usage: forekey-example-echo-client [--gate AUDIENCE] [--socket AGENT_SOCKET] "
               "[--target HOST:PORT] [--stream] TEXT...\n";
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  forekey::ChannelOptions options;
  bool stream = false;
  std::vector<std::string> texts;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--gate" && i + 1 < argc)
      options.gate = argv[++i];
    else if (word == "--socket" && i + 1 < argc)
      options.agent_socket = argv[++i];
    else if (word == "--target" && i + 1 < argc)
      options.target = argv[++i];
    else if (word == "--stream")
      stream = true;
    else if (word.rfind('-', 0) == 0)
      return Usage();
    else
      texts.push_back(word);
  }
  if (texts.empty()) return Usage();
  auto channel = forekey::Channel(options);
  if (!channel.ok()) return std::cerr << channel.status().message() << "\n", 2;
  auto echo = Echo::NewStub(*channel);
  grpc::Status status = stream ? Chat(*echo, texts) : grpc::Status::OK;
  for (size_t i = 0; !stream && status.ok() && i < texts.size(); ++i) status = Say(*echo, texts[i]);
  if (!status.ok()) std::cerr << status.error_code() << ": " << status.error_message() << "\n";
  return status.ok() ? 0 : 1;
}

// SPDX-License-Identifier: Apache-2.0
#include "examples/demo/demo_calls.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "echo.grpc.pb.h"
#include "forekey/v1/agent.grpc.pb.h"
#include "grpcpp/generic/generic_stub.h"

namespace forekey::demo {
namespace {

using example::Echo;
using example::EchoRequest;
using example::EchoResponse;

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
}

absl::Status Unexpected(const std::string& what, const grpc::Status& status) {
  return absl::InternalError(
      absl::StrCat(what, ": ", status.error_code(), " ", status.error_message()));
}

absl::Status Collect(Echo::Stub& stub) {
  grpc::ClientContext context;
  SetDeadline(context);
  EchoResponse response;
  auto writer = stub.Collect(&context, &response);
  for (const char* text : {"a", "b", "c"}) {
    EchoRequest request;
    request.set_text(text);
    writer->Write(request);
  }
  writer->WritesDone();
  grpc::Status status = writer->Finish();
  return status.ok() && response.text() == "abc" ? absl::OkStatus() : Unexpected("Collect", status);
}

absl::Status Repeat(Echo::Stub& stub) {
  grpc::ClientContext context;
  SetDeadline(context);
  EchoRequest request;
  request.set_text("again");
  request.set_times(3);
  auto reader = stub.Repeat(&context, request);
  EchoResponse response;
  int answers = 0;
  while (reader->Read(&response)) ++answers;
  grpc::Status status = reader->Finish();
  return status.ok() && answers == 3 ? absl::OkStatus() : Unexpected("Repeat", status);
}

absl::Status Chat(Echo::Stub& stub) {
  grpc::ClientContext context;
  SetDeadline(context);
  auto stream = stub.Chat(&context);
  int answers = 0;
  for (const char* text : {"ping", "pong"}) {
    EchoRequest request;
    request.set_text(text);
    EchoResponse response;
    if (stream->Write(request) && stream->Read(&response) && response.text() == text) ++answers;
  }
  stream->WritesDone();
  grpc::Status status = stream->Finish();
  return status.ok() && answers == 2 ? absl::OkStatus() : Unexpected("Chat", status);
}

}  // namespace

Answer CallRaw(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
               const std::vector<std::string>& prefixes) {
  grpc::ClientContext context;
  SetDeadline(context);
  for (const std::string& prefix : prefixes) context.AddMetadata("forekey-prefix-bin", prefix);
  EchoRequest request;
  request.set_text("hello");
  grpc::Slice slice(request.SerializeAsString());
  grpc::ByteBuffer sent(&slice, 1), received;
  Answer answer;
  absl::Notification done;
  grpc::GenericStub(channel).UnaryCall(&context, method, grpc::StubOptions(), &sent, &received,
                                       [&](grpc::Status status) {
                                         answer.status = std::move(status);
                                         done.Notify();
                                       });
  done.WaitForNotification();
  const std::string& message = answer.status.error_message();
  const std::string marker = "reference ";
  size_t at = message.find(marker);
  if (at != std::string::npos) answer.reference = message.substr(at + marker.size(), 16);
  return answer;
}

absl::StatusOr<std::string> SayThrough(const std::shared_ptr<grpc::Channel>& channel) {
  auto stub = Echo::NewStub(channel);
  grpc::ClientContext context;
  SetDeadline(context);
  EchoRequest request;
  request.set_text("hello");
  EchoResponse response;
  grpc::Status status = stub->Say(&context, request, &response);
  if (!status.ok()) return Unexpected("Say", status);
  return response.subject();
}

absl::Status StreamThrough(const std::shared_ptr<grpc::Channel>& channel) {
  auto stub = Echo::NewStub(channel);
  for (auto* call : {&Collect, &Repeat, &Chat}) {
    if (absl::Status status = call(*stub); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> PrefixFromAgent(const std::string& agent_socket,
                                            const std::string& method,
                                            const std::string& channel_binding) {
  auto stub = v1::Agent::NewStub(
      grpc::CreateChannel("unix:" + agent_socket, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  SetDeadline(context);
  v1::GetPrefixRequest request;
  request.set_method(method);
  request.set_channel_binding(channel_binding);
  v1::GetPrefixResponse response;
  grpc::Status status = stub->GetPrefix(&context, request, &response);
  if (!status.ok()) return Unexpected("GetPrefix", status);
  return response.prefix();
}

}  // namespace forekey::demo

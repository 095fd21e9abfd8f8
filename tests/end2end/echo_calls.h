// SPDX-License-Identifier: Apache-2.0
// One call of each kind to the echo service, with a prefix (or without).
#ifndef FOREKEY_TESTS_END2END_ECHO_CALLS_H_
#define FOREKEY_TESTS_END2END_ECHO_CALLS_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "echo.grpc.pb.h"

namespace forekey::testing {

enum class Kind { kUnary, kClientStream, kServerStream, kBidi };
inline constexpr Kind kAllKinds[] = {Kind::kUnary, Kind::kClientStream, Kind::kServerStream,
                                     Kind::kBidi};

inline std::string MethodOf(Kind kind) {
  switch (kind) {
    case Kind::kUnary:
      return "/forekey.example.Echo/Say";
    case Kind::kClientStream:
      return "/forekey.example.Echo/Collect";
    case Kind::kServerStream:
      return "/forekey.example.Echo/Repeat";
    case Kind::kBidi:
      return "/forekey.example.Echo/Chat";
  }
  return "";
}

struct EchoResult {
  grpc::Status status;
  std::vector<example::EchoResponse> responses;
  std::multimap<std::string, std::string> trailers;
};

struct EchoCall {
  Kind kind = Kind::kUnary;
  std::vector<std::string> prefixes;  // values of forekey-prefix-bin
  bool fail = false;                  // asks the handler to fail
  std::string affinity;               // forekey-affinity; empty: none
};

// Sends "ab" as "a", "b" where the kind streams, and asks for two answers where it streams.
inline EchoResult Call(const std::shared_ptr<grpc::Channel>& channel, const EchoCall& call) {
  auto stub = example::Echo::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  for (const std::string& prefix : call.prefixes) context.AddMetadata("forekey-prefix-bin", prefix);
  if (call.fail) context.AddMetadata("x-fail", "1");
  if (!call.affinity.empty()) context.AddMetadata("forekey-affinity", call.affinity);
  example::EchoRequest request;
  example::EchoResponse response;
  EchoResult result;
  switch (call.kind) {
    case Kind::kUnary:
      request.set_text("ab");
      result.status = stub->Say(&context, request, &response);
      if (result.status.ok()) result.responses.push_back(response);
      break;
    case Kind::kClientStream: {
      auto stream = stub->Collect(&context, &response);
      for (const char* text : {"a", "b"}) {
        request.set_text(text);
        stream->Write(request);
      }
      stream->WritesDone();
      result.status = stream->Finish();
      if (result.status.ok()) result.responses.push_back(response);
      break;
    }
    case Kind::kServerStream: {
      request.set_text("ab");
      request.set_times(2);
      auto stream = stub->Repeat(&context, request);
      while (stream->Read(&response)) result.responses.push_back(response);
      result.status = stream->Finish();
      break;
    }
    case Kind::kBidi: {
      auto stream = stub->Chat(&context);
      for (const char* text : {"a", "b"}) {
        request.set_text(text);
        if (!stream->Write(request) || !stream->Read(&response)) break;
        result.responses.push_back(response);
      }
      stream->WritesDone();
      result.status = stream->Finish();
      break;
    }
  }
  for (const auto& [key, value] : context.GetServerTrailingMetadata()) {
    result.trailers.emplace(std::string(key.data(), key.size()),
                            std::string(value.data(), value.size()));
  }
  return result;
}

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_END2END_ECHO_CALLS_H_

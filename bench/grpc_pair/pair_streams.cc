// SPDX-License-Identifier: Apache-2.0
#include "bench/grpc_pair/pair_streams.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "bench/grpc_pair/pair_session.h"
#include "echo.grpc.pb.h"
#include "src/wire/statement.h"

namespace forekey::bench {
namespace {

constexpr char kChat[] = "/forekey.example.Echo/Chat";

class HeldStream : public grpc::ClientBidiReactor<example::EchoRequest, example::EchoResponse> {
 public:
  // `echoed` and `ended` are told once each. Both must outlive the stream.
  HeldStream(example::Echo::Stub& stub, LoadSession* session, absl::BlockingCounter* echoed,
             absl::BlockingCounter* ended)
      : echoed_(echoed), ended_(ended) {
    if (session != nullptr) {
      context_.AddMetadata(std::string(kPrefixMetadataKey), session->Prefix(kChat));
    }
    request_.set_text("the quick brown fox jumps over the lazy dog");
    stub.async()->Chat(&context_, this);
    AddHold();  // until Finish(): nothing is being read or written meanwhile
    StartRead(&response_);
    StartWrite(&request_);
    StartCall();
  }
  void Finish() {
    StartWritesDone();
    RemoveHold();
  }

 private:
  void OnReadDone(bool ok) override {
    if (ok) echoed_->DecrementCount();
  }
  void OnDone(const grpc::Status& status) override {
    Check(status);
    ended_->DecrementCount();
  }

  absl::BlockingCounter* const echoed_;
  absl::BlockingCounter* const ended_;
  grpc::ClientContext context_;
  example::EchoRequest request_;
  example::EchoResponse response_;
};

}  // namespace

void HoldStreams(const PairFacts& facts, const std::string& host, int count, int connections,
                 bool gated) {
  std::vector<std::unique_ptr<example::Echo::Stub>> stubs;
  std::unique_ptr<LoadSession> session;
  for (int i = 0; i < connections; ++i) {
    const auto channel = NewChannel(facts, host);
    if (gated && session == nullptr) session = OpenSession(channel, facts);
    stubs.push_back(example::Echo::NewStub(channel));
  }
  absl::BlockingCounter echoed(count), ended(count);
  std::vector<std::unique_ptr<HeldStream>> streams;
  for (int i = 0; i < count; ++i) {
    streams.push_back(
        std::make_unique<HeldStream>(*stubs[i % connections], session.get(), &echoed, &ended));
  }
  echoed.Wait();
  std::cout << "open" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
  }
  for (auto& stream : streams) stream->Finish();
  ended.Wait();
  std::cout << R"({"streams":)" << count << "}" << std::endl;
}

}  // namespace forekey::bench

// SPDX-License-Identifier: Apache-2.0
// forekey-bench-pair-load D CALLS IN_FLIGHT KIND [HOST]: calls the server of D/facts.json, at
// 127.0.0.1 unless HOST says otherwise, and prints one JSON line with what the calls took. KIND:
//   gated    with session proofs
//   plain    with none
//   worded   with as many bytes as a session proof has, which nobody looks at
//   refused  with proofs of a session that never was
//   forged   with rubbish, which ends the connection
//   flood-refused, flood-forged  the same by somebody who means it: each call in flight has a
//   connection of
//            its own, and one that ended is made again at once
//   streams-gated, streams-plain  CALLS streams on IN_FLIGHT connections, which are kept until
//   stdin ends: pair_streams.h
//   visits   each a connection of its own, where a session is opened, one call is admitted, one is
//            refused, and the session is ended
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/blocking_counter.h"
#include "bench/grpc_pair/pair_session.h"
#include "bench/grpc_pair/pair_streams.h"
#include "echo.grpc.pb.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "src/base/file.h"
#include "src/wire/prefix.h"
#include "src/wire/statement.h"

namespace forekey::bench {
namespace {

constexpr char kMethod[] = "/forekey.example.Echo/Say";
constexpr char kEndSession[] = "/forekey.v1.Gate/EndSession";

// One call after the other; as many lanes as calls in flight.
class Lane {
 public:
  // `prefix`: instead of the session's, empty: none; `refused`: whether it must be.
  Lane(const std::shared_ptr<grpc::Channel>& channel, LoadSession* session, std::string prefix,
       bool refused, std::atomic<int64_t>* left, absl::BlockingCounter* done)
      : stub_(example::Echo::NewStub(channel)),
        session_(session),
        prefix_(std::move(prefix)),
        refused_(refused),
        left_(left),
        done_(done) {
    request_.set_text("the quick brown fox jumps over the lazy dog");
  }
  void Next() {
    if (left_->fetch_sub(1) <= 0) {
      done_->DecrementCount();
      return;
    }
    context_ = std::make_unique<grpc::ClientContext>();
    if (session_ != nullptr) {
      context_->AddMetadata(std::string(kPrefixMetadataKey), session_->Prefix(kMethod));
    }
    if (!prefix_.empty()) context_->AddMetadata(std::string(kPrefixMetadataKey), prefix_);
    context_->set_wait_for_ready(refused_);
    begun_ = std::chrono::steady_clock::now();
    stub_->async()->Say(context_.get(), &request_, &response_, [this](grpc::Status status) {
      if (!refused_) Check(status);
      if (refused_ && status.ok()) Check(grpc::Status(grpc::StatusCode::UNKNOWN, "not refused"));
      latencies_.push_back(
          std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begun_)
              .count());
      Next();
    });
  }
  const std::vector<double>& latencies() const { return latencies_; }

 private:
  const std::unique_ptr<example::Echo::Stub> stub_;
  LoadSession* const session_;
  const std::string prefix_;
  const bool refused_;
  std::atomic<int64_t>* const left_;
  absl::BlockingCounter* const done_;
  std::unique_ptr<grpc::ClientContext> context_;
  example::EchoRequest request_;
  example::EchoResponse response_;
  std::chrono::steady_clock::time_point begun_;
  std::vector<double> latencies_;
};

// Of a session that never was.
std::string StrangePrefix() {
  SessionProofView proof;
  const std::string id(kSessionIdSize, 'f'), mac(kCallMacSize, 'f');
  proof.session_id = id;
  proof.sequence = 1;
  proof.mac = mac;
  return SerializePrefix(proof);
}

// One visit; its connection goes with it.
void Visit(const PairFacts& facts) {
  const auto channel = NewChannel(facts, "127.0.0.1");
  const auto session = OpenSession(channel, facts);
  auto stub = example::Echo::NewStub(channel);
  example::EchoRequest request;
  example::EchoResponse response;
  request.set_text("x");
  auto say = [&](const std::string& prefix) {
    grpc::ClientContext context;
    context.AddMetadata(std::string(kPrefixMetadataKey), prefix);
    return stub->Say(&context, request, &response);
  };
  Check(say(session->Prefix(kMethod)));
  if (say(StrangePrefix()).ok()) Check(grpc::Status(grpc::StatusCode::UNKNOWN, "not refused"));
  grpc::ClientContext context;
  v1::EndSessionResponse ended;
  context.AddMetadata(std::string(kPrefixMetadataKey), session->Prefix(kEndSession));
  Check(v1::Gate::NewStub(channel)->EndSession(&context, v1::EndSessionRequest(), &ended));
}

std::vector<double> Visits(const PairFacts& facts, int64_t visits, int at_once) {
  std::atomic<int64_t> left{visits};
  std::vector<std::vector<double>> took(at_once);
  std::vector<std::thread> visitors;
  for (int i = 0; i < at_once; ++i) {
    visitors.emplace_back([&, i] {
      while (left.fetch_sub(1) > 0) {
        const auto begun = std::chrono::steady_clock::now();
        Visit(facts);
        took[i].push_back(
            std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begun)
                .count());
      }
    });
  }
  std::vector<double> all;
  for (int i = 0; i < at_once; ++i) {
    visitors[i].join();
    all.insert(all.end(), took[i].begin(), took[i].end());
  }
  return all;
}

void Print(std::vector<double> latencies, double seconds) {
  std::sort(latencies.begin(), latencies.end());
  std::cout << nlohmann::json{{"calls", latencies.size()},
                              {"seconds", seconds},
                              {"p50_us", latencies[latencies.size() / 2]},
                              {"p99_us", latencies[latencies.size() * 99 / 100]}}
                   .dump()
            << std::endl;
}

int Run(const std::string& directory, int64_t calls, int in_flight, absl::string_view kind,
        const std::string& host) {
  const auto text = ReadFile(directory + "/facts.json");
  if (!text.ok()) return std::cerr << text.status() << "\n", 2;
  const PairFacts facts = PairFacts::FromJson(*text);
  if (absl::ConsumePrefix(&kind, "streams-")) {
    HoldStreams(facts, host, static_cast<int>(calls), in_flight, kind == "gated");
    return 0;
  }
  if (kind == "visits") {
    const auto begun = std::chrono::steady_clock::now();
    std::vector<double> all = Visits(facts, calls, in_flight);
    Print(std::move(all),
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
    return 0;
  }
  const bool flood = absl::ConsumePrefix(&kind, "flood-");
  const auto channel = NewChannel(facts, host);
  std::unique_ptr<LoadSession> session;
  if (kind == "gated") session = OpenSession(channel, facts);
  const bool refused = kind == "refused" || kind == "forged";
  const std::string prefix = kind == "forged"                        ? "rubbish"
                             : kind == "refused" || kind == "worded" ? StrangePrefix()
                                                                     : "";
  std::atomic<int64_t> left{calls};
  absl::BlockingCounter done(in_flight);
  std::vector<std::unique_ptr<Lane>> lanes;
  for (int i = 0; i < in_flight; ++i) {
    lanes.push_back(std::make_unique<Lane>(flood ? NewChannel(facts, host) : channel, session.get(),
                                           prefix, refused, &left, &done));
  }
  const auto begun = std::chrono::steady_clock::now();
  for (auto& lane : lanes) lane->Next();
  done.Wait();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  std::vector<double> all;
  for (auto& lane : lanes)
    all.insert(all.end(), lane->latencies().begin(), lane->latencies().end());
  Print(std::move(all), took.count());
  return 0;
}

}  // namespace
}  // namespace forekey::bench

int main(int argc, char** argv) {
  int64_t calls = 0;
  int in_flight = 0;
  if ((argc != 5 && argc != 6) || !absl::SimpleAtoi(argv[2], &calls) ||
      !absl::SimpleAtoi(argv[3], &in_flight)) {
    std::cerr
        << "forekey-bench-pair-load DIRECTORY CALLS IN_FLIGHT KIND [HOST]; KIND: gated, "
           "plain, worded, "
           "refused, forged, flood-refused, flood-forged, streams-gated, streams-plain, visits\n";
    return 2;
  }
  return forekey::bench::Run(argv[1], calls, in_flight, argv[4], argc == 6 ? argv[5] : "127.0.0.1");
}

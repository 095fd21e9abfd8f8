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
//   visits   each a connection of its own, where a session is opened, one call is admitted, one is
//            refused, and the session is ended
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/blocking_counter.h"
#include "bench/grpc_pair/pair_facts.h"
#include "echo.grpc.pb.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "src/base/clock.h"
#include "src/base/file.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/public_key.h"
#include "src/wire/prefix.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"

namespace forekey::bench {
namespace {

constexpr char kMethod[] = "/forekey.example.Echo/Say";
constexpr char kEndSession[] = "/forekey.v1.Gate/EndSession";

void Check(const grpc::Status& status) {
  if (status.ok()) return;
  std::cerr << "call failed: " << status.error_code() << " " << status.error_message() << std::endl;
  // Other threads are in the middle of calls: what an orderly end would free is under their feet.
  std::_Exit(2);
}

struct LoadSession {
  std::string id;
  std::string binding;
  std::unique_ptr<HmacSha256> key;
  BootTime opened;
  std::atomic<uint64_t> sequence{1};

  std::string Prefix(absl::string_view method) {
    SessionProofView proof;
    proof.session_id = id;
    proof.sequence = sequence.fetch_add(1);
    proof.age_s = static_cast<uint32_t>(absl::ToInt64Seconds(Clock::System().BootNow() - opened));
    const std::string mac = ComputeCallMac(*key, {.session_id = id,
                                                  .sequence = proof.sequence,
                                                  .age_s = proof.age_s,
                                                  .method = method,
                                                  .channel_binding = binding});
    proof.mac = mac;
    return SerializePrefix(proof);
  }
};

std::unique_ptr<LoadSession> Open(const std::shared_ptr<grpc::Channel>& channel,
                                  const PairFacts& facts) {
  auto stub = v1::Gate::NewStub(channel);
  grpc::ClientContext challenge_context;
  challenge_context.set_wait_for_ready(true);
  v1::GetChallengeRequest challenge_request;
  v1::GetChallengeResponse challenge;
  challenge_request.set_purpose(v1::GetChallengeRequest::PURPOSE_CALL);
  Check(stub->GetChallenge(&challenge_context, challenge_request, &challenge));

  const auto key = SoftwareKey::Ed25519FromSeed(facts.key_seed);
  X25519PrivateKey ephemeral = X25519PrivateKey::Generate();
  v1::OpenSessionPayload payload;
  payload.set_gate_identity(Sha256(facts.identity_public));
  v1::OpenSessionRequest request;
  request.set_payload(payload.SerializeAsString());
  const std::string digest = Sha256(request.payload());
  const std::string id = CredentialId(kAudience, kSubject, key->public_key().spki());
  const absl::string_view ids[] = {id};
  const std::string statement =
      BuildStatement(CallStatement{.audience = kAudience,
                                   .method = kOpenSessionMethod,
                                   .challenge = challenge.challenge(),
                                   .channel_binding = facts.channel_binding,
                                   .credential_ids = ids,
                                   .key_share = ephemeral.public_key(),
                                   .request_digest = digest});
  const std::string signature = key->Sign(statement);
  DeviceProofView proof;
  proof.challenge = challenge.challenge();
  proof.channel_binding = facts.channel_binding;
  proof.key_share = ephemeral.public_key();
  proof.request_digest = digest;
  proof.assertions.push_back({.credential_id = id, .signature = signature});
  grpc::ClientContext context;
  context.AddMetadata(std::string(kPrefixMetadataKey), SerializePrefix(proof));
  v1::OpenSessionResponse response;
  Check(stub->OpenSession(&context, request, &response));

  const auto ephemeral_secret = ephemeral.Agree(response.gate_share());
  const auto identity_secret = ephemeral.Agree(facts.identity_public);
  auto session = std::make_unique<LoadSession>();
  session->id = response.session_id();
  session->binding = facts.channel_binding;
  session->key =
      std::make_unique<HmacSha256>(DeriveSessionKey({.ephemeral_secret = &*ephemeral_secret,
                                                     .identity_secret = &*identity_secret,
                                                     .salt = challenge.challenge(),
                                                     .transcript = statement,
                                                     .gate_share = response.gate_share(),
                                                     .session_id = response.session_id()})
                                       .view());
  session->opened = Clock::System().BootNow();
  return session;
}

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

// How long a connection may take to be made. gRPC names it for what it also is: the least time
// between two attempts.
constexpr int kConnectMillis = 60'000;

// A channel with a connection of its own, which it makes again without waiting.
std::shared_ptr<grpc::Channel> NewChannel(const PairFacts& facts, const std::string& host) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = facts.certificate_pem;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 1);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMillis);
  return grpc::CreateCustomChannel(absl::StrCat(host, ":", facts.port), grpc::SslCredentials(tls),
                                   arguments);
}

// One visit; its connection goes with it.
void Visit(const PairFacts& facts) {
  const auto channel = NewChannel(facts, "127.0.0.1");
  const auto session = Open(channel, facts);
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
  if (kind == "gated") session = Open(channel, facts);
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
  if (argc != 5 && argc != 6) {
    std::cerr << "forekey-bench-pair-load DIRECTORY CALLS IN_FLIGHT KIND [HOST]; KIND: gated, "
                 "plain, worded, "
                 "refused, forged, flood-refused, flood-forged, visits\n";
    return 2;
  }
  return forekey::bench::Run(argv[1], std::atoll(argv[2]), std::atoi(argv[3]), argv[4],
                             argc == 6 ? argv[5] : "127.0.0.1");
}

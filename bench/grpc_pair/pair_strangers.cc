// SPDX-License-Identifier: Apache-2.0
// forekey-bench-pair-strangers D KIND SECONDS ADDRESSES: does to the server of D/facts.json what
// strangers do, from so many addresses of 127.0.0.0/8, for so long, and prints one JSON line with
// what it did. KIND:
//   bombs       small messages of gzip that inflate to half a gigabyte
//   resets      calls of an exempt method that are opened and reset
//   unfinished  messages that claim four gigabytes, sent for as long as the connection lives
//   half-open   connections with 500 calls each that are never finished
//   full        connections with as many calls and bytes as a stranger may have; all are held
//   silent      connections that say nothing
//   signatures  device proofs of a credential that exists, with a signature that is none
//   enrolments  beginnings of enrolments, with an invite that is none
// At most 400 connections are held at once (1000 of `full`); the oldest are given up.
#include <grpcpp/grpcpp.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bench/grpc_pair/pair_facts.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "src/base/file.h"
#include "src/crypto/digest.h"
#include "src/crypto/public_key.h"
#include "src/crypto/random.h"
#include "src/wire/prefix.h"
#include "src/wire/statement.h"
#include "tests/end2end/raw_http2.h"

namespace forekey::bench {
namespace {

using testing::RawHttp2;

constexpr char kGetChallenge[] = "/forekey.v1.Gate/GetChallenge";
constexpr size_t kThreads = 4;
constexpr size_t kHeld = 400 / kThreads;
constexpr size_t kHeldFull = 1000 / kThreads;

std::string Bomb() {
  z_stream stream = {};
  deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY);
  std::string out(1 << 20, '\0'), zeros(1 << 20, '\0');
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  for (int i = 0; i < 512; ++i) {
    stream.next_in = reinterpret_cast<Bytef*>(zeros.data());
    stream.avail_in = static_cast<uInt>(zeros.size());
    deflate(&stream, i < 511 ? Z_NO_FLUSH : Z_FINISH);
  }
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Challenge(const PairFacts& facts, v1::GetChallengeRequest::Purpose purpose) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = facts.certificate_pem;
  auto stub = v1::Gate::NewStub(
      grpc::CreateChannel(absl::StrCat("127.0.0.1:", facts.port), grpc::SslCredentials(tls)));
  grpc::ClientContext context;
  v1::GetChallengeRequest request;
  v1::GetChallengeResponse response;
  request.set_purpose(purpose);
  if (!stub->GetChallenge(&context, request, &response).ok()) {
    std::cerr << "no challenge\n";
    std::_Exit(2);
  }
  return response.challenge();
}

std::string BadProof(const PairFacts& facts) {
  const auto key = SoftwareKey::Ed25519FromSeed(facts.key_seed);
  const std::string id = CredentialId(kAudience, kSubject, key->public_key().spki());
  const std::string signature(64, '\x01');
  const std::string challenge = Challenge(facts, v1::GetChallengeRequest::PURPOSE_CALL);
  DeviceProofView proof;
  proof.challenge = challenge;
  proof.channel_binding = facts.channel_binding;
  AssertionView assertion;
  assertion.credential_id = id;
  assertion.signature = signature;
  proof.assertions.push_back(assertion);
  std::string text;
  absl::Base64Escape(SerializePrefix(proof), &text);
  return text;
}

std::string Enrolment(const PairFacts& facts) {
  v1::EnrollmentOpening opening;
  opening.set_challenge(Challenge(facts, v1::GetChallengeRequest::PURPOSE_ENROLL));
  opening.set_channel_binding(facts.channel_binding);
  opening.set_key_share(RandomBytes(32));
  opening.set_gate_identity(Sha256(facts.identity_public));
  opening.set_kind(v1::TOKEN_KIND_TPM);
  v1::BeginEnrollmentRequest request;
  request.set_payload(opening.SerializeAsString());
  request.set_invite_public_key(RandomBytes(32));
  request.set_invite_signature(RandomBytes(64));
  return request.SerializeAsString();
}

class Strangers {
 public:
  Strangers(PairFacts facts, std::string kind, int seconds, int addresses)
      : facts_(std::move(facts)),
        kind_(std::move(kind)),
        until_(absl::Now() + absl::Seconds(seconds)),
        addresses_(addresses) {
    if (kind_ == "bombs") message_ = RawHttp2::Message(Bomb(), /*compressed=*/true);
    if (kind_ == "signatures") proof_ = BadProof(facts_);
    if (kind_ == "enrolments") message_ = RawHttp2::Message(Enrolment(facts_));
  }

  void Run() {
    std::vector<std::thread> threads;
    for (size_t i = 0; i < kThreads; ++i) threads.emplace_back([this] { Loop(); });
    for (std::thread& thread : threads) thread.join();
    std::cout << nlohmann::json{{"connections", connections_.load()},
                                {"refused_connections", refused_.load()},
                                {"calls", calls_.load()}}
                     .dump()
              << std::endl;
  }

 private:
  bool Over() const { return absl::Now() >= until_; }

  std::string Source() {
    const int n = static_cast<int>(next_.fetch_add(1) % static_cast<uint64_t>(addresses_));
    return absl::StrCat("127.1.", n / 250, ".", n % 250 + 1);
  }

  void Loop() {
    std::deque<std::unique_ptr<RawHttp2>> held;
    while (!Over()) {
      auto peer = std::make_unique<RawHttp2>(facts_.port, Source());
      (peer->open() ? connections_ : refused_).fetch_add(1);
      if (!peer->open()) {
        absl::SleepFor(absl::Milliseconds(1));  // as many as there can be, without a core for it
        continue;
      }
      peer->set_patience(absl::Seconds(2));
      Attack(*peer);
      held.push_back(std::move(peer));
      if (held.size() > (kind_ == "full" ? kHeldFull : kHeld)) held.pop_front();
    }
  }

  void Attack(RawHttp2& peer) {
    if (kind_ == "silent") return;
    if (kind_ == "half-open") {
      for (int i = 0; i < 500 && peer.open() && !Over(); ++i) Open(peer);
      return;
    }
    if (kind_ == "full") {
      const std::string piece(16000, 'x');
      for (int i = 0; i < 15 && peer.open() && !Over(); ++i) {
        const uint32_t stream = Open(peer);
        peer.Data(stream, RawHttp2::MessagePrefix(~uint32_t{0}), false);
        peer.Data(stream, piece, false);
      }
      return;
    }
    if (kind_ == "unfinished") {
      const uint32_t stream = Open(peer);
      peer.Data(stream, RawHttp2::MessagePrefix(~uint32_t{0}), false);
      const std::string piece(1 << 18, 'x');
      while (peer.open() && !Over()) peer.Data(stream, piece, false);
      return;
    }
    while (peer.open() && !Over()) {
      if (kind_ == "resets") {
        const uint32_t stream = Open(peer);
        peer.Reset(stream);
        peer.Read(0);
      } else if (kind_ == "bombs") {
        const uint32_t stream = peer.NextStream();
        calls_.fetch_add(1);
        peer.Headers(stream, kGetChallenge, {{"grpc-encoding", "gzip"}});
        peer.Data(stream, message_, true);
        peer.WaitForStreamEnd(stream);
      } else if (kind_ == "signatures") {
        const uint32_t stream = peer.NextStream();
        calls_.fetch_add(1);
        peer.Headers(stream, "/forekey.example.Echo/Say", {{"forekey-prefix-bin", proof_}});
        peer.WaitForStreamEnd(stream);
      } else {
        const uint32_t stream = peer.NextStream();
        calls_.fetch_add(1);
        peer.Headers(stream, "/forekey.v1.Gate/BeginEnrollment");
        peer.Data(stream, message_, true);
        peer.WaitForStreamEnd(stream);
      }
    }
  }

  uint32_t Open(RawHttp2& peer) {
    const uint32_t stream = peer.NextStream();
    calls_.fetch_add(1);
    peer.Headers(stream, kGetChallenge);
    peer.Read(0);
    return stream;
  }

  const PairFacts facts_;
  const std::string kind_;
  const absl::Time until_;
  const int addresses_;
  std::string message_, proof_;
  std::atomic<uint64_t> next_{0}, connections_{0}, refused_{0}, calls_{0};
};

}  // namespace
}  // namespace forekey::bench

int main(int argc, char** argv) {
  using namespace forekey;
  int seconds = 0, addresses = 0;
  if (argc != 5 || !absl::SimpleAtoi(argv[3], &seconds) || !absl::SimpleAtoi(argv[4], &addresses) ||
      seconds < 1 || seconds > 600 || addresses < 1 || addresses > 60000) {
    std::cerr << "forekey-bench-pair-strangers D bombs|resets|unfinished|half-open|full|silent|"
                 "signatures|enrolments SECONDS ADDRESSES\n";
    return 2;
  }
  auto facts = ReadFile(absl::StrCat(argv[1], "/facts.json"));
  if (!facts.ok()) return 2;
  bench::Strangers(bench::PairFacts::FromJson(*facts), argv[2], seconds, addresses).Run();
  return 0;
}

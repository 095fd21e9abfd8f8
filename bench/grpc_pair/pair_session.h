// SPDX-License-Identifier: Apache-2.0
// What the loads of the pair share: a connection to its server, and a session there, whose proofs
// they make themselves.
#ifndef FOREKEY_BENCH_GRPC_PAIR_PAIR_SESSION_H_
#define FOREKEY_BENCH_GRPC_PAIR_PAIR_SESSION_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "bench/grpc_pair/pair_facts.h"
#include "src/base/clock.h"
#include "src/crypto/digest.h"

namespace forekey::bench {

// Ends the process, with what went wrong, where a call failed.
void Check(const grpc::Status& status);

struct LoadSession {
  std::string id;
  std::string binding;
  std::unique_ptr<HmacSha256> key;
  BootTime opened;
  std::atomic<uint64_t> sequence{1};

  std::string Prefix(absl::string_view method);
};

std::unique_ptr<LoadSession> OpenSession(const std::shared_ptr<grpc::Channel>& channel,
                                         const PairFacts& facts);

// A channel with a connection of its own, which it makes again without waiting.
std::shared_ptr<grpc::Channel> NewChannel(const PairFacts& facts, const std::string& host);

}  // namespace forekey::bench

#endif  // FOREKEY_BENCH_GRPC_PAIR_PAIR_SESSION_H_

// SPDX-License-Identifier: Apache-2.0
// What the server of the pair tells the load, in a file.
#ifndef FOREKEY_BENCH_GRPC_PAIR_PAIR_FACTS_H_
#define FOREKEY_BENCH_GRPC_PAIR_PAIR_FACTS_H_

#include <string>

#include "absl/strings/escaping.h"
#include "nlohmann/json.hpp"

namespace forekey::bench {

inline constexpr char kAudience[] = "pair.bench";
inline constexpr char kSubject[] = "load";

struct PairFacts {
  int port = 0;
  std::string certificate_pem;
  std::string channel_binding;
  std::string identity_public;
  std::string key_seed;  // Ed25519; of a key that lives for one run

  std::string ToJson() const {
    return nlohmann::json{{"port", port},
                          {"certificate", certificate_pem},
                          {"binding", absl::BytesToHexString(channel_binding)},
                          {"identity", absl::BytesToHexString(identity_public)},
                          {"seed", absl::BytesToHexString(key_seed)}}
        .dump();
  }
  static PairFacts FromJson(const std::string& text) {
    const nlohmann::json json = nlohmann::json::parse(text);
    return {.port = json["port"],
            .certificate_pem = json["certificate"],
            .channel_binding = absl::HexStringToBytes(json["binding"].get<std::string>()),
            .identity_public = absl::HexStringToBytes(json["identity"].get<std::string>()),
            .key_seed = absl::HexStringToBytes(json["seed"].get<std::string>())};
  }
};

}  // namespace forekey::bench

#endif  // FOREKEY_BENCH_GRPC_PAIR_PAIR_FACTS_H_

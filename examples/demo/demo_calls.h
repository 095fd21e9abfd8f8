// SPDX-License-Identifier: Apache-2.0
// Calls of the demo: made as an application makes them, and as an attacker would.
#ifndef FOREKEY_EXAMPLES_DEMO_DEMO_CALLS_H_
#define FOREKEY_EXAMPLES_DEMO_DEMO_CALLS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/grpcpp.h"

namespace forekey::demo {

inline constexpr char kSayMethod[] = "/forekey.example.Echo/Say";

// What the gate answered to a raw call.
struct Answer {
  grpc::Status status;
  std::string reference;  // out of a refusal's message; empty where there is none
};

// A unary call of `method` on a channel without Forekey's client library, with these values of
// forekey-prefix-bin: none, one, or more.
Answer CallRaw(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
               const std::vector<std::string>& prefixes);

// All four kinds of call through a forekey::Channel; the answer's subject, if all went well.
absl::StatusOr<std::string> SayThrough(const std::shared_ptr<grpc::Channel>& channel);
absl::Status StreamThrough(const std::shared_ptr<grpc::Channel>& channel);

// Asks the agent for a prefix, as a program in another language does.
absl::StatusOr<std::string> PrefixFromAgent(const std::string& agent_socket,
                                            const std::string& method,
                                            const std::string& channel_binding = "");

}  // namespace forekey::demo

#endif  // FOREKEY_EXAMPLES_DEMO_DEMO_CALLS_H_

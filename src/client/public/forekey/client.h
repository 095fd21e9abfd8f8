// SPDX-License-Identifier: Apache-2.0
// The client library: a gRPC channel to a gate that the agent is enrolled at. Every call on it
// carries a prefix; nothing else changes for the application.
//
//   auto channel = forekey::Channel({.gate = "prod.example.com"});
//   if (!channel.ok()) ...
//   auto stub = my::Service::NewStub(*channel);
//
// Link forekey::client. The agent (forekey-agent) must be running as the same user.
#ifndef FOREKEY_CLIENT_H_
#define FOREKEY_CLIENT_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/grpcpp.h"

namespace forekey {

struct ChannelOptions {
  // The gate's audience; empty: the only gate that the agent is enrolled at.
  std::string gate;
  // Empty: $FOREKEY_AGENT_SOCKET, else $XDG_RUNTIME_DIR/forekey/agent.sock, else agent.sock in the
  // agent's state directory.
  std::string agent_socket;
  // "host:port" instead of the address that was enrolled at: another server behind the same gate.
  // Its TLS certificate is verified as ever.
  std::string target;
  // The name that the certificate must have where it isn't the target's host name.
  std::string tls_server_name;
  // How long the opening of a session may take: somebody may have to touch a token.
  absl::Duration open_timeout = absl::Seconds(60);
  // More arguments. A service config of your own replaces Forekey's, which is only this; merge it
  // into your methods, or unary calls will fail once after each restart of the gate:
  //   {"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 2, "initialBackoff": "0.01s",
  //     "maxBackoff": "0.01s", "backoffMultiplier": 1, "retryableStatusCodes":
  //     ["UNAUTHENTICATED"]}}]}
  // Retrying needs what was sent: by default up to 8 MiB of a call are kept until its first answer
  // (GRPC_ARG_PER_RPC_RETRY_BUFFER_SIZE); a call that has sent more is not retried.
  grpc::ChannelArguments arguments;
  // What a person should be told while a call waits for them, one line without control characters:
  // "touch Security Key to open a session, asked by /usr/bin/orders (process 4711)". Called from
  // one thread of the channel's, which must not be kept for long; not called any more when the
  // channel is gone. Notices are the agent's, also for other programs' calls at this gate. Empty:
  // nobody.
  std::function<void(const std::string& text)> on_notice;
  // Call credentials of the application's own, for every call. A ClientContext on this channel
  // can't have any (its call fails and says so): gRPC takes one set a call, and Forekey sets it.
  std::shared_ptr<grpc::CallCredentials> call_credentials;
};

// Asks the agent where the gate is and what vouches for it; connects and opens a session on first
// use. Later a session is renewed before it ends, and opened again within one call of the
// application when the gate no longer knows it (UNAUTHENTICATED before the call was admitted; a
// handler's own UNAUTHENTICATED is passed on as it is and never retried).
//
// Errors: kUnavailable when the agent isn't running, kPermissionDenied when it isn't enrolled at
// the gate, kInvalidArgument when it is enrolled at several and none was named. A call whose
// session can't be opened says why, in words and for programs (RefusalOf() in <forekey/refusal.h>):
// with UNAVAILABLE where another attempt may succeed by itself, and with another code where a
// person has to act, so that no retry policy asks for a PIN again and again. Within one call a
// person is asked once, however often it is retried.
//
// The channel is safe from any thread, like every channel. Sessions are held in memory alone;
// forking with a channel open shares them, and sequence numbers would repeat: fork first.
absl::StatusOr<std::shared_ptr<grpc::Channel>> Channel(const ChannelOptions& options = {});

}  // namespace forekey

#endif  // FOREKEY_CLIENT_H_

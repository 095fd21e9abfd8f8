// SPDX-License-Identifier: Apache-2.0
// TLS to a gate: what is trusted, and how the channel behaves.
#ifndef FOREKEY_SRC_CLIENT_TLS_CHANNEL_H_
#define FOREKEY_SRC_CLIENT_TLS_CHANNEL_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/grpcpp.h"

namespace forekey {

// Where a gate is and what vouches for its TLS certificate: from an invite, then from a record.
struct GateTarget {
  std::string audience;
  std::string address;  // "host:port"
  std::string ca_pem;   // trust anchors; empty: the system's
  // The name that the certificate must have, where it isn't the address's host name. It replaces
  // what is compared, never the comparing.
  std::string tls_server_name;
};

// InvalidArgument when `ca_pem` has no certificate in it; FailedPrecondition when it is empty and
// the system has no trust anchors either.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsCredentials(const std::string& ca_pem);

// Adds what a channel to that gate needs: server name, keep-alive, a reconnect back-off of seconds,
// not minutes. What is set already stays, except the server name.
void AddTlsArguments(const GateTarget& target, grpc::ChannelArguments* arguments);

// Sets the argument unless it is set already.
void SetDefault(const char* name, int value, grpc::ChannelArguments* arguments);
bool IsSet(const char* name, const grpc::ChannelArguments& arguments);

// The PEM bundle of DER certificates, as an invite has them.
std::string PemBundle(const std::vector<std::string>& der_certificates);

// A channel whose last attempt to connect failed answers with that old failure until its back-off
// ends. This ends the back-off, and waits until it has connected or failed anew, or until
// `given_up` (may be null) says so.
void WakeChannel(const std::shared_ptr<grpc::Channel>& channel, absl::Duration timeout,
                 const std::atomic<bool>* given_up = nullptr);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_TLS_CHANNEL_H_

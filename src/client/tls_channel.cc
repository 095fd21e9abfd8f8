// SPDX-License-Identifier: Apache-2.0
#include "src/client/tls_channel.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/deadline.h"
#include "src/base/file.h"
#include "src/rpc/call_deadline.h"

namespace forekey {
namespace {

constexpr char kSystemAnchors[] = "/etc/ssl/certs/ca-certificates.crt";
constexpr size_t kPemLine = 64;
constexpr absl::Duration kLookInterval = absl::Milliseconds(100);

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsCredentials(
    const std::string& ca_pem) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = ca_pem;
  if (ca_pem.empty()) {
    // Read here, as gRPC's own search falls back to a bundle inside its package.
    auto system = ReadFile(kSystemAnchors);
    if (!system.ok()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "no CA is recorded for the gate and the system's trust anchors can't be read (",
          system.status().message(), "): install ca-certificates, or enrol with --ca FILE"));
    }
    options.pem_root_certs = *std::move(system);
  }
  if (!absl::StrContains(options.pem_root_certs, "-----BEGIN CERTIFICATE-----")) {
    return absl::InvalidArgumentError("the gate's CA file holds no PEM certificate");
  }
  return grpc::SslCredentials(options);
}

bool IsSet(const char* name, const grpc::ChannelArguments& arguments) {
  grpc_channel_args all = arguments.c_channel_args();
  for (size_t i = 0; i < all.num_args; ++i) {
    if (absl::string_view(all.args[i].key) == name) return true;
  }
  return false;
}

void SetDefault(const char* name, int value, grpc::ChannelArguments* arguments) {
  if (!IsSet(name, *arguments)) arguments->SetInt(name, value);
}

void AddTlsArguments(const GateTarget& target, grpc::ChannelArguments* arguments) {
  if (!target.tls_server_name.empty()) {
    arguments->SetSslTargetNameOverride(target.tls_server_name);
  }
  SetDefault(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200, arguments);
  SetDefault(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10'000, arguments);  // the time to connect in
  SetDefault(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5000, arguments);
  SetDefault(GRPC_ARG_KEEPALIVE_TIME_MS, 300'000, arguments);
  SetDefault(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000, arguments);
}

std::string PemBundle(const std::vector<std::string>& der_certificates) {
  std::string bundle;
  for (const std::string& der : der_certificates) {
    std::string base64 = absl::Base64Escape(der);
    absl::StrAppend(&bundle, "-----BEGIN CERTIFICATE-----\n");
    for (size_t i = 0; i < base64.size(); i += kPemLine) {
      absl::StrAppend(&bundle, base64.substr(i, kPemLine), "\n");
    }
    absl::StrAppend(&bundle, "-----END CERTIFICATE-----\n");
  }
  return bundle;
}

void WakeChannel(const std::shared_ptr<grpc::Channel>& channel, absl::Duration timeout,
                 const std::atomic<bool>* given_up) {
  if (channel->GetState(/*try_to_connect=*/true) != GRPC_CHANNEL_TRANSIENT_FAILURE) return;
  const Deadline deadline = Deadline::In(timeout);
  grpc::experimental::ChannelResetConnectionBackoff(channel.get());
  grpc_connectivity_state state = GRPC_CHANNEL_TRANSIENT_FAILURE;
  while (!deadline.Passed() && (given_up == nullptr || !*given_up)) {
    const absl::Duration look = std::min(deadline.Left(), kLookInterval);
    if (!channel->WaitForStateChange(state, CallDeadline(look))) continue;
    state = channel->GetState(true);
    if (state == GRPC_CHANNEL_READY || state == GRPC_CHANNEL_TRANSIENT_FAILURE) return;
  }
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/gate/proxy/upstream.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/rpc/proxy/call_pump.h"

namespace forekey {
namespace {

constexpr absl::Duration kKeepaliveTimeout = absl::Seconds(20);
constexpr absl::Duration kLongestReconnect = absl::Seconds(5);
// gRPC watches grpc.health.v1.Health of each connection and takes those that are not serving out;
// whoever has no such service is taken for healthy.
constexpr char kHealthChecked[] =
    R"({"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}})";

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(
    const UpstreamOptions& options) {
  if (!options.tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions ssl;
  if (!options.ca.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(ssl.pem_root_certs, ReadFile(options.ca, 1 << 20));
  }
  if (!options.certificate.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(ssl.pem_cert_chain, ReadFile(options.certificate, 1 << 20));
    FOREKEY_ASSIGN_OR_RETURN(ssl.pem_private_key, ReadPrivateFile(options.private_key));
  }
  return grpc::SslCredentials(ssl);
}

int Millis(absl::Duration time) { return static_cast<int>(absl::ToInt64Milliseconds(time)); }

}  // namespace

struct Upstream::Turn::Place {
  std::shared_ptr<grpc::Channel> channel;
  std::atomic<size_t> calls{0};
};

Upstream::Turn::Turn(std::shared_ptr<Place> place) : place_(std::move(place)) {
  place_->calls.fetch_add(1, std::memory_order_relaxed);
}
Upstream::Turn::~Turn() {
  if (place_ != nullptr) place_->calls.fetch_sub(1, std::memory_order_relaxed);
}
const std::shared_ptr<grpc::Channel>& Upstream::Turn::channel() const { return place_->channel; }

std::string Upstream::FilesOf(const UpstreamOptions& options) {
  std::string all;
  for (const std::string* path : {&options.ca, &options.certificate, &options.private_key}) {
    absl::StrAppend(&all, path->empty() ? "" : FileSignature(*path), ";");
  }
  return all;
}

absl::StatusOr<std::shared_ptr<Upstream>> Upstream::New(const UpstreamOptions& options,
                                                        const grpc::ResourceQuota& quota,
                                                        size_t max_message) {
  std::shared_ptr<Upstream> made(new Upstream(options));
  made->files_ = FilesOf(options);  // before they are read: a later change is seen as one
  auto credentials = Credentials(options);
  if (!credentials.ok()) {
    return absl::Status(credentials.status().code(), absl::StrCat("upstream ", options.name, ": ",
                                                                  credentials.status().message()));
  }
  made->Connect(*credentials, quota, max_message);
  return made;
}

void Upstream::Connect(const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                       const grpc::ResourceQuota& quota, size_t max_message) {
  for (const std::string& address : options_.addresses) {
    for (uint32_t i = 0; i < options_.connections; ++i) {
      grpc::ChannelArguments arguments;
      KeepLittle(static_cast<int>(max_message), &arguments);
      arguments.SetResourceQuota(quota);
      arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Millis(options_.keepalive));
      arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Millis(kKeepaliveTimeout));
      arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
      arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, Millis(kLongestReconnect));
      arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
      arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
      if (!options_.server_name.empty()) {
        arguments.SetSslTargetNameOverride(options_.server_name);
      }
      if (options_.health) arguments.SetServiceConfigJSON(kHealthChecked);
      auto place = std::make_shared<Turn::Place>();
      place->channel = grpc::CreateCustomChannel(address, credentials, arguments);
      places_.push_back(std::move(place));
    }
  }
}

Upstream::Turn Upstream::Take() {
  const size_t first = next_.fetch_add(1, std::memory_order_relaxed) % places_.size();
  if (places_.size() == 1) return Turn(places_[0]);
  size_t chosen = first;
  std::pair<int, size_t> best(std::numeric_limits<int>::max(), 0);
  for (size_t i = 0; i < places_.size(); ++i) {
    const size_t index = (first + i) % places_.size();
    const grpc_connectivity_state state =
        places_[index]->channel->GetState(/*try_to_connect=*/true);
    // Where one is connected, a call need not wait for another one to be.
    const int rank = state == GRPC_CHANNEL_READY               ? 0
                     : state == GRPC_CHANNEL_TRANSIENT_FAILURE ? 2
                                                               : 1;
    const size_t calls = options_.balance == UpstreamOptions::Balance::kLeastRequests
                             ? places_[index]->calls.load(std::memory_order_relaxed)
                             : 0;
    if (std::pair(rank, calls) < best) {
      best = {rank, calls};
      chosen = index;
    }
  }
  return Turn(places_[chosen]);
}

}  // namespace forekey

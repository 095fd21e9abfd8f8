// SPDX-License-Identifier: Apache-2.0
// One service behind the gate: its addresses, connections to them, and whose turn it is.
#ifndef FOREKEY_SRC_GATE_PROXY_UPSTREAM_H_
#define FOREKEY_SRC_GATE_PROXY_UPSTREAM_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/gate/config/config_upstreams.h"

namespace forekey {

// Safe from any thread. Connects at the first call.
class Upstream {
 public:
  // Reads the files of its TLS. `quota`: of the memory of answers, which upstreams share. Errors
  // name the file.
  static absl::StatusOr<std::shared_ptr<Upstream>> New(const UpstreamOptions& options,
                                                       const grpc::ResourceQuota& quota,
                                                       size_t max_message);

  const UpstreamOptions& options() const { return options_; }
  // What its TLS files are made of: another one means that they have changed.
  const std::string& files() const { return files_; }
  static std::string FilesOf(const UpstreamOptions& options);

  // One connection, with a call on it that is counted until this is gone.
  class Turn {
   public:
    Turn(Turn&& other) noexcept : place_(std::move(other.place_)) {}
    ~Turn();
    const std::shared_ptr<grpc::Channel>& channel() const;

   private:
    friend class Upstream;
    struct Place;
    explicit Turn(std::shared_ptr<Place> place);
    std::shared_ptr<Place> place_;
  };
  // By [[upstream]] balance, among those that are not known to be gone; where all are, among all:
  // the call finds out.
  Turn Take();

 private:
  explicit Upstream(UpstreamOptions options) : options_(std::move(options)) {}
  void Connect(const std::shared_ptr<grpc::ChannelCredentials>& credentials,
               const grpc::ResourceQuota& quota, size_t max_message);

  const UpstreamOptions options_;
  std::string files_;
  std::vector<std::shared_ptr<Turn::Place>> places_;
  std::atomic<size_t> next_{0};
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_PROXY_UPSTREAM_H_

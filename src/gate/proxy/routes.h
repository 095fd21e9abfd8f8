// SPDX-License-Identifier: Apache-2.0
// Which upstream a method is for. Immutable: another configuration is another object, and calls
// keep the one that they began with.
#ifndef FOREKEY_SRC_GATE_PROXY_ROUTES_H_
#define FOREKEY_SRC_GATE_PROXY_ROUTES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/gate/proxy/upstream.h"
#include "src/policy/method_pattern.h"

namespace forekey {

class Routes {
 public:
  // `options` are as ReadUpstreams() checked them. What is the same as in `before` (which may be
  // null) keeps its connections.
  static absl::StatusOr<std::shared_ptr<const Routes>> New(
      const std::vector<UpstreamOptions>& options, const grpc::ResourceQuota& quota,
      size_t max_message, const Routes* before);

  // Null where no pattern matches. `path` is well-formed.
  std::shared_ptr<Upstream> Find(absl::string_view path) const;
  // See Upstream::files().
  std::string files() const;
  // What they would be now.
  std::string FilesNow() const;

 private:
  struct Route {
    MethodPattern pattern;
    std::shared_ptr<Upstream> upstream;
  };
  std::vector<std::shared_ptr<Upstream>> upstreams_;
  std::vector<Route> routes_;  // the most specific first
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_PROXY_ROUTES_H_

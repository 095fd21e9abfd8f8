// SPDX-License-Identifier: Apache-2.0
#include "src/gate/proxy/routes.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"

namespace forekey {
namespace {

// Of two patterns that match one path, one covers the other (what crosses was refused, or is
// settled by a third that both cover): so the one with more of the path in it is the more specific
// one.
size_t Weight(const MethodPattern& pattern) {
  const auto of = [](const MethodPattern::Part& part) {
    return 2 * part.text.size() + (part.open ? 0 : 1);
  };
  return of(pattern.service()) + of(pattern.method());
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Routes>> Routes::New(
    const std::vector<UpstreamOptions>& options, const grpc::ResourceQuota& quota,
    size_t max_message, const Routes* before) {
  auto made = std::make_shared<Routes>();
  for (const UpstreamOptions& one : options) {
    std::shared_ptr<Upstream> upstream;
    if (before != nullptr) {
      for (const std::shared_ptr<Upstream>& old : before->upstreams_) {
        if (old->options() == one && old->files() == Upstream::FilesOf(one)) upstream = old;
      }
    }
    if (upstream == nullptr) {
      FOREKEY_ASSIGN_OR_RETURN(upstream, Upstream::New(one, quota, max_message));
    }
    for (const std::string& text : one.methods) {
      FOREKEY_ASSIGN_OR_RETURN(MethodPattern pattern, MethodPattern::Parse(text));
      made->routes_.push_back({std::move(pattern), upstream});
    }
    made->upstreams_.push_back(std::move(upstream));
  }
  std::stable_sort(made->routes_.begin(), made->routes_.end(), [](const Route& a, const Route& b) {
    return Weight(a.pattern) > Weight(b.pattern);
  });
  return made;
}

std::shared_ptr<Upstream> Routes::Find(absl::string_view path) const {
  for (const Route& route : routes_) {
    if (route.pattern.Matches(path)) return route.upstream;
  }
  return nullptr;
}

std::string Routes::files() const {
  std::string all;
  for (const auto& upstream : upstreams_) absl::StrAppend(&all, upstream->files());
  return all;
}

std::string Routes::FilesNow() const {
  std::string all;
  for (const auto& upstream : upstreams_) {
    absl::StrAppend(&all, Upstream::FilesOf(upstream->options()));
  }
  return all;
}

}  // namespace forekey

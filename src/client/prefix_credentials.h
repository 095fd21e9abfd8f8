// SPDX-License-Identifier: Apache-2.0
// Puts a prefix on a call through gRPC's call credentials: gRPC asks for it once an attempt, with
// the auth context of the very connection that the attempt will run on, and never on a connection
// that isn't TLS. grpc::MetadataCredentialsFromPlugin would make a pool of threads an object, and
// there is one object a call; so this goes to gRPC's C API, which answers without a thread.
#ifndef FOREKEY_SRC_CLIENT_PREFIX_CREDENTIALS_H_
#define FOREKEY_SRC_CLIENT_PREFIX_CREDENTIALS_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "grpc/grpc_security.h"
#include "grpcpp/security/credentials.h"

namespace forekey {

// Which process of the gate a balancer that spreads calls shall give a call to (docs/BALANCERS.md).
// Its value is no secret and proves nothing; the gate takes it away.
inline constexpr absl::string_view kAffinityMetadataKey = "forekey-affinity";

// gRPC waits for an answer. Answer() must be called exactly once, from another thread than the one
// that was asked.
class PrefixProvider;
class PrefixWaiter {
 public:
  PrefixWaiter(grpc_credentials_plugin_metadata_cb callback, void* user_data,
               std::shared_ptr<PrefixProvider> provider)
      : callback_(callback), user_data_(user_data), provider_(std::move(provider)) {}
  void Answer(const absl::StatusOr<std::string>& prefix) const;

 private:
  grpc_credentials_plugin_metadata_cb callback_;
  void* user_data_;
  std::shared_ptr<PrefixProvider> provider_;
};

// Tells one connection from every other, as long as it is held.
using ConnectionPtr = std::shared_ptr<const grpc_auth_context>;

// One attempt of a call, on the connection that it will run on. Good while GetPrefix() runs.
struct CallAttempt {
  absl::string_view method;
  absl::string_view leaf_pem;  // the server's leaf certificate, or empty
  const grpc_auth_context* auth_context = nullptr;
  ConnectionPtr connection() const;
};

// Makes the prefixes of one call. Called from gRPC's threads, one attempt after the other; must not
// block.
class PrefixProvider {
 public:
  virtual ~PrefixProvider() = default;
  // Returns the prefix or an error, or nullopt when `waiter` will be answered later.
  virtual std::optional<absl::StatusOr<std::string>> GetPrefix(const CallAttempt& attempt,
                                                               PrefixWaiter waiter) = 0;
  // What goes beside the prefix for a balancer (kAffinityMetadataKey); empty: nothing. Asked when
  // the prefix is there.
  virtual std::string affinity() const { return ""; }
};

// A prefix that was made beforehand, for one attempt: its sequence is used up then.
class OnePrefix : public PrefixProvider {
 public:
  explicit OnePrefix(std::string prefix, std::string affinity = "")
      : prefix_(std::move(prefix)), affinity_(std::move(affinity)) {}
  std::string affinity() const override { return affinity_; }
  std::optional<absl::StatusOr<std::string>> GetPrefix(const CallAttempt& attempt,
                                                       PrefixWaiter waiter) override;

 private:
  std::string prefix_;
  const std::string affinity_;
};

// For one call: ClientContext::set_credentials().
std::shared_ptr<grpc::CallCredentials> MakePrefixCredentials(
    std::shared_ptr<PrefixProvider> provider);

// "/package.Service/Method" out of what gRPC's core tells plugins ("https://host/package.Service"
// and "Method"); empty when the URL has no path.
std::string MethodFromServiceUrl(absl::string_view service_url, absl::string_view method_name);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_PREFIX_CREDENTIALS_H_

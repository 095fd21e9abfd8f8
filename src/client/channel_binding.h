// SPDX-License-Identifier: Apache-2.0
// The channel binding of a connection: SHA-256 of the DER of the server's TLS leaf certificate
// (docs/PROTOCOL.md, "Channel binding"). gRPC gives the leaf as PEM, in the auth context of a call.
#ifndef FOREKEY_SRC_CLIENT_CHANNEL_BINDING_H_
#define FOREKEY_SRC_CLIENT_CHANNEL_BINDING_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "grpc/grpc_security.h"
#include "grpcpp/security/auth_context.h"

namespace forekey {

// 32 bytes. The DER is taken out of the PEM armour as it is: nothing of it is parsed.
// InvalidArgument when there is no certificate in `pem`.
absl::StatusOr<std::string> ChannelBindingFromPem(absl::string_view pem);

// The channel binding of the connection that a call ran on. FailedPrecondition when the connection
// has no server certificate, because it is not TLS.
absl::StatusOr<std::string> ChannelBindingOf(const grpc::AuthContext& context);

// The leaf as gRPC's core has it; empty when there is none. Lives as long as the context.
absl::string_view LeafPemOf(const grpc_auth_context* context);

// Remembers the binding of the last leaf, so that a call costs a comparison of PEM bytes and no
// hash. Safe from any thread.
class ChannelBindingCache {
 public:
  // Shared, so that a call need not copy it.
  absl::StatusOr<std::shared_ptr<const std::string>> Get(absl::string_view pem);

 private:
  struct Entry {
    std::string pem;
    std::string binding;
  };
  absl::Mutex mutex_;
  std::shared_ptr<const Entry> last_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_CHANNEL_BINDING_H_

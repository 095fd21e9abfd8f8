// SPDX-License-Identifier: Apache-2.0
// A client that makes its proofs by itself: from the wire's own functions and a key in software, so
// that tests can also send what no honest client sends.
#ifndef FOREKEY_TESTS_END2END_SOFTWARE_CLIENT_H_
#define FOREKEY_TESTS_END2END_SOFTWARE_CLIENT_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/secret.h"
#include "src/crypto/digest.h"
#include "src/crypto/public_key.h"

namespace forekey::testing {

// What a client knows of a gate.
struct GateFacts {
  std::string audience;
  std::string identity_public;  // 32 bytes
  std::string channel_binding;  // 32 bytes
};

// A session as the client holds it. Thread-safe but for opening.
class SoftwareSession {
 public:
  const std::string& id() const { return id_; }
  // The value of forekey-prefix-bin for the next call of `method`.
  std::string Prefix(absl::string_view method, absl::string_view request_digest = "");
  std::string PrefixOf(absl::string_view method, uint64_t sequence, uint32_t age_s,
                       absl::string_view request_digest = "");

 private:
  friend class SoftwareClient;
  std::string id_;
  std::string channel_binding_;
  std::unique_ptr<HmacSha256> key_;
  BootTime opened_at_;
  std::atomic<uint64_t> next_sequence_{1};
};

class SoftwareClient {
 public:
  SoftwareClient(std::shared_ptr<grpc::Channel> channel, GateFacts gate, std::string subject,
                 SoftwareKey key)
      : SoftwareClient(std::move(channel), std::move(gate), std::move(subject),
                       std::make_shared<const SoftwareKey>(std::move(key))) {}

  const std::string& subject() const { return subject_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  std::string credential_id() const;
  // The same key over another channel.
  SoftwareClient Over(std::shared_ptr<grpc::Channel> channel) const;

  // A device proof for one call of `method`.
  absl::StatusOr<std::string> DevicePrefix(absl::string_view method);
  // Checks the gate's confirmation. `context`: of the call that opens, for who cancels it.
  absl::StatusOr<std::unique_ptr<SoftwareSession>> OpenSession(
      grpc::ClientContext* context = nullptr);

 private:
  SoftwareClient(std::shared_ptr<grpc::Channel> channel, GateFacts gate, std::string subject,
                 std::shared_ptr<const SoftwareKey> key);
  absl::StatusOr<std::string> Challenge();
  std::string Prove(absl::string_view method, absl::string_view challenge,
                    absl::string_view key_share, absl::string_view request_digest,
                    std::string* statement);

  const std::shared_ptr<grpc::Channel> channel_;
  const GateFacts gate_;
  const std::string subject_;
  const std::shared_ptr<const SoftwareKey> key_;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_END2END_SOFTWARE_CLIENT_H_

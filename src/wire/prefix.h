// SPDX-License-Identifier: Apache-2.0
// The prefix (proto/forekey/v1/prefix.proto), read without copying or allocating: views into the
// metadata's own bytes. This reader is stricter than protobuf's: unknown fields, a singular field
// twice, a field of a size that the protocol does not have, fields out of ascending order,
// non-minimal varints, a default value that is present, and several or no kinds of proof are all
// refused. So one proof has one encoding: the one that protobuf's serializers make.
#ifndef FOREKEY_SRC_WIRE_PREFIX_H_
#define FOREKEY_SRC_WIRE_PREFIX_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

inline constexpr size_t kMaxPrefixSize = 2048;
inline constexpr size_t kMaxAssertions = 3;
inline constexpr size_t kMaxTicketSize = 1024;

struct AssertionView {
  absl::string_view credential_id;       // 32 bytes
  absl::string_view signature;           // 1..512 bytes
  absl::string_view authenticator_data;  // empty, or at most 1024 bytes
  absl::string_view client_data_json;    // empty, or at most 1024 bytes
};

struct DeviceProofView {
  absl::string_view challenge;                                    // 64 bytes
  absl::string_view channel_binding;                              // 32 bytes
  absl::string_view key_share;                                    // 32 bytes or empty
  absl::string_view request_digest;                               // 32 bytes or empty
  absl::InlinedVector<AssertionView, kMaxAssertions> assertions;  // 1..3, strictly ascending
};

struct SessionProofView {
  absl::string_view session_id;  // 16 bytes
  uint64_t sequence = 0;         // at least 1
  uint32_t age_s = 0;
  absl::string_view mac;             // 16 bytes
  absl::string_view request_digest;  // 32 bytes or empty
};

struct ResumptionProofView {
  absl::string_view ticket;           // 1..1024 bytes
  absl::string_view challenge;        // 64 bytes
  absl::string_view channel_binding;  // 32 bytes
  absl::string_view key_share;        // 32 bytes
  absl::string_view request_digest;   // 32 bytes
  absl::string_view mac;              // 32 bytes
};

// Views into the bytes given to Parse, which must outlive it.
class Prefix {
 public:
  // Nothing was read yet.
  Prefix() = default;
  // Becomes what `bytes` say, or refuses with kPrefixOversize or kPrefixMalformed; then this is not
  // to be used. It is for what each call does: Parse() moves what it gives twice.
  absl::Status Read(absl::string_view bytes);
  static absl::StatusOr<Prefix> Parse(absl::string_view bytes);

  // What Parse() takes is a session's proof: so says its first byte, before the rest is looked at.
  static bool IsOfSession(absl::string_view bytes);

  // Exactly one is not null, once it was read.
  const DeviceProofView* device() const { return std::get_if<DeviceProofView>(&proof_); }
  const SessionProofView* session() const { return std::get_if<SessionProofView>(&proof_); }
  const ResumptionProofView* resumption() const {
    return std::get_if<ResumptionProofView>(&proof_);
  }

 private:
  std::variant<std::monostate, DeviceProofView, SessionProofView, ResumptionProofView> proof_;
};

// The pair of Parse: what a client sends. The views' sizes must be right already.
std::string SerializePrefix(const DeviceProofView& proof);
std::string SerializePrefix(const SessionProofView& proof);
std::string SerializePrefix(const ResumptionProofView& proof);

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_PREFIX_H_

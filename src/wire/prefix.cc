// SPDX-License-Identifier: Apache-2.0
#include "src/wire/prefix.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/wire/statement.h"

// What a stranger may try here, and what stops it:
//   two encodings of one proof (to slip past a log, a cache or a replay list that compares bytes):
//     field order, minimal varints and absent defaults are fixed, so there is one encoding;
//   fields that this reader skips and another would read: there is no skipping at all;
//   a field given twice, of which two readers take different ones: the second is left over;
//   sizes that overflow or cost memory: 2 KiB in all, every field bounded, nothing is copied;
//   one credential signing for two, or an unsorted list that gives another statement: ids must
//     ascend strictly.

namespace forekey {
namespace {

// Tags of protobuf's wire format: field number << 3 | type (0 varint, 2 bytes). All of them fit one
// byte, whose only minimal encoding is itself.
constexpr uint8_t BytesTag(int field) { return static_cast<uint8_t>(field << 3 | 2); }
constexpr uint8_t VarintTag(int field) { return static_cast<uint8_t>(field << 3); }

constexpr size_t kMaxSignatureSize = 512;
constexpr size_t kMaxAuthenticatorDataSize = 1024;
constexpr size_t kMaxClientDataSize = 1024;

absl::Status Malformed(absl::string_view what) { return Refuse(Reason::kPrefixMalformed, what); }

// Reads fields in the order in which they are asked for. A field that is not asked for stays, and
// so is found by Finished().
class FieldReader {
 public:
  explicit FieldReader(absl::string_view bytes) : rest_(bytes) {}

  bool Finished() const { return rest_.empty(); }
  bool NextIs(uint8_t tag) const {
    return !rest_.empty() && static_cast<uint8_t>(rest_.front()) == tag;
  }

  // The field must be there, `min` to `max` bytes long.
  bool Bytes(int field, size_t min, size_t max, absl::string_view* value) {
    if (!NextIs(BytesTag(field))) return false;
    rest_.remove_prefix(1);
    uint64_t size = 0;
    if (!Varint(&size) || size < min || size > max || size > rest_.size()) return false;
    *value = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  // The field may be absent, which leaves `value` empty; present and empty is refused by `min`.
  bool OptionalBytes(int field, size_t min, size_t max, absl::string_view* value) {
    return !NextIs(BytesTag(field)) || Bytes(field, min, max, value);
  }
  // Absent means 0, and 0 must be absent.
  bool Number(int field, uint64_t max, uint64_t* value) {
    *value = 0;
    if (!NextIs(VarintTag(field))) return true;
    rest_.remove_prefix(1);
    return Varint(value) && *value != 0 && *value <= max;
  }

 private:
  bool Varint(uint64_t* value) {
    // Nearly all are of one byte, whose only encoding it is.
    if (!rest_.empty() && static_cast<uint8_t>(rest_.front()) < 0x80) {
      *value = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      return true;
    }
    return LongVarint(value);
  }
  bool LongVarint(uint64_t* value) {
    *value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const uint8_t byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      if (shift == 63 && byte > 1) return false;  // past 64 bits
      *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return byte != 0 || shift == 0;  // a last byte of zero is not minimal
    }
    return false;
  }
  absl::string_view rest_;
};

absl::StatusOr<AssertionView> ParseAssertion(absl::string_view bytes) {
  FieldReader reader(bytes);
  AssertionView assertion;
  if (!reader.Bytes(1, kCredentialIdSize, kCredentialIdSize, &assertion.credential_id)) {
    return Malformed("credential_id");
  }
  if (!reader.Bytes(2, 1, kMaxSignatureSize, &assertion.signature)) return Malformed("signature");
  if (!reader.OptionalBytes(3, 1, kMaxAuthenticatorDataSize, &assertion.authenticator_data)) {
    return Malformed("authenticator_data");
  }
  if (!reader.OptionalBytes(4, 1, kMaxClientDataSize, &assertion.client_data_json)) {
    return Malformed("client_data_json");
  }
  if (!reader.Finished()) return Malformed("an assertion has bytes left over");
  return assertion;
}

absl::Status ReadProof(absl::string_view bytes, DeviceProofView& proof) {
  FieldReader reader(bytes);
  if (!reader.Bytes(1, kChallengeSize, kChallengeSize, &proof.challenge)) {
    return Malformed("challenge");
  }
  if (!reader.Bytes(2, kChannelBindingSize, kChannelBindingSize, &proof.channel_binding)) {
    return Malformed("channel_binding");
  }
  if (!reader.OptionalBytes(3, kKeyShareSize, kKeyShareSize, &proof.key_share)) {
    return Malformed("key_share");
  }
  if (!reader.OptionalBytes(4, kRequestDigestSize, kRequestDigestSize, &proof.request_digest)) {
    return Malformed("request_digest");
  }
  while (reader.NextIs(BytesTag(5))) {
    absl::string_view field;
    if (proof.assertions.size() == kMaxAssertions) return Malformed("more than 3 assertions");
    if (!reader.Bytes(5, 1, kMaxPrefixSize, &field)) return Malformed("assertions");
    FOREKEY_ASSIGN_OR_RETURN(AssertionView assertion, ParseAssertion(field));
    if (!proof.assertions.empty() &&
        proof.assertions.back().credential_id >= assertion.credential_id) {
      return Malformed("assertions do not ascend strictly");
    }
    proof.assertions.push_back(assertion);
  }
  if (proof.assertions.empty()) return Malformed("no assertion");
  if (!reader.Finished()) return Malformed("the device proof has bytes left over");
  return absl::OkStatus();
}

absl::Status ReadProof(absl::string_view bytes, SessionProofView& proof) {
  FieldReader reader(bytes);
  uint64_t age_s = 0;
  if (!reader.Bytes(1, kSessionIdSize, kSessionIdSize, &proof.session_id)) {
    return Malformed("session_id");
  }
  if (!reader.Number(2, UINT64_MAX, &proof.sequence) || proof.sequence == 0) {
    return Malformed("sequence");
  }
  if (!reader.Number(3, UINT32_MAX, &age_s)) return Malformed("age_s");
  proof.age_s = static_cast<uint32_t>(age_s);
  if (!reader.Bytes(4, kCallMacSize, kCallMacSize, &proof.mac)) return Malformed("mac");
  if (!reader.OptionalBytes(5, kRequestDigestSize, kRequestDigestSize, &proof.request_digest)) {
    return Malformed("request_digest");
  }
  if (!reader.Finished()) return Malformed("the session proof has bytes left over");
  return absl::OkStatus();
}

absl::Status ReadProof(absl::string_view bytes, ResumptionProofView& proof) {
  FieldReader reader(bytes);
  if (!reader.Bytes(1, 1, kMaxTicketSize, &proof.ticket)) return Malformed("ticket");
  if (!reader.Bytes(2, kChallengeSize, kChallengeSize, &proof.challenge)) {
    return Malformed("challenge");
  }
  if (!reader.Bytes(3, kChannelBindingSize, kChannelBindingSize, &proof.channel_binding)) {
    return Malformed("channel_binding");
  }
  if (!reader.Bytes(4, kKeyShareSize, kKeyShareSize, &proof.key_share)) {
    return Malformed("key_share");
  }
  if (!reader.Bytes(5, kRequestDigestSize, kRequestDigestSize, &proof.request_digest)) {
    return Malformed("request_digest");
  }
  if (!reader.Bytes(6, kResumptionMacSize, kResumptionMacSize, &proof.mac)) {
    return Malformed("mac");
  }
  if (!reader.Finished()) return Malformed("the resumption proof has bytes left over");
  return absl::OkStatus();
}

class FieldWriter {
 public:
  explicit FieldWriter(size_t size) { out_.reserve(size); }
  // Empty values and zeros are absent.
  FieldWriter& Bytes(int field, absl::string_view value) {
    if (value.empty()) return *this;
    out_.push_back(static_cast<char>(BytesTag(field)));
    Varint(value.size());
    out_.append(value.data(), value.size());
    return *this;
  }
  FieldWriter& Number(int field, uint64_t value) {
    if (value == 0) return *this;
    out_.push_back(static_cast<char>(VarintTag(field)));
    Varint(value);
    return *this;
  }
  std::string Take() { return std::move(out_); }

 private:
  void Varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>(value | 0x80));
    out_.push_back(static_cast<char>(value));
  }
  std::string out_;
};

constexpr int kDeviceField = 1;
constexpr int kSessionField = 2;
constexpr int kResumptionField = 3;

}  // namespace

bool Prefix::IsOfSession(absl::string_view bytes) {
  return FieldReader(bytes).NextIs(BytesTag(kSessionField));
}

absl::Status Prefix::Read(absl::string_view bytes) {
  if (bytes.size() > kMaxPrefixSize) {
    return Refuse(Reason::kPrefixOversize, absl::StrCat(bytes.size(), " bytes"));
  }
  FieldReader reader(bytes);
  int kind = kDeviceField;
  if (reader.NextIs(BytesTag(kSessionField))) kind = kSessionField;
  if (reader.NextIs(BytesTag(kResumptionField))) kind = kResumptionField;
  absl::string_view field;
  if (!reader.Bytes(kind, 1, kMaxPrefixSize, &field)) {
    return Malformed("neither a device nor a session nor a resumption proof");
  }
  if (!reader.Finished()) return Malformed("the prefix has bytes left over");
  if (kind == kSessionField) return ReadProof(field, proof_.emplace<SessionProofView>());
  if (kind == kResumptionField) return ReadProof(field, proof_.emplace<ResumptionProofView>());
  return ReadProof(field, proof_.emplace<DeviceProofView>());
}

absl::StatusOr<Prefix> Prefix::Parse(absl::string_view bytes) {
  Prefix prefix;
  FOREKEY_RETURN_IF_ERROR(prefix.Read(bytes));
  return prefix;
}

std::string SerializePrefix(const DeviceProofView& proof) {
  FieldWriter device(kMaxPrefixSize);
  device.Bytes(1, proof.challenge)
      .Bytes(2, proof.channel_binding)
      .Bytes(3, proof.key_share)
      .Bytes(4, proof.request_digest);
  for (const AssertionView& assertion : proof.assertions) {
    device.Bytes(5, FieldWriter(kMaxPrefixSize)
                        .Bytes(1, assertion.credential_id)
                        .Bytes(2, assertion.signature)
                        .Bytes(3, assertion.authenticator_data)
                        .Bytes(4, assertion.client_data_json)
                        .Take());
  }
  std::string bytes = device.Take();
  return FieldWriter(bytes.size() + 4).Bytes(kDeviceField, bytes).Take();
}

std::string SerializePrefix(const SessionProofView& proof) {
  // At most 90 bytes: shorter than one more length byte.
  std::string bytes = FieldWriter(96)
                          .Bytes(1, proof.session_id)
                          .Number(2, proof.sequence)
                          .Number(3, proof.age_s)
                          .Bytes(4, proof.mac)
                          .Bytes(5, proof.request_digest)
                          .Take();
  return FieldWriter(bytes.size() + 2).Bytes(kSessionField, bytes).Take();
}

std::string SerializePrefix(const ResumptionProofView& proof) {
  std::string bytes = FieldWriter(kMaxPrefixSize)
                          .Bytes(1, proof.ticket)
                          .Bytes(2, proof.challenge)
                          .Bytes(3, proof.channel_binding)
                          .Bytes(4, proof.key_share)
                          .Bytes(5, proof.request_digest)
                          .Bytes(6, proof.mac)
                          .Take();
  return FieldWriter(bytes.size() + 4).Bytes(kResumptionField, bytes).Take();
}

}  // namespace forekey

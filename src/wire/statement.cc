// SPDX-License-Identifier: Apache-2.0
#include "src/wire/statement.h"

#include <array>

#include "absl/strings/ascii.h"
#include "src/base/bytes.h"

namespace forekey {
namespace {

// What a character may be part of: every call asks it of each one of its path.
enum : uint8_t { kInService = 1, kInMethod = 2 };
constexpr std::array<uint8_t, 256> kPathCharacters = [] {
  std::array<uint8_t, 256> parts{};
  for (int c = 0; c < 256; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter || (c >= '0' && c <= '9') || c == '_') parts[c] = kInService | kInMethod;
  }
  parts['.'] = kInService;
  return parts;
}();

// How many characters at the beginning of `text` may be in that part.
size_t CountOf(uint8_t part, absl::string_view text) {
  const char* const end = text.data() + text.size();
  const char* at = text.data();
  while (at != end && (kPathCharacters[static_cast<uint8_t>(*at)] & part) != 0) ++at;
  return at - text.data();
}

ByteWriter Begin(absl::string_view label, size_t size) {
  ByteWriter writer;
  writer.Reserve(label.size() + 1 + size);
  writer.Raw(label).U8(0);
  return writer;
}

// The MAC's bytes as parts, so that none of them is copied: the label with its zero, and the
// numbers, are the only bytes that do not lie somewhere already.
class CallMacParts {
 public:
  explicit CallMacParts(const CallMacInput& input) {
    auto put = [at = size_t{0}, this](uint64_t value, int size) mutable {
      for (int shift = 8 * (size - 1); shift >= 0; shift -= 8) {
        numbers_[at++] = static_cast<char>(value >> shift);
      }
    };
    put(input.sequence, 8);
    put(input.age_s, 4);
    put(input.method.size(), 2);
    static constexpr absl::string_view kHead("forekey/1 call\0", 15);
    static_assert(kHead.size() == label::kCall.size() + 1);
    parts_ = {
        kHead,        input.session_id,      absl::string_view(numbers_.data(), numbers_.size()),
        input.method, input.channel_binding, input.request_digest};
  }
  CallMacParts(const CallMacParts&) = delete;
  absl::Span<const absl::string_view> parts() const { return parts_; }

 private:
  std::array<char, 8 + 4 + 2> numbers_;
  std::array<absl::string_view, 6> parts_;
};

}  // namespace

bool IsWellFormedMethod(absl::string_view method) {
  if (method.size() > kMaxMethodSize || method.empty() || method[0] != '/') return false;
  method.remove_prefix(1);
  const size_t service = CountOf(kInService, method);
  if (service == 0 || service == method.size() || method[service] != '/') return false;
  method.remove_prefix(service + 1);
  return !method.empty() && CountOf(kInMethod, method) == method.size();
}

bool IsWellFormedAudience(absl::string_view audience) {
  for (char c : audience) {
    if (!absl::ascii_isgraph(static_cast<unsigned char>(c)) ||
        absl::string_view("\"'`\\/#").find(c) != absl::string_view::npos) {
      return false;
    }
  }
  return !audience.empty() && audience.size() <= kMaxAudienceSize;
}

bool IsWellFormedSubject(absl::string_view subject) {
  for (char c : subject) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) &&
        absl::string_view("._@+-").find(c) == absl::string_view::npos) {
      return false;
    }
  }
  return !subject.empty() && subject.size() <= kMaxSubjectSize && subject[0] != '-' &&
         subject[0] != '.';
}

std::string BuildStatement(const CallStatement& statement) {
  absl::string_view role =
      statement.method == kOpenSessionMethod ? label::kOpen : label::kCallDevice;
  ByteWriter writer = Begin(role, 2 + statement.audience.size() + 2 + statement.method.size() +
                                      kChallengeSize + kChannelBindingSize + 1 +
                                      statement.credential_ids.size() * kCredentialIdSize + 1 +
                                      kKeyShareSize + 1 + kRequestDigestSize);
  writer.Len2(statement.audience)
      .Len2(statement.method)
      .Raw(statement.challenge)
      .Raw(statement.channel_binding)
      .U8(static_cast<uint8_t>(statement.credential_ids.size()));
  for (absl::string_view id : statement.credential_ids) writer.Raw(id);
  writer.Len1(statement.key_share).Len1(statement.request_digest);
  return std::move(writer).bytes();
}

std::string BuildStatement(const EnrollStatement& statement) {
  ByteWriter writer =
      Begin(label::kEnroll, 2 + statement.audience.size() + kEnrollmentIdSize + 2 +
                                statement.subject.size() + 1 + 2 + statement.spki.size() +
                                kChannelBindingSize + kChallengeSize);
  writer.Len2(statement.audience)
      .Raw(statement.enrollment_id)
      .Len2(statement.subject)
      .U8(static_cast<uint8_t>(statement.kind))
      .Len2(statement.spki)
      .Raw(statement.channel_binding)
      .Raw(statement.challenge);
  return std::move(writer).bytes();
}

std::string BuildStatement(const ResumptionStatement& statement) {
  ByteWriter writer =
      Begin(label::kResume, 2 + statement.audience.size() + 2 + statement.method.size() +
                                kSha256Size + kChallengeSize + kChannelBindingSize + kKeyShareSize +
                                kRequestDigestSize);
  writer.Len2(statement.audience)
      .Len2(statement.method)
      .Raw(Sha256(statement.ticket))
      .Raw(statement.challenge)
      .Raw(statement.channel_binding)
      .Raw(statement.key_share)
      .Raw(statement.request_digest);
  return std::move(writer).bytes();
}

std::string ComputeResumptionMac(absl::string_view session_key, absl::string_view statement) {
  const std::array<uint8_t, kSha256Size> mac = HmacSha256(session_key).Mac({statement});
  return std::string(View(mac.data(), mac.size()));
}

std::string BuildInviteStatement(absl::string_view label, absl::string_view audience,
                                 absl::string_view payload) {
  ByteWriter writer = Begin(label, 2 + audience.size() + kSha256Size);
  writer.Len2(audience).Raw(Sha256(payload));
  return std::move(writer).bytes();
}

std::string CredentialId(absl::string_view audience, absl::string_view subject,
                         absl::string_view spki) {
  ByteWriter writer =
      Begin(label::kCredential, 2 + audience.size() + 2 + subject.size() + 2 + spki.size());
  writer.Len2(audience).Len2(subject).Len2(spki);
  return Sha256(writer.bytes());
}

std::string ComputeCallMac(const HmacSha256& key, const CallMacInput& input) {
  std::array<uint8_t, kSha256Size> mac = key.Mac(CallMacParts(input).parts());
  return std::string(View(mac.data(), kCallMacSize));
}

bool CallMacMatches(const HmacSha256& key, const CallMacInput& input, absl::string_view mac) {
  // A shorter MAC would be easier to guess: the size is the protocol's, never the peer's.
  return mac.size() == kCallMacSize && key.Matches(CallMacParts(input).parts(), mac);
}

std::string BuildCallMacBytes(const CallMacInput& input) {
  std::string bytes;
  const CallMacParts parts(input);
  for (absl::string_view part : parts.parts()) {
    bytes.append(part.data(), part.size());
  }
  return bytes;
}

}  // namespace forekey

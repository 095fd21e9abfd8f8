#include "src/client/client_session.h"

#include <algorithm>

#include "src/wire/prefix.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
// How much earlier than the gate a client gives a session up: a tenth of the lifetime, at most
// this.
constexpr int64_t kMaxMargin = 10 * kSecond;
// How long before its end a session begins to age: a fifth of the lifetime, at most this.
constexpr int64_t kMaxAging = 120 * kSecond;

int64_t Nanos(uint32_t seconds) { return int64_t{seconds} * kSecond; }
int64_t Margin(int64_t lifetime) { return std::min(lifetime / 10, kMaxMargin); }

}  // namespace

ClientSession::ClientSession(Parts parts, const Clock* clock)
    : parts_(std::move(parts)),
      clock_(clock),
      mac_key_(parts_.key.view()),
      last_used_(parts_.opened_boot_nanos) {}

int64_t ClientSession::expires_boot_nanos() const {
  return parts_.opened_boot_nanos + Nanos(parts_.absolute_s);
}

CallMacInput ClientSession::NextCall(absl::string_view method,
                                     absl::string_view request_digest) const {
  int64_t now = clock_->BootNanos();
  last_used_.store(now, std::memory_order_relaxed);
  CallMacInput input;
  input.session_id = parts_.id;
  input.sequence = sequence_.fetch_add(1, std::memory_order_relaxed) + 1;
  input.age_s =
      static_cast<uint32_t>(std::max<int64_t>(0, now - parts_.opened_boot_nanos) / kSecond);
  input.method = method;
  input.channel_binding = parts_.channel_binding;
  input.request_digest = request_digest;
  return input;
}

std::string ClientSession::Serialize(const CallMacInput& input) const {
  std::string mac = ComputeCallMac(mac_key_, input);
  SessionProofView proof;
  proof.session_id = input.session_id;
  proof.sequence = input.sequence;
  proof.age_s = input.age_s;
  proof.mac = mac;
  proof.request_digest = input.request_digest;
  return SerializePrefix(proof);
}

std::string ClientSession::MakePrefix(absl::string_view method, absl::string_view request_digest,
                                      uint64_t* sequence) const {
  const CallMacInput input = NextCall(method, request_digest);
  if (sequence != nullptr) *sequence = input.sequence;
  return Serialize(input);
}

int64_t ClientSession::ages_boot_nanos() const {
  const int64_t absolute = Nanos(parts_.absolute_s);
  return expires_boot_nanos() - Margin(absolute) - std::min(absolute / 5, kMaxAging);
}

ClientSession::Proof ClientSession::MakeProof(absl::string_view method,
                                              absl::string_view request_digest) const {
  CallMacInput input = NextCall(method, request_digest);
  return {Serialize(input), input.sequence, BuildCallMacBytes(input)};
}

ClientSession::State ClientSession::state() const {
  int64_t now = clock_->BootNanos();
  int64_t absolute = Nanos(parts_.absolute_s);
  int64_t idle = Nanos(parts_.idle_s);
  int64_t left = expires_boot_nanos() - now;
  if (left <= Margin(absolute)) return State::kExpired;
  if (now - last_used_boot_nanos() >= idle - Margin(idle)) return State::kExpired;
  if (now >= ages_boot_nanos()) return State::kAging;
  return State::kFresh;
}

}  // namespace forekey

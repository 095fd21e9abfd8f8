// SPDX-License-Identifier: Apache-2.0
#include "src/client/client_session.h"

#include <algorithm>
#include <utility>

#include "src/wire/prefix.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
// How much earlier than the gate a client gives a session up: a tenth of the lifetime, at most
// this.
constexpr absl::Duration kMaxMargin = absl::Seconds(10);
// How long before its end a session begins to age: a fifth of the lifetime, at most this.
constexpr absl::Duration kMaxAging = absl::Seconds(120);

absl::Duration Margin(absl::Duration lifetime) { return std::min(lifetime / 10, kMaxMargin); }

}  // namespace

ClientSession::ClientSession(Parts parts, const Clock* clock)
    : parts_(std::move(parts)),
      expires_at_(parts_.opened_at + absl::Seconds(parts_.absolute_s)),
      given_up_at_(expires_at_ - Margin(absl::Seconds(parts_.absolute_s))),
      ages_at_(given_up_at_ - std::min(absl::Seconds(parts_.absolute_s) / 5, kMaxAging)),
      idle_nanos_(absl::ToInt64Nanoseconds(absl::Seconds(parts_.idle_s) -
                                           Margin(absl::Seconds(parts_.idle_s)))),
      clock_(clock),
      mac_key_(parts_.key.view()),
      last_used_(parts_.opened_at),
      ticket_{parts_.ticket, parts_.opened_at} {}

ClientSession::Ticket ClientSession::ticket() const {
  absl::MutexLock lock(&ticket_mutex_);
  return ticket_;
}

void ClientSession::SetTicket(Ticket ticket) const {
  absl::MutexLock lock(&ticket_mutex_);
  ticket_ = std::move(ticket);
}

CallMacInput ClientSession::NextCall(absl::string_view method,
                                     absl::string_view request_digest) const {
  BootTime now = clock_->BootNow();
  last_used_.store(now, std::memory_order_relaxed);
  CallMacInput input;
  input.session_id = parts_.id;
  input.sequence = sequence_.fetch_add(1, std::memory_order_relaxed) + 1;
  input.age_s = static_cast<uint32_t>(std::max<int64_t>(0, now.NanosSince(parts_.opened_at)) /
                                      kNanosPerSecond);
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

ClientSession::Proof ClientSession::MakeProof(absl::string_view method,
                                              absl::string_view request_digest) const {
  CallMacInput input = NextCall(method, request_digest);
  return {Serialize(input), input.sequence, BuildCallMacBytes(input)};
}

ClientSession::State ClientSession::state() const {
  BootTime now = clock_->BootNow();
  if (now >= given_up_at_ || now.NanosSince(last_used()) >= idle_nanos_) return State::kExpired;
  if (now >= ages_at()) return State::kAging;
  return State::kFresh;
}

}  // namespace forekey

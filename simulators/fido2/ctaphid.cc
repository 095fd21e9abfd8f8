// SPDX-License-Identifier: Apache-2.0
#include "simulators/fido2/ctaphid.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"

namespace forekey::fido2sim {
namespace {

constexpr size_t kFirstPayload = kReportSize - 7, kNextPayload = kReportSize - 5;
constexpr absl::Duration kMessageTimeout = absl::Milliseconds(500);
constexpr uint32_t kMaxChannels = 4096;  // more are never given out; the oldest are forgotten

Ctaphid::Step ErrorStep(uint32_t channel, HidErrorCode code) {
  Ctaphid::Step step;
  step.answers.push_back({channel, kHidError, std::string(1, static_cast<char>(code))});
  return step;
}

}  // namespace

std::vector<std::string> ToReports(const HidMessage& message, bool swap_continuations) {
  std::vector<std::string> reports;
  absl::string_view rest = message.payload;
  ByteWriter first;
  first.U32(message.channel).U8(0x80 | message.command).U16(static_cast<uint16_t>(rest.size()));
  first.Raw(rest.substr(0, kFirstPayload));
  rest.remove_prefix(std::min(rest.size(), kFirstPayload));
  reports.push_back(std::move(first).bytes());
  for (uint8_t sequence = 0; !rest.empty(); ++sequence) {
    reports.push_back(ByteWriter()
                          .U32(message.channel)
                          .U8(swap_continuations ? sequence ^ 1 : sequence)
                          .Raw(rest.substr(0, kNextPayload))
                          .bytes());
    rest.remove_prefix(std::min(rest.size(), kNextPayload));
  }
  for (std::string& report : reports) report.resize(kReportSize, '\0');
  return reports;
}

void Ctaphid::Forget() {
  channels_.clear();
  partial_.reset();
}

std::vector<HidMessage> Ctaphid::Expire(absl::Time now) {
  if (now < deadline()) return {};
  const uint32_t channel = partial_->message.channel;
  partial_.reset();
  return ErrorStep(channel, kHidMessageTimeout).answers;
}

Ctaphid::Step Ctaphid::Receive(absl::string_view report, absl::Time now) {
  if (report.size() != kReportSize) return {};
  ByteReader reader(report);
  const uint32_t channel = reader.U32();
  const uint8_t type = reader.U8();
  return (type & 0x80) != 0 ? First(channel, type & 0x7f, reader.Rest(), now)
                            : Continue(channel, type, reader.Rest());
}

Ctaphid::Step Ctaphid::First(uint32_t channel, uint8_t command, absl::string_view rest,
                             absl::Time now) {
  ByteReader reader(rest);
  const size_t total = reader.U16();
  if (command == kHidInit && channel != 0) {
    if (total != 8) return ErrorStep(channel, kHidInvalidLength);
    return Init(channel, reader.Raw(8));
  }
  if (channel == 0 || channel == kBroadcastChannel || channels_.count(channel) == 0) {
    return ErrorStep(channel, kHidInvalidChannel);
  }
  if (command == kHidCancel) {
    Step step;
    step.cancel = executing_ == channel;
    return step;
  }
  if (executing_) return ErrorStep(channel, kHidChannelBusy);
  if (partial_ && partial_->message.channel != channel) return ErrorStep(channel, kHidChannelBusy);
  if (partial_) {
    partial_.reset();
    return ErrorStep(channel, kHidInvalidSequence);
  }
  if (total > kMaxHidMessage) return ErrorStep(channel, kHidInvalidLength);
  HidMessage message{channel, command, std::string(reader.Raw(std::min(total, kFirstPayload)))};
  if (message.payload.size() == total) return Complete(std::move(message));
  partial_ = Partial{std::move(message), total, 0, now + kMessageTimeout};
  return {};
}

Ctaphid::Step Ctaphid::Continue(uint32_t channel, uint8_t sequence, absl::string_view rest) {
  if (!partial_ || partial_->message.channel != channel) return {};
  if (sequence != partial_->next_sequence++) {
    partial_.reset();
    return ErrorStep(channel, kHidInvalidSequence);
  }
  std::string& payload = partial_->message.payload;
  absl::StrAppend(&payload, rest.substr(0, partial_->total - payload.size()));
  if (payload.size() < partial_->total) return {};
  HidMessage message = std::move(partial_->message);
  partial_.reset();
  return Complete(std::move(message));
}

Ctaphid::Step Ctaphid::Init(uint32_t channel, absl::string_view nonce) {
  Step step;
  uint32_t given = channel;
  if (channel == kBroadcastChannel) {
    do ++last_channel_;
    while (last_channel_ == 0 || last_channel_ == kBroadcastChannel);
    given = last_channel_;
    channels_.insert(given);
    if (channels_.size() > kMaxChannels) channels_.erase(channels_.begin());
  } else {
    if (channels_.count(channel) == 0) return ErrorStep(channel, kHidInvalidChannel);
    // On a channel of its own: start afresh.
    if (partial_ && partial_->message.channel == channel) partial_.reset();
    step.cancel = executing_ == channel;
  }
  // Capabilities: WINK, CBOR, NMSG (no CTAPHID_MSG).
  const uint8_t capabilities = static_cast<uint8_t>(0x01 | (ctap2_ ? 0x04 : 0) | (u2f_ ? 0 : 0x08));
  step.answers.push_back(
      {channel, kHidInit,
       ByteWriter().Raw(nonce).U32(given).U8(2).U8(5).U8(1).U8(0).U8(capabilities).bytes()});
  return step;
}

Ctaphid::Step Ctaphid::Complete(HidMessage message) {
  Step step;
  switch (message.command) {
    case kHidPing:
      step.answers.push_back(std::move(message));
      break;
    case kHidWink:
      if (!message.payload.empty()) return ErrorStep(message.channel, kHidInvalidLength);
      step.answers.push_back(std::move(message));
      break;
    case kHidMsg:
    case kHidCbor:
      if (!(message.command == kHidMsg ? u2f_ : ctap2_)) {
        return ErrorStep(message.channel, kHidInvalidCommand);
      }
      if (message.payload.empty()) return ErrorStep(message.channel, kHidInvalidLength);
      step.request = std::move(message);
      break;
    default:
      return ErrorStep(message.channel, kHidInvalidCommand);  // LOCK, too: it is optional
  }
  return step;
}

}  // namespace forekey::fido2sim

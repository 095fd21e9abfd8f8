// SPDX-License-Identifier: Apache-2.0
// CTAPHID (CTAP 2.1 section 11.2): reports into messages and messages into reports, channels, busy
// and sequence errors. Knows neither commands of the authenticator nor file descriptors.
#ifndef FOREKEY_SIMULATORS_FIDO2_CTAPHID_H_
#define FOREKEY_SIMULATORS_FIDO2_CTAPHID_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace forekey::fido2sim {

inline constexpr size_t kReportSize = 64;
inline constexpr size_t kMaxHidMessage = 7609;
inline constexpr uint32_t kBroadcastChannel = 0xffffffff;

enum HidCommand : uint8_t {
  kHidPing = 0x01,
  kHidMsg = 0x03,
  kHidLock = 0x04,
  kHidInit = 0x06,
  kHidWink = 0x08,
  kHidCbor = 0x10,
  kHidCancel = 0x11,
  kHidKeepalive = 0x3b,
  kHidError = 0x3f,
};
enum HidErrorCode : uint8_t {
  kHidInvalidCommand = 0x01,
  kHidInvalidLength = 0x03,
  kHidInvalidSequence = 0x04,
  kHidMessageTimeout = 0x05,
  kHidChannelBusy = 0x06,
  kHidInvalidChannel = 0x0b,
};

struct HidMessage {
  uint32_t channel = 0;
  uint8_t command = 0;
  std::string payload;
};

// The reports of one message. `swap_continuations`: out of order, for a test.
std::vector<std::string> ToReports(const HidMessage& message, bool swap_continuations = false);

class Ctaphid {
 public:
  struct Step {
    std::vector<HidMessage> answers;    // to send at once
    std::optional<HidMessage> request;  // complete: to execute
    bool cancel = false;                // of what is being executed
  };
  explicit Ctaphid(bool ctap2, bool u2f) : ctap2_(ctap2), u2f_(u2f) {}

  // `report`: 64 bytes; others are ignored. While the caller executes a request it says so with
  // Begin() and End(); then others hear that the channel is busy.
  Step Receive(absl::string_view report, absl::Time now);
  void Begin(uint32_t channel) { executing_ = channel; }
  void End() { executing_.reset(); }
  // When the message being received is overdue; and what to tell its sender then.
  absl::Time deadline() const { return partial_ ? partial_->deadline : absl::InfiniteFuture(); }
  std::vector<HidMessage> Expire(absl::Time now);
  // Power was away: no channels.
  void Forget();

 private:
  struct Partial {
    HidMessage message;
    size_t total;
    uint8_t next_sequence = 0;
    absl::Time deadline;
  };
  Step First(uint32_t channel, uint8_t command, absl::string_view rest, absl::Time now);
  Step Continue(uint32_t channel, uint8_t sequence, absl::string_view rest);
  Step Init(uint32_t channel, absl::string_view nonce);
  Step Complete(HidMessage message);

  const bool ctap2_, u2f_;
  std::set<uint32_t> channels_;
  uint32_t last_channel_ = 0;
  std::optional<Partial> partial_;
  std::optional<uint32_t> executing_;
};

}  // namespace forekey::fido2sim

#endif  // FOREKEY_SIMULATORS_FIDO2_CTAPHID_H_

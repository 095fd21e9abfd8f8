// SPDX-License-Identifier: Apache-2.0
// Command and response APDUs (ISO/IEC 7816-4 §5.1, SP 800-73-4 part 2 §2.4). Private to hw/piv.
#ifndef FOREKEY_HW_PIV_APDU_H_
#define FOREKEY_HW_PIV_APDU_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hw/piv/card_channel.h"

namespace forekey {

struct CommandApdu {
  uint8_t instruction = 0;
  uint8_t p1 = 0;
  uint8_t p2 = 0;
  absl::string_view data;      // below 64 KiB
  bool expects_answer = true;  // more than a status word (Le)
};

struct ResponseApdu {
  std::string data;
  uint16_t status = 0;
  bool ok() const { return status == 0x9000; }
};

// Status words that the driver acts upon.
inline constexpr uint16_t kSwWrongLength = 0x6700;
inline constexpr uint16_t kSwSecurityStatus = 0x6982;
inline constexpr uint16_t kSwBlocked = 0x6983;
inline constexpr uint16_t kSwConditions = 0x6985;
inline constexpr uint16_t kSwWrongData = 0x6A80;
inline constexpr uint16_t kSwFunctionNotSupported = 0x6A81;
inline constexpr uint16_t kSwNotFound = 0x6A82;
inline constexpr uint16_t kSwWrongParameters = 0x6A86;
inline constexpr uint16_t kSwReferenceNotFound = 0x6A88;
inline constexpr uint16_t kSwInstruction = 0x6D00;
inline constexpr uint16_t kSwClass = 0x6E00;

// InvalidArgument below two bytes.
absl::StatusOr<ResponseApdu> ParseResponse(absl::string_view bytes);

// One extended APDU.
std::string EncodeExtended(const CommandApdu& command);
// One short APDU, or a chain of them (CLA bit 0x10, §5.3.3) where the data has more than 255 bytes.
// `t0`: without Le behind data. All may hold what `data` held: wipe them if that is a secret.
std::vector<std::string> EncodeShort(const CommandApdu& command, bool t0);

// Whether the historical bytes of the ATR say that the card takes extended APDUs (§12.1.1.9).
bool AtrSaysExtended(absl::string_view atr);

// Sends whole commands and collects whole answers: chaining, GET RESPONSE (61xx), the right Le
// (6Cxx). Extended APDUs where the card says that it takes them and the data needs them; a card
// that then answers 6700, or forgets the class, gets short ones from there on. Not thread-safe.
class ApduExchange {
 public:
  explicit ApduExchange(CardChannel* channel)
      : channel_(channel), extended_(!channel->is_t0() && AtrSaysExtended(channel->atr())) {}
  // Errors are the channel's, or kOther for an answer that is none or does not end. A status word
  // that says no is not an error here.
  absl::StatusOr<ResponseApdu> Send(const CommandApdu& command);

 private:
  absl::StatusOr<ResponseApdu> Exchange(absl::string_view bytes);
  absl::StatusOr<ResponseApdu> SendShort(const CommandApdu& command);
  absl::StatusOr<ResponseApdu> GetResponse(uint8_t size);
  absl::StatusOr<ResponseApdu> CollectRest(ResponseApdu response);

  CardChannel* const channel_;
  bool extended_;
};

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_APDU_H_

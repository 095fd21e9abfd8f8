// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/apdu.h"

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_format.h"
#include "hw/device_key.h"
#include "src/base/bytes.h"
#include "src/base/secret.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr size_t kShortData = 255;
// The largest object of SP 800-73-4 has 12 KiB; more than this is a card gone mad.
constexpr size_t kLargestAnswer = 65536;
constexpr uint8_t kChained = 0x10;
constexpr uint8_t kGetResponse = 0xC0;

ByteWriter Header(uint8_t cla, const CommandApdu& command) {
  ByteWriter writer;
  writer.Reserve(command.data.size() + 9);  // so that no copy of a secret is left behind by growing
  writer.U8(cla).U8(command.instruction).U8(command.p1).U8(command.p2);
  return writer;
}

}  // namespace

absl::StatusOr<ResponseApdu> ParseResponse(absl::string_view bytes) {
  if (bytes.size() < 2) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the card's answer has %d bytes, it needs two at least", bytes.size()));
  }
  ResponseApdu response;
  response.data = std::string(bytes.substr(0, bytes.size() - 2));
  ByteReader reader(bytes.substr(bytes.size() - 2));
  response.status = reader.U16();
  return response;
}

std::string EncodeExtended(const CommandApdu& command) {
  ByteWriter writer = Header(0x00, command);
  if (!command.data.empty() || command.expects_answer) writer.U8(0x00);
  if (!command.data.empty()) writer.Len2(command.data);
  if (command.expects_answer) writer.U16(0x0000);
  return std::move(writer).bytes();
}

std::vector<std::string> EncodeShort(const CommandApdu& command, bool t0) {
  std::vector<std::string> commands;
  absl::string_view rest = command.data;
  do {
    const absl::string_view part = rest.substr(0, kShortData);
    rest.remove_prefix(part.size());
    ByteWriter writer = Header(rest.empty() ? 0x00 : kChained, command);
    if (!part.empty()) writer.Len1(part);
    if (rest.empty() && command.expects_answer && !(t0 && !part.empty())) writer.U8(0x00);
    commands.push_back(std::move(writer).bytes());
  } while (!rest.empty());
  return commands;
}

bool AtrSaysExtended(absl::string_view atr) {
  // ISO/IEC 7816-3 §8.2: TS, T0, interface bytes as each TDi announces them, then historical bytes.
  ByteReader reader(atr);
  reader.U8();
  const uint8_t t0 = reader.U8();
  size_t historical_size = t0 & 0x0F;
  uint8_t announced = t0 >> 4;
  while (announced != 0 && reader.ok()) {
    for (int bit = 0; bit < 3; ++bit) {
      if ((announced >> bit & 1) != 0) reader.U8();
    }
    announced = (announced & 8) != 0 ? reader.U8() >> 4 : 0;
  }
  ByteReader historical(reader.Raw(historical_size));
  const uint8_t category = historical.U8();
  if (!reader.ok() || (category != 0x80 && category != 0x00)) return false;
  // Compact TLV: tag 7, card capabilities; the third byte's bit 7 is "extended Lc and Le fields".
  while (historical.remaining() > 0) {
    const uint8_t tag = historical.U8();
    const absl::string_view value = historical.Raw(tag & 0x0F);
    if (tag >> 4 == 7 && value.size() == 3) return (static_cast<uint8_t>(value[2]) & 0x40) != 0;
  }
  return false;
}

absl::StatusOr<ResponseApdu> ApduExchange::Exchange(absl::string_view bytes) {
  FOREKEY_ASSIGN_OR_RETURN(std::string answer, channel_->Transmit(bytes));
  absl::Cleanup wipe = [&answer] { Wipe(answer); };
  auto response = ParseResponse(answer);
  if (!response.ok()) return DeviceFailure(DeviceError::kOther, response.status().message());
  return response;
}

absl::StatusOr<ResponseApdu> ApduExchange::GetResponse(uint8_t size) {
  char more[] = {0x00, static_cast<char>(kGetResponse), 0x00, 0x00, static_cast<char>(size)};
  FOREKEY_ASSIGN_OR_RETURN(ResponseApdu next, Exchange(absl::string_view(more, sizeof more)));
  if (next.status >> 8 != 0x6C) return next;
  // "61 00" is "256 or more", and some T=0 cards want the exact number all the same. Asked once.
  more[4] = static_cast<char>(next.status & 0xFF);
  return Exchange(absl::string_view(more, sizeof more));
}

absl::StatusOr<ResponseApdu> ApduExchange::CollectRest(ResponseApdu response) {
  while (response.status >> 8 == 0x61) {
    FOREKEY_ASSIGN_OR_RETURN(ResponseApdu next, GetResponse(response.status & 0xFF));
    if ((next.data.empty() && next.status >> 8 == 0x61) ||
        response.data.size() + next.data.size() > kLargestAnswer) {
      Wipe(next.data);
      Wipe(response.data);
      return DeviceFailure(DeviceError::kOther, "GET RESPONSE: the card's answer does not end");
    }
    std::string joined;
    joined.reserve(response.data.size() + next.data.size());
    joined.append(response.data).append(next.data);
    Wipe(response.data);
    Wipe(next.data);
    response.data = std::move(joined);
    response.status = next.status;
  }
  return response;
}

absl::StatusOr<ResponseApdu> ApduExchange::SendShort(const CommandApdu& command) {
  std::vector<std::string> commands = EncodeShort(command, channel_->is_t0());
  absl::Cleanup wipe = [&commands] {
    for (std::string& bytes : commands) Wipe(bytes);
  };
  ResponseApdu response;
  for (size_t i = 0; i < commands.size(); ++i) {
    FOREKEY_ASSIGN_OR_RETURN(response, Exchange(commands[i]));
    if (i + 1 < commands.size() && !response.ok()) return response;
  }
  if (response.status >> 8 == 0x6C && command.expects_answer && commands.size() == 1 &&
      (command.data.empty() || !channel_->is_t0())) {
    commands[0].back() = static_cast<char>(response.status & 0xFF);
    FOREKEY_ASSIGN_OR_RETURN(response, Exchange(commands[0]));
  }
  return CollectRest(std::move(response));
}

absl::StatusOr<ResponseApdu> ApduExchange::Send(const CommandApdu& command) {
  if (!extended_ || command.data.size() <= kShortData) return SendShort(command);
  std::string bytes = EncodeExtended(command);
  absl::Cleanup wipe = [&bytes] { Wipe(bytes); };
  FOREKEY_ASSIGN_OR_RETURN(ResponseApdu response, Exchange(bytes));
  if (response.status == kSwWrongLength || response.status == kSwClass) {
    extended_ = false;
    return SendShort(command);
  }
  return CollectRest(std::move(response));
}

}  // namespace forekey

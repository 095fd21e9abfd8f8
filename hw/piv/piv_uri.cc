// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/piv_uri.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr size_t kMaxReaderName = 128;

absl::Status BadPivUri(absl::string_view uri) {
  return absl::InvalidArgumentError(
      absl::StrCat("'", uri,
                   "' is no URI of a PIV card: piv:serial=NUMBER, piv:READER, each with #SLOT or "
                   "without; forekey devices lists what there is"));
}

std::string EncodeReader(absl::string_view name) {
  std::string text;
  for (char c : name) {
    if (absl::ascii_isgraph(c) && c != '%' && c != '#') {
      text.push_back(c);
    } else {
      absl::StrAppend(&text, absl::StrFormat("%%%02X", static_cast<uint8_t>(c)));
    }
  }
  return text;
}

std::optional<std::string> DecodeReader(absl::string_view text) {
  std::string name;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      name.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(text[i + 1]) ||
        !absl::ascii_isxdigit(text[i + 2])) {
      return std::nullopt;
    }
    name += absl::HexStringToBytes(text.substr(i + 1, 2));
    i += 2;
  }
  for (char c : name) {
    if (absl::ascii_iscntrl(c)) return std::nullopt;
  }
  if (name.empty() || name.size() >= kMaxReaderName) return std::nullopt;
  return name;
}

}  // namespace

absl::StatusOr<PivUri> PivUri::Parse(absl::string_view text) {
  absl::string_view rest = text;
  PivUri uri;
  if (!absl::ConsumePrefix(&rest, "piv:")) return BadPivUri(text);
  if (const size_t hash = rest.find('#'); hash != absl::string_view::npos) {
    FOREKEY_ASSIGN_OR_RETURN(uri.slot, ParseSlot(rest.substr(hash + 1)));
    rest = rest.substr(0, hash);
  }
  if (rest.empty()) return uri;
  if (absl::ConsumePrefix(&rest, "serial=")) {
    uint32_t serial = 0;
    // One text for one card: SimpleAtoi would also take white space and signs.
    if (!absl::SimpleAtoi(rest, &serial) || absl::StrCat(serial) != rest) return BadPivUri(text);
    uri.serial = serial;
    return uri;
  }
  auto reader = DecodeReader(rest);
  if (!reader.has_value()) return BadPivUri(text);
  uri.reader = *std::move(reader);
  return uri;
}

std::string PivUri::DeviceText() const {
  if (serial.has_value()) return absl::StrCat("piv:serial=", *serial);
  return absl::StrCat("piv:", EncodeReader(reader));
}

std::string PivUri::Text() const {
  return slot.has_value() ? absl::StrCat(DeviceText(), "#", SlotName(*slot)) : DeviceText();
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/wire/firmware_list.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/printable.h"
#include "src/base/status.h"
#include "src/wire/authenticator_data.h"

namespace forekey {
namespace {

using Keys = TokenFirmware::Keys;
using Rule = FirmwareEntry::Rule;
using Words = std::vector<absl::string_view>;

constexpr absl::string_view kFirstWord = "forekey-firmware-list";
constexpr absl::string_view kVersion = "1";
constexpr size_t kMaxEntries = 10'000;
constexpr size_t kMaxLine = 512;

// How a kind's versions are written: so many numbers of so many bits.
struct Form {
  size_t numbers = 0;
  int bits = 0;
};

Form FormOf(TokenKind kind) {
  if (kind == v1::TOKEN_KIND_TPM) return {4, 16};
  return {3, 8};
}

bool IsNumber(absl::string_view text) {
  return !text.empty() && text.size() <= 10 &&
         text.find_first_not_of("0123456789") == absl::string_view::npos;
}

struct Range {
  uint64_t from = 0, to = 0;
};

// "5.7" is from 5.7.0 to 5.7.255; a FIDO2 version without a dot is an integer of its maker's.
std::optional<Range> RangeOf(TokenKind kind, absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  const Form form = FormOf(kind);
  if (parts.size() > form.numbers) return std::nullopt;
  uint64_t number = 0;
  if (kind == v1::TOKEN_KIND_FIDO2 && parts.size() == 1) {
    if (!IsNumber(text) || !absl::SimpleAtoi(text, &number) || number > UINT32_MAX) {
      return std::nullopt;
    }
    return Range{number, number};
  }
  Range range;
  for (const absl::string_view part : parts) {
    if (!IsNumber(part) || !absl::SimpleAtoi(part, &number) || number >> form.bits != 0) {
      return std::nullopt;
    }
    range.from = range.from << form.bits | number;
  }
  // As shifts may not be of all 64 bits: one number after the other.
  range.to = range.from;
  for (size_t i = parts.size(); i < form.numbers; ++i) {
    range.from <<= form.bits;
    range.to = (range.to << form.bits) | ((uint64_t{1} << form.bits) - 1);
  }
  return range;
}

// "all", "5.61", "5.0-5.61", "-5.61".
std::optional<Range> WeakRangeOf(TokenKind kind, absl::string_view text) {
  if (text == "all") return Range{0, UINT64_MAX};
  const size_t dash = text.find('-');
  if (dash == absl::string_view::npos) return RangeOf(kind, text);
  const std::optional<Range> last = RangeOf(kind, text.substr(dash + 1));
  const std::optional<Range> first = dash == 0 ? Range{0, 0} : RangeOf(kind, text.substr(0, dash));
  // Of FIDO2, 5.0 is 0x050000 and 6 is the integer 6.
  const bool dots[] = {absl::StrContains(text.substr(0, dash), '.'),
                       absl::StrContains(text.substr(dash + 1), '.')};
  if (kind == v1::TOKEN_KIND_FIDO2 && dash != 0 && dots[0] != dots[1]) return std::nullopt;
  if (!first || !last || first->from > last->to) return std::nullopt;
  return Range{first->from, last->to};
}

std::string Letters(absl::string_view text) {
  std::string letters;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte)) letters += absl::ascii_toupper(byte);
  }
  return letters;
}

// Fills maker and model out of the second word.
absl::Status ReadTpmMaker(absl::string_view word, FirmwareEntry* entry) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(word, absl::MaxSplits('/', 1));
  entry->maker = absl::AsciiStrToUpper(TpmMakerOf(parts.first));
  entry->model = Letters(parts.second);
  const bool id = absl::StartsWith(entry->maker, "ID:");
  if (entry->maker.empty() || (!id && entry->maker.size() > 4) || (id && entry->maker.size() != 11))
    return absl::InvalidArgumentError(
        "a TPM's maker is its identifier of up to four letters (IFX, STM, NTC, INTC), or id: and "
        "eight hex digits, and may be followed by / and the beginning of a model's name");
  if (absl::StrContains(word, '/') && entry->model.empty()) {
    return absl::InvalidArgumentError("the model after / is empty");
  }
  return absl::OkStatus();
}

absl::Status ReadMaker(absl::string_view word, FirmwareEntry* entry) {
  if (entry->kind == v1::TOKEN_KIND_TPM) return ReadTpmMaker(word, entry);
  const std::string lower = absl::AsciiStrToLower(word);
  entry->maker = lower;
  if (entry->kind == v1::TOKEN_KIND_FIDO2) {
    if (AaguidFromText(lower)) return absl::OkStatus();
    return absl::InvalidArgumentError("a FIDO2 model is its AAGUID, in 8-4-4-4-12 hex digits");
  }
  if (lower == "yubikey" || lower == "yubikey-bio") return absl::OkStatus();
  return absl::InvalidArgumentError(
      "of PIV cards, yubikey and yubikey-bio alone attest their firmware");
}

absl::Status ReadWeak(const Words& words, FirmwareEntry* entry) {
  entry->rule = Rule::kWeak;
  const std::optional<Range> range = WeakRangeOf(entry->kind, words[3]);
  if (!range) {
    return absl::InvalidArgumentError(absl::StrCat(
        words[3], " is no range of versions: all, VERSION, FROM-TO or -TO, without spaces"));
  }
  entry->from = range->from;
  entry->to = range->to;
  if (words.size() == 4) return absl::OkStatus();
  if (words.size() == 5 && entry->kind == v1::TOKEN_KIND_PIV) {
    entry->keys = words[4] == "rsa" ? Keys::kRsa : words[4] == "ecdsa" ? Keys::kEcdsa : entry->keys;
    if (entry->keys != Keys::kUnknown) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "after the versions come, of piv alone, rsa or ecdsa, and then a colon between spaces and "
      "why");
}

absl::Status ReadLeast(const Words& words, FirmwareEntry* entry) {
  entry->rule = Rule::kLeast;
  if (words.size() != 4) {
    return absl::InvalidArgumentError("after least come one version, and a colon and why");
  }
  if (words[3] == "metadata" && entry->kind == v1::TOKEN_KIND_FIDO2) {
    entry->rule = Rule::kLeastOfMetadata;
    return absl::OkStatus();
  }
  const std::optional<Range> version = RangeOf(entry->kind, words[3]);
  if (!version) return absl::InvalidArgumentError(absl::StrCat(words[3], " is no version"));
  entry->from = version->from;
  return absl::OkStatus();
}

// What Infineon prints is not what its TPMs say: "7.85.4555.0" is firmwareVersion 7.85.17.51968,
// whose bits 23..8 of the lower half are the build, and above them there is nothing.
absl::Status CheckInfineon(const FirmwareEntry& entry, absl::string_view versions) {
  if (entry.kind != v1::TOKEN_KIND_TPM || entry.maker != "IFX") return absl::OkStatus();
  for (const absl::string_view version : absl::StrSplit(versions, '-')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(version, '.');
    uint64_t build = 0;
    if (parts.size() < 3 || !absl::SimpleAtoi(parts[2], &build) || build <= UINT8_MAX) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        version,
        " is as Infineon prints it, with the build in one number; write it as `forekey "
        "devices` shows it: ",
        parts[0], ".", parts[1], ".", build >> 8, ".", (build & 0xff) << 8));
  }
  return absl::OkStatus();
}

absl::StatusOr<FirmwareEntry> ReadEntry(absl::string_view line) {
  FirmwareEntry entry;
  entry.line = std::string(line);
  Words words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  const auto colon = std::find(words.begin(), words.end(), ":");
  if (colon != words.end()) entry.why = absl::StrJoin(colon + 1, words.end(), " ");
  words.erase(colon, words.end());
  if (words.size() < 4) {
    return absl::InvalidArgumentError(
        "it is no KIND MAKER weak VERSIONS, nor KIND MAKER least VERSION");
  }
  for (const TokenKind kind : {v1::TOKEN_KIND_TPM, v1::TOKEN_KIND_FIDO2, v1::TOKEN_KIND_PIV}) {
    if (words[0] == TokenKindName(kind)) entry.kind = kind;
  }
  if (entry.kind == v1::TOKEN_KIND_UNSPECIFIED) {
    return absl::InvalidArgumentError("the first word is none of tpm, fido2 and piv");
  }
  FOREKEY_RETURN_IF_ERROR(ReadMaker(words[1], &entry));
  if (words[2] != "weak" && words[2] != "least") {
    return absl::InvalidArgumentError("the third word is neither weak nor least");
  }
  FOREKEY_RETURN_IF_ERROR(words[2] == "weak" ? ReadWeak(words, &entry) : ReadLeast(words, &entry));
  FOREKEY_RETURN_IF_ERROR(CheckInfineon(entry, words[3]));
  for (const absl::string_view version : absl::StrSplit(words[3], '-')) {
    uint64_t number = 0;
    entry.small_integer |= entry.kind == v1::TOKEN_KIND_FIDO2 && IsNumber(version) &&
                           absl::SimpleAtoi(version, &number) && number <= UINT8_MAX;
  }
  return entry;
}

absl::Status NoList(size_t number, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("the list of firmware is not understood, line ", number, ": ", why));
}

bool IsFirstLine(absl::string_view line) {
  const Words words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  return words.size() == 2 && words[0] == kFirstWord && words[1] == kVersion;
}

// What the entry, which is about the token, says of it; nullopt for nothing.
std::optional<FirmwareFinding::Problem> ProblemOf(const FirmwareEntry& entry,
                                                  const TokenFirmware& token) {
  using Problem = FirmwareFinding::Problem;
  if (entry.rule == Rule::kWeak && entry.from == 0 && entry.to == UINT64_MAX) return Problem::kWeak;
  if (!token.version) return Problem::kUnknown;
  const uint64_t version = *token.version;
  if (entry.rule == Rule::kWeak) {
    if (version < entry.from || version > entry.to) return std::nullopt;
    return Problem::kWeak;
  }
  if (entry.rule == Rule::kLeastOfMetadata && !token.least_of_metadata) return Problem::kUnknown;
  const uint64_t least = entry.rule == Rule::kLeast ? entry.from : *token.least_of_metadata;
  if (version >= least) return std::nullopt;
  return Problem::kTooOld;
}

}  // namespace

std::string FirmwareText(TokenKind kind, uint64_t version) {
  if (kind == v1::TOKEN_KIND_FIDO2 && (version < 0x10000 || version > 0xffffff)) {
    return absl::StrCat(version);
  }
  const Form form = FormOf(kind);
  std::string text;
  for (size_t i = form.numbers; i-- > 0;) {
    const uint64_t number = version >> (i * form.bits) & ((uint64_t{1} << form.bits) - 1);
    absl::StrAppend(&text, text.empty() ? "" : ".", number);
  }
  return text;
}

std::optional<uint64_t> FirmwareFromText(TokenKind kind, absl::string_view text) {
  const std::optional<Range> range = RangeOf(kind, text);
  return range ? std::optional<uint64_t>(range->from) : std::nullopt;
}

bool FirmwareEntry::IsAbout(const TokenFirmware& token) const {
  if (kind != token.kind) return false;
  const bool both = kind == v1::TOKEN_KIND_PIV && maker == "yubikey";
  if (!absl::EqualsIgnoreCase(maker, token.maker) && !(both && token.maker == "yubikey-bio")) {
    return false;
  }
  // A model that is not known may be this one, and so may a key's algorithm.
  if (!model.empty() && !token.model.empty() && !absl::StartsWith(Letters(token.model), model)) {
    return false;
  }
  return keys == Keys::kUnknown || token.keys == Keys::kUnknown || keys == token.keys;
}

absl::StatusOr<FirmwareList> FirmwareList::Parse(absl::string_view text) {
  if (text.size() > kMaxFirmwareList) return NoList(1, "it is longer than 1 MiB");
  FirmwareList list;
  size_t number = 0;
  bool begun = false;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line.front() == '#') continue;
    if (!begun) {
      if (!IsFirstLine(line)) {
        return NoList(number, absl::StrCat("it must begin with ", kFirstWord, " ", kVersion));
      }
      begun = true;
      continue;
    }
    if (line.size() > kMaxLine) return NoList(number, "it is longer than 512 bytes");
    if (!IsPrintable(absl::StrJoin(absl::StrSplit(line, '\t'), " "))) {
      return NoList(number, "it has a character that a terminal does not show");
    }
    absl::StatusOr<FirmwareEntry> entry = ReadEntry(line);
    if (!entry.ok()) return NoList(number, entry.status().message());
    if (list.entries_.size() == kMaxEntries)
      return NoList(number, "it has more than 10000 entries");
    list.entries_.push_back(*std::move(entry));
  }
  if (!begun) return NoList(1, absl::StrCat("it must begin with ", kFirstWord, " ", kVersion));
  return list;
}

std::vector<std::string> FirmwareList::Doubts() const {
  std::vector<std::string> doubts;
  for (const FirmwareEntry& entry : entries_) {
    if (!entry.small_integer) continue;
    doubts.push_back(absl::StrCat(
        "\"", entry.line, "\": a FIDO2 version without a dot is the integer in the certificate, ",
        "and that of a YubiKey 5.2 is 328192; all of version 6 is least 6.0, or weak 6.0-6.255"));
  }
  return doubts;
}

std::optional<FirmwareFinding> FirmwareList::Find(const TokenFirmware& token) const {
  std::optional<FirmwareFinding> worst;
  for (const FirmwareEntry& entry : entries_) {
    if (!entry.IsAbout(token)) continue;
    const auto problem = ProblemOf(entry, token);
    if (problem && (!worst || *problem < worst->problem)) worst = FirmwareFinding{*problem, &entry};
  }
  return worst;
}

std::string TpmMakerOf(absl::string_view manufacturer) {
  absl::string_view hex = manufacturer;
  if (!absl::StartsWithIgnoreCase(hex, "id:") || hex.size() != 11) return std::string(manufacturer);
  hex.remove_prefix(3);
  for (const char c : hex) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return std::string(manufacturer);
  }
  std::string id = absl::HexStringToBytes(hex);
  while (!id.empty() && (id.back() == '\0' || id.back() == ' ')) id.pop_back();
  const bool text = !id.empty() && std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c));
  });
  return text ? id : absl::AsciiStrToLower(manufacturer);
}

}  // namespace forekey

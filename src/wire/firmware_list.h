// SPDX-License-Identifier: Apache-2.0
// An organisation's list of weak firmware and of least versions: a plain text that an administrator
// writes, and that its trust bundle carries (docs/TRUST.md, "Weak firmware and least versions").
//
//   forekey-firmware-list 1
//   tpm IFX weak 5.0-5.61 : CVE-2017-15361 (ROCA)
//   tpm IFX/SLB9670 least 7.85
//   fido2 2fc0579f-8113-47ea-b116-bb5a8db9202a least metadata
//   piv yubikey weak 4.2.6-4.3.4 rsa : YSA-2017-01
//
// A line that is not understood makes the whole list refused: half a list is none.
#ifndef FOREKEY_SRC_WIRE_FIRMWARE_LIST_H_
#define FOREKEY_SRC_WIRE_FIRMWARE_LIST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/wire/token_kind.h"

namespace forekey {

inline constexpr size_t kMaxFirmwareList = 1 << 20;

// Versions are integers that compare as the maker's numbers do:
//   TPM    firmwareVersion of TPMS_ATTEST: four numbers of 16 bits, "7.85.17.51968" (which
//          Infineon prints as 7.85.4555.0)
//   FIDO2  the attestation's integer, and authenticatorVersion of the metadata; "5.7.4" is
//          0x050704, as YubiKeys have it
//   PIV    three numbers of 8 bits, "5.7.4"
std::string FirmwareText(TokenKind kind, uint64_t version);
// A whole version, as FirmwareText() writes it, or with fewer numbers, the others 0; nullopt for
// anything else.
std::optional<uint64_t> FirmwareFromText(TokenKind kind, absl::string_view text);

// A token, as its attestation proves it, or as it says itself: the caller knows which.
struct TokenFirmware {
  TokenKind kind = v1::TOKEN_KIND_UNSPECIFIED;
  // TPM: "IFX", or "id:00001014" where the manufacturer's identifier is no text. FIDO2: the AAGUID
  // as text. PIV: "yubikey" or "yubikey-bio".
  std::string maker;
  std::string model;                // TPM: of the EK certificate; empty: not known
  std::optional<uint64_t> version;  // nullopt: not known
  enum class Keys { kUnknown, kRsa, kEcdsa, kOther } keys = Keys::kUnknown;
  // FIDO2: authenticatorVersion of the model's metadata, where there is any.
  std::optional<uint64_t> least_of_metadata;
};

struct FirmwareEntry {
  TokenKind kind = v1::TOKEN_KIND_UNSPECIFIED;
  std::string maker;  // as in TokenFirmware; "yubikey" is of both
  std::string model;  // TPM: what the model begins with, letters and digits alone; empty: any
  enum class Rule { kWeak, kLeast, kLeastOfMetadata } rule = Rule::kWeak;
  uint64_t from = 0, to = UINT64_MAX;  // kWeak: both included. kLeast: `from` is good
  TokenFirmware::Keys keys = TokenFirmware::Keys::kUnknown;  // kWeak, PIV: of these alone
  bool small_integer = false;  // FIDO2: has a version that may be meant otherwise than it counts
  std::string why;             // for people; may be empty
  std::string line;            // as it stands in the list

  // Whether the entry is about such tokens, whatever their firmware.
  bool IsAbout(const TokenFirmware& token) const;
};

struct FirmwareFinding {
  // kUnknown: the entry asks for a version that is not known.
  enum class Problem { kWeak, kTooOld, kUnknown } problem;
  const FirmwareEntry* entry;  // of the list, which must outlive this
};

// Immutable; a value.
class FirmwareList {
 public:
  FirmwareList() = default;
  // InvalidArgument, with the line's number, for what is no such list: another first line, a word
  // that is not known, a version that the kind can't have, or as Infineon prints it, a character
  // that a terminal does not show; more than kMaxFirmwareList bytes or 10'000 entries.
  static absl::StatusOr<FirmwareList> Parse(absl::string_view text);

  const std::vector<FirmwareEntry>& entries() const { return entries_; }
  bool empty() const { return entries_.empty(); }

  // For people, a text for each line that may not mean what it looks like.
  std::vector<std::string> Doubts() const;

  // The worst that the list says of the token: weak before too old before unknown; nullopt for
  // nothing.
  std::optional<FirmwareFinding> Find(const TokenFirmware& token) const;

 private:
  std::vector<FirmwareEntry> entries_;
};

// "IFX" for "id:49465800"; in lower case what is no text ("id:00001014"), and as it stands what is
// no identifier (EK Credential Profile section 3.1.2, TCG TPM Vendor ID Registry).
std::string TpmMakerOf(absl::string_view manufacturer);

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_FIRMWARE_LIST_H_

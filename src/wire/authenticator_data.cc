// SPDX-License-Identifier: Apache-2.0
#include "src/wire/authenticator_data.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

absl::Status Malformed(absl::string_view what) {
  return Refuse(Reason::kEvidenceMalformed, absl::StrCat("authenticator data: ", what));
}

// Takes the attested credential data off `rest`: the key's CBOR says itself where it ends.
absl::StatusOr<AttestedCredentialData> TakeAttested(absl::string_view& rest,
                                                    const CoseKeyOptions& options) {
  ByteReader reader(rest);
  const absl::string_view aaguid = reader.Raw(kAaguidSize);
  const absl::string_view credential_id = reader.Len2();
  if (!reader.ok()) return Malformed("the attested credential data ends too early");
  if (credential_id.empty() || credential_id.size() > kMaxWebAuthnCredentialIdSize) {
    return Malformed(absl::StrCat("a credential id of ", credential_id.size(), " bytes"));
  }
  rest = reader.Rest();
  const absl::string_view before = rest;
  CborOptions cbor;
  cbor.canonical_order = !options.from_u2f;
  FOREKEY_ASSIGN_OR_RETURN(const CborValue map, CborValue::ParsePrefix(&rest, cbor));
  FOREKEY_ASSIGN_OR_RETURN(CoseKey key, CoseKey::FromCbor(map, options));
  return AttestedCredentialData{aaguid, credential_id,
                                before.substr(0, before.size() - rest.size()), std::move(key)};
}

}  // namespace

std::string AaguidText(absl::string_view aaguid) {
  const std::string hex = absl::BytesToHexString(aaguid);
  const absl::string_view view = hex;
  return absl::StrCat(view.substr(0, 8), "-", view.substr(8, 4), "-", view.substr(12, 4), "-",
                      view.substr(16, 4), "-", view.substr(20));
}

std::optional<std::string> AaguidFromText(absl::string_view text) {
  if (text.size() != 36) return std::nullopt;
  std::string hex;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !absl::ascii_isxdigit(static_cast<unsigned char>(text[i]))) {
      return std::nullopt;
    }
    if (!dash) hex.push_back(text[i]);
  }
  return absl::HexStringToBytes(hex);
}

absl::StatusOr<AuthenticatorData> AuthenticatorData::Parse(absl::string_view bytes,
                                                           const CoseKeyOptions& options) {
  if (bytes.size() > kMaxAuthenticatorDataSize) return Malformed("too long");
  AuthenticatorData data;
  ByteReader reader(bytes);
  data.rp_id_hash = reader.Raw(kRpIdHashSize);
  data.flags.raw = reader.U8();
  data.sign_count = reader.U32();
  if (!reader.ok()) return Malformed("shorter than 37 bytes");
  if (data.flags.reserved()) {
    return Refuse(Reason::kFlagsInvalid, absl::StrCat("reserved bits in flags 0x",
                                                      absl::Hex(data.flags.raw, absl::kZeroPad2)));
  }
  if (data.flags.bs() && !data.flags.be()) {
    return Refuse(Reason::kFlagsInvalid, "backed up (BS) without backup eligible (BE)");
  }
  absl::string_view rest = reader.Rest();
  if (data.flags.at()) {
    FOREKEY_ASSIGN_OR_RETURN(data.attested, TakeAttested(rest, options));
  }
  if (data.flags.ed()) {
    FOREKEY_ASSIGN_OR_RETURN(const CborValue map, CborValue::ParsePrefix(&rest));
    if (!map.is_map()) return Malformed("the extensions are no map");
    for (size_t i = 0; i < map.entries(); ++i) {
      const auto name = map.key(i).text();
      if (!name) return Malformed("the name of an extension is no text");
      data.extensions.emplace_back(*name);
    }
  }
  if (!rest.empty()) return Malformed(absl::StrCat(rest.size(), " bytes left over"));
  return data;
}

}  // namespace forekey

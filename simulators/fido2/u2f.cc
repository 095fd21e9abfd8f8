// SPDX-License-Identifier: Apache-2.0
// U2F raw messages (FIDO U2F Raw Message Formats 1.2), as CTAPHID_MSG carries them. Key handles are
// credential ids, so that a key registered by U2F also answers to CTAP2 and the other way round.
#include "absl/strings/str_cat.h"
#include "simulators/fido2/authenticator.h"
#include "src/base/bytes.h"

namespace forekey::fido2sim {
namespace {

constexpr uint16_t kSwOk = 0x9000, kSwWrongLength = 0x6700, kSwConditionsNotSatisfied = 0x6985,
                   kSwWrongData = 0x6a80, kSwInsNotSupported = 0x6d00, kSwClaNotSupported = 0x6e00;

std::string StatusWord(uint16_t status) { return ByteWriter().U16(status).bytes(); }

}  // namespace

std::string Authenticator::U2f(absl::string_view apdu, UserPresence& presence) {
  next_assertions_.ids.clear();
  ByteReader reader(apdu);
  const uint8_t cla = reader.U8(), ins = reader.U8(), p1 = reader.U8();
  reader.U8();
  absl::string_view data;
  // Extended lengths only, as CTAPHID has them: 00 Lc Lc data [Le Le], or 00 Le Le, or nothing.
  if (reader.remaining() > 0 && reader.U8() != 0) return StatusWord(kSwWrongLength);
  if (reader.remaining() > 2) data = reader.Len2();
  if (!reader.ok() || (reader.remaining() != 0 && reader.remaining() != 2))
    return StatusWord(kSwWrongLength);
  if (cla != 0) return StatusWord(kSwClaNotSupported);
  switch (ins) {
    case 0x01:
      return U2fRegister(data, presence);
    case 0x02:
      return U2fAuthenticate(p1, data, presence);
    case 0x03:
      return data.empty() ? "U2F_V2" + StatusWord(kSwOk) : StatusWord(kSwWrongLength);
    default:
      return StatusWord(kSwInsNotSupported);
  }
}

std::string Authenticator::U2fRegister(absl::string_view data, UserPresence& presence) {
  if (data.size() != 64) return StatusWord(kSwWrongLength);
  if (!presence.Take()) return StatusWord(kSwConditionsNotSatisfied);
  auto key = TokenKey::Generate(kEs256);
  if (!key.ok()) return StatusWord(kSwWrongData);
  Credential credential;
  credential.id = RandomOf(64);
  credential.rp_id_hash = std::string(data.substr(32));
  credential.key = key->Der();
  std::string challenge(data.substr(0, 32));
  if (Does(Misbehaviour::kWrongClientDataHash)) challenge = Sha256Of(challenge);
  const std::string message = ByteWriter()
                                  .U8(0)
                                  .Raw(credential.rp_id_hash)
                                  .Raw(challenge)
                                  .Raw(credential.id)
                                  .Raw(key->Point())
                                  .bytes();
  const std::string answer = ByteWriter()
                                 .U8(5)
                                 .Raw(key->Point())
                                 .Len1(credential.id)
                                 .Raw(state_.u2f_leaf)
                                 .Raw(AttestationSignature(message))
                                 .U16(kSwOk)
                                 .bytes();
  state_.credentials.push_back(std::move(credential));
  return Save().ok() ? answer : StatusWord(kSwWrongData);
}

std::string Authenticator::U2fAuthenticate(uint8_t control, absl::string_view data,
                                           UserPresence& presence) {
  ByteReader reader(data);
  const absl::string_view challenge = reader.Raw(32), application = reader.Raw(32),
                          handle = reader.Len1();
  if (!reader.Finished()) return StatusWord(kSwWrongLength);
  const Credential* credential = state_.Find(handle);
  if (credential == nullptr || credential->rp_id_hash != application ||
      credential->algorithm != kEs256 || credential->cred_protect == 3) {
    return StatusWord(kSwWrongData);
  }
  if (control == 0x07) return StatusWord(kSwConditionsNotSatisfied);  // "check only": it is mine
  if (control != 0x03 && control != 0x08) return StatusWord(kSwWrongData);
  const bool touched = control == 0x08 ? false : presence.Take();
  if (control == 0x03 && !touched) return StatusWord(kSwConditionsNotSatisfied);
  auto key = Does(Misbehaviour::kOtherKeysSignature)
                 ? TokenKey::Generate(kEs256)
                 : TokenKey::FromDer(kEs256, credential->key.view());
  if (!key.ok()) return StatusWord(kSwWrongData);
  const uint8_t flags = touched && !Does(Misbehaviour::kUpCleared) ? 1 : 0;
  const std::string signed_part = ByteWriter().U8(flags).U32(NextCounter()).bytes();
  const std::string signature = key->Sign(absl::StrCat(application, signed_part, challenge));
  if (!Save().ok()) return StatusWord(kSwWrongData);
  return absl::StrCat(signed_part, signature, StatusWord(kSwOk));
}

}  // namespace forekey::fido2sim

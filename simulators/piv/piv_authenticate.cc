// SPDX-License-Identifier: Apache-2.0
// GENERAL AUTHENTICATE, GENERATE ASYMMETRIC KEY PAIR (SP 800-73-4 part 2, 3.2.4 and 3.3.2), IMPORT
// (Yubico).
#include <utility>

#include "simulators/piv/piv_applet.h"

namespace forekey::piv {
namespace {

// YubiKeys end the wait for a touch after about fifteen seconds, and remember one for as long.
constexpr absl::Duration kTouchCached = absl::Seconds(15);

std::string AuthTemplate(uint32_t tag, absl::string_view value) {
  return MakeTlv(0x7c, MakeTlv(tag, value));
}

}  // namespace

bool PivApplet::AllowedAlgorithm(Algorithm algorithm) const {
  const PivConfig& config = state_.config;
  switch (algorithm) {
    case Algorithm::kRsa1024:
      return config.yubikey() && !config.fips;
    case Algorithm::kRsa2048:
    case Algorithm::kP256:
      return true;
    case Algorithm::kP384:
      return !config.yubikey() || config.AtLeast(4, 0, 0);
    case Algorithm::kRsa3072:
      return !config.yubikey() || config.AtLeast(5, 7, 0);  // SP 800-78-5 has it, too
    case Algorithm::kRsa4096:
    case Algorithm::kEd25519:
    case Algorithm::kX25519:
      return config.AtLeast(5, 7, 0);
    default:
      return false;
  }
}

bool PivApplet::ReadPolicies(uint8_t slot, const std::vector<Tlv>& parts, PivKey* key) const {
  auto pin = FindTlv(parts, 0xaa), touch = FindTlv(parts, 0xab);
  if ((pin || touch) && !state_.config.AtLeast(4, 0, 0)) return false;
  if ((pin && (pin->size() != 1 || (*pin)[0] > 3)) ||
      (touch && (touch->size() != 1 || (*touch)[0] > 3))) {
    return false;
  }
  key->pin_policy = pin ? static_cast<PinPolicy>((*pin)[0]) : PinPolicy::kDefault;
  key->touch_policy = touch ? static_cast<TouchPolicy>((*touch)[0]) : TouchPolicy::kDefault;
  if (key->touch_policy == TouchPolicy::kCached && !state_.config.AtLeast(4, 3, 0)) return false;
  if (key->pin_policy == PinPolicy::kNever && state_.config.fips && slot != 0x9e) return false;
  if (key->pin_policy == PinPolicy::kDefault) {
    key->pin_policy = slot == 0x9c                   ? PinPolicy::kAlways
                      : slot == 0x9e || slot == 0xf9 ? PinPolicy::kNever
                                                     : PinPolicy::kOnce;
  }
  if (key->touch_policy == TouchPolicy::kDefault) key->touch_policy = TouchPolicy::kNever;
  return true;
}

bool PivApplet::Touched(TouchPolicy policy) {
  if (policy == TouchPolicy::kNever) return true;
  if (policy == TouchPolicy::kCached && environment_.now() < touched_until_) return true;
  if (!environment_.touch()) return false;
  if (policy == TouchPolicy::kCached) touched_until_ = environment_.now() + kTouchCached;
  return true;
}

PivApplet::Reply PivApplet::GeneralAuthenticate(const CommandApdu& apdu) {
  auto outer = ParseTlvs(apdu.data);
  if (!outer.ok() || outer->size() != 1 || outer->front().tag != 0x7c) return 0x6a80;
  auto parts = ParseTlvs(outer->front().value);
  if (!parts.ok()) return 0x6a80;
  const Algorithm algorithm = static_cast<Algorithm>(apdu.p1 == 0 ? 0x03 : apdu.p1);
  if (apdu.p2 == 0x9b) return AuthenticateManagement(algorithm, *parts);
  if (!IsKeySlot(apdu.p2)) return 0x6a86;
  auto found = state_.keys.find(apdu.p2);
  if (found == state_.keys.end() || apdu.p2 == 0xf9) return 0x6a88;
  if (found->second.algorithm != algorithm) return 0x6a86;
  return UsePrivateKey(found->second, *parts);
}

PivApplet::Reply PivApplet::AuthenticateManagement(Algorithm algorithm,
                                                   const std::vector<Tlv>& parts) {
  const std::string witness = std::exchange(witness_, ""),
                    challenge = std::exchange(challenge_, "");
  if (algorithm != state_.management_algorithm) return 0x6a86;
  const auto key = state_.management_key.view();
  auto crypt = [&](absl::string_view in, bool encrypt) {
    return CipherBlocks(algorithm, key, in, encrypt);
  };
  auto given_witness = FindTlv(parts, 0x80), given_challenge = FindTlv(parts, 0x81);
  auto response = FindTlv(parts, 0x82);
  const size_t block = BlockSize(algorithm);
  management_authenticated_ = false;
  if (given_witness && given_witness->empty()) {  // mutual, first step: our witness, encrypted
    witness_ = RandomBytes(block);
    auto encrypted = crypt(witness_, true);
    return encrypted.ok() ? Reply(AuthTemplate(0x80, *encrypted)) : Reply(0x6f00);
  }
  if (given_witness) {  // second step: they have decrypted it, and we encrypt their challenge
    if (!given_challenge || given_challenge->size() != block) return 0x6a80;
    if (witness.empty() || !ConstantTimeEqual(*given_witness, witness)) return 0x6982;
    if (state_.management_touch && !Touched(TouchPolicy::kAlways)) return 0x6982;
    auto encrypted = crypt(*given_challenge, true);
    if (!encrypted.ok()) return 0x6f00;
    management_authenticated_ = true;
    return Reply(AuthTemplate(0x82, *encrypted));
  }
  if (given_challenge && given_challenge->empty()) {  // single, first step
    challenge_ = RandomBytes(block);
    return Reply(AuthTemplate(0x81, challenge_));
  }
  if (response && !response->empty()) {
    auto expected = crypt(challenge.empty() ? absl::string_view() : challenge, true);
    if (!expected.ok() || !ConstantTimeEqual(*expected, *response)) return 0x6982;
    if (state_.management_touch && !Touched(TouchPolicy::kAlways)) return 0x6982;
    management_authenticated_ = true;
    return 0x9000;
  }
  return 0x6a80;
}

PivApplet::Reply PivApplet::UsePrivateKey(PivKey& key, const std::vector<Tlv>& parts) {
  auto input = FindTlv(parts, 0x81), peer = FindTlv(parts, 0x85), response = FindTlv(parts, 0x82);
  if (!response || !response->empty() || input.has_value() == peer.has_value()) return 0x6a80;
  const bool always = key.pin_policy == PinPolicy::kAlways;
  if (always ? !pin_fresh_ : key.pin_policy != PinPolicy::kNever && !pin_verified_) return 0x6982;
  if (always) pin_fresh_ = false;
  if (!Touched(key.touch_policy)) return 0x6982;
  auto pkey = LoadKey(key.private_der.view());
  if (!pkey.ok()) return 0x6581;
  environment_.key_use();
  auto result = input ? UseKey(key.algorithm, pkey->get(), *input)
                      : AgreeKey(key.algorithm, pkey->get(), *peer);
  if (!result.ok()) return 0x6a80;
  ++signatures_;
  if (misbehaviour_.corrupt_signature) result->back() = static_cast<char>(result->back() ^ 1);
  return Reply(AuthTemplate(0x82, *result));
}

PivApplet::Reply PivApplet::Generate(const CommandApdu& apdu) {
  if (!management_authenticated_) return 0x6982;
  if (apdu.p1 != 0 || !IsKeySlot(apdu.p2)) return 0x6a86;
  auto outer = ParseTlvs(apdu.data);
  if (!outer.ok() || outer->size() != 1 || outer->front().tag != 0xac) return 0x6a80;
  auto parts = ParseTlvs(outer->front().value);
  if (!parts.ok()) return 0x6a80;
  auto wanted = FindTlv(*parts, 0x80);
  if (!wanted || wanted->size() != 1) return 0x6a80;
  PivKey key;
  key.algorithm = static_cast<Algorithm>((*wanted)[0]);
  if (!AllowedAlgorithm(key.algorithm) || !ReadPolicies(apdu.p2, *parts, &key)) return 0x6a80;
  environment_.key_use();
  auto pkey = GenerateKey(key.algorithm);
  if (!pkey.ok()) return 0x6f00;
  key.private_der = StoreKey(pkey->get());
  if (misbehaviour_.generate_other_key) {
    pkey = GenerateKey(key.algorithm);
    if (!pkey.ok()) return 0x6f00;
  }
  auto object = PublicKeyObject(key.algorithm, pkey->get());
  if (!object.ok()) return 0x6f00;
  state_.keys[apdu.p2] = std::move(key);
  dirty_ = true;
  return Reply(MakeTlv(0x7f49, *object));
}

PivApplet::Reply PivApplet::Import(const CommandApdu& apdu) {
  if (!management_authenticated_) return 0x6982;
  if (!IsKeySlot(apdu.p2)) return 0x6a86;
  auto parts = ParseTlvs(apdu.data);
  PivKey key;
  key.algorithm = static_cast<Algorithm>(apdu.p1);
  key.imported = true;
  if (!parts.ok() || !AllowedAlgorithm(key.algorithm) || !ReadPolicies(apdu.p2, *parts, &key))
    return 0x6a80;
  auto pkey = ImportKey(key.algorithm, *parts);
  if (!pkey.ok()) return 0x6a80;
  key.private_der = StoreKey(pkey->get());
  state_.keys[apdu.p2] = std::move(key);
  dirty_ = true;
  return 0x9000;
}

}  // namespace forekey::piv

// SPDX-License-Identifier: Apache-2.0
// Yubico's own commands: ATTEST, GET METADATA, SET MANAGEMENT KEY, MOVE KEY, RESET.
#include <utility>

#include "absl/strings/str_cat.h"
#include "simulators/piv/piv_applet.h"
#include "simulators/piv/piv_certificates.h"

namespace forekey::piv {
namespace {

std::string Two(uint8_t first, uint8_t second) {
  return std::string{static_cast<char>(first), static_cast<char>(second)};
}
std::string One(uint8_t value) { return std::string(1, static_cast<char>(value)); }

}  // namespace

PivApplet::Reply PivApplet::Attest(const CommandApdu& apdu) {
  if (apdu.p2 != 0 || !IsKeySlot(apdu.p1) || apdu.p1 == 0xf9) return 0x6a86;
  auto found = state_.keys.find(apdu.p1);
  auto f9 = state_.keys.find(0xf9);
  if (found == state_.keys.end() || f9 == state_.keys.end()) return 0x6a88;
  if (found->second.imported)
    return 0x6a80;  // of a key that came from outside the card says nothing
  const PivKey& key = found->second;
  auto pkey =
      misbehaviour_.attest_other_key ? GenerateKey(key.algorithm) : LoadKey(key.private_der.view());
  auto issuer = misbehaviour_.attest_other_issuer ? GenerateKey(f9->second.algorithm)
                                                  : LoadKey(f9->second.private_der.view());
  if (!pkey.ok() || !issuer.ok()) return 0x6581;
  environment_.key_use();
  auto der = MakeSlotAttestation(state_, apdu.p1, key, pkey->get(), issuer->get());
  return der.ok() ? Reply(*std::move(der)) : Reply(0x6f00);
}

PivApplet::Reply PivApplet::Metadata(const CommandApdu& apdu) {
  if (apdu.p1 != 0) return 0x6a86;
  if (apdu.p2 == 0x80 || apdu.p2 == 0x81) {
    const bool is_pin = apdu.p2 == 0x80;
    return Reply(
        absl::StrCat(MakeTlv(0x01, One(0xff)),
                     MakeTlv(0x05, One(is_pin ? state_.pin_default : state_.puk_default)),
                     MakeTlv(0x06, is_pin ? Two(static_cast<uint8_t>(state_.pin_tries),
                                                static_cast<uint8_t>(state_.pin_tries_left))
                                          : Two(static_cast<uint8_t>(state_.puk_tries),
                                                static_cast<uint8_t>(state_.puk_tries_left)))));
  }
  if (apdu.p2 == 0x9b) {
    return Reply(absl::StrCat(MakeTlv(0x01, One(static_cast<uint8_t>(state_.management_algorithm))),
                              MakeTlv(0x02, Two(0, state_.management_touch ? 2 : 1)),
                              MakeTlv(0x05, One(state_.management_default))));
  }
  auto found = state_.keys.find(apdu.p2);
  if (found == state_.keys.end()) return 0x6a88;
  const PivKey& key = found->second;
  auto pkey = LoadKey(key.private_der.view());
  if (!pkey.ok()) return 0x6581;
  auto object = PublicKeyObject(key.algorithm, pkey->get());
  if (!object.ok()) return 0x6f00;
  return Reply(absl::StrCat(MakeTlv(0x01, One(static_cast<uint8_t>(key.algorithm))),
                            MakeTlv(0x02, Two(static_cast<uint8_t>(key.pin_policy),
                                              static_cast<uint8_t>(key.touch_policy))),
                            MakeTlv(0x03, One(key.imported ? 2 : 1)), MakeTlv(0x04, *object)));
}

PivApplet::Reply PivApplet::SetManagementKey(const CommandApdu& apdu) {
  if (!management_authenticated_) return 0x6982;
  if (apdu.p1 != 0xff || (apdu.p2 != 0xff && apdu.p2 != 0xfe)) return 0x6a86;
  if (apdu.data.size() < 3 || static_cast<uint8_t>(apdu.data[1]) != 0x9b) return 0x6a80;
  const Algorithm algorithm = static_cast<Algorithm>(apdu.data[0]);
  const absl::string_view key = apdu.data.substr(3);
  if (key.size() != static_cast<uint8_t>(apdu.data[2]) ||
      key.size() != ManagementKeySize(algorithm))
    return 0x6a80;
  if (algorithm != Algorithm::kTripleDes && !state_.config.AtLeast(5, 4, 0)) return 0x6a80;
  state_.management_key = Secret::CopyOf(key);
  state_.management_algorithm = algorithm;
  state_.management_touch = apdu.p2 == 0xfe;
  state_.management_default = false;
  dirty_ = true;
  return 0x9000;
}

PivApplet::Reply PivApplet::MoveKey(const CommandApdu& apdu) {
  if (!management_authenticated_) return 0x6982;
  const uint8_t to = apdu.p1, from = apdu.p2;
  if (!IsKeySlot(from) || from == to ||
      (to != 0xff && (!IsKeySlot(to) || to == 0xf9 || from == 0xf9)))
    return 0x6a86;
  auto found = state_.keys.find(from);
  if (found == state_.keys.end()) return 0x6a88;
  if (to != 0xff) {
    if (state_.keys.count(to) != 0) return 0x6a80;
    state_.keys[to] = std::move(found->second);
  }
  state_.keys.erase(from);
  dirty_ = true;
  return 0x9000;
}

PivApplet::Reply PivApplet::FactoryReset() {
  if (state_.pin_tries_left != 0 || state_.puk_tries_left != 0) return 0x6985;
  // As from the factory, but for the attestation key and its certificate.
  PivConfig config = state_.config;
  config.attestation = false;
  config.pin = PivConfig().pin;
  config.puk = PivConfig().puk;
  auto fresh = ManufacturePiv(config);
  if (!fresh.ok()) return 0x6f00;
  fresh->config.attestation = state_.config.attestation;
  if (auto f9 = state_.keys.find(0xf9); f9 != state_.keys.end()) {
    fresh->keys[0xf9] = std::move(f9->second);
    fresh->objects[CertificateObjectTag(0xf9)] = CertificateObject(state_.f9_certificate_der);
  }
  fresh->f9_certificate_der = state_.f9_certificate_der;
  fresh->root_pem = state_.root_pem;
  fresh->intermediates_pem = state_.intermediates_pem;
  state_ = *std::move(fresh);
  ForgetAuthentication();
  dirty_ = true;
  return 0x9000;
}

}  // namespace forekey::piv

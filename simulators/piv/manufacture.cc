// SPDX-License-Identifier: Apache-2.0
// A card as it leaves the factory, or the agency.
#include "absl/strings/str_cat.h"
#include "simulators/piv/apdu.h"
#include "simulators/piv/piv_card.h"
#include "simulators/piv/piv_certificates.h"
#include "simulators/piv/piv_keys.h"
#include "src/base/bytes.h"
#include "src/base/status.h"

namespace forekey::piv {
namespace {

// SP 800-73-4 part 1, 3.1.2: FASC-N, card UUID, expiry, no signature.
std::string Chuid(absl::string_view guid) {
  return MakeTlv(0x53,
                 absl::StrCat(MakeTlv(0x30, std::string(25, '\x5a')), MakeTlv(0x34, guid),
                              MakeTlv(0x35, "20991231"), MakeTlv(0x3e, ""), MakeTlv(0xfe, "")));
}

// SP 800-73-4 part 1, 3.1.1.
std::string Capabilities(absl::string_view identifier) {
  return MakeTlv(
      0x53,
      absl::StrCat(MakeTlv(0xf0, identifier), MakeTlv(0xf1, "\x21"), MakeTlv(0xf2, "\x21"),
                   MakeTlv(0xf3, ""), MakeTlv(0xf4, std::string(1, '\0')), MakeTlv(0xf5, "\x10"),
                   MakeTlv(0xf6, ""), MakeTlv(0xf7, ""), MakeTlv(0xfa, ""), MakeTlv(0xfb, ""),
                   MakeTlv(0xfc, ""), MakeTlv(0xfd, ""), MakeTlv(0xfe, "")));
}

absl::Status IssueAgencyKeys(PivState* state) {
  FOREKEY_RETURN_IF_ERROR(FoundAgency(state));
  state->objects[0x5fc102] = Chuid(RandomBytes(16));
  state->objects[0x5fc107] = Capabilities(RandomBytes(21));
  state->objects[0x5fc10c] =
      MakeTlv(0x53, absl::StrCat(MakeTlv(0xc1, std::string(1, '\0')),
                                 MakeTlv(0xc2, std::string(1, '\0')), MakeTlv(0xfe, "")));
  for (auto [slot, algorithm, policy] : {std::tuple{0x9a, Algorithm::kRsa2048, PinPolicy::kOnce},
                                         std::tuple{0x9c, Algorithm::kP256, PinPolicy::kAlways},
                                         std::tuple{0x9d, Algorithm::kP256, PinPolicy::kOnce},
                                         std::tuple{0x9e, Algorithm::kP256, PinPolicy::kNever}}) {
    const Algorithm made = state->config.key_algorithm.value_or(algorithm);
    FOREKEY_ASSIGN_OR_RETURN(PkeyPtr pkey, GenerateKey(made));
    FOREKEY_ASSIGN_OR_RETURN(std::string der,
                             IssueSlotCertificate(*state, static_cast<uint8_t>(slot), pkey.get()));
    PivKey key;
    key.algorithm = made;
    key.pin_policy = policy;
    key.private_der = StoreKey(pkey.get());
    state->keys[static_cast<uint8_t>(slot)] = std::move(key);
    state->objects[CertificateObjectTag(static_cast<uint8_t>(slot))] = CertificateObject(der);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PivState> ManufacturePiv(const PivConfig& config) {
  auto padded = [](const std::string& pin) {
    std::string all = pin;
    all.resize(8, '\xff');
    return Secret(std::move(all));
  };
  if (config.pin.size() < 6 || config.pin.size() > 8 || config.puk.size() != 8) {
    return absl::InvalidArgumentError("a PIN has 6 to 8 characters, a PUK 8");
  }
  PivState state;
  state.config = config;
  state.pin = padded(config.pin);
  state.puk = padded(config.puk);
  state.pin_default = config.pin == "123456";
  state.puk_default = config.puk == "12345678";
  state.pin_tries = state.pin_tries_left = config.pin_tries;
  state.puk_tries = state.puk_tries_left = config.puk_tries;
  state.management_algorithm = config.management_algorithm.value_or(
      config.AtLeast(5, 7, 0) ? Algorithm::kAes192 : Algorithm::kTripleDes);
  const size_t size = ManagementKeySize(state.management_algorithm);
  if (size == 0) return absl::InvalidArgumentError("no algorithm for a management key");
  if (config.yubikey()) {
    std::string key;  // 01 to 08, again and again
    while (key.size() < size) key += static_cast<char>(key.size() % 8 + 1);
    state.management_key = Secret(std::move(key));
  } else {
    state.management_key = Secret(RandomBytes(size));
    state.management_default = false;
  }
  // Discovery object (SP 800-73-4 part 1, 3.3.2): the application PIN alone.
  state.objects[0x7e] = MakeTlv(
      0x7e, absl::StrCat(MakeTlv(0x4f, absl::string_view(
                                           "\xa0\x00\x00\x03\x08\x00\x00\x10\x00\x01\x00", 11)),
                         MakeTlv(0x5f2f, absl::string_view("\x40\x00", 2))));
  if (!config.yubikey()) {
    FOREKEY_RETURN_IF_ERROR(IssueAgencyKeys(&state));
  } else if (config.attestation && config.AtLeast(4, 3, 0)) {
    FOREKEY_RETURN_IF_ERROR(CertifyAttestationKey(&state));
  }
  return state;
}

}  // namespace forekey::piv

// SPDX-License-Identifier: Apache-2.0
// authenticatorClientPIN (CTAP 2.1 section 6.5).
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "simulators/fido2/authenticator.h"
#include "simulators/fido2/params.h"
#include "src/base/bytes.h"

namespace forekey::fido2sim {
namespace {

constexpr int kWrongPinsInARow = 3;
constexpr size_t kPaddedPinSize = 64;

}  // namespace

std::optional<PinSecret> Authenticator::SharedSecret(int protocol, const Item& request) const {
  Params params(&request);
  const Item* peer = params.Get(3, Item::Type::kMap);
  Params key(peer);
  const int64_t key_type = key.Int(1), curve = key.Int(-1);
  const absl::string_view x = key.Bytes(-2), y = key.Bytes(-3);
  if (key.status() != kOk || key_type != 2 || curve != 1) return std::nullopt;
  auto agreed = agreement_key_.Agree(x, y);
  if (!agreed) return std::nullopt;
  return PinSecret(protocol, agreed->view());
}

Authenticator::Reply Authenticator::ClientPin(const Item& request, UserPresence& presence) {
  if (!config_.client_pin && !config_.built_in_uv) return {kInvalidCommand, ""};
  Params params(&request);
  const int64_t subcommand = params.Int(2);
  const int protocol = static_cast<int>(params.Int(1, subcommand != 1 && subcommand != 7));
  if (params.status() != kOk) return {params.status(), ""};
  if (subcommand == 1) {
    const int retries = Does(Misbehaviour::kPinBlocked) ? 0 : state_.pin_retries;
    return {kOk, CborMap({{CborInt(3), CborInt(retries)},
                          {CborInt(4), CborBool(wrong_pins_in_a_row_ >= kWrongPinsInARow)}})};
  }
  if (subcommand == 7) {
    if (!config_.built_in_uv) return {kInvalidSubcommand, ""};
    return {
        kOk,
        CborMap({{CborInt(5), CborInt(Does(Misbehaviour::kUvBlocked) ? 0 : state_.uv_retries)}})};
  }
  if (std::count(config_.pin_protocols.begin(), config_.pin_protocols.end(), protocol) == 0) {
    return {kInvalidParameter, ""};
  }
  switch (subcommand) {
    case 2: {
      // The algorithm of a key agreement key is ECDH-ES+HKDF-256 (-25), not a signature's.
      const std::string point = agreement_key_.Point();
      return {kOk, CborMap({{CborInt(1), CborMap({{CborInt(1), CborInt(2)},
                                                  {CborInt(3), CborInt(-25)},
                                                  {CborInt(-1), CborInt(1)},
                                                  {CborInt(-2), CborBytes(point.substr(1, 32))},
                                                  {CborInt(-3), CborBytes(point.substr(33))}})}})};
    }
    case 3:
      return config_.client_pin ? SetPinCommand(protocol, request) : Reply{kInvalidSubcommand, ""};
    case 4:
      return config_.client_pin ? ChangePin(protocol, request) : Reply{kInvalidSubcommand, ""};
    case 5:
      return config_.client_pin ? GetPinToken(protocol, request, false)
                                : Reply{kInvalidSubcommand, ""};
    case 6:
      return config_.built_in_uv && config_.pin_uv_auth_token
                 ? GetUvToken(protocol, request, presence)
                 : Reply{kInvalidSubcommand, ""};
    case 9:
      return config_.client_pin && config_.pin_uv_auth_token ? GetPinToken(protocol, request, true)
                                                             : Reply{kInvalidSubcommand, ""};
    default:
      return {kInvalidSubcommand, ""};
  }
}

uint8_t Authenticator::StoreNewPin(const PinSecret& secret, absl::string_view encrypted) {
  auto padded = secret.Decrypt(encrypted);
  if (!padded || padded->size() != kPaddedPinSize) return kInvalidParameter;
  const size_t length = padded->view().find_last_not_of('\0') + 1;
  if (length == kPaddedPinSize || length < config_.min_pin_length) return kPinPolicyViolation;
  state_.pin_hash = Secret(Sha256Of(padded->view().substr(0, length)).substr(0, 16));
  state_.pin_retries = kPinRetries;
  wrong_pins_in_a_row_ = 0;
  NewPinUvToken();
  return Save().ok() ? kOk : kOther;
}

Authenticator::Reply Authenticator::SetPinCommand(int protocol, const Item& request) {
  Params params(&request);
  const absl::string_view param = params.Bytes(4), encrypted = params.Bytes(5);
  params.Get(3, Item::Type::kMap);
  if (params.status() != kOk) return {params.status(), ""};
  if (!state_.pin_hash.empty()) return {kPinAuthInvalid, ""};
  const auto secret = SharedSecret(protocol, request);
  if (!secret) return {kInvalidParameter, ""};
  if (!secret->Verify(encrypted, param)) return {kPinAuthInvalid, ""};
  return {StoreNewPin(*secret, encrypted), ""};
}

Authenticator::Reply Authenticator::ChangePin(int protocol, const Item& request) {
  Params params(&request);
  const absl::string_view param = params.Bytes(4), encrypted = params.Bytes(5),
                          old = params.Bytes(6);
  params.Get(3, Item::Type::kMap);
  if (params.status() != kOk) return {params.status(), ""};
  if (state_.pin_hash.empty()) return {kPinNotSet, ""};
  const auto secret = SharedSecret(protocol, request);
  if (!secret) return {kInvalidParameter, ""};
  if (!secret->Verify(absl::StrCat(encrypted, old), param)) return {kPinAuthInvalid, ""};
  if (uint8_t status = CheckPin(*secret, old); status != kOk) return {status, ""};
  return {StoreNewPin(*secret, encrypted), ""};
}

// Section 6.5.5.7: the try is counted, and saved, before the PIN is compared, so that pulling the
// token out does not give it back.
uint8_t Authenticator::CheckPin(const PinSecret& secret, absl::string_view pin_hash_encrypted) {
  if (state_.pin_retries <= 0 || Does(Misbehaviour::kPinBlocked)) return kPinBlocked;
  if (wrong_pins_in_a_row_ >= kWrongPinsInARow || Does(Misbehaviour::kPinAuthBlocked)) {
    return kPinAuthBlocked;
  }
  --state_.pin_retries;
  if (!Save().ok()) return kOther;
  const auto given = secret.Decrypt(pin_hash_encrypted);
  if (given && ConstantTimeEqual(given->view(), state_.pin_hash.view())) {
    state_.pin_retries = kPinRetries;
    wrong_pins_in_a_row_ = 0;
    return Save().ok() ? kOk : kOther;
  }
  NewKeyAgreement();
  ++wrong_pins_in_a_row_;
  if (state_.pin_retries == 0) return kPinBlocked;
  return wrong_pins_in_a_row_ >= kWrongPinsInARow ? kPinAuthBlocked : kPinInvalid;
}

Authenticator::Reply Authenticator::GrantToken(int protocol, const PinSecret& secret,
                                               uint8_t permissions, absl::string_view rp_id) {
  NewPinUvToken();
  token_.protocol = protocol;
  token_.permissions = permissions;
  token_.rp_id = std::string(rp_id);
  token_.verified_user = true;
  return {kOk, CborMap({{CborInt(2), CborBytes(secret.Encrypt(token_.value.view()))}})};
}

Authenticator::Reply Authenticator::GetPinToken(int protocol, const Item& request,
                                                bool with_permissions) {
  Params params(&request);
  const absl::string_view encrypted = params.Bytes(6);
  params.Get(3, Item::Type::kMap);
  const int64_t permissions = params.Int(9, with_permissions);
  const absl::string_view rp_id = params.Text(10, false);
  if (params.status() != kOk) return {params.status(), ""};
  if (!with_permissions && (request.Find(9) != nullptr || request.Find(10) != nullptr)) {
    return {kInvalidParameter, ""};
  }
  if (with_permissions && permissions == 0) return {kInvalidParameter, ""};
  if (with_permissions && (permissions & ~(kPermitMake | kPermitAssert | kPermitManage)) != 0) {
    return {kUnauthorizedPermission, ""};
  }
  if ((permissions & (kPermitMake | kPermitAssert)) != 0 && rp_id.empty())
    return {kMissingParameter, ""};
  if (state_.pin_hash.empty()) return {kPinNotSet, ""};
  const auto secret = SharedSecret(protocol, request);
  if (!secret) return {kInvalidParameter, ""};
  if (uint8_t status = CheckPin(*secret, encrypted); status != kOk) return {status, ""};
  // Without permissions: as CTAP 2.0 had it, for both ceremonies; credential management of that
  // time's preview took it, too.
  return GrantToken(protocol, *secret,
                    with_permissions ? static_cast<uint8_t>(permissions)
                                     : uint8_t{kPermitMake | kPermitAssert | kPermitManage},
                    rp_id);
}

Authenticator::Reply Authenticator::GetUvToken(int protocol, const Item& request,
                                               UserPresence& presence) {
  Params params(&request);
  params.Get(3, Item::Type::kMap);
  const int64_t permissions = params.Int(9);
  const absl::string_view rp_id = params.Text(10, false);
  if (params.status() != kOk) return {params.status(), ""};
  if (permissions == 0) return {kInvalidParameter, ""};
  if ((permissions & ~(kPermitMake | kPermitAssert | kPermitManage)) != 0) {
    return {kUnauthorizedPermission, ""};
  }
  if ((permissions & (kPermitMake | kPermitAssert)) != 0 && rp_id.empty())
    return {kMissingParameter, ""};
  const auto secret = SharedSecret(protocol, request);
  if (!secret) return {kInvalidParameter, ""};
  if (uint8_t status = BuiltInVerification(presence); status != kOk) return {status, ""};
  return GrantToken(protocol, *secret, static_cast<uint8_t>(permissions), rp_id);
}

}  // namespace forekey::fido2sim

// SPDX-License-Identifier: Apache-2.0
#include "simulators/fido2/authenticator.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "simulators/fido2/params.h"
#include "src/base/bytes.h"

namespace forekey::fido2sim {
namespace {

constexpr size_t kMaxPinLength = 63;

TokenKey FreshAgreementKey() { return *TokenKey::Generate(kEs256); }

bool IsCeremony(uint8_t command) { return command == kMakeCredential || command == kGetAssertion; }

// "once more the first entry", where the body is a map of at least one entry.
std::string WithDuplicateKey(const std::string& body) {
  auto item = Item::Parse(body);
  if (!item || item->type != Item::Type::kMap || item->map.empty() || item->map.size() > 22)
    return body;
  const auto& [key, value] = item->map[0];
  std::string out = body;
  out[0] = static_cast<char>(out[0] + 1);
  return out.insert(1, absl::StrCat(key.raw, value.raw));
}

}  // namespace

Authenticator::Authenticator(Config config, State state, std::string directory)
    : config_(std::move(config)),
      state_(std::move(state)),
      directory_(std::move(directory)),
      agreement_key_(FreshAgreementKey()) {
  PowerCycle();
}

void Authenticator::PowerCycle() {
  powered_up_ = absl::Now();
  wrong_pins_in_a_row_ = 0;
  next_assertions_.ids.clear();
  next_rps_.clear();
  next_credentials_.clear();
  NewKeyAgreement();
  NewPinUvToken();
}

void Authenticator::NewKeyAgreement() { agreement_key_ = FreshAgreementKey(); }
void Authenticator::NewPinUvToken() { token_ = {0, Secret(RandomOf(32)), 0, "", false}; }

absl::Status Authenticator::Save() const {
  return directory_.empty() ? absl::OkStatus() : state_.Save(directory_);
}

Authenticator::Reply Authenticator::Saved(Reply reply) const {
  return Save().ok() ? std::move(reply) : Reply{kOther, ""};
}

absl::Status Authenticator::SetPin(absl::string_view pin) {
  if (!pin.empty() && (pin.size() < config_.min_pin_length || pin.size() > kMaxPinLength)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a PIN has ", config_.min_pin_length, " to ", kMaxPinLength, " bytes"));
  }
  state_.pin_hash = pin.empty() ? Secret() : Secret(Sha256Of(pin).substr(0, 16));
  state_.pin_retries = kPinRetries;
  wrong_pins_in_a_row_ = 0;
  return Save();
}

std::string Authenticator::Cbor(absl::string_view request, UserPresence& presence) {
  if (request.empty()) return std::string(1, static_cast<char>(kInvalidLength));
  if (request.size() > config_.max_message_size)
    return std::string(1, static_cast<char>(kRequestTooLarge));
  const uint8_t command = static_cast<uint8_t>(request[0]);
  Reply reply = Dispatch(command, request.substr(1), presence);
  if (reply.status == kOk && IsCeremony(command)) {
    if (Does(Misbehaviour::kMalformedCbor)) reply.body.resize(reply.body.size() - 5);
    if (Does(Misbehaviour::kTrailingCbor)) reply.body.push_back('\0');
    if (Does(Misbehaviour::kDuplicateCborKey)) reply.body = WithDuplicateKey(reply.body);
    if (Does(Misbehaviour::kEmptyAnswer)) reply.body.clear();
  }
  return std::string(1, static_cast<char>(reply.status)) + (reply.status == kOk ? reply.body : "");
}

Authenticator::Reply Authenticator::Dispatch(uint8_t command, absl::string_view body,
                                             UserPresence& presence) {
  // An iterator ends with the first command that is not its own.
  if (command != kGetNextAssertion) next_assertions_.ids.clear();
  if (command != kCredentialManagement && command != kCredentialManagementPreview) {
    next_rps_.clear();
    next_credentials_.clear();
  }
  switch (command) {
    case kGetInfo:
      return body.empty() ? GetInfo() : Reply{kInvalidLength, ""};
    case kReset:
      return body.empty() ? Reset(presence) : Reply{kInvalidLength, ""};
    case kSelection:
      return {body.empty() ? AskTouch(presence) : uint8_t{kInvalidLength}, ""};
    case kGetNextAssertion:
      return body.empty() ? GetNextAssertion() : Reply{kInvalidLength, ""};
    case kMakeCredential:
    case kGetAssertion:
    case kClientPin:
    case kCredentialManagement:
    case kCredentialManagementPreview:
      break;
    default:
      return {kInvalidCommand, ""};
  }
  const auto request = Item::Parse(body);
  if (!request) return {kInvalidCbor, ""};
  if (request->type != Item::Type::kMap) return {kCborUnexpectedType, ""};
  switch (command) {
    case kMakeCredential:
      return MakeCredential(*request, presence);
    case kGetAssertion:
      return GetAssertion(*request, presence);
    case kClientPin:
      return ClientPin(*request, presence);
    default:
      return CredentialManagement(*request);
  }
}

Authenticator::Reply Authenticator::GetInfo() const {
  std::vector<std::string> versions = {CborText("FIDO_2_0")};
  if (config_.pin_uv_auth_token) versions.push_back(CborText("FIDO_2_1"));
  if (config_.u2f) versions.insert(versions.begin(), CborText("U2F_V2"));
  std::vector<std::pair<std::string, std::string>> options = {
      {CborText("plat"), CborBool(false)},
      {CborText("rk"), CborBool(config_.resident_keys)},
      {CborText("up"), CborBool(true)}};
  if (config_.client_pin)
    options.emplace_back(CborText("clientPin"), CborBool(!state_.pin_hash.empty()));
  if (config_.built_in_uv) options.emplace_back(CborText("uv"), CborBool(true));
  if (config_.pin_uv_auth_token) options.emplace_back(CborText("pinUvAuthToken"), CborBool(true));
  if (config_.make_cred_uv_not_required) {
    options.emplace_back(CborText("makeCredUvNotRqd"), CborBool(true));
  }
  if (config_.credential_management) options.emplace_back(CborText("credMgmt"), CborBool(true));
  std::vector<std::string> protocols, algorithms;
  for (int protocol : config_.pin_protocols) protocols.push_back(CborInt(protocol));
  for (int algorithm : config_.algorithms) {
    algorithms.push_back(CborMap(
        {{CborText("alg"), CborInt(algorithm)}, {CborText("type"), CborText("public-key")}}));
  }
  std::vector<std::pair<std::string, std::string>> info = {
      {CborInt(1), CborArray(versions)},
      {CborInt(3), CborBytes(config_.aaguid)},
      {CborInt(4), CborMap(options)},
      {CborInt(5), CborInt(static_cast<int64_t>(config_.max_message_size))},
      {CborInt(7), CborInt(static_cast<int64_t>(config_.max_credentials_in_list))},
      {CborInt(8), CborInt(128)},
      {CborInt(9), CborArray({CborText("usb")})},
      {CborInt(10), CborArray(algorithms)},
      {CborInt(13), CborInt(static_cast<int64_t>(config_.min_pin_length))},
      {CborInt(14), CborInt(config_.firmware)}};
  if (config_.cred_protect) info.emplace_back(CborInt(2), CborArray({CborText("credProtect")}));
  if (config_.client_pin || config_.built_in_uv)
    info.emplace_back(CborInt(6), CborArray(protocols));
  return {kOk, CborMap(info)};
}

Authenticator::Reply Authenticator::Reset(UserPresence& presence) {
  if (absl::Now() - powered_up_ > config_.reset_window) return {kNotAllowed, ""};
  if (uint8_t status = AskTouch(presence); status != kOk) return {status, ""};
  state_.credentials.clear();
  state_.pin_hash = Secret();
  state_.pin_retries = kPinRetries;
  state_.uv_retries = kUvRetries;
  PowerCycle();
  return Saved({kOk, ""});
}

uint8_t Authenticator::AskTouch(UserPresence& presence) const {
  switch (presence.Wait(config_.touch_timeout)) {
    case TouchResult::kTouched:
      return kOk;
    case TouchResult::kDenied:
      return kOperationDenied;
    case TouchResult::kTimedOut:
      return kUserActionTimeout;
    case TouchResult::kCancelled:
    case TouchResult::kGone:
      return kKeepaliveCancel;
  }
  return kOther;
}

uint8_t Authenticator::BuiltInVerification(UserPresence& presence) {
  if (state_.uv_retries <= 0 || Does(Misbehaviour::kUvBlocked)) return kUvBlocked;
  return AskTouch(presence);
}

uint8_t Authenticator::ReadOptions(const Item& request, int key, Options* options) const {
  Params params(&request);
  const Item* map = params.Get(key, Item::Type::kMap, false);
  if (map == nullptr) return params.status();
  for (const auto& [name, value] : map->map) {
    if (value.type != Item::Type::kBool) return kCborUnexpectedType;
    if (name.bytes == "rk") options->rk = value.number != 0;
    if (name.bytes == "uv") options->uv = value.number != 0;
    if (name.bytes == "up") {
      options->up = value.number != 0;
      options->up_given = true;
    }
    // Others are ignored, as the section says.
  }
  return kOk;
}

uint8_t Authenticator::VerifyUser(const Item& request, int param_key, Permission permission,
                                  absl::string_view rp_id, Options* options, User* user,
                                  UserPresence& presence) {
  Params params(&request);
  const Item* param = params.Get(param_key, Item::Type::kBytes, false);
  const Item* protocol = params.Get(param_key + 1, Item::Type::kInt, false);
  if (params.status() != kOk) return params.status();
  if (param != nullptr && param->bytes.empty()) {  // "which token is it?", from CTAP 2.0 platforms
    if (uint8_t status = AskTouch(presence); status != kOk) return status;
    return state_.pin_hash.empty() ? kPinNotSet : kPinInvalid;
  }
  if (param != nullptr) {
    if (protocol == nullptr) return kMissingParameter;
    if (std::count(config_.pin_protocols.begin(), config_.pin_protocols.end(), protocol->number) ==
        0) {
      return kInvalidParameter;
    }
    options->uv = false;  // the token stands for the verification
    const Item* hash = request.Find(permission == kPermitMake ? 1 : 2);
    if (token_.protocol != protocol->number || (token_.permissions & permission) == 0 ||
        !VerifyPinAuth(token_.protocol, token_.value.view(), hash->bytes, param->bytes) ||
        (!token_.rp_id.empty() && token_.rp_id != rp_id)) {
      return kPinAuthInvalid;
    }
    token_.rp_id = std::string(rp_id);
    user->verified = token_.verified_user;
    return kOk;
  }
  if (!options->uv) return kOk;
  if (!config_.built_in_uv) return kInvalidOption;
  if (uint8_t status = BuiltInVerification(presence); status != kOk) return status;
  user->verified = true;
  return kOk;
}

uint32_t Authenticator::NextCounter() {
  if (!config_.counters) return 0;
  ++state_.counter;
  return Does(Misbehaviour::kCounterRollback) ? state_.counter / 2 : state_.counter;
}

std::string Authenticator::AuthData(absl::string_view rp_id_hash, uint8_t flags, uint32_t counter,
                                    absl::string_view rest) const {
  std::string hash(rp_id_hash);
  if (Does(Misbehaviour::kWrongRpIdHash)) hash = Sha256Of("another.example");
  if (Does(Misbehaviour::kUpCleared)) flags &= ~0x01;
  if (Does(Misbehaviour::kUvCleared)) flags &= ~0x04;
  if (Does(Misbehaviour::kBackupEligible)) flags |= 0x18;
  if (Does(Misbehaviour::kReservedFlag)) flags |= 0x20;
  return ByteWriter().Raw(hash).U8(flags).U32(counter).Raw(rest).bytes();
}

}  // namespace forekey::fido2sim

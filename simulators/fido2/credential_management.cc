// SPDX-License-Identifier: Apache-2.0
// authenticatorCredentialManagement (CTAP 2.1 section 6.8), and its preview command 0x41.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "simulators/fido2/authenticator.h"
#include "simulators/fido2/params.h"

namespace forekey::fido2sim {

Authenticator::Reply Authenticator::CredentialManagement(const Item& request) {
  if (!config_.credential_management) return {kInvalidCommand, ""};
  Params params(&request);
  const int64_t subcommand = params.Int(1);
  const Item* arguments = params.Get(2, Item::Type::kMap, false);
  if (params.status() != kOk) return {params.status(), ""};
  if (subcommand == 3) return EnumerateRps(false);
  if (subcommand == 5) return EnumerateCredentials(nullptr, false);
  next_rps_.clear();
  next_credentials_.clear();
  if (subcommand < 1 || subcommand > 7) return {kInvalidSubcommand, ""};
  const Item* param = params.Get(4, Item::Type::kBytes, false);
  const int64_t protocol = params.Int(3, false);
  if (params.status() != kOk) return {params.status(), ""};
  if (param == nullptr) return {kPuatRequired, ""};
  const std::string message = absl::StrCat(std::string(1, static_cast<char>(subcommand)),
                                           arguments == nullptr ? "" : arguments->raw);
  if (token_.protocol == 0 || token_.protocol != protocol ||
      (token_.permissions & kPermitManage) == 0 ||
      !VerifyPinAuth(token_.protocol, token_.value.view(), message, param->bytes)) {
    return {kPinAuthInvalid, ""};
  }
  switch (subcommand) {
    case 1: {
      const int64_t existing = std::count_if(state_.credentials.begin(), state_.credentials.end(),
                                             [](const Credential& c) { return c.discoverable; });
      const int64_t room =
          std::max<int64_t>(0, static_cast<int64_t>(config_.max_resident_keys) - existing);
      return {kOk, CborMap({{CborInt(1), CborInt(existing)}, {CborInt(2), CborInt(room)}})};
    }
    case 2:
      return EnumerateRps(true);
    case 4:
      return EnumerateCredentials(arguments, true);
    case 6:
      return DeleteCredential(arguments);
    default:
      return UpdateUser(arguments);
  }
}

Authenticator::Reply Authenticator::EnumerateRps(bool begin) {
  if (begin) {
    for (const Credential& credential : state_.credentials) {
      if (credential.discoverable &&
          std::count(next_rps_.begin(), next_rps_.end(), credential.rp_id) == 0) {
        next_rps_.push_back(credential.rp_id);
      }
    }
    if (next_rps_.empty()) return {kNoCredentials, ""};
  }
  if (next_rps_.empty()) return {kNotAllowed, ""};
  const int64_t total = static_cast<int64_t>(next_rps_.size());
  const std::string rp_id = next_rps_.back();
  next_rps_.pop_back();
  std::vector<std::pair<std::string, std::string>> answer = {
      {CborInt(3), CborMap({{CborText("id"), CborText(rp_id)}})},
      {CborInt(4), CborBytes(Sha256Of(rp_id))}};
  if (begin) answer.emplace_back(CborInt(5), CborInt(total));
  return {kOk, CborMap(answer)};
}

Authenticator::Reply Authenticator::EnumerateCredentials(const Item* arguments, bool begin) {
  if (begin) {
    Params params(arguments);
    const absl::string_view hash = params.Bytes(1);
    if (params.status() != kOk) return {params.status(), ""};
    for (const Credential& credential : state_.credentials) {
      if (credential.discoverable && credential.rp_id_hash == hash)
        next_credentials_.push_back(credential.id);
    }
    if (next_credentials_.empty()) return {kNoCredentials, ""};
  }
  if (next_credentials_.empty()) return {kNotAllowed, ""};
  const int64_t total = static_cast<int64_t>(next_credentials_.size());
  const Credential* credential = state_.Find(next_credentials_.back());
  next_credentials_.pop_back();
  if (credential == nullptr) return {kOther, ""};
  auto key = TokenKey::FromDer(credential->algorithm, credential->key.view());
  if (!key.ok()) return {kOther, ""};
  std::vector<std::pair<std::string, std::string>> user = {
      {CborText("id"), CborBytes(credential->user_id)}};
  if (!credential->user_name.empty())
    user.emplace_back(CborText("name"), CborText(credential->user_name));
  if (!credential->user_display_name.empty()) {
    user.emplace_back(CborText("displayName"), CborText(credential->user_display_name));
  }
  std::vector<std::pair<std::string, std::string>> answer = {
      {CborInt(6), CborMap(user)},
      {CborInt(7), CborMap({{CborText("id"), CborBytes(credential->id)},
                            {CborText("type"), CborText("public-key")}})},
      {CborInt(8), key->Cose()},
      {CborInt(10), CborInt(credential->cred_protect)}};
  if (begin) answer.emplace_back(CborInt(9), CborInt(total));
  return {kOk, CborMap(answer)};
}

Authenticator::Reply Authenticator::DeleteCredential(const Item* arguments) {
  Params params(arguments);
  Params descriptor(params.Get(2, Item::Type::kMap));
  const absl::string_view id = descriptor.Bytes("id");
  if (descriptor.status() != kOk) return {descriptor.status(), ""};
  const auto found =
      std::find_if(state_.credentials.begin(), state_.credentials.end(),
                   [&](const Credential& c) { return c.discoverable && c.id == id; });
  if (found == state_.credentials.end()) return {kNoCredentials, ""};
  state_.credentials.erase(found);
  return Saved({kOk, ""});
}

Authenticator::Reply Authenticator::UpdateUser(const Item* arguments) {
  Params params(arguments);
  Params descriptor(params.Get(2, Item::Type::kMap));
  Params user(params.Get(3, Item::Type::kMap));
  Credential* credential = state_.Find(descriptor.Bytes("id"));
  const absl::string_view user_id = user.Bytes("id");
  const absl::string_view name = user.Text("name", false),
                          display = user.Text("displayName", false);
  if (descriptor.status() != kOk) return {descriptor.status(), ""};
  if (user.status() != kOk) return {user.status(), ""};
  if (credential == nullptr || !credential->discoverable) return {kNoCredentials, ""};
  if (credential->user_id != user_id) return {kInvalidParameter, ""};
  credential->user_name = std::string(name);
  credential->user_display_name = std::string(display);
  return Saved({kOk, ""});
}

}  // namespace forekey::fido2sim

// SPDX-License-Identifier: Apache-2.0
// authenticatorGetAssertion and authenticatorGetNextAssertion (CTAP 2.1 sections 6.2 and 6.3).
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "simulators/fido2/authenticator.h"
#include "simulators/fido2/params.h"
#include "src/base/bytes.h"

namespace forekey::fido2sim {

Authenticator::Reply Authenticator::GetAssertion(const Item& request, UserPresence& presence) {
  Params params(&request);
  const absl::string_view rp_id = params.Text(1);
  const absl::string_view client_data_hash = params.Bytes(2);
  const Item* allow = params.Get(3, Item::Type::kArray, false);
  if (params.status() != kOk) return {params.status(), ""};
  if (client_data_hash.size() != 32) return {kInvalidLength, ""};
  Options options;
  uint8_t status = ReadOptions(request, 5, &options);
  if (status != kOk) return {status, ""};
  if (options.rk) return {kUnsupportedOption, ""};
  User user;
  status = VerifyUser(request, 6, kPermitAssert, rp_id, &options, &user, presence);
  if (status != kOk) return {status, ""};

  const std::string rp_id_hash = Sha256Of(rp_id);
  const bool listed = allow != nullptr && !allow->array.empty();
  std::vector<std::string> found;  // the newest last
  if (listed) {
    if (allow->array.size() > config_.max_credentials_in_list) return {kLimitExceeded, ""};
    for (const Item& descriptor : allow->array) {
      Params fields(&descriptor);
      const Credential* known = state_.Find(fields.Bytes("id"));
      fields.Text("type");
      if (fields.status() != kOk) return {fields.status(), ""};
      const bool usable = known != nullptr && known->rp_id_hash == rp_id_hash &&
                          (known->cred_protect < 3 || user.verified);
      if (usable && found.empty()) found.push_back(known->id);  // one of the list is enough
    }
  } else {
    for (const Credential& credential : state_.credentials) {
      const bool usable = credential.discoverable && credential.rp_id_hash == rp_id_hash &&
                          (credential.cred_protect == 1 || user.verified);
      if (usable) found.push_back(credential.id);
    }
  }
  if (found.empty()) {
    // A token that has nothing says so only to whom is there (section 6.2.2 step 7.4, privacy).
    if (options.up && !listed) {
      if (status = AskTouch(presence); status != kOk) return {status, ""};
    }
    return {kNoCredentials, ""};
  }
  if (options.up) {
    if (status = AskTouch(presence); status != kOk) return {status, ""};
  }
  const uint8_t flags = static_cast<uint8_t>((options.up ? 0x01 : 0) | (user.verified ? 0x04 : 0));
  next_assertions_.client_data_hash = std::string(client_data_hash);
  next_assertions_.flags = flags;
  next_assertions_.identify = user.verified && found.size() > 1;
  next_assertions_.since = absl::Now();
  const size_t total = found.size();
  const Credential* first = state_.Find(found.back());
  found.pop_back();
  next_assertions_.ids = std::move(found);
  return Assert(*first, client_data_hash, flags, next_assertions_.identify, total);
}

Authenticator::Reply Authenticator::GetNextAssertion() {
  if (next_assertions_.ids.empty() || absl::Now() - next_assertions_.since > absl::Seconds(30)) {
    return {kNotAllowed, ""};
  }
  const Credential* next = state_.Find(next_assertions_.ids.back());
  next_assertions_.ids.pop_back();
  next_assertions_.since = absl::Now();
  if (next == nullptr) return {kNotAllowed, ""};
  return Assert(*next, next_assertions_.client_data_hash, next_assertions_.flags,
                next_assertions_.identify, 0);
}

Authenticator::Reply Authenticator::Assert(const Credential& credential,
                                           absl::string_view client_data_hash, uint8_t flags,
                                           bool identify, size_t of) {
  auto key = Does(Misbehaviour::kOtherKeysSignature)
                 ? TokenKey::Generate(credential.algorithm)
                 : TokenKey::FromDer(credential.algorithm, credential.key.view());
  if (!key.ok()) return {kOther, ""};
  std::string hash(client_data_hash);
  if (Does(Misbehaviour::kWrongClientDataHash)) hash = Sha256Of(hash);
  const std::string auth_data = AuthData(credential.rp_id_hash, flags, NextCounter(), "");
  std::string id = credential.id;
  if (Does(Misbehaviour::kWrongCredentialId)) id = RandomOf(id.size());
  std::vector<std::pair<std::string, std::string>> answer = {
      {CborInt(1),
       CborMap({{CborText("id"), CborBytes(id)}, {CborText("type"), CborText("public-key")}})},
      {CborInt(2), CborBytes(auth_data)},
      {CborInt(3), CborBytes(key->Sign(auth_data + hash))}};
  if (credential.discoverable) {
    std::vector<std::pair<std::string, std::string>> user = {
        {CborText("id"), CborBytes(credential.user_id)}};
    if (identify && !credential.user_name.empty()) {
      user.emplace_back(CborText("name"), CborText(credential.user_name));
    }
    if (identify && !credential.user_display_name.empty()) {
      user.emplace_back(CborText("displayName"), CborText(credential.user_display_name));
    }
    answer.emplace_back(CborInt(4), CborMap(user));
  }
  if (of > 1) answer.emplace_back(CborInt(5), CborInt(static_cast<int64_t>(of)));
  return Saved({kOk, CborMap(answer)});
}

}  // namespace forekey::fido2sim

// SPDX-License-Identifier: Apache-2.0
// authenticatorMakeCredential (CTAP 2.1 section 6.1) and the attestation statements (WebAuthn Level
// 3 section 8).
#include "absl/strings/str_cat.h"
#include "simulators/fido2/authenticator.h"
#include "simulators/fido2/params.h"
#include "src/base/bytes.h"

namespace forekey::fido2sim {
namespace {

constexpr size_t kCredentialIdSize = 48;

// The first algorithm of the list that `supported` has; 0 where there is none.
int ChooseAlgorithm(const Item& list, const std::vector<int>& supported, uint8_t* status) {
  int chosen = 0;
  for (const Item& entry : list.array) {
    Params params(&entry);
    const int64_t algorithm = params.Int("alg");
    const absl::string_view type = params.Text("type");
    if (params.status() != kOk) {
      *status = params.status();
      return 0;
    }
    if (chosen != 0 || type != "public-key") continue;
    for (int known : supported) {
      if (known == algorithm) chosen = known;
    }
  }
  if (chosen == 0) *status = kUnsupportedAlgorithm;
  return chosen;
}

struct Entities {
  absl::string_view rp_id, user_id, user_name, user_display_name;
};

uint8_t ReadEntities(const Item& request, Entities* out) {
  Params params(&request);
  Params rp(params.Get(2, Item::Type::kMap));
  Params user(params.Get(3, Item::Type::kMap));
  if (params.status() != kOk) return params.status();
  out->rp_id = rp.Text("id");
  out->user_id = user.Bytes("id");
  out->user_name = user.Text("name", false);
  out->user_display_name = user.Text("displayName", false);
  if (out->user_id.size() > 64) user.Fail(kInvalidLength);
  return rp.status() != kOk ? rp.status() : user.status();
}

}  // namespace

Authenticator::Reply Authenticator::MakeCredential(const Item& request, UserPresence& presence) {
  Params params(&request);
  const absl::string_view client_data_hash = params.Bytes(1);
  const Item* algorithms = params.Get(4, Item::Type::kArray);
  const Item* exclude = params.Get(5, Item::Type::kArray, false);
  const Item* extensions = params.Get(6, Item::Type::kMap, false);
  if (params.status() != kOk) return {params.status(), ""};
  if (client_data_hash.size() != 32) return {kInvalidLength, ""};
  Entities entities;
  if (uint8_t status = ReadEntities(request, &entities); status != kOk) return {status, ""};
  uint8_t status = kOk;
  const int algorithm = ChooseAlgorithm(*algorithms, config_.algorithms, &status);
  if (status != kOk) return {status, ""};
  if (request.Find(10) != nullptr) return {kInvalidParameter, ""};  // enterprise attestation

  Options options;
  status = ReadOptions(request, 7, &options);
  if (status != kOk) return {status, ""};
  if (options.rk && !config_.resident_keys) return {kUnsupportedOption, ""};
  if (options.up_given && !options.up) return {kInvalidOption, ""};
  User user;
  status = VerifyUser(request, 8, kPermitMake, entities.rp_id, &options, &user, presence);
  if (status != kOk) return {status, ""};
  const bool protectable = !state_.pin_hash.empty() || config_.built_in_uv;
  if (!user.verified && protectable && (options.rk || !config_.make_cred_uv_not_required)) {
    return {kPuatRequired, ""};
  }

  int cred_protect = 1;
  const Item* wanted = extensions == nullptr ? nullptr : extensions->Find("credProtect");
  if (wanted != nullptr && config_.cred_protect) {
    if (wanted->type != Item::Type::kInt || wanted->number < 1 || wanted->number > 3) {
      return {kInvalidOption, ""};
    }
    cred_protect = static_cast<int>(wanted->number);
  }

  const std::string rp_id_hash = Sha256Of(entities.rp_id);
  if (exclude != nullptr) {
    if (exclude->array.size() > config_.max_credentials_in_list) return {kLimitExceeded, ""};
    for (const Item& descriptor : exclude->array) {
      Params fields(&descriptor);
      const Credential* known = state_.Find(fields.Bytes("id"));
      if (fields.status() != kOk) return {fields.status(), ""};
      if (known == nullptr || known->rp_id_hash != rp_id_hash) continue;
      if (known->cred_protect == 3 && !user.verified) continue;
      status = AskTouch(presence);
      return {status != kOk ? status : uint8_t{kCredentialExcluded}, ""};
    }
  }
  if (status = AskTouch(presence); status != kOk) return {status, ""};

  size_t residents = 0;
  for (size_t i = 0; i < state_.credentials.size(); ++i) {
    const Credential& old = state_.credentials[i];
    if (!old.discoverable) continue;
    if (options.rk && old.rp_id_hash == rp_id_hash && old.user_id == entities.user_id) {
      state_.credentials.erase(state_.credentials.begin() + static_cast<ptrdiff_t>(i--));
      continue;
    }
    ++residents;
  }
  if (options.rk && residents >= config_.max_resident_keys) return {kKeyStoreFull, ""};
  auto key = TokenKey::Generate(algorithm);
  if (!key.ok()) return {kOther, ""};
  Credential credential;
  credential.id = RandomOf(kCredentialIdSize);
  credential.rp_id = std::string(entities.rp_id);
  credential.rp_id_hash = rp_id_hash;
  credential.user_id = std::string(entities.user_id);
  credential.user_name = std::string(entities.user_name);
  credential.user_display_name = std::string(entities.user_display_name);
  credential.algorithm = algorithm;
  credential.key = key->Der();
  credential.discoverable = options.rk;
  credential.cred_protect = cred_protect;
  const std::string outputs = wanted != nullptr && config_.cred_protect
                                  ? CborMap({{CborText("credProtect"), CborInt(cred_protect)}})
                                  : "";
  const uint8_t flags =
      static_cast<uint8_t>(0x41 | (user.verified ? 0x04 : 0) | (outputs.empty() ? 0 : 0x80));
  Reply reply = Attest(credential, *key, flags, outputs, client_data_hash);
  state_.credentials.push_back(std::move(credential));
  return Saved(std::move(reply));
}

std::string Authenticator::AttestedData(const Credential& credential, const TokenKey& key) const {
  std::string aaguid = config_.aaguid;
  if (config_.attestation == AttestationKind::kFidoU2f) aaguid.assign(16, '\0');
  if (Does(Misbehaviour::kAaguidMismatch)) aaguid.back() = static_cast<char>(aaguid.back() ^ 1);
  return ByteWriter().Raw(aaguid).Len2(credential.id).Raw(key.Cose()).bytes();
}

std::string Authenticator::AttestationSignature(absl::string_view message) const {
  auto key = Does(Misbehaviour::kWrongAttestationKey)
                 ? TokenKey::Generate(kEs256)
                 : TokenKey::FromDer(kEs256, state_.attestation_key.view());
  return key.ok() ? key->Sign(message) : "";
}

Authenticator::Reply Authenticator::Attest(const Credential& credential, const TokenKey& key,
                                           uint8_t flags, absl::string_view extensions,
                                           absl::string_view client_data_hash) {
  const std::string auth_data = AuthData(credential.rp_id_hash, flags, NextCounter(),
                                         absl::StrCat(AttestedData(credential, key), extensions));
  std::string hash(client_data_hash);
  if (Does(Misbehaviour::kWrongClientDataHash)) hash = Sha256Of(hash);
  AttestationKind kind = config_.attestation;
  // The U2F format has P-256 keys only.
  if (kind == AttestationKind::kFidoU2f && credential.algorithm != kEs256)
    kind = AttestationKind::kNone;
  std::string format = "packed", statement;
  switch (kind) {
    case AttestationKind::kPackedX5c:
      statement = CborMap({{CborText("alg"), CborInt(kEs256)},
                           {CborText("sig"), CborBytes(AttestationSignature(auth_data + hash))},
                           {CborText("x5c"), CborArray({CborBytes(state_.packed_leaf)})}});
      break;
    case AttestationKind::kPackedSelf: {
      std::string signature = key.Sign(auth_data + hash);
      if (Does(Misbehaviour::kWrongAttestationKey)) {
        auto other = TokenKey::Generate(credential.algorithm);
        if (other.ok()) signature = other->Sign(auth_data + hash);
      }
      statement = CborMap({{CborText("alg"), CborInt(credential.algorithm)},
                           {CborText("sig"), CborBytes(signature)}});
      break;
    }
    case AttestationKind::kFidoU2f: {
      const std::string message = ByteWriter()
                                      .U8(0)
                                      .Raw(absl::string_view(auth_data).substr(0, 32))
                                      .Raw(hash)
                                      .Raw(credential.id)
                                      .Raw(key.Point())
                                      .bytes();
      format = "fido-u2f";
      statement = CborMap({{CborText("sig"), CborBytes(AttestationSignature(message))},
                           {CborText("x5c"), CborArray({CborBytes(state_.u2f_leaf)})}});
      break;
    }
    case AttestationKind::kNone:
      format = "none";
      statement = CborMap({});
      break;
  }
  return {kOk, CborMap({{CborInt(1), CborText(format)},
                        {CborInt(2), CborBytes(auth_data)},
                        {CborInt(3), statement}})};
}

}  // namespace forekey::fido2sim

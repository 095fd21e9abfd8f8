// SPDX-License-Identifier: Apache-2.0
#include "hw/fido2/fido_operations.h"

#include <fido/err.h>

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "hw/fido2/fido_error.h"
#include "src/base/bytes.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/public_key.h"
#include "src/wire/authenticator_data.h"
#include "src/wire/cbor.h"
#include "src/wire/client_data.h"

namespace forekey {
namespace {

constexpr size_t kMaxUserHandle = 64;

// CBOR (RFC 8949 section 3) of a length in its shortest form.
std::string CborLength(uint8_t major, size_t value) {
  ByteWriter out;
  const uint8_t top = static_cast<uint8_t>(major << 5);
  if (value < 24) {
    out.U8(static_cast<uint8_t>(top | value));
  } else if (value < 0x100) {
    out.U8(top | 24).U8(static_cast<uint8_t>(value));
  } else {
    out.U8(top | 25).U16(static_cast<uint16_t>(value));
  }
  return std::move(out).bytes();
}
std::string TextItem(absl::string_view text) {
  return absl::StrCat(CborLength(3, text.size()), text);
}
std::string BytesItem(absl::string_view bytes) {
  return absl::StrCat(CborLength(2, bytes.size()), bytes);
}

// WebAuthn 6.5.4: the members in CTAP2's canonical order.
std::string AttestationObjectOf(const fido_cred_t* cred) {
  const absl::string_view format = fido_cred_fmt(cred);
  std::string statement(View(fido_cred_attstmt_ptr(cred), fido_cred_attstmt_len(cred)));
  if (format == "fido-u2f") {
    // The library writes an alg into it, which section 8.6 does not have.
    statement = absl::StrCat(CborLength(5, 2), TextItem("sig"),
                             BytesItem(View(fido_cred_sig_ptr(cred), fido_cred_sig_len(cred))),
                             TextItem("x5c"), CborLength(4, 1),
                             BytesItem(View(fido_cred_x5c_ptr(cred), fido_cred_x5c_len(cred))));
  } else if (statement.empty()) {
    statement = CborLength(5, 0);
  }
  return absl::StrCat(
      CborLength(5, 3), TextItem("fmt"), TextItem(format), TextItem("attStmt"), statement,
      TextItem("authData"),
      BytesItem(View(fido_cred_authdata_raw_ptr(cred), fido_cred_authdata_raw_len(cred))));
}

// The most wanted algorithm that the key has. One that does not say has ES256 (CTAP 2.0, U2F).
absl::StatusOr<int> ChooseAlgorithm(const FidoInfo& info, const forekey::v1::Fido2Demand& demand) {
  constexpr int kOfLibfido2[] = {COSE_ES256, COSE_EDDSA, COSE_ES384, COSE_RS256};
  for (int wanted : demand.algorithms()) {
    if (std::count(std::begin(kOfLibfido2), std::end(kOfLibfido2), wanted) == 0) continue;
    const bool has = info.algorithms.empty()
                         ? wanted == COSE_ES256
                         : std::count(info.algorithms.begin(), info.algorithms.end(), wanted) != 0;
    if (has) return wanted;
  }
  return FromFido(FIDO_ERR_UNSUPPORTED_ALGORITHM, "fido_cbor_info_algorithm_cose");
}

absl::Status CheckDemand(const forekey::v1::Fido2Demand& demand) {
  if (demand.rp_id().empty() || demand.origin().empty()) {
    return absl::InvalidArgumentError("the gate's demand names no rpId or no origin");
  }
  if (demand.user_handle().empty() || demand.user_handle().size() > kMaxUserHandle) {
    return absl::InvalidArgumentError("the gate's demand has a user handle of a wrong size");
  }
  return absl::OkStatus();
}

absl::Status AllOk(std::initializer_list<int> codes, absl::string_view call) {
  for (int code : codes) FOREKEY_RETURN_IF_ERROR(FromFido(code, call));
  return absl::OkStatus();
}

// Null where there is none: a pointer into the secret.
std::string PinText(const FidoVerification& verification) {
  return std::string(verification.pin.view());
}

class WipedPin {
 public:
  explicit WipedPin(const FidoVerification& verification) : text_(PinText(verification)) {}
  ~WipedPin() { OPENSSL_cleanse(text_.data(), text_.size()); }
  const char* get() const { return text_.empty() ? nullptr : text_.c_str(); }

 private:
  std::string text_;
};

absl::StatusOr<FidoKeyFile> KeyOf(const fido_cred_t* cred, const FidoToken& token,
                                  const std::string& rp_id) {
  CoseKeyOptions options;
  options.from_u2f = absl::string_view(fido_cred_fmt(cred)) == "fido-u2f";
  FOREKEY_ASSIGN_OR_RETURN(
      const AuthenticatorData data,
      AuthenticatorData::Parse(
          View(fido_cred_authdata_raw_ptr(cred), fido_cred_authdata_raw_len(cred)), options));
  if (!data.attested) {
    return DeviceFailure(DeviceError::kOther,
                         "fido_dev_make_cred: no credential in the key's answer");
  }
  FidoKeyFile key;
  key.device_uri = token.address().uri;
  key.credential_id = std::string(data.attested->credential_id);
  key.rp_id = rp_id;
  key.spki = data.attested->key.key.spki();
  key.aaguid = token.info().aaguid;
  // A key that protects credentials more than by default without being asked says so (CTAP 2.1
  // section 12.1). What MakeFidoCredential() asks for leaves a credential visible to who has its
  // id.
  const bool asked = fido_cred_prot(cred) != 0;
  key.hidden = !asked && absl::c_linear_search(data.extensions, "credProtect");
  return key;
}

}  // namespace

absl::StatusOr<FidoVerification> ChooseVerification(FidoToken& token, bool required,
                                                    const Secret& given, const FidoWait& wait) {
  const FidoInfo& info = token.info();
  FidoVerification chosen;
  required = required || info.always_uv;
  if (!required && given.empty() && wait.prompt == nullptr) return chosen;
  if (info.has_uv && given.empty()) {
    int tries = -1;
    const absl::Status counted =
        token.Run("fido_dev_get_uv_retry_count", wait,
                  [&](fido_dev_t* dev) { return fido_dev_get_uv_retry_count(dev, &tries); });
    chosen.built_in = !counted.ok() || tries != 0;
    if (chosen.built_in) return chosen;
    if (!info.has_pin || wait.prompt == nullptr) {
      return FromFido(FIDO_ERR_UV_BLOCKED, "fido_dev_get_uv_retry_count");
    }
  }
  if (!info.has_pin) {
    if (!required) return chosen;
    return info.fido2 ? FromFido(FIDO_ERR_PIN_NOT_SET, "the gate wants the user verified")
                      : DeviceFailure(DeviceError::kNotSetUp,
                                      "the gate wants the user verified, which a U2F key can't do");
  }
  const int tries_left = token.PinTriesLeft(wait);
  if (tries_left == 0) return FromFido(FIDO_ERR_PIN_BLOCKED, "fido_dev_get_retry_count");
  if (!given.empty()) {
    chosen.pin = given.Clone();
    return chosen;
  }
  if (wait.prompt == nullptr) {
    return DeviceFailure(DeviceError::kPinRequired,
                         "the key's PIN is needed, and there is nobody to ask for it");
  }
  FOREKEY_ASSIGN_OR_RETURN(chosen.pin, wait.unsure
                                           ? wait.prompt->AskPinAnew(wait.description, tries_left)
                                           : wait.prompt->AskPin(wait.description, tries_left));
  if (chosen.pin.empty()) return DeviceFailure(DeviceError::kCancelled, "no PIN was given");
  return chosen;
}

absl::StatusOr<MadeCredential> MakeFidoCredential(FidoToken& token,
                                                  const forekey::v1::EnrollmentDemand& demand,
                                                  absl::string_view statement, bool discoverable,
                                                  const FidoVerification& verification,
                                                  const FidoWait& wait) {
  const forekey::v1::Fido2Demand& fido2 = demand.fido2();
  FOREKEY_RETURN_IF_ERROR(CheckDemand(fido2));
  FOREKEY_ASSIGN_OR_RETURN(const int algorithm, ChooseAlgorithm(token.info(), fido2));
  MadeCredential made;
  made.client_data_json =
      ClientData::Serialize(kClientDataCreate, Sha256(statement), fido2.origin());
  const std::string& client_data = made.client_data_json;
  const std::string& user = fido2.user_handle();
  const std::string name = demand.subject().empty() ? "forekey" : demand.subject();
  FidoPtr<fido_cred_t> cred(fido_cred_new());
  FOREKEY_RETURN_IF_ERROR(AllOk(
      {fido_cred_set_type(cred.get(), algorithm),
       fido_cred_set_clientdata(cred.get(), U8(client_data), client_data.size()),
       fido_cred_set_rp(cred.get(), fido2.rp_id().c_str(), fido2.rp_id().c_str()),
       fido_cred_set_user(cred.get(), U8(user), user.size(), name.c_str(), name.c_str(), nullptr),
       fido_cred_set_rk(cred.get(), discoverable ? FIDO_OPT_TRUE : FIDO_OPT_OMIT),
       fido_cred_set_uv(cred.get(), verification.built_in ? FIDO_OPT_TRUE : FIDO_OPT_OMIT)},
      "fido_cred_set"));
  // A discoverable credential tells whom it is for: not to everybody who finds the key.
  if (discoverable && token.info().cred_protect) {
    FOREKEY_RETURN_IF_ERROR(FromFido(
        fido_cred_set_prot(cred.get(), FIDO_CRED_PROT_UV_OPTIONAL_WITH_ID), "fido_cred_set_prot"));
  }
  const WipedPin pin(verification);
  FOREKEY_RETURN_IF_ERROR(token.Run("fido_dev_make_cred", wait, [&](fido_dev_t* dev) {
    return fido_dev_make_cred(dev, cred.get(), pin.get());
  }));
  FOREKEY_ASSIGN_OR_RETURN(made.key, KeyOf(cred.get(), token, fido2.rp_id()));
  made.attestation_object = AttestationObjectOf(cred.get());
  return made;
}

absl::StatusOr<DeviceSignature> GetFidoAssertion(FidoToken& token, const FidoKeyFile& key,
                                                 absl::string_view statement,
                                                 absl::string_view origin,
                                                 const FidoVerification& verification,
                                                 const FidoWait& wait) {
  DeviceSignature result;
  result.client_data_json = ClientData::Serialize(kClientDataGet, Sha256(statement), origin);
  const std::string& client_data = result.client_data_json;
  FidoPtr<fido_assert_t> assertion(fido_assert_new());
  FOREKEY_RETURN_IF_ERROR(AllOk(
      {fido_assert_set_clientdata(assertion.get(), U8(client_data), client_data.size()),
       fido_assert_set_rp(assertion.get(), key.rp_id.c_str()),
       fido_assert_allow_cred(assertion.get(), U8(key.credential_id), key.credential_id.size()),
       fido_assert_set_up(assertion.get(), FIDO_OPT_TRUE),
       fido_assert_set_uv(assertion.get(), verification.built_in ? FIDO_OPT_TRUE : FIDO_OPT_OMIT)},
      "fido_assert_set"));
  const WipedPin pin(verification);
  FOREKEY_RETURN_IF_ERROR(token.Run("fido_dev_get_assert", wait, [&](fido_dev_t* dev) {
    return fido_dev_get_assert(dev, assertion.get(), pin.get());
  }));
  if (fido_assert_count(assertion.get()) != 1) {
    return DeviceFailure(DeviceError::kOther, "fido_dev_get_assert: not one assertion");
  }
  result.signature = std::string(
      View(fido_assert_sig_ptr(assertion.get(), 0), fido_assert_sig_len(assertion.get(), 0)));
  // The library gives it as a CBOR byte string.
  const std::string encoded(View(fido_assert_authdata_ptr(assertion.get(), 0),
                                 fido_assert_authdata_len(assertion.get(), 0)));
  const absl::StatusOr<CborValue> data = CborValue::Parse(encoded);
  if (!data.ok() || !data->bytes()) {
    return DeviceFailure(DeviceError::kOther, "fido_dev_get_assert: malformed authenticator data");
  }
  result.authenticator_data = std::string(*data->bytes());
  FOREKEY_ASSIGN_OR_RETURN(const PublicKey public_key, PublicKey::FromSpki(key.spki));
  if (!public_key
           .Verify(absl::StrCat(result.authenticator_data, Sha256(client_data)), result.signature)
           .ok()) {
    return DeviceFailure(DeviceError::kOther,
                         "fido_dev_get_assert: the key's signature does not verify");
  }
  return result;
}

}  // namespace forekey

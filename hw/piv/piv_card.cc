// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/piv_card.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "hw/device_key.h"
#include "hw/piv/management_key.h"
#include "hw/piv/new_key.h"
#include "hw/piv/signature_input.h"
#include "hw/piv/status_word.h"
#include "hw/piv/tlv.h"
#include "src/base/bytes.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"

namespace forekey {
namespace {

// SP 800-73-4 part 1 §2.2; without the version, which cards match as a prefix.
constexpr absl::string_view kPivAid("\xA0\x00\x00\x03\x08\x00\x00\x10\x00", 9);
constexpr size_t kMinPin = 6;
constexpr size_t kMaxPin = 8;

enum Instruction : uint8_t {
  kVerify = 0x20,
  kGenerate = 0x47,
  kGeneralAuthenticate = 0x87,
  kSelect = 0xA4,
  kGetData = 0xCB,
  kPutData = 0xDB,
  // YubiKey
  kMoveKey = 0xF6,
  kGetMetadata = 0xF7,
  kGetSerial = 0xF8,
  kAttest = 0xF9,
  kGetVersion = 0xFD,
};
constexpr uint8_t kPuk = 0x81;

absl::Status CardLies(absl::string_view command, const absl::Status& why) {
  return DeviceFailure(DeviceError::kOther, absl::StrCat(command, ": ", why.message()));
}

std::string TagBytes(uint32_t tag) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) {
    if (const uint8_t byte = static_cast<uint8_t>(tag >> shift); byte != 0 || !bytes.empty()) {
      bytes.push_back(static_cast<char>(byte));
    }
  }
  return bytes;
}

bool IsAbsent(uint16_t status) { return status == kSwNotFound || status == kSwReferenceNotFound; }
bool IsUnsupported(uint16_t status) {
  return status == kSwInstruction || status == kSwClass || status == kSwFunctionNotSupported;
}

}  // namespace

absl::StatusOr<ResponseApdu> PivCard::Send(uint8_t instruction, uint8_t p1, uint8_t p2,
                                           absl::string_view data, bool expects_answer) {
  return exchange_.Send({instruction, p1, p2, data, expects_answer});
}

absl::StatusOr<std::unique_ptr<PivCard>> PivCard::Select(std::unique_ptr<CardChannel> channel) {
  std::unique_ptr<PivCard> card(new PivCard(std::move(channel)));
  FOREKEY_ASSIGN_OR_RETURN(ResponseApdu selected, card->Send(kSelect, 0x04, 0x00, kPivAid));
  if (!selected.ok()) {
    return DeviceFailure(
        DeviceError::kNotSetUp,
        absl::StrFormat("SELECT: 0x%04X: the card has no PIV application", selected.status));
  }
  FOREKEY_ASSIGN_OR_RETURN(ResponseApdu version, card->Send(kGetVersion, 0, 0, ""));
  if (version.ok() && version.data.size() == 3) {
    ByteReader reader(version.data);
    card->version_ = PivVersion{reader.U8(), reader.U8(), reader.U8()};
    FOREKEY_ASSIGN_OR_RETURN(ResponseApdu serial, card->Send(kGetSerial, 0, 0, ""));
    if (serial.ok() && serial.data.size() == 4) card->serial_ = ByteReader(serial.data).U32();
  }
  FOREKEY_ASSIGN_OR_RETURN(
      ResponseApdu discovery,
      card->Send(kGetData, 0x3F, 0xFF, EncodeTlv(0x5C, TagBytes(kObjectDiscovery))));
  if (discovery.ok() && !discovery.data.empty()) {
    auto reference = ParsePinReference(discovery.data);
    if (!reference.ok()) return CardLies("GET DATA (discovery object)", reference.status());
    card->pin_reference_ = *reference;
  }
  return card;
}

PivCard::~PivCard() {
  if (administers_)
    channel_->ResetWhenDone();  // no command takes a management key's authority back
  if (unlocked_) Lock();
}

absl::StatusOr<PivCard::PinState> PivCard::ReadPinState() {
  FOREKEY_ASSIGN_OR_RETURN(ResponseApdu response, Send(kVerify, 0x00, pin_reference_, "", false));
  PinState state;
  if (response.ok()) {
    state.verified = true;
    unlocked_ = true;
  } else if ((response.status & 0xFFF0) == 0x63C0 ||
             (response.status > 0x6300 && response.status <= 0x630F)) {
    state.tries_left = response.status & 0x0F;
  } else if (response.status == 0x6300 || response.status == kSwWrongLength ||
             response.status == kSwWrongData || response.status == kSwWrongParameters) {
    state.tries_left = -1;  // older cards know no VERIFY without PIN, or no number: nobody can tell
  } else if (response.status == kSwBlocked) {
    state.tries_left = 0;
  } else {
    return FromStatusWord(response.status, "VERIFY (tries left)");
  }
  return state;
}

absl::Status PivCard::PinBlocked() {
  std::string advice =
      "the PIN is blocked; unblock it with the PUK: ykman piv access unblock-pin, "
      "yubico-piv-tool -a unblock-pin, or what the card's issuer gave";
  auto puk = Metadata(kPuk);
  if (puk.ok() && puk->has_value() && (*puk)->tries_left == 0) {
    advice =
        "the PIN is blocked, and so is the PUK: the card's PIV application must be reset, which "
        "destroys its keys; enrol again then";
  }
  return DeviceFailure(DeviceError::kPinBlocked, absl::StrCat("VERIFY: 0x6983: ", advice));
}

absl::Status PivCard::VerifyPin(const Secret& pin) {
  if (pin.size() < kMinPin || pin.size() > kMaxPin) {
    return DeviceFailure(DeviceError::kWrongPin,
                         "a PIV PIN has 6 to 8 characters; this one was not sent to the card");
  }
  std::string padded;
  padded.reserve(kMaxPin);
  padded.append(pin.view().data(), pin.size()).resize(kMaxPin, '\xFF');
  absl::Cleanup wipe = [&padded] { Wipe(padded); };
  unlocked_ = true;  // even when the answer is lost
  FOREKEY_ASSIGN_OR_RETURN(ResponseApdu response,
                           Send(kVerify, 0x00, pin_reference_, padded, false));
  if (response.status == kSwBlocked || response.status == 0x63C0) return PinBlocked();
  return FromStatusWord(response.status, "VERIFY");
}

void PivCard::Lock() {
  unlocked_ = false;
  auto response = Send(kVerify, 0xFF, pin_reference_, "", false);
  if (response.ok() && response->ok()) {
    // A card that ignores P1 answers 9000, too.
    auto state = Send(kVerify, 0x00, pin_reference_, "", false);
    if (state.ok() && !state->ok()) return;
  }
  channel_->ResetWhenDone();
}

absl::StatusOr<std::optional<SlotMetadata>> PivCard::Metadata(uint8_t reference) {
  if (!version_.has_value() || !has_metadata_) return std::nullopt;
  FOREKEY_ASSIGN_OR_RETURN(ResponseApdu response, Send(kGetMetadata, 0x00, reference, ""));
  if (IsUnsupported(response.status)) has_metadata_ = false;
  if (IsAbsent(response.status) || !has_metadata_) return std::nullopt;
  FOREKEY_RETURN_IF_ERROR(FromStatusWord(response.status, "GET METADATA"));
  auto metadata = ParseMetadata(response.data);
  if (!metadata.ok()) return CardLies("GET METADATA", metadata.status());
  return *std::move(metadata);
}

absl::StatusOr<std::optional<std::string>> PivCard::GetObject(uint32_t tag) {
  FOREKEY_ASSIGN_OR_RETURN(ResponseApdu response,
                           Send(kGetData, 0x3F, 0xFF, EncodeTlv(0x5C, TagBytes(tag))));
  if (IsAbsent(response.status)) return std::nullopt;
  // Objects that came with later revisions of the standard are unknown tags to other vendors'
  // cards.
  if (!version_.has_value() &&
      (response.status == kSwWrongData || response.status == kSwWrongParameters ||
       response.status == kSwFunctionNotSupported)) {
    return std::nullopt;
  }
  if (response.ok() && response.data.empty()) return std::nullopt;
  const std::string command = absl::StrFormat("GET DATA (%X)", tag);
  FOREKEY_RETURN_IF_ERROR(FromStatusWord(response.status, command));
  absl::Cleanup wipe = [&response] { Wipe(response.data); };  // PRINTED may hold a key
  auto content = SoleTlv(response.data, 0x53);
  if (!content.ok()) return CardLies(command, content.status());
  if (content->empty()) return std::nullopt;
  return std::string(*content);
}

absl::StatusOr<PublicKey> PivCard::Slot::Key() const {
  if (metadata.has_value() && metadata->public_key.has_value()) return *metadata->public_key;
  FOREKEY_ASSIGN_OR_RETURN(Certificate parsed, Certificate::ParseDer(certificate));
  return PublicKey::FromSpki(parsed.Spki());
}

absl::StatusOr<PivCard::Slot> PivCard::ReadSlot(PivSlot slot) {
  Slot result;
  FOREKEY_ASSIGN_OR_RETURN(result.metadata, Metadata(slot));
  FOREKEY_ASSIGN_OR_RETURN(auto object, GetObject(CertificateObject(slot)));
  if (object.has_value()) {
    auto certificate = ParseCertificateObject(*object);
    if (certificate.ok()) result.certificate = *std::move(certificate);
  }
  if (result.metadata.has_value() || object.has_value()) {
    result.state = SlotState::kOccupied;
  } else if (version_.has_value() && has_metadata_) {
    result.state = SlotState::kEmpty;
  } else if (AtLeast({4, 3, 0})) {
    // Keys that were made on the card show in the attestation; imported ones come with a
    // certificate.
    FOREKEY_ASSIGN_OR_RETURN(auto attestation, Attest(slot));
    result.state = attestation.has_value() ? SlotState::kOccupied : SlotState::kUnknown;
  }
  return result;
}

absl::StatusOr<std::optional<std::string>> PivCard::Attest(PivSlot slot) {
  if (!CanAttest()) return std::nullopt;
  FOREKEY_ASSIGN_OR_RETURN(ResponseApdu response, Send(kAttest, slot, 0x00, ""));
  if (IsAbsent(response.status) || IsUnsupported(response.status) ||
      response.status == kSwWrongData || response.status == kSwWrongParameters) {
    return std::nullopt;
  }
  FOREKEY_RETURN_IF_ERROR(FromStatusWord(response.status, "ATTEST"));
  return std::move(response.data);
}

absl::StatusOr<std::string> PivCard::Authenticate(uint8_t algorithm, PivSlot reference,
                                                  absl::string_view request, uint32_t answer_tag) {
  FOREKEY_ASSIGN_OR_RETURN(ResponseApdu response, Send(kGeneralAuthenticate, algorithm, reference,
                                                       EncodeTlv(0x7C, request)));
  FOREKEY_RETURN_IF_ERROR(FromStatusWord(response.status, "GENERAL AUTHENTICATE"));
  auto content = SoleTlv(response.data, 0x7C);
  if (!content.ok()) return CardLies("GENERAL AUTHENTICATE", content.status());
  auto answer = SoleTlv(*content, answer_tag);
  if (!answer.ok()) return CardLies("GENERAL AUTHENTICATE", answer.status());
  return std::string(*answer);
}

absl::StatusOr<std::string> PivCard::Sign(PivSlot slot, const PublicKey& key,
                                          absl::string_view message, bool may_need_touch) {
  auto algorithm = AlgorithmOf(key);
  if (!algorithm.ok()) return DeviceFailure(DeviceError::kNotSetUp, algorithm.status().message());
  const std::string input = SignatureInput(key, message);
  auto signature = Authenticate(static_cast<uint8_t>(*algorithm), slot,
                                EncodeTlvs({{0x82, ""}, {0x81, input}}), 0x82);
  if (signature.ok()) return signature;
  const auto error = DeviceErrorOf(signature.status());
  if (may_need_touch &&
      (error == DeviceError::kPinRequired || error == DeviceError::kTouchTimeout)) {
    return DeviceFailure(
        DeviceError::kTouchTimeout,
        absl::StrCat(signature.status().message(), ": the key was not touched in time"));
  }
  if (error == DeviceError::kTouchTimeout) {  // 6985 by a key that needs no touch
    return DeviceFailure(DeviceError::kOther, signature.status().message());
  }
  return signature;
}

absl::Status PivCard::AuthenticateManagement(const Secret& key) {
  FOREKEY_ASSIGN_OR_RETURN(auto metadata, Metadata(kSlotManagement));
  if (key.empty() && metadata.has_value() && metadata->is_default == false) {
    return DeviceFailure(
        DeviceError::kNotSetUp,
        "the card's management key is not the factory's: give it with --management-key-file");
  }
  const std::optional<uint8_t> algorithm =
      metadata.has_value() ? std::optional(metadata->algorithm) : std::nullopt;
  auto cipher = ManagementCipher::New(key, algorithm);
  if (!cipher.ok()) return DeviceFailure(DeviceError::kNotSetUp, cipher.status().message());
  administers_ = true;
  FOREKEY_ASSIGN_OR_RETURN(std::string witness, Authenticate(cipher->algorithm(), kSlotManagement,
                                                             EncodeTlv(0x80, ""), 0x80));
  auto answers = cipher->Answer(witness);
  if (!answers.ok()) return CardLies("GENERAL AUTHENTICATE", answers.status());
  auto response =
      Authenticate(cipher->algorithm(), kSlotManagement,
                   EncodeTlvs({{0x80, answers->witness}, {0x81, answers->challenge}}), 0x82);
  if (DeviceErrorOf(response.status()) == DeviceError::kPinRequired) {
    return DeviceFailure(
        DeviceError::kNotSetUp,
        absl::StrCat(response.status().message(), ": the card has another management key",
                     key.empty() ? " than the factory's: give it with --management-key-file"
                                 : " than the one that was given"));
  }
  FOREKEY_RETURN_IF_ERROR(response.status());
  if (!ConstantTimeEqual(*response, answers->expected)) {
    return DeviceFailure(DeviceError::kOther,
                         "GENERAL AUTHENTICATE: the card does not know its own "
                         "management key: somebody stands in between");
  }
  return absl::OkStatus();
}

absl::StatusOr<PublicKey> PivCard::Generate(PivSlot slot, PivAlgorithm algorithm,
                                            PinPolicy pin_policy, TouchPolicy touch_policy) {
  const char algorithm_byte = static_cast<char>(algorithm);
  const char pin_byte = static_cast<char>(pin_policy);
  const char touch_byte = static_cast<char>(touch_policy);
  std::string request = EncodeTlv(0x80, absl::string_view(&algorithm_byte, 1));
  if (AtLeast({4, 0, 0})) {
    if (pin_policy != PinPolicy::kUnknown)
      request += EncodeTlv(0xAA, absl::string_view(&pin_byte, 1));
    if (touch_policy != TouchPolicy::kUnknown)
      request += EncodeTlv(0xAB, absl::string_view(&touch_byte, 1));
  }
  FOREKEY_ASSIGN_OR_RETURN(ResponseApdu response,
                           Send(kGenerate, 0x00, slot, EncodeTlv(0xAC, request)));
  if (response.status == kSwWrongData && !version_.has_value()) {
    return DeviceFailure(
        DeviceError::kNotSetUp,
        absl::StrFormat("GENERATE ASYMMETRIC KEY PAIR: 0x%04X: this card makes no keys of the "
                        "kind %s: choose another --algorithm",
                        response.status, NewKeyAlgorithmName(algorithm)));
  }
  FOREKEY_RETURN_IF_ERROR(FromStatusWord(response.status, "GENERATE ASYMMETRIC KEY PAIR"));
  auto content = SoleTlv(response.data, 0x7F49);
  if (!content.ok()) return CardLies("GENERATE ASYMMETRIC KEY PAIR", content.status());
  auto key = ParsePivPublicKey(*content, static_cast<uint8_t>(algorithm));
  if (!key.ok()) return CardLies("GENERATE ASYMMETRIC KEY PAIR", key.status());
  return key;
}

absl::Status PivCard::DeleteKey(PivSlot slot) {
  FOREKEY_ASSIGN_OR_RETURN(ResponseApdu response, Send(kMoveKey, 0xFF, slot, "", false));
  return FromStatusWord(response.status, "MOVE KEY (delete)");
}

absl::Status PivCard::PutObject(uint32_t tag, absl::string_view content) {
  const std::string request = EncodeTlv(0x5C, TagBytes(tag)) + EncodeTlv(0x53, content);
  FOREKEY_ASSIGN_OR_RETURN(ResponseApdu response, Send(kPutData, 0x3F, 0xFF, request, false));
  return FromStatusWord(response.status, absl::StrFormat("PUT DATA (%X)", tag));
}

}  // namespace forekey

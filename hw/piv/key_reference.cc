// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/key_reference.h"

#include <openssl/pem.h>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/bytes.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/openssl.h"

namespace forekey {
namespace {

constexpr size_t kMaxReference = 4096;

absl::Status BadKeyReference(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("not a PIV key's reference: ", why));
}

// The value of the line `name: value`, which must come next.
absl::StatusOr<absl::string_view> NextLine(absl::string_view* text, absl::string_view name) {
  absl::string_view rest = *text;
  if (!absl::ConsumePrefix(&rest, name) || !absl::ConsumePrefix(&rest, ": ")) {
    return BadKeyReference(absl::StrCat("the line ", name, " is missing"));
  }
  const size_t end = rest.find('\n');
  if (end == absl::string_view::npos) return BadKeyReference("it ends in the middle");
  *text = rest.substr(end + 1);
  return rest.substr(0, end);
}

absl::StatusOr<PublicKey> ReadPublicKey(absl::string_view pem) {
  BioPtr memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  EvpPkeyPtr key(memory == nullptr ? nullptr
                                   : PEM_read_bio_PUBKEY(memory.get(), nullptr, nullptr, nullptr));
  if (key == nullptr) {
    OpenSslError("PEM_read_bio_PUBKEY").IgnoreError();
    return BadKeyReference("there is no public key in it");
  }
  return PublicKey::FromEvp(key.get());
}

}  // namespace

std::string SerializeKeyReference(const PivKeyReference& reference) {
  std::string text = absl::StrCat("Forekey-Device: ", reference.uri.Text(), "\n");
  if (!reference.chuid_digest.empty()) {
    absl::StrAppend(&text, "Forekey-Card: ", absl::BytesToHexString(reference.chuid_digest), "\n");
  }
  absl::StrAppend(&text, "Forekey-Pin: ", PinPolicyName(reference.pin_policy),
                  "\nForekey-Touch: ", TouchPolicyName(reference.touch_policy), "\n");
  BioPtr memory(BIO_new(BIO_s_mem()));
  OrDie(memory != nullptr && PEM_write_bio_PUBKEY(memory.get(), reference.public_key.evp()) == 1,
        "PEM_write_bio_PUBKEY");
  char* pem = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &pem);
  return absl::StrCat(text, absl::string_view(pem, size));
}

absl::StatusOr<PivKeyReference> ParseKeyReference(absl::string_view text) {
  if (text.size() > kMaxReference) return BadKeyReference("it is too large");
  absl::string_view rest = text;
  FOREKEY_ASSIGN_OR_RETURN(absl::string_view device, NextLine(&rest, "Forekey-Device"));
  FOREKEY_ASSIGN_OR_RETURN(PivUri uri, PivUri::Parse(device));
  if (!uri.slot.has_value()) return BadKeyReference("it names no slot");
  std::string chuid_digest;
  if (auto card = NextLine(&rest, "Forekey-Card"); card.ok()) {
    for (char c : *card) {
      if (!absl::ascii_isxdigit(c)) return BadKeyReference("its card is not in hex");
    }
    chuid_digest = absl::HexStringToBytes(*card);
    if (card->size() != 2 * kSha256Size) return BadKeyReference("its card has another size");
  }
  FOREKEY_ASSIGN_OR_RETURN(absl::string_view pin_name, NextLine(&rest, "Forekey-Pin"));
  FOREKEY_ASSIGN_OR_RETURN(PinPolicy pin, PinPolicyFromName(pin_name));
  FOREKEY_ASSIGN_OR_RETURN(absl::string_view touch_name, NextLine(&rest, "Forekey-Touch"));
  TouchPolicy touch = TouchPolicy::kUnknown;
  if (touch_name != TouchPolicyName(TouchPolicy::kUnknown)) {
    FOREKEY_ASSIGN_OR_RETURN(touch, TouchPolicyFromName(touch_name));
  }
  FOREKEY_ASSIGN_OR_RETURN(PublicKey public_key, ReadPublicKey(rest));
  FOREKEY_RETURN_IF_ERROR(AlgorithmOf(public_key).status());
  PivKeyReference reference{std::move(uri), std::move(chuid_digest), pin, touch,
                            std::move(public_key)};
  // One text for one key: nothing stands before, between or behind.
  if (SerializeKeyReference(reference) != text)
    return BadKeyReference("it is not as it was written");
  return reference;
}

}  // namespace forekey

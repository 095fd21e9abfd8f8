// SPDX-License-Identifier: Apache-2.0
// What a simulated PIV card is (PivConfig), what it keeps (PivState) and what it does wrong at the
// moment (PivMisbehaviour). Three things, apart from each other.
//
// PivState is saved as one file, written atomically: a card pulled at any moment has the old or the
// new state.
#ifndef FOREKEY_SIMULATORS_PIV_PIV_CARD_H_
#define FOREKEY_SIMULATORS_PIV_PIV_CARD_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "src/base/secret.h"

namespace forekey::piv {

struct Firmware {
  uint8_t major = 5, minor = 4, patch = 3;
  auto operator<=>(const Firmware&) const = default;
};

// The byte of Yubico's attestation extension .9, without the FIPS bit.
enum class FormFactor : uint8_t {
  kUsbAKeychain = 1,
  kUsbANano,
  kUsbCKeychain,
  kUsbCNano,
  kUsbCLightning
};

// Yubico's values (P2 of GENERATE, extension .8).
enum class PinPolicy : uint8_t { kDefault = 0, kNever = 1, kOnce = 2, kAlways = 3 };
enum class TouchPolicy : uint8_t { kDefault = 0, kNever = 1, kAlways = 2, kCached = 3 };

// SP 800-78-4 table 6-2 and Yubico's additions.
enum class Algorithm : uint8_t {
  kTripleDes = 0x03,
  kRsa1024 = 0x06,
  kRsa2048 = 0x07,
  kRsa3072 = 0x05,
  kRsa4096 = 0x16,
  kAes128 = 0x08,
  kAes192 = 0x0a,
  kAes256 = 0x0c,
  kP256 = 0x11,
  kP384 = 0x14,
  kEd25519 = 0xe0,
  kX25519 = 0xe1,
};

struct PivConfig {
  enum class Kind { kYubiKey, kPlainCard };
  // kPlainCard: SP 800-73-4 alone, as an agency issues it: keys and certificates are in 9A, 9C, 9D
  // and 9E, certified by an issuing CA; nobody has its management key.
  Kind kind = Kind::kYubiKey;
  Firmware firmware;
  uint32_t serial = 12345678;
  bool serial_in_attestation = true;  // some 4.3.7 have none
  FormFactor form_factor = FormFactor::kUsbAKeychain;
  bool fips = false;
  bool cspn = false;
  bool attestation = true;
  bool extended_apdus = true;
  bool verify_reset = true;  // VERIFY with P1 = FF is understood
  int pin_tries = 3;
  int puk_tries = 3;
  std::string pin = "123456";
  std::string puk = "12345678";
  // Empty: what the firmware has from the factory, 3DES before 5.7 and AES-192 from then on.
  std::optional<Algorithm> management_algorithm;
  // The F9 key; empty: RSA-2048, as Yubico's have it.
  std::optional<Algorithm> attestation_algorithm;
  // A plain card's keys; empty: RSA-2048 in 9A, P-256 in the others.
  std::optional<Algorithm> key_algorithm;
  // Cards of one vendor number, in one process, come from one vendor CA.
  int vendor = 0;

  bool yubikey() const { return kind == Kind::kYubiKey; }
  bool AtLeast(uint8_t major, uint8_t minor, uint8_t patch) const {
    return yubikey() && firmware >= Firmware{major, minor, patch};
  }
};

struct PivKey {
  Algorithm algorithm = Algorithm::kP256;
  PinPolicy pin_policy = PinPolicy::kOnce;
  TouchPolicy touch_policy = TouchPolicy::kNever;
  bool imported = false;
  Secret private_der;  // PKCS#8
};

struct PivState {
  PivConfig config;
  Secret pin, puk, management_key;  // PIN and PUK padded to eight bytes
  Algorithm management_algorithm = Algorithm::kTripleDes;
  bool management_touch = false;
  bool management_default = true, pin_default = true, puk_default = true;
  int pin_tries_left = 3, puk_tries_left = 3;
  int pin_tries = 3, puk_tries = 3;
  std::map<uint8_t, PivKey> keys;           // by slot
  std::map<uint32_t, std::string> objects;  // by tag, the whole data object (53 ..., or 7E ...)
  // Certificates that whoever trusts this card needs: PEM.
  std::string root_pem;
  std::string intermediates_pem;
  std::string f9_certificate_der;  // also the object 5FFF01, as long as nobody overwrites that
  Secret issuer_key_der;  // of a plain card's issuing CA, so that tests can certify more keys

  PivState Clone() const;
  absl::Status Save(const std::string& directory) const;
  // NotFound where there is none yet.
  static absl::StatusOr<PivState> Load(const std::string& directory);
};

// Each lasts until it is changed. Numbers count APDUs.
struct PivMisbehaviour {
  std::optional<int> remove_after;       // after that many more, gone in the middle of the next one
  bool executes_before_removal = false;  // whether that last one still had its effect
  std::optional<int> forget_after;       // loses what was verified: a reset that nobody announces
  std::optional<int> reset_after;        // another PC/SC client resets the card
  std::optional<uint16_t> wrong_status;  // the status word of every answer to `wrong_status_ins`
  std::optional<uint8_t> wrong_status_ins;  // empty: GENERAL AUTHENTICATE
  int wrong_status_count = -1;              // that many times; -1: always
  size_t truncate = 0;                      // answers with data lose so many bytes at their end
  bool touch_never = false;
  bool corrupt_signature = false;
  bool attest_other_key = false;     // the attestation is of another key
  bool attest_other_issuer = false;  // signed by another key than F9's
  bool generate_other_key = false;   // GENERATE answers with another public key
  absl::Duration latency;            // of every command
  absl::Duration key_latency;        // of every use of a private key, in addition
};

// Names as `--misbehave` takes them, some with a value: "removed-in-mid-apdu", "slow=200",
// "wrong-status-words=6f00", ...; InvalidArgument, with the list of all, for another.
absl::Status AddMisbehaviour(absl::string_view name, PivMisbehaviour* misbehaviour,
                             PivState* state);

// A card as it leaves the factory (or, for a plain card, the agency). Errors: what OpenSSL refuses.
absl::StatusOr<PivState> ManufacturePiv(const PivConfig& config);

}  // namespace forekey::piv

#endif  // FOREKEY_SIMULATORS_PIV_PIV_CARD_H_

// SPDX-License-Identifier: Apache-2.0
// The seam to hardware: all that the agent knows of tokens. Implemented by hw/tpm, hw/fido2 and
// hw/piv; tests run one contract suite (tests/contract) over every driver and its simulator.
//
// Errors keep the vendor's own code and call in the message, and differ where the user must do
// something different (absl code and the payload read by DeviceErrorOf):
//   kNotFound            the token is not there (pulled out, no such device)
//   kPermissionDenied    the operating system does not let this user reach it; or the person
//                        refused at the token
//   kFailedPrecondition  the token is not set up for this
//   kUnauthenticated     wrong PIN or password; see DeviceError for what is left
//   kResourceExhausted   locked out, blocked
//   kUnavailable         busy: another program has it; try again
//   kDeadlineExceeded    no touch in time
//   kCancelled           the user or the caller gave up
#ifndef FOREKEY_HW_DEVICE_KEY_H_
#define FOREKEY_HW_DEVICE_KEY_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "forekey/v1/gate.pb.h"
#include "hw/driver_options.h"
#include "src/base/deadline.h"
#include "src/base/secret.h"

namespace forekey {

enum class DeviceError {
  kGone,
  kNoAccess,
  kNotSetUp,
  kWrongPin,
  kPinBlocked,
  kLockedOut,
  kBusy,
  kTouchTimeout,
  kCancelled,
  kPinRequired,
  kOther,
  kPinAuthBlocked,  // FIDO2: stopped until the key is plugged in again; tries are left
  kUvBlocked,       // FIDO2: no more fingerprints until the PIN was used
  kDenied,          // refused at the token
  kNoCredentials,   // the token is there and is another one than the key's
};
// A status with the code that the table above gives for `error`.
absl::Status DeviceFailure(DeviceError error, absl::string_view message);
std::optional<DeviceError> DeviceErrorOf(const absl::Status& status);
// The PIN or password that went to the token is not to be sent again: it was wrong, and so it was
// where it used up the last try, or the last in a row. (There a right one may have been refused.)
bool PinIsNoGood(const absl::Status& status);

// Asks the person, or shows. Called from the thread that called the driver; may block. Never asked
// twice for one operation after a wrong PIN: the driver returns kWrongPin instead.
class Prompt {
 public:
  virtual ~Prompt() = default;
  // `tries_left`: -1 where the token does not say. Cancelled when the person gives up.
  virtual absl::StatusOr<Secret> AskPin(absl::string_view device, int tries_left) = 0;
  // The same for a token of which it is not sure that it holds the key: nothing that was answered
  // before, maybe for another token, will do.
  virtual absl::StatusOr<Secret> AskPinAnew(absl::string_view device, int tries_left) {
    return AskPin(device, tries_left);
  }
  // Another secret than a token's; `whose`, for people: "the password of ada at gate.example".
  // kPinRequired where nobody can be asked for one.
  virtual absl::StatusOr<Secret> AskSecret(absl::string_view whose);
  virtual void ShowTouch(absl::string_view device) = 0;
  virtual void HideTouch() = 0;
};

struct DeviceInfo {
  std::string uri;  // "tpm:", "tpm:swtpm:path=/run/x", "fido2:...", "piv:..."
  forekey::v1::TokenKind kind = forekey::v1::TOKEN_KIND_UNSPECIFIED;
  std::string description;  // manufacturer, model, firmware, for people
  // What the token says itself, as src/wire/firmware_list.h knows tokens; nothing vouches for it,
  // and it is empty where the token does not say.
  std::string maker{}, model{}, firmware{};
};

struct SignOptions {
  absl::string_view rp_id;  // FIDO2; other kinds ignore both
  absl::string_view origin;
  bool user_verification = false;
  Prompt* prompt = nullptr;  // null: nobody can be asked
  Deadline deadline;
  std::function<bool()> cancelled;  // polled while waiting; may be empty
};

struct DeviceSignature {
  std::string signature;           // as the algorithm has it (ECDSA: DER)
  std::string authenticator_data;  // FIDO2
  std::string client_data_json;    // FIDO2
};

// One key of one token. Calls are serialised by the driver; safe from any thread.
class DeviceKey {
 public:
  virtual ~DeviceKey() = default;
  virtual forekey::v1::TokenKind kind() const = 0;
  virtual const std::string& spki() const = 0;  // DER
  virtual std::string Describe() const = 0;     // for prompts and logs
  // Signs `statement` (bytes of src/wire/statement.h) as the kind does: TPM and PIV sign its hash,
  // FIDO2 makes a WebAuthn assertion whose challenge is SHA-256(statement).
  virtual absl::StatusOr<DeviceSignature> Sign(absl::string_view statement,
                                               const SignOptions& options) = 0;
};

// One enrolment of a new (or, on PIV, an existing) key. Steps in this order, each once:
//   Opening()           what the gate must see first
//   CreateKey(demand)   answers the gate's challenge to the token, makes the key; gives its SPKI
//   Prove(statement)    evidence over the enrolment statement, and the possession signature
//   KeyReference()      what to keep to Load() the key again: text, not secret without the token
// Nothing stays on the token when an enrolment is dropped before KeyReference().
class KeyEnroller {
 public:
  virtual ~KeyEnroller() = default;
  virtual absl::StatusOr<forekey::v1::EnrollmentOpening>
  Opening() = 0;  // only kind and token filled
  // `unkeyed_statement`: the enrolment statement with an empty SPKI.
  virtual absl::StatusOr<std::string> CreateKey(const forekey::v1::EnrollmentDemand& demand,
                                                absl::string_view unkeyed_statement) = 0;
  // Fills possession and token of the proof.
  virtual absl::Status Prove(absl::string_view statement, forekey::v1::EnrollmentProof* proof) = 0;
  virtual absl::StatusOr<std::string> KeyReference() = 0;
  // After KeyReference(), of a key that no gate enrolled: the steps can be taken once more, from
  // Opening(). A key that stays on the token is enrolled by them (PIV) or deleted, where the token
  // lets it be. Unimplemented where the kind can't.
  virtual absl::Status BeginAnew();
  // Once opened, for people: why a gate may refuse the token, and what its administrator can do.
  // Empty where nothing is to be said.
  virtual std::string Note() const { return ""; }
};

struct EnrollOptions {
  Secret key_password;  // TPM: optional auth value of the new key; FIDO2 and PIV: the token's PIN
  DriverOptions named;  // what only this driver understands; it refuses what it does not know
  // Called before a key is made that stays on the token when this process is killed, with its place
  // there, for Driver::KeyAt(). An error ends the enrolment. May be empty.
  std::function<absl::Status(const std::string& place)> before_key;
  SignOptions sign;
};

// A key on a token.
struct FoundKey {
  std::string spki;    // DER; empty where the token can't say which key it is
  std::string advice;  // how to use it or to be rid of it, for people
};

class Driver {
 public:
  virtual ~Driver() = default;
  virtual forekey::v1::TokenKind kind() const = 0;
  virtual absl::string_view scheme() const = 0;  // "tpm", "fido2", "piv"
  // What can be seen now. Devices that can't be opened, or are open to an attack that their owner
  // can close, are named in `problems`, with what to do.
  virtual std::vector<DeviceInfo> List(std::vector<std::string>* problems) = 0;
  virtual absl::StatusOr<std::unique_ptr<KeyEnroller>> Enroll(const std::string& uri,
                                                              EnrollOptions options) = 0;
  // The certificates by which an enrolment would prove the hardware, in DER: the token's own first,
  // then those above it that it holds. Empty: it has none, or shows none before an enrolment. Makes
  // nothing, asks nobody.
  virtual absl::StatusOr<std::vector<std::string>> HardwareCertificates(const std::string& uri) {
    return std::vector<std::string>();
  }
  // `reference`: from KeyReference(). Does not touch the token where it needn't. `key_password`
  // unlocks a key that has one.
  virtual absl::StatusOr<std::unique_ptr<DeviceKey>> Load(const std::string& reference,
                                                          Secret key_password) = 0;
  // What is at a place that EnrollOptions::before_key was told; nothing where no key is there. An
  // error: it can't be seen now, as the token is not there, for one.
  virtual absl::StatusOr<std::optional<FoundKey>> KeyAt(const std::string& place);
};

}  // namespace forekey

#endif  // FOREKEY_HW_DEVICE_KEY_H_

// SPDX-License-Identifier: Apache-2.0
// The commands of a security key: CTAP 2.1 section 6 (authenticatorMakeCredential and so on) and
// the U2F raw messages, without any transport. Implements the Config, keeps the State, misbehaves
// on request. One command at a time, from one thread.
#ifndef FOREKEY_SIMULATORS_FIDO2_AUTHENTICATOR_H_
#define FOREKEY_SIMULATORS_FIDO2_AUTHENTICATOR_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "simulators/fido2/cbor_item.h"
#include "simulators/fido2/config.h"
#include "simulators/fido2/state.h"
#include "simulators/fido2/token_crypto.h"

namespace forekey::fido2sim {

// CTAP 2.1 section 8.2, "Status codes".
enum CtapStatus : uint8_t {
  kOk = 0x00,
  kInvalidCommand = 0x01,
  kInvalidParameter = 0x02,
  kInvalidLength = 0x03,
  kCborUnexpectedType = 0x11,
  kInvalidCbor = 0x12,
  kMissingParameter = 0x14,
  kLimitExceeded = 0x15,
  kCredentialExcluded = 0x19,
  kUnsupportedAlgorithm = 0x26,
  kOperationDenied = 0x27,
  kKeyStoreFull = 0x28,
  kUnsupportedOption = 0x2b,
  kInvalidOption = 0x2c,
  kKeepaliveCancel = 0x2d,
  kNoCredentials = 0x2e,
  kUserActionTimeout = 0x2f,
  kNotAllowed = 0x30,
  kPinInvalid = 0x31,
  kPinBlocked = 0x32,
  kPinAuthInvalid = 0x33,
  kPinAuthBlocked = 0x34,
  kPinNotSet = 0x35,
  kPuatRequired = 0x36,
  kPinPolicyViolation = 0x37,
  kRequestTooLarge = 0x39,
  kUvBlocked = 0x3c,
  kIntegrityFailure = 0x3d,
  kInvalidSubcommand = 0x3e,
  kUvInvalid = 0x3f,
  kUnauthorizedPermission = 0x40,
  kOther = 0x7f,
};

// The first byte of a CBOR command.
enum CtapCommand : uint8_t {
  kMakeCredential = 0x01,
  kGetAssertion = 0x02,
  kGetInfo = 0x04,
  kClientPin = 0x06,
  kReset = 0x07,
  kGetNextAssertion = 0x08,
  kCredentialManagement = 0x0a,
  kSelection = 0x0b,
  kCredentialManagementPreview = 0x41,
};

enum class TouchResult { kTouched, kDenied, kTimedOut, kCancelled, kGone };

// The person at the token, as the front has it.
class UserPresence {
 public:
  virtual ~UserPresence() = default;
  // Waits for a touch, sending keepalives meanwhile.
  virtual TouchResult Wait(absl::Duration timeout) = 0;
  // U2F never waits: true when a touch is there, which is then used up. Otherwise one is asked for.
  virtual bool Take() = 0;
};

class Authenticator {
 public:
  // `directory`: where the State is saved after each change; empty: nowhere.
  Authenticator(Config config, State state, std::string directory);

  // `request`: the command's byte and its CBOR. Returns the status byte and CBOR.
  std::string Cbor(absl::string_view request, UserPresence& presence);
  // An APDU, answered with data and status word.
  std::string U2f(absl::string_view apdu, UserPresence& presence);

  // Forgets what real tokens hold in memory only: tokens, the count of wrong PINs, iterators.
  void PowerCycle();

  Config& config() { return config_; }
  const Config& config() const { return config_; }
  State& state() { return state_; }
  Misbehaviours& misbehaviours() { return misbehaviours_; }
  bool Does(Misbehaviour misbehaviour) const { return misbehaviours_.count(misbehaviour) != 0; }
  // 4 to 63 bytes; an empty one removes the PIN. As if it had been set by its owner.
  absl::Status SetPin(absl::string_view pin);
  absl::Status Save() const;

 private:
  struct Reply {
    uint8_t status = kOk;
    std::string body;
  };
  enum Permission : uint8_t { kPermitMake = 0x01, kPermitAssert = 0x02, kPermitManage = 0x04 };
  // The pinUvAuthToken in force (CTAP 2.1 section 6.5.2.1).
  struct PinUvToken {
    int protocol = 0;  // 0: none in force
    Secret value;
    uint8_t permissions = 0;
    std::string rp_id;  // empty: bound at its first use
    bool verified_user = false;
  };
  struct User {
    bool verified = false;
  };
  struct Options {
    bool rk = false, uv = false, up = true;
    bool up_given = false;
  };

  Reply Dispatch(uint8_t command, absl::string_view body, UserPresence& presence);
  Reply GetInfo() const;
  Reply MakeCredential(const Item& request, UserPresence& presence);
  Reply GetAssertion(const Item& request, UserPresence& presence);
  Reply GetNextAssertion();
  Reply ClientPin(const Item& request, UserPresence& presence);
  Reply SetPinCommand(int protocol, const Item& request);
  Reply ChangePin(int protocol, const Item& request);
  Reply GetPinToken(int protocol, const Item& request, bool with_permissions);
  Reply GetUvToken(int protocol, const Item& request, UserPresence& presence);
  Reply GrantToken(int protocol, const PinSecret& secret, uint8_t permissions,
                   absl::string_view rp_id);
  Reply Reset(UserPresence& presence);
  Reply CredentialManagement(const Item& request);
  Reply EnumerateRps(bool begin);
  Reply EnumerateCredentials(const Item* params, bool begin);
  Reply DeleteCredential(const Item* params);
  Reply UpdateUser(const Item* params);

  // Common to both ceremonies: sections 6.1.2 and 6.2.2.
  uint8_t ReadOptions(const Item& request, int key, Options* options) const;
  // Who is there: the token in pinUvAuthParam, or built-in verification, or nobody.
  uint8_t VerifyUser(const Item& request, int param_key, Permission permission,
                     absl::string_view rp_id, Options* options, User* user, UserPresence& presence);
  uint8_t AskTouch(UserPresence& presence) const;
  uint8_t BuiltInVerification(UserPresence& presence);
  std::optional<PinSecret> SharedSecret(int protocol, const Item& request) const;
  uint8_t CheckPin(const PinSecret& secret, absl::string_view pin_hash_encrypted);
  uint8_t StoreNewPin(const PinSecret& secret, absl::string_view encrypted);
  void NewKeyAgreement();
  void NewPinUvToken();

  uint32_t NextCounter();
  std::string AuthData(absl::string_view rp_id_hash, uint8_t flags, uint32_t counter,
                       absl::string_view attested) const;
  std::string AttestedData(const Credential& credential, const TokenKey& key) const;
  Reply Attest(const Credential& credential, const TokenKey& key, uint8_t flags,
               absl::string_view extensions, absl::string_view client_data_hash);
  Reply Assert(const Credential& credential, absl::string_view client_data_hash, uint8_t flags,
               bool identify, size_t of);
  std::string AttestationSignature(absl::string_view message) const;
  Reply Saved(Reply reply) const;

  std::string U2fRegister(absl::string_view data, UserPresence& presence);
  std::string U2fAuthenticate(uint8_t control, absl::string_view data, UserPresence& presence);

  Config config_;
  State state_;
  const std::string directory_;
  Misbehaviours misbehaviours_;

  // Lost at power-down.
  absl::Time powered_up_;
  TokenKey agreement_key_;
  PinUvToken token_;
  int wrong_pins_in_a_row_ = 0;
  struct {
    std::vector<std::string> ids;  // still to come, the next one last
    std::string client_data_hash;
    uint8_t flags = 0;
    bool identify = false;
    absl::Time since;
  } next_assertions_;
  std::vector<std::string> next_rps_, next_credentials_;
};

}  // namespace forekey::fido2sim

#endif  // FOREKEY_SIMULATORS_FIDO2_AUTHENTICATOR_H_

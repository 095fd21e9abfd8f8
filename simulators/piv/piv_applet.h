// SPDX-License-Identifier: Apache-2.0
// The PIV applet of a simulated card: SP 800-73-4 part 2, and the commands that Yubico adds (GET
// VERSION, GET SERIAL, GET METADATA, ATTEST, IMPORT, SET MANAGEMENT KEY, SET PIN RETRIES, MOVE KEY,
// RESET), as far as the configured firmware has them. Command APDU in, answer out; no transport.
//
// Not thread-safe: its owner serialises. `touch` is called in the middle of a command.
#ifndef FOREKEY_SIMULATORS_PIV_PIV_APPLET_H_
#define FOREKEY_SIMULATORS_PIV_PIV_APPLET_H_

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "simulators/piv/apdu.h"
#include "simulators/piv/piv_card.h"
#include "simulators/piv/piv_keys.h"

namespace forekey::piv {

class PivApplet {
 public:
  struct Environment {
    std::function<bool()> touch = [] { return true; };  // waits; false when nobody touched
    std::function<void()> key_use = [] {};  // before each private-key operation: takes its time
    std::function<absl::Time()> now = [] { return absl::Now(); };
    std::function<absl::Status(const PivState&)> save = [](const PivState&) {
      return absl::OkStatus();
    };
  };
  explicit PivApplet(PivState state) : PivApplet(std::move(state), Environment()) {}
  PivApplet(PivState state, Environment environment)
      : state_(std::move(state)), environment_(std::move(environment)) {
    Reset();
  }

  // The answer, its status word last. Never fails: what is no command is answered with a status
  // word.
  std::string Process(absl::string_view command);
  // Power, or a warm reset: nothing is selected (on a plain card: PIV is), nothing verified.
  void Reset();

  PivState& state() { return state_; }
  PivMisbehaviour& misbehaviour() { return misbehaviour_; }
  uint64_t signatures() const { return signatures_; }
  bool pin_verified() const { return pin_verified_; }

 private:
  struct Reply {
    Reply(uint16_t status) : sw(status) {}  // NOLINT(google-explicit-constructor)
    Reply(std::string bytes)
        : sw(0x9000), data(std::move(bytes)) {}  // NOLINT(google-explicit-constructor)
    uint16_t sw;
    std::string data;
  };
  enum class Selected { kNothing, kPiv, kOtp, kManagement };

  Reply Dispatch(const CommandApdu& apdu);
  Reply DispatchYubico(const CommandApdu& apdu);
  std::string Send(Reply reply, const CommandApdu& apdu);
  std::string NextPart(size_t most);
  void ForgetAuthentication();

  Reply Select(const CommandApdu& apdu);
  Reply GetData(const CommandApdu& apdu);
  Reply PutData(const CommandApdu& apdu);

  // piv_pins.cc
  Reply Verify(const CommandApdu& apdu);
  Reply ChangeReferenceData(const CommandApdu& apdu);
  Reply ResetRetryCounter(const CommandApdu& apdu);
  Reply SetPinRetries(const CommandApdu& apdu);
  Reply PinStatus() const;
  bool CheckPin(absl::string_view given, Reply* refusal);
  bool CheckPuk(absl::string_view given, Reply* refusal);
  bool AcceptablePin(absl::string_view padded) const;

  // piv_authenticate.cc
  Reply GeneralAuthenticate(const CommandApdu& apdu);
  Reply AuthenticateManagement(Algorithm algorithm, const std::vector<Tlv>& parts);
  Reply UsePrivateKey(PivKey& key, const std::vector<Tlv>& parts);
  Reply Generate(const CommandApdu& apdu);
  Reply Import(const CommandApdu& apdu);
  bool AllowedAlgorithm(Algorithm algorithm) const;
  // Fills in policies from AA and AB, or the slot's defaults; false where they are not allowed.
  bool ReadPolicies(uint8_t slot, const std::vector<Tlv>& parts, PivKey* key) const;
  bool Touched(TouchPolicy policy);

  // piv_yubico.cc
  Reply Attest(const CommandApdu& apdu);
  Reply Metadata(const CommandApdu& apdu);
  Reply SetManagementKey(const CommandApdu& apdu);
  Reply MoveKey(const CommandApdu& apdu);
  Reply FactoryReset();

  PivState state_;
  Environment environment_;
  PivMisbehaviour misbehaviour_;
  bool dirty_ = false;  // the state must be saved before the answer goes out
  uint64_t signatures_ = 0;

  Selected selected_ = Selected::kNothing;
  bool pin_verified_ = false;
  bool pin_fresh_ = false;  // verified for the next use of a key with PIN policy "always"
  bool management_authenticated_ = false;
  std::string witness_;    // of a mutual authentication under way, in clear
  std::string challenge_;  // of a single one
  absl::Time touched_until_ = absl::InfinitePast();
  std::optional<CommandApdu> chain_;  // header of the commands that are being chained
  std::string chained_;
  std::string pending_;  // for GET RESPONSE
};

constexpr bool IsKeySlot(uint8_t slot) {
  return slot == 0x9a || (slot >= 0x9c && slot <= 0x9e) || (slot >= 0x82 && slot <= 0x95) ||
         slot == 0xf9;
}

}  // namespace forekey::piv

#endif  // FOREKEY_SIMULATORS_PIV_PIV_APPLET_H_

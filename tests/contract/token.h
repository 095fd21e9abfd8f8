// SPDX-License-Identifier: Apache-2.0
// What the contract suite needs of a token under test: a driver, a simulator behind it, the gate's
// part of an enrolment, and ways to misbehave. One implementation a kind: tpm_token.cc, ...
#ifndef FOREKEY_TESTS_CONTRACT_TOKEN_H_
#define FOREKEY_TESTS_CONTRACT_TOKEN_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hw/device_key.h"

namespace forekey {

class TokenUnderTest {
 public:
  virtual ~TokenUnderTest() = default;
  virtual Driver& driver() = 0;
  virtual const std::string& uri() const = 0;

  // The gate's part: what it demands after that opening.
  virtual absl::StatusOr<forekey::v1::EnrollmentDemand> Demand(
      const forekey::v1::EnrollmentOpening& opening) = 0;
  // What the gate does at least: the evidence binds the key `spki` to `statement`, and the demand's
  // secret, where there is one, came back.
  virtual absl::Status CheckEvidence(absl::string_view spki, absl::string_view statement,
                                     const forekey::v1::EnrollmentProof& proof) = 0;
  // The signature is one over `statement` by `spki`, as this kind signs.
  virtual absl::Status CheckSignature(absl::string_view spki, absl::string_view statement,
                                      const DeviceSignature& signature) = 0;
  // Options of SignOptions that the kind needs (rp_id, origin).
  virtual SignOptions Sign() { return {}; }

  // Misbehaviours; each lasts until it is undone.
  virtual void Unplug() = 0;
  virtual void UnplugAfter(int commands) = 0;  // in the middle of the command after that many
  virtual void PlugIn() = 0;
  virtual void BeBusy(int commands) = 0;  // refuses that many commands
  // The PIN or password is blocked; nullopt where the kind has no such state.
  virtual absl::Status LockOut(bool locked_out) = 0;
  // Commands that the token has seen.
  virtual uint64_t Commands() = 0;
  // Commands that end an operation once the signature is there: a token that goes then has done its
  // work.
  virtual int ClosingCommands() { return 1; }
  // What programs have left in the token that will not go by itself: objects, sessions, handles.
  virtual int Leftovers() = 0;
};

// What EnrollKey() has as the statement without a key.
inline constexpr char kUnkeyedStatement[] = "statement without key";

// Prompts with a fixed answer and counts.
class ScriptedPrompt : public Prompt {
 public:
  explicit ScriptedPrompt(std::string answer) : answer_(std::move(answer)) {}
  absl::StatusOr<Secret> AskPin(absl::string_view, int tries_left) override {
    ++asked;
    last_tries_left = tries_left;
    return Secret::CopyOf(answer_);
  }
  void ShowTouch(absl::string_view) override {}
  void HideTouch() override {}
  int asked = 0;
  int last_tries_left = -1;

 private:
  std::string answer_;
};

// The names of the kinds under test, and how each is made.
struct TokenKindUnderTest {
  const char* name;
  absl::StatusOr<std::unique_ptr<TokenUnderTest>> (*make)();
  // What the kind can do; tests of the rest do not exist for it.
  bool has_passwords = false;  // a key may have a password of its own, given at enrolment
};

absl::StatusOr<std::unique_ptr<TokenUnderTest>> MakeTpmToken();

}  // namespace forekey

#endif  // FOREKEY_TESTS_CONTRACT_TOKEN_H_

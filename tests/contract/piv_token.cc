// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/piv_token.h"

#include <winscard.h>

#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"
#include "src/crypto/public_key.h"

namespace forekey {
namespace {

// Before any test: libpcsclite remembers the socket that it used first, and a test of another kind
// of token may look for cards, too.
[[maybe_unused]] const bool kSocketChosen = piv::PcscdProcess::ProcessSocket().ok();

int KeysOn(piv::PivSimulator& simulator) {
  int keys = 0;
  simulator.card().WithApplet(
      [&](piv::PivApplet& applet) { keys = static_cast<int>(applet.state().keys.size()); });
  return keys;
}

}  // namespace

ExclusiveHolder::ExclusiveHolder(std::string reader, absl::Duration until) {
  thread_ = std::thread([this, reader = std::move(reader), until] {
    SCARDCONTEXT context = 0;
    SCARDHANDLE card = 0;
    DWORD protocol = 0;
    SCardEstablishContext(SCARD_SCOPE_SYSTEM, nullptr, nullptr, &context);
    // Others may have it for a moment.
    while (SCardConnect(context, reader.c_str(), SCARD_SHARE_EXCLUSIVE, SCARD_PROTOCOL_ANY, &card,
                        &protocol) != SCARD_S_SUCCESS &&
           !let_go_.WaitForNotificationWithTimeout(absl::Milliseconds(5))) {
    }
    held_.Notify();
    let_go_.WaitForNotificationWithTimeout(until);
    SCardDisconnect(card, SCARD_LEAVE_CARD);
    SCardReleaseContext(context);
  });
}

ExclusiveHolder::~ExclusiveHolder() {
  let_go_.Notify();
  thread_.join();
}

absl::StatusOr<std::unique_ptr<PivToken>> PivToken::New(const piv::PivSimulatorConfig& config) {
  std::unique_ptr<PivToken> token(new PivToken);
  FOREKEY_ASSIGN_OR_RETURN(token->simulator_, piv::PivSimulator::Start(config));
  token->uri_ = token->simulator_->uri();
  token->keys_before_ = KeysOn(*token->simulator_);
  token->driver_ = std::make_unique<PivDriver>(std::vector<std::string>{token->uri_});
  return token;
}

absl::StatusOr<forekey::v1::EnrollmentDemand> PivToken::Demand(
    const forekey::v1::EnrollmentOpening& opening) {
  if (!opening.has_piv()) return absl::InvalidArgumentError("no PIV opening");
  forekey::v1::EnrollmentDemand demand;
  demand.mutable_piv();
  return demand;
}

absl::Status PivToken::CheckEvidence(absl::string_view spki, absl::string_view statement,
                                     const forekey::v1::EnrollmentProof& proof) {
  FOREKEY_ASSIGN_OR_RETURN(PublicKey key, PublicKey::FromSpki(spki));
  FOREKEY_RETURN_IF_ERROR(key.Verify(statement, proof.possession().signature()));
  FOREKEY_ASSIGN_OR_RETURN(Certificate leaf, Certificate::ParseDer(proof.piv().certificate()));
  if (leaf.Spki() != spki) return absl::InternalError("a certificate of another key");
  const std::string trust = simulator_->trust_directory();
  FOREKEY_ASSIGN_OR_RETURN(TrustAnchors anchors, TrustAnchors::FromDirectory(trust, nullptr));
  std::vector<Certificate> intermediates;
  for (const std::string& der : proof.piv().intermediates()) {
    FOREKEY_ASSIGN_OR_RETURN(Certificate intermediate, Certificate::ParseDer(der));
    intermediates.push_back(std::move(intermediate));
  }
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(trust + "/intermediates", none)) {
    FOREKEY_ASSIGN_OR_RETURN(std::string pem, ReadFile(entry.path()));
    FOREKEY_ASSIGN_OR_RETURN(Certificate intermediate, Certificate::Parse(pem));
    intermediates.push_back(std::move(intermediate));
  }
  PathOptions options;
  options.time = absl::Now();
  if (proof.piv().is_attestation()) {
    // F9's certificate is no CA by its extensions on older firmware: by itself, then what it
    // signed.
    if (proof.piv().intermediates_size() != 1)
      return absl::InternalError("not F9's certificate alone");
    const Certificate issuer = intermediates[0];
    if (!leaf.IsSignedBy(issuer.key())) {
      return absl::InternalError("not signed by F9");
    }
    leaf = issuer;
    intermediates.erase(intermediates.begin());
  }
  FOREKEY_RETURN_IF_ERROR(VerifyPath(leaf, intermediates, anchors, options).status());
  ++enrolled_;
  return absl::OkStatus();
}

absl::Status PivToken::CheckSignature(absl::string_view spki, absl::string_view statement,
                                      const DeviceSignature& signature) {
  FOREKEY_ASSIGN_OR_RETURN(PublicKey key, PublicKey::FromSpki(spki));
  return key.Verify(statement, signature.signature);
}

SignOptions PivToken::Sign() {
  SignOptions options;
  options.prompt = &prompt_;
  return options;
}

void PivToken::UnplugAfter(int commands) {
  piv::PivMisbehaviour misbehaviour;
  misbehaviour.remove_after = commands;
  simulator_->Misbehave(misbehaviour);
}

void PivToken::PlugIn() {
  simulator_->Misbehave({});
  simulator_->Insert();
  const absl::Time until = absl::Now() + absl::Seconds(30);
  while (absl::Now() < until) {
    auto readers = service_.Readers();
    if (readers.ok()) {
      for (const CardReader& reader : *readers) {
        if (reader.name == simulator_->reader() && reader.has_card && !reader.is_mute) return;
      }
    }
    service_.AwaitChange(absl::Milliseconds(200));
  }
}

void PivToken::BeBusy(int commands) {
  holder_.reset();
  if (commands == 0) return;
  // There is no counting others' commands here: it lets go after a moment, or when it is told to.
  holder_ = std::make_unique<ExclusiveHolder>(
      simulator_->reader(),
      commands < 1000 ? absl::Milliseconds(20) * commands : absl::InfiniteDuration());
  holder_->WaitUntilHeld();
}

absl::Status PivToken::LockOut(bool locked_out) {
  simulator_->card().WithApplet([&](piv::PivApplet& applet) {
    applet.state().pin_tries_left = locked_out ? 0 : applet.state().pin_tries;
  });
  return absl::OkStatus();
}

int PivToken::tries_left() {
  int tries = 0;
  simulator_->card().WithApplet(
      [&](piv::PivApplet& applet) { tries = applet.state().pin_tries_left; });
  return tries;
}

int PivToken::Leftovers() {
  bool verified = false;
  simulator_->card().WithApplet([&](piv::PivApplet& applet) { verified = applet.pin_verified(); });
  return KeysOn(*simulator_) - keys_before_ - enrolled_ + (verified ? 1 : 0);
}

absl::StatusOr<std::unique_ptr<TokenUnderTest>> MakePivToken() {
  // The last firmware: it deletes the keys of enrolments that were dropped.
  piv::PivSimulatorConfig config;
  config.card.firmware = {5, 7, 4};
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<TokenUnderTest> token, PivToken::New(config));
  return token;
}

}  // namespace forekey

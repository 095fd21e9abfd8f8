// SPDX-License-Identifier: Apache-2.0
// What our driver and our simulated security keys make, verified by two WebAuthn libraries that
// share nothing with Forekey: Debian's python3-fido2, and @simplewebauthn/server, which
// scripts/test installs.
#include <stdlib.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hw/fido2/fido2_driver.h"
#include "nlohmann/json.hpp"
#include "simulators/fido2/fido2_simulator.h"
#include "simulators/process.h"
#include "src/base/file.h"
#include "src/crypto/digest.h"
#include "src/wire/base64url.h"

namespace forekey {
namespace {

using fido2sim::AttestationKind;
using fido2sim::Fido2Simulator;
using fido2sim::Misbehaviour;
using fido2sim::SimulatorOptions;
using ::testing::HasSubstr;

constexpr char kRpId[] = "gate.example";
constexpr char kOrigin[] = "forekey://gate.example";
constexpr char kRegistered[] = "an enrolment statement without its key";
constexpr char kAsserted[] = "a statement that opens a session";

std::unique_ptr<Fido2Simulator> NewKey(const std::function<void(SimulatorOptions&)>& change) {
  SimulatorOptions options;
  options.config.auto_touch = true;
  change(options);
  auto simulator = Fido2Simulator::Start(std::move(options));
  EXPECT_TRUE(simulator.ok()) << simulator.status();
  return simulator.ok() ? *std::move(simulator) : nullptr;
}

// A registration and an assertion by one token, as a case for the libraries.
absl::StatusOr<nlohmann::json> Ceremonies(Fido2Simulator& token, int algorithm) {
  Fido2Driver driver({token.uri()});
  auto enroller = driver.Enroll(token.uri(), {});
  if (!enroller.ok()) return enroller.status();
  if (auto opening = (*enroller)->Opening(); !opening.ok()) return opening.status();
  forekey::v1::EnrollmentDemand demand;
  demand.set_subject("ada");
  demand.mutable_fido2()->set_rp_id(kRpId);
  demand.mutable_fido2()->set_origin(kOrigin);
  demand.mutable_fido2()->add_algorithms(algorithm);
  demand.mutable_fido2()->set_user_handle("0123456789abcdef");
  if (auto key = (*enroller)->CreateKey(demand, kRegistered); !key.ok()) return key.status();
  forekey::v1::EnrollmentProof proof;
  if (auto proved = (*enroller)->Prove("an enrolment statement", &proof); !proved.ok())
    return proved;
  auto reference = (*enroller)->KeyReference();
  if (!reference.ok()) return reference.status();
  auto key = driver.Load(*reference, Secret());
  if (!key.ok()) return key.status();
  SignOptions sign;
  sign.rp_id = kRpId;
  sign.origin = kOrigin;
  auto signature = (*key)->Sign(kAsserted, sign);
  if (!signature.ok()) return signature.status();
  const nlohmann::json kept = nlohmann::json::parse(*reference);
  return nlohmann::json{
      {"rp_id", kRpId},
      {"origin", kOrigin},
      {"roots", nlohmann::json::array({token.root_pem()})},
      {"registration",
       {{"attestation_object", Base64UrlEncode(proof.fido2().attestation_object())},
        {"client_data_json", Base64UrlEncode(proof.fido2().client_data_json())},
        {"challenge", Base64UrlEncode(Sha256(kRegistered))}}},
      {"assertion",
       {{"credential_id", kept.at("credential_id")},
        {"authenticator_data", Base64UrlEncode(signature->authenticator_data)},
        {"client_data_json", Base64UrlEncode(signature->client_data_json)},
        {"signature", Base64UrlEncode(signature->signature)},
        {"challenge", Base64UrlEncode(Sha256(kAsserted))}}}};
}

// What each library must say of a case: "ok", or a part of its reason.
struct Expected {
  std::string name;
  std::string python, node;
};

class WebAuthnLibrariesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = "/tmp/forekey-webauthn-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Add(const Expected& expected, absl::StatusOr<nlohmann::json> made) {
    ASSERT_TRUE(made.ok()) << expected.name << ": " << made.status();
    (*made)["name"] = expected.name;
    cases_.push_back(*std::move(made));
    expected_.push_back(expected);
  }

  // Runs a library's program over all cases: its answers by name.
  nlohmann::json Ask(std::vector<std::string> program, const std::vector<std::string>& more = {}) {
    const std::string cases = folder_ + "/cases.json", answers = folder_ + "/answers.json";
    std::filesystem::remove(answers);
    EXPECT_TRUE(WriteFileAtomically(cases, cases_.dump()).ok());
    program.insert(program.end(), {cases, answers});
    program.insert(program.end(), more.begin(), more.end());
    auto output = RunTool({.argv = program});
    EXPECT_TRUE(output.ok()) << output.status();
    auto text = ReadFile(answers);
    EXPECT_TRUE(text.ok()) << text.status();
    return nlohmann::json::parse(text.ok() ? *text : "{}", nullptr, false);
  }

  void CheckAll() {
    const std::string here = FOREKEY_SOURCE "/tests/interop/webauthn/";
    const std::string modules = FOREKEY_NODE_MODULES;
    ASSERT_TRUE(std::filesystem::exists(modules + "/@simplewebauthn/server"))
        << modules << " has no @simplewebauthn/server: run tests/interop/webauthn/install";
    const nlohmann::json python = Ask({"/usr/bin/python3", here + "python_fido2.py"});
    const nlohmann::json node = Ask({"node", here + "simplewebauthn.cjs"}, {modules});
    for (const Expected& expected : expected_) {
      Check(expected.name + " by python3-fido2", python.value(expected.name, "not answered"),
            expected.python);
      Check(expected.name + " by @simplewebauthn/server", node.value(expected.name, "not answered"),
            expected.node);
    }
  }
  static void Check(const std::string& what, const std::string& answer,
                    const std::string& expected) {
    if (expected == "ok") {
      EXPECT_EQ(answer, "ok") << what;
    } else {
      EXPECT_THAT(answer, HasSubstr(expected)) << what;
    }
  }

  std::string folder_;
  nlohmann::json cases_ = nlohmann::json::array();
  std::vector<Expected> expected_;
};

TEST_F(WebAuthnLibrariesTest, TakeWhatEveryKindOfTokenMakes) {
  auto packed = NewKey([](SimulatorOptions&) {});
  Add({"ES256", "ok", "ok"}, Ceremonies(*packed, fido2sim::kEs256));
  Add({"EdDSA", "ok", "ok"}, Ceremonies(*packed, fido2sim::kEdDsa));
  Add({"RS256", "ok", "ok"}, Ceremonies(*packed, fido2sim::kRs256));
  // python3-fido2 0.9 does not know ES384.
  Add({"ES384", "Signature verification not supported", "ok"},
      Ceremonies(*packed, fido2sim::kEs384));
  auto self =
      NewKey([](SimulatorOptions& o) { o.config.attestation = AttestationKind::kPackedSelf; });
  auto made = Ceremonies(*self, fido2sim::kEs256);
  if (made.ok()) (*made)["roots"] = nlohmann::json::array();
  Add({"self", "ok", "ok"}, made);
  auto u2f_attested = NewKey([](SimulatorOptions& o) {
    o.config.attestation = AttestationKind::kFidoU2f;
    o.config.aaguid = std::string(16, '\0');
  });
  Add({"CTAP2 with fido-u2f", "ok", "ok"}, Ceremonies(*u2f_attested, fido2sim::kEs256));
  auto u2f = NewKey([](SimulatorOptions& o) { o.config.ctap2 = false; });
  Add({"U2F", "ok", "ok"}, Ceremonies(*u2f, fido2sim::kEs256));
  auto verified = NewKey([](SimulatorOptions& o) { o.config.built_in_uv = true; });
  Add({"built-in verification", "ok", "ok"}, Ceremonies(*verified, fido2sim::kEs256));
  CheckAll();
}

// The checks above check: what is wrong is refused by the same programs, for that reason.
TEST_F(WebAuthnLibrariesTest, RefuseWhatIsWrong) {
  auto token = NewKey([](SimulatorOptions&) {});
  auto other = NewKey([](SimulatorOptions&) {});
  const auto changed = [&](const std::function<void(nlohmann::json&)>& change) {
    auto made = Ceremonies(*token, fido2sim::kEs256);
    if (made.ok()) change(*made);
    return made;
  };
  const std::string challenge = Base64UrlEncode(Sha256("another"));
  Add({"another enrolment's challenge", "Wrong challenge",
       "Unexpected registration response challenge"},
      changed([&](nlohmann::json& one) { one["registration"]["challenge"] = challenge; }));
  Add({"another statement", "Wrong challenge", "Unexpected authentication response challenge"},
      changed([&](nlohmann::json& one) { one["assertion"]["challenge"] = challenge; }));
  Add({"another origin", "Invalid origin", "Unexpected registration response origin"},
      changed([](nlohmann::json& one) { one["origin"] = "forekey://other.example"; }));
  Add({"another relying party", "Wrong RP ID hash", "Unexpected RP ID hash"},
      changed([](nlohmann::json& one) { one["rp_id"] = "other.example"; }));
  Add({"another vendor", "UntrustedAttestation", "Invalid certificate path: invalid signature"},
      changed([&](nlohmann::json& one) { one["roots"] = {other->root_pem()}; }));
  Add({"another key's signature", "Invalid signature", "the assertion is not verified"},
      changed([&](nlohmann::json& one) {
        one["assertion"]["signature"] =
            (*Ceremonies(*token, fido2sim::kEs256))["assertion"]["signature"];
      }));
  auto forger =
      NewKey([](SimulatorOptions& o) { o.misbehaviours = {Misbehaviour::kWrongAttestationKey}; });
  Add({"not by the attestation key", "InvalidSignature", "the attestation is not verified"},
      Ceremonies(*forger, fido2sim::kEs256));
  CheckAll();
}

}  // namespace
}  // namespace forekey

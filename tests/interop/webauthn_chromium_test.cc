// SPDX-License-Identifier: Apache-2.0
// What headless Chromium's virtual authenticators make, verified by `forekey verify`: the browser
// builds clientDataJSON and its own CTAP2 and U2F tokens; nothing of it is ours.
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "simulators/process.h"
#include "src/base/file.h"

namespace forekey {
namespace {

using nlohmann::literals::operator""_json_pointer;
using Words = std::vector<std::string>;

class WebAuthnChromiumTest : public ::testing::Test {
 protected:
  // The browser runs once for all tests.
  static void SetUpTestSuite() {
    folder_ = "/tmp/forekey-chromium-test-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    auto output = RunTool({.argv = {"/usr/bin/python3",
                                    FOREKEY_SOURCE "/tests/interop/webauthn/chromium.py", folder_}},
                          absl::Seconds(150));
    ASSERT_TRUE(output.ok()) << output.status();
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(folder_); }

  static std::string File(const std::string& name) { return absl::StrCat(folder_, "/", name); }
  static std::string Content(const std::string& name) {
    auto content = ReadFile(File(name));
    EXPECT_TRUE(content.ok()) << content.status();
    return content.ok() ? *content : "";
  }
  // A copy of the file with another bit at `offset`, counted from the end where it is negative.
  static std::string Flipped(const std::string& name, int offset) {
    std::string content = Content(name);
    content[offset < 0 ? content.size() + offset : offset] ^= 1;
    const std::string path = File("flipped");
    EXPECT_TRUE(WriteFileAtomically(path, content).ok());
    return path;
  }

  // The report of `forekey verify`, whose exit status must be that of its verdict. Of an option
  // that is given twice the last counts.
  static nlohmann::json Verify(const Words& argv) {
    const std::string path = File("report");
    std::filesystem::remove(path);
    SpawnOptions options;
    options.argv = {FOREKEY_BIN "/forekey", "verify"};
    options.argv.insert(options.argv.end(), argv.begin(), argv.end());
    options.argv.push_back("--json");
    options.output_path = path;
    auto child = ChildProcess::Spawn(options);
    if (!child.ok()) {
      ADD_FAILURE() << child.status();
      return nlohmann::json::object();
    }
    const auto status = child->Wait(absl::Seconds(60));
    const std::string text = Content("report");
    auto report = nlohmann::json::parse(text, nullptr, false);
    EXPECT_TRUE(report.is_object()) << text;
    if (!report.is_object()) return nlohmann::json::object();
    EXPECT_EQ(status.ok() ? *status : -1, report.value("verdict", "") == "valid" ? 0 : 1) << text;
    return report;
  }

  struct Ceremony {
    std::string made_by;         // the authenticator's folder
    std::string object, client;  // files; empty: its own
    std::string challenge, rp_id = "localhost", origin, key;
    Words more;
  };
  static nlohmann::json VerifyAttestation(Ceremony c) {
    if (c.object.empty()) c.object = File(c.made_by + "/attestation-object");
    if (c.client.empty()) c.client = File(c.made_by + "/client-data");
    if (c.challenge.empty()) c.challenge = Content(c.made_by + "/registration-challenge");
    Words argv = {"attestation", "--kind", "webauthn", "--attestation-object", c.object};
    return Verify(With(std::move(argv), c));
  }
  // `object`: the authenticator data here.
  static nlohmann::json VerifyAssertion(Ceremony c, std::string signature = "") {
    if (c.object.empty()) c.object = File(c.made_by + "/authenticator-data");
    if (c.client.empty()) c.client = File(c.made_by + "/assertion-client-data");
    if (c.challenge.empty()) c.challenge = Content(c.made_by + "/assertion-challenge");
    if (c.key.empty()) c.key = File(c.made_by + "/public-key");
    if (signature.empty()) signature = File(c.made_by + "/signature");
    Words argv = {"assertion", "--kind",      "webauthn", "--authenticator-data",
                  c.object,    "--signature", signature,  "--public-key",
                  c.key};
    return Verify(With(std::move(argv), c));
  }
  static Words With(Words argv, const Ceremony& c) {
    const std::string origin = c.origin.empty() ? Content(c.made_by + "/origin") : c.origin;
    argv.insert(argv.end(), {"--client-data", c.client, "--challenge", c.challenge, "--rp-id",
                             c.rp_id, "--origin", origin});
    argv.insert(argv.end(), c.more.begin(), c.more.end());
    return argv;
  }
  // Chromium's certificate is signed by itself.
  static Words Trusted() { return {"--trust", File("packed/vendor")}; }
  static std::string Reason(const nlohmann::json& report) {
    return report.value("verdict", "") == "valid" ? "valid" : report.value("reason", "no reason");
  }

  static std::string folder_;
};
std::string WebAuthnChromiumTest::folder_;

TEST_F(WebAuthnChromiumTest, RegistrationsAndAssertionsAreVerified) {
  for (const char* name : {"packed", "packed-rs256", "verified", "synced", "u2f"}) {
    const auto attestation = VerifyAttestation(
        {.made_by = name, .more = {"--trust", File(absl::StrCat(name, "/vendor"))}});
    EXPECT_EQ(Reason(attestation), "valid") << name << attestation;
    EXPECT_EQ(attestation.value("/proved/attestation_type"_json_pointer, ""), "basic") << name;
    EXPECT_EQ(attestation.value("/proved/format"_json_pointer, ""),
              std::string(name) == "u2f" ? "fido-u2f" : "packed");
    const auto assertion = VerifyAssertion({.made_by = name});
    EXPECT_EQ(Reason(assertion), "valid") << name << assertion;
    EXPECT_TRUE(assertion.value("/proved/flags/up"_json_pointer, false)) << name;
  }
}

TEST_F(WebAuthnChromiumTest, WhatTheBrowserLeavesToPolicy) {
  EXPECT_EQ(Reason(VerifyAttestation({.made_by = "packed"})), "certificate-untrusted");
  EXPECT_EQ(Reason(VerifyAttestation({.made_by = "none", .more = Trusted()})),
            "attestation-format-refused");
  EXPECT_EQ(Reason(VerifyAttestation({.made_by = "none", .more = {"--allow-none"}})), "valid");
  Words gate = Trusted();
  gate.push_back("--gate-policy");
  EXPECT_EQ(Reason(VerifyAttestation({.made_by = "packed", .more = gate})), "valid");
  EXPECT_EQ(Reason(VerifyAttestation({.made_by = "synced", .more = gate})), "backup-eligible");
  Words verified = Trusted();
  verified.push_back("--require-uv");
  EXPECT_EQ(Reason(VerifyAttestation({.made_by = "verified", .more = verified})), "valid");
  EXPECT_EQ(Reason(VerifyAttestation({.made_by = "packed", .more = verified})),
            "user-not-verified");
  EXPECT_EQ(Reason(VerifyAssertion({.made_by = "verified", .more = {"--require-uv"}})), "valid");
  EXPECT_EQ(Reason(VerifyAssertion({.made_by = "packed", .more = {"--require-uv"}})),
            "user-not-verified");
}

TEST_F(WebAuthnChromiumTest, TamperedRegistrationsAreRefused) {
  const Words trusted = Trusted();
  EXPECT_EQ(Reason(VerifyAttestation({.made_by = "packed",
                                      .challenge = Content("packed/assertion-challenge"),
                                      .more = trusted})),
            "client-data-challenge");
  EXPECT_EQ(Reason(VerifyAttestation(
                {.made_by = "packed", .origin = "http://localhost", .more = trusted})),
            "client-data-origin");
  EXPECT_EQ(Reason(VerifyAttestation({.made_by = "packed", .rp_id = "local", .more = trusted})),
            "rp-id-mismatch");
  EXPECT_EQ(Reason(VerifyAttestation({.made_by = "packed",
                                      .client = File("packed/assertion-client-data"),
                                      .challenge = Content("packed/assertion-challenge"),
                                      .more = trusted})),
            "client-data-type");
  for (const char* name : {"packed", "u2f"}) {
    // Its last byte is the credential key's y coordinate: no point of the curve any more.
    EXPECT_EQ(
        Reason(VerifyAttestation({.made_by = name,
                                  .object = Flipped(absl::StrCat(name, "/attestation-object"), -1),
                                  .more = trusted})),
        "key-algorithm")
        << name;
    // Another credential id: both statements sign it.
    const std::string object = Content(absl::StrCat(name, "/attestation-object"));
    const size_t id = object.rfind(Content(absl::StrCat(name, "/credential-id")));
    ASSERT_NE(id, std::string::npos);
    EXPECT_EQ(Reason(VerifyAttestation({.made_by = name,
                                        .object = Flipped(absl::StrCat(name, "/attestation-object"),
                                                          static_cast<int>(id)),
                                        .more = trusted})),
              "attestation-signature")
        << name;
  }
  // Chromium says only once that it is a boolean; another page's frame would have said true.
  std::string client = Content("packed/client-data");
  const size_t cross = client.find("\"crossOrigin\":false");
  ASSERT_NE(cross, std::string::npos);
  client.replace(cross, 19, "\"crossOrigin\":true");
  ASSERT_TRUE(WriteFileAtomically(File("framed"), client).ok());
  Words gate = trusted;
  gate.push_back("--gate-policy");
  EXPECT_EQ(
      Reason(VerifyAttestation({.made_by = "packed", .client = File("framed"), .more = gate})),
      "client-data-origin");
  EXPECT_EQ(
      Reason(VerifyAttestation({.made_by = "packed", .client = File("framed"), .more = trusted})),
      "attestation-signature");
}

TEST_F(WebAuthnChromiumTest, TamperedAssertionsAreRefused) {
  for (const char* name : {"packed", "u2f"}) {
    const std::string own = absl::StrCat(name, "/");
    EXPECT_EQ(Reason(VerifyAssertion(
                  {.made_by = name, .challenge = Content(own + "registration-challenge")})),
              "client-data-challenge");
    EXPECT_EQ(Reason(VerifyAssertion({.made_by = name, .origin = "http://localhost"})),
              "client-data-origin");
    EXPECT_EQ(Reason(VerifyAssertion({.made_by = name, .rp_id = "local"})), "rp-id-mismatch");
    EXPECT_EQ(Reason(VerifyAssertion({.made_by = name,
                                      .client = File(own + "client-data"),
                                      .challenge = Content(own + "registration-challenge")})),
              "client-data-type");
    EXPECT_EQ(Reason(VerifyAssertion({.made_by = name}, Flipped(own + "signature", -1))),
              "signature-invalid");
    EXPECT_EQ(Reason(VerifyAssertion({.made_by = name, .key = File("verified/public-key")})),
              "signature-invalid");
    // The counter, UP and UV are signed.
    EXPECT_EQ(Reason(VerifyAssertion(
                  {.made_by = name, .object = Flipped(own + "authenticator-data", -1)})),
              "signature-invalid");
    EXPECT_EQ(Reason(VerifyAssertion(
                  {.made_by = name, .object = Flipped(own + "authenticator-data", 32)})),
              "user-not-present");
    EXPECT_EQ(Reason(VerifyAssertion({.made_by = name, .more = {"--previous-count", "1000"}})),
              "counter-rollback");
    EXPECT_EQ(Reason(VerifyAssertion({.made_by = name, .more = {"--previous-count", "1"}})),
              "valid");
  }
}

}  // namespace
}  // namespace forekey

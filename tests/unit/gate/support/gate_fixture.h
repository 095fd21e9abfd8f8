// SPDX-License-Identifier: Apache-2.0
// A gate without gRPC on a clock that moves only when told to, its registry in a temporary folder,
// and the client's half of the protocol written out in the tests' own words.
#ifndef FOREKEY_TESTS_UNIT_GATE_SUPPORT_GATE_FIXTURE_H_
#define FOREKEY_TESTS_UNIT_GATE_SUPPORT_GATE_FIXTURE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/reason.h"
#include "src/gate/service/gate_core.h"
#include "src/gate/token/token_verifier.h"
#include "src/wire/prefix.h"
#include "tests/support/fake_clock.h"
#include "tests/support/memory_audit_sink.h"
#include "tests/support/status_matchers.h"

namespace forekey::testing {

inline constexpr absl::string_view kAudience = "gate.test";
inline constexpr absl::string_view kMethod = "/shop.Orders/Buy";
inline constexpr absl::string_view kOtherMethod = "/shop.Orders/Sell";
inline constexpr absl::string_view kPeer = "ipv4:192.0.2.7:4711";

class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A new self-signed TLS certificate each time.
struct TestCertificate {
  std::string pem;
  std::string binding;  // SHA-256 of the DER
};
TestCertificate MakeTlsCertificate(const std::string& common_name);
void WriteText(const std::string& path, absl::string_view text);

// A token in software: what the tests enrol.
struct Token {
  std::shared_ptr<const SoftwareKey> key;
  std::string subject;
  std::string id;
};

Token MakeToken(const std::string& subject, Algorithm algorithm);

// A device proof before it is signed: tests change a field, then sign, or sign and then change.
struct DeviceProofDraft {
  std::string audience{kAudience};
  std::string method{kMethod};
  std::string challenge;
  std::string channel_binding;
  std::string key_share;
  std::string request_digest;
  std::vector<const Token*> signers;

  std::string Statement() const;
  // Ids (ascending) with the signature of each over `statement`.
  std::map<std::string, std::string> Sign(const std::string& statement) const;
  std::string Serialize(const std::map<std::string, std::string>& signatures) const;
  std::string SignAndSerialize() const { return Serialize(Sign(Statement())); }
};

// The client's side of an open session.
struct ClientSession {
  std::string id;
  std::string key;
  std::string channel_binding;
  uint32_t idle_s = 0;
  uint32_t absolute_s = 0;
  uint32_t window = 0;
  std::string next_gate_identity;
  std::string ticket;
  uint64_t next_sequence = 1;

  std::string Proof(absl::string_view method, uint64_t sequence, uint32_t age_s,
                    absl::string_view request_digest = "") const;
  std::string NextProof(absl::string_view method, uint32_t age_s = 0,
                        absl::string_view request_digest = "") {
    return Proof(method, next_sequence++, age_s, request_digest);
  }
};

class GateFixture : public ::testing::Test {
 protected:
  GateFixture();
  ~GateFixture() override;

  virtual GateConfig Config();
  virtual std::vector<std::shared_ptr<const TokenVerifier>> Tokens() { return {}; }
  // Makes the gate (again): a restart.
  void StartGate();
  absl::Status TryToStartGate();
  GateCore& gate() { return *gate_; }

  Token Enroll(const std::string& subject, Algorithm algorithm = Algorithm::kEs256,
               TokenKind kind = v1::TOKEN_KIND_TPM, const std::vector<std::string>& roles = {});
  void Revoke(const Token& token);

  std::string Challenge(
      v1::GetChallengeRequest::Purpose purpose = v1::GetChallengeRequest::PURPOSE_CALL);
  DeviceProofDraft Draft(std::vector<const Token*> signers);

  Judgement Judge(const std::string& prefix, absl::string_view method = kMethod,
                  absl::string_view peer = kPeer);
  // The reason why this is refused; nullopt when it is admitted. Checks that the peer learns
  // nothing but the public code and a reference that the audit log has.
  std::optional<Reason> WhyRefused(const std::string& prefix, absl::string_view method = kMethod);
  std::optional<Reason> WhyRefused(const Judgement& judgement);
  // Of a public status: what the audit log says under its reference.
  std::optional<Reason> AuditedReason(const absl::Status& status);

  struct OpenOptions {
    uint32_t max_idle_s = 0;
    uint32_t max_absolute_s = 0;
    std::string gate_identity;  // empty: the current one
    std::string sealed_factors;
    std::function<std::string(absl::string_view challenge)> seal;  // instead
    std::function<std::string(absl::string_view challenge, absl::string_view key_share)> seal_for;
  };
  absl::StatusOr<ClientSession> Open(std::vector<const Token*> signers, OpenOptions options);
  ClientSession Open(const Token& token);
  // With factors that are sealed once the challenge is known.
  absl::StatusOr<ClientSession> OpenSealed(std::vector<const Token*> signers,
                                           std::function<std::string(absl::string_view)> seal);
  absl::StatusOr<ClientSession> OpenChild(ClientSession& parent, OpenOptions options,
                                          uint32_t age_s = 0, std::string binding = "");

  TempFolder folder_;
  FakeClock clock_;
  TestCertificate certificate_;
  std::shared_ptr<Registry> registry_;
  MemoryAuditSink* audit_ = nullptr;  // of the gate that runs
  std::unique_ptr<GateCore> gate_;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_UNIT_GATE_SUPPORT_GATE_FIXTURE_H_

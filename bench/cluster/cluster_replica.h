// SPDX-License-Identifier: Apache-2.0
// One replica of a gate without gRPC, and the client's half of the protocol: what the tests have,
// on the system's clock, over a PostgreSQL that several of them share.
#ifndef FOREKEY_BENCH_CLUSTER_CLUSTER_REPLICA_H_
#define FOREKEY_BENCH_CLUSTER_CLUSTER_REPLICA_H_

#include <memory>
#include <string>

#include "src/wire/invite.h"
#include "tests/support/webauthn_maker.h"
#include "tests/unit/gate/support/gate_fixture.h"
#include "tests/unit/gate/support/soft_fido2.h"

namespace forekey::bench {

// The makers of the synthetic security keys that are enrolled.
struct KeyMaker {
  testing::TestCa ca = testing::TestCa::New("Tokens Root");
  std::shared_ptr<EVP_PKEY> attestation_key = testing::NewEcKey();
};

// An audit log that keeps nothing.
class NoAudit : public AuditSink {
 public:
  absl::Status Write(const Decision&) override { return absl::OkStatus(); }
};

class Replica : public testing::GateFixture {
 public:
  struct Options {
    std::string name = "gate";
    std::string database;             // a URL; empty: SQLite, and no replicas
    const Replica* first = nullptr;   // whose identity this one has; null: makes one
    const KeyMaker* maker = nullptr;  // of keys that may enrol
    bool resumption = true;
  };
  explicit Replica(const Options& options);
  void TestBody() override {}

  // Enrols straight into the registry.
  testing::Token AddTpm(const std::string& subject) { return Enroll(subject); }
  testing::Token AddFido2(const std::string& subject);

  testing::ClientSession OpenTpm(const testing::Token& token) { return Open(token); }
  // False where it is refused. The session's key is not computed: nobody uses it.
  bool OpenFido2(const testing::Token& token, uint32_t sign_count);
  absl::StatusOr<testing::ClientSession> Resume(const testing::ClientSession& old);
  absl::Status End(testing::ClientSession& session);
  bool Admitted(const std::string& prefix) { return Judge(prefix).status.ok(); }
  // As `forekey-gate revoke` does it: returns when it is held everywhere.
  absl::Status RevokeEverywhere(const testing::Token& token);

  absl::StatusOr<std::string> MakeInvite(const std::string& subject);
  // A security key of its own enrols itself: both steps. The reason of a refusal is in the status.
  absl::Status EnrollByInvite(const std::string& invite, const KeyMaker& maker);

 private:
  absl::StatusOr<v1::EnrollmentDemand> Begin(const Invite& invite,
                                             const v1::EnrollmentOpening& opening);
};

}  // namespace forekey::bench

#endif  // FOREKEY_BENCH_CLUSTER_CLUSTER_REPLICA_H_

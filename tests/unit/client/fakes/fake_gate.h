// SPDX-License-Identifier: Apache-2.0
// A gate for tests: TLS, challenges, sessions and enrolment over real crypto, kept in maps. It
// checks what the client promises (signatures, MACs, sequences, digests), knows nothing of
// attestation, and can be told to misbehave.
#ifndef FOREKEY_TESTS_UNIT_CLIENT_FAKES_FAKE_GATE_H_
#define FOREKEY_TESTS_UNIT_CLIENT_FAKES_FAKE_GATE_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "src/client/gate_client.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/public_key.h"
#include "src/crypto/random.h"
#include "src/wire/invite.h"
#include "tests/unit/client/fakes/latch.h"
#include "tests/unit/client/fakes/tls.h"

namespace forekey::testing {

// Behind the gate, every method of "/test.Echo/..." gives each message back.
class FakeGate {
 public:
  // What the gate does wrong. Change it through Misbehave().
  struct Faults {
    bool other_identity = false;   // holds another X25519 key than it says
    bool swap_gate_share = false;  // an active proxy puts a share of its own into the answer
    bool zero_gate_share = false;
    bool corrupt_confirmation = false;
    bool stretch_lifetime = false;  // lifetimes in the answer differ from those confirmed
    bool swap_next_identity = false;
    std::string session_subject;    // confirmed, but another subject than the credential's
    std::string enroll_audience;    // calls itself so in the demand
    std::string fido2_origin;       // of the demand
    std::string fido2_rp_id;        // of the demand; empty: the audience
    std::string announce_identity;  // next_gate_identity, confirmed
    std::string announce_anchors;   // tls_anchors, with their MAC
    bool swap_anchors = false;      // something between puts others into the answer
    bool corrupt_begin_confirmation = false;
    bool change_demand = false;  // the demand's subject is changed after the confirmation
    bool corrupt_finish_confirmation = false;
    bool other_credential = false;         // acknowledges another credential, confirmed
    grpc::Status finish_status;            // instead of enrolling
    bool lose_finish_answer = false;       // enrols, and says UNAVAILABLE
    bool handler_unauthenticated = false;  // the echo handler answers UNAUTHENTICATED
    std::string step_up;                   // what every method needs besides
    bool factors_meet_step_up = false;     // ... unless the session was opened with factors
    bool refuse_credentials = false;       // all are revoked
    grpc::Status open_status;              // instead of opening a session, of a good proof
    bool refuse_factors = false;           // openings with a password are refused
    bool tickets = false;                  // sessions have tickets, and are resumed
    bool refuse_tickets = false;
    grpc::Status resume_status;  // instead of resuming, by a good ticket that stays good
    bool lose_ends = false;      // a session is ended here, and UNAVAILABLE: not durably
    uint32_t idle_s = 600;
    uint32_t absolute_s = 3600;
  };
  struct Counts {
    int challenges = 0, sessions = 0, children = 0, ended = 0, who_am_i = 0, echo = 0, enrolled = 0;
    int refused = 0, requirements = 0, resumed = 0;
    int moved_enrollments = 0;
    int with_factors = 0;  // openings that came with sealed factors, refused ones among them
  };

  explicit FakeGate(std::string audience, TlsIdentity tls = MakeTlsIdentity());
  ~FakeGate();

  GateTarget target() const;
  const std::string& identity() const { return identity_.public_key(); }
  const TlsIdentity& tls() const { return tls_; }
  int port() const { return port_; }

  std::string AddCredential(const std::string& subject, const PublicKey& key);  // returns its id
  Invite MakeInvite(const std::string& subject);
  void Misbehave(const Faults& faults);
  // As a restart does: no session is known any more.
  void DropSessions();
  // Clients trust another leaf, besides; call it before they get to know the gate.
  void PrepareLeaf() { next_tls_ = MakeTlsIdentity(); }
  // New connections get that leaf, and those with the old one end. Sessions live on.
  void ReplaceLeaf();
  // What ResumeSession waits for before its answer leaves.
  Latch resuming;
  // A balancer has so many challenges from now on come from another process of the gate, and what
  // is proved over them come here.
  void IssueElsewhere(int challenges);
  // A balancer moves so many enrolments to another process of the gate between their two steps, and
  // all that comes later with them. `answer`: what becomes of the second step.
  void MoveEnrollments(int enrollments,
                       grpc::StatusCode answer = grpc::StatusCode::UNAUTHENTICATED);
  void RefuseSessions(bool refuse);             // whatever they prove
  std::string authorization();                  // that the last call of Echo carried besides
  void SetIdentity(X25519PrivateKey identity);  // the one before is not accepted any more
  Counts counts();
  std::vector<std::string> reasons();  // of refusals, in order
  std::vector<std::string> refused_paths();
  // By path, what the calls carried; an empty one: a call carried none.
  std::map<std::string, std::set<std::string>> affinities();
  std::set<std::string> peers();  // of Echo and GetRequirements

 private:
  struct Service;
  struct Processor;
  struct Echo;
  struct Session {
    std::string subject, key, binding, parent;
    int64_t opened = 0;
    bool with_factors = false;
    std::set<uint64_t> sequences;
  };
  struct Credential {
    std::string subject;
    PublicKey key;
  };
  absl::Status Check(absl::string_view path, absl::string_view prefix);
  absl::Status CheckSession(absl::string_view path, absl::string_view prefix);
  absl::Status CheckDevice(absl::string_view path, absl::string_view prefix);
  absl::Status CheckResumption(absl::string_view path, absl::string_view prefix);
  grpc::Status Open(const std::string& client_share, const std::string& parent,
                    const std::string& salt, const std::string& transcript,
                    const std::string& subject, const std::string& binding,
                    forekey::v1::OpenSessionResponse* response);

  void Serve();

  const std::string audience_;
  TlsIdentity tls_;
  TlsIdentity next_tls_;
  absl::Mutex mutex_;
  X25519PrivateKey identity_;
  Faults faults_;
  Counts counts_;
  bool refuse_sessions_ = false;
  std::string authorization_;
  std::vector<std::string> reasons_, refused_paths_;
  std::set<std::string> peers_;
  std::map<std::string, std::set<std::string>> affinities_;
  std::map<std::string, Session> sessions_;
  std::map<std::string, Session> tickets_;  // each is good once
  std::map<std::string, Credential> credentials_;
  std::string instance_ = RandomBytes(2);  // of this process, in its challenges
  int issued_elsewhere_ = 0;
  int moved_enrollments_ = 0;
  grpc::StatusCode moved_answer_ = grpc::StatusCode::UNAUTHENTICATED;
  std::set<std::string> challenges_;
  std::map<std::string, std::string> invites_;  // public key -> subject
  struct Pending {
    std::string invite_key, enrollment_id, begin_payload;
  };
  std::map<std::string, Pending> pending_;  // ticket -> enrolment
  std::unique_ptr<Service> service_;
  std::unique_ptr<Echo> echo_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_UNIT_CLIENT_FAKES_FAKE_GATE_H_

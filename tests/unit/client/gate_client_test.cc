// SPDX-License-Identifier: Apache-2.0
// LAW 3 and the client's half of the session protocol: nothing of a gate's answer is believed
// before its confirmation verified.
#include "src/client/gate_client.h"

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/reason.h"
#include "src/client/channel_binding.h"
#include "src/client/gate_diagnosis.h"
#include "src/crypto/digest.h"
#include "src/crypto/random.h"
#include "src/wire/prefix.h"
#include "src/wire/statement.h"
#include "tests/end2end/fault_proxy.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/client/fakes/fake_gate.h"

namespace forekey {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FakeGate;
using ::testing::HasSubstr;
using testing::TlsIdentity;

class GateClientTest : public ::testing::Test {
 protected:
  GateClientTest() : gate_("gate.test"), key_(SoftwareKey::Generate(Algorithm::kEs256)) {
    id_ = gate_.AddCredential("alice", key_.public_key());
    connection_ = Connect(gate_.target());
  }

  static std::unique_ptr<GateConnection> Connect(GateTarget target) {
    GateConnection::Options options;
    options.target = std::move(target);
    return GateConnection::New(std::move(options)).value();
  }

  Signer MakeSigner() {
    return {id_, [this](absl::string_view statement) -> absl::StatusOr<SignedStatement> {
              ++signatures_;
              return SignedStatement{key_.Sign(statement), "", ""};
            }};
  }

  absl::StatusOr<ClientSessionPtr> Open() {
    GateConnection::OpenOptions options;
    options.gate_identity = gate_.identity();
    options.signers.push_back(MakeSigner());
    return connection_->OpenSession(options);
  }

  absl::StatusOr<ClientSessionPtr> OpenChild(const ClientSession& parent) {
    GateConnection::ChildOptions options;
    options.gate_identity = gate_.identity();
    options.channel_binding = parent.channel_binding();
    return connection_->OpenChildSession(parent, options);
  }

  FakeGate gate_;
  SoftwareKey key_;
  std::string id_;
  std::unique_ptr<GateConnection> connection_;
  int signatures_ = 0;
};

TEST_F(GateClientTest, OpensASessionAndIsKnownByIt) {
  auto session = Open();
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ((*session)->subject(), "alice");
  EXPECT_EQ((*session)->channel_binding(), Sha256(gate_.tls().certificate_der));
  EXPECT_EQ(signatures_, 1);
  auto who = connection_->WhoAmI(**session);
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ(who->subject(), "alice");
  auto again = connection_->WhoAmI(**session);
  EXPECT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(gate_.counts().refused, 0);
}

TEST_F(GateClientTest, AChallengeOfAnotherProcessIsTakenForAMissOnce) {
  gate_.IssueElsewhere(1);
  auto session = Open();
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(signatures_, 2);
  EXPECT_EQ(gate_.counts().refused, 1);
  gate_.IssueElsewhere(2);  // no miss, as far as can be seen: both are of one process
  EXPECT_TRUE(absl::IsUnauthenticated(Open().status()));
  EXPECT_EQ(signatures_, 3);
  gate_.IssueElsewhere(0);
  FakeGate::Faults faults;
  faults.tickets = true;
  gate_.Misbehave(faults);
  auto old = Open();
  ASSERT_TRUE(old.ok()) << old.status();
  gate_.IssueElsewhere(1);
  auto resumed = connection_->ResumeSession(**old, gate_.identity());
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(gate_.counts().resumed, 1);
}

TEST_F(GateClientTest, ARefusalByTheProcessThatIssuedTheChallengeIsNotTriedAgain) {
  const SoftwareKey other = SoftwareKey::Generate(Algorithm::kEs256);
  id_ = gate_.AddCredential("alice", other.public_key());  // another key signs
  EXPECT_TRUE(absl::IsUnauthenticated(Open().status()));
  EXPECT_EQ(signatures_, 1);
  EXPECT_EQ(gate_.counts().refused, 1);
}

TEST_F(GateClientTest, OpensAChildThatTheGateTellsFromItsParent) {
  auto session = Open();
  ASSERT_TRUE(session.ok()) << session.status();
  auto child = OpenChild(**session);
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_NE((*child)->id(), (*session)->id());
  auto who = connection_->WhoAmI(**child);
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_TRUE(who->child_session());
  EXPECT_EQ(signatures_, 1);
}

TEST_F(GateClientTest, EndsASession) {
  auto session = Open();
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_TRUE(connection_->EndSession(**session).ok());
  auto who = connection_->WhoAmI(**session);
  EXPECT_TRUE(absl::IsUnauthenticated(who.status()));
  EXPECT_FALSE(ReasonOf(who.status()).has_value()) << "a gate's refusal carries no local reason";
  EXPECT_THAT(std::string(who.status().message()), HasSubstr("reference 0123"));
  EXPECT_THAT(gate_.reasons(), ElementsAre("session-unknown"));
}

TEST_F(GateClientTest, MakesADeviceProofForOneMethod) {
  auto prefix = connection_->MakeDevicePrefix("/test.Echo/Say", "", {MakeSigner()});
  ASSERT_TRUE(prefix.ok()) << prefix.status();
  auto parsed = Prefix::Parse(*prefix);
  ASSERT_TRUE(parsed.ok());
  ASSERT_NE(parsed->device(), nullptr);
  EXPECT_EQ(parsed->device()->channel_binding, Sha256(gate_.tls().certificate_der));
  EXPECT_TRUE(parsed->device()->key_share.empty());
  EXPECT_TRUE(parsed->device()->request_digest.empty());
}

struct Fault {
  const char* name;
  FakeGate::Faults faults;
  Reason reason;
};

void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }

std::vector<Fault> Faults() {
  std::vector<Fault> all;
  auto add = [&all](const char* name, Reason reason, auto set) {
    FakeGate::Faults faults;
    set(faults);
    all.push_back({name, faults, reason});
  };
  using F = FakeGate::Faults;
  add("CorruptConfirmation", Reason::kGateConfirmationInvalid,
      [](F& f) { f.corrupt_confirmation = true; });
  add("OtherIdentity", Reason::kGateConfirmationInvalid, [](F& f) { f.other_identity = true; });
  add("SwappedGateShare", Reason::kGateConfirmationInvalid, [](F& f) { f.swap_gate_share = true; });
  add("AllZeroGateShare", Reason::kKeyShareInvalid, [](F& f) { f.zero_gate_share = true; });
  add("StretchedLifetime", Reason::kGateConfirmationInvalid,
      [](F& f) { f.stretch_lifetime = true; });
  add("SwappedNextIdentity", Reason::kGateConfirmationInvalid,
      [](F& f) { f.swap_next_identity = true; });
  add("NoLifetime", Reason::kGateConfirmationInvalid, [](F& f) { f.absolute_s = 0; });
  add("MalformedSubject", Reason::kGateConfirmationInvalid,
      [](F& f) { f.session_subject = "not a subject"; });
  return all;
}

class GateClientFaultTest : public GateClientTest, public ::testing::WithParamInterface<Fault> {};

TEST_P(GateClientFaultTest, RefusesTheSession) {
  gate_.Misbehave(GetParam().faults);
  auto session = Open();
  ASSERT_FALSE(session.ok());
  EXPECT_EQ(ReasonOf(session.status()), GetParam().reason) << session.status();
}

// Children announce none: their parent's opening did.
TEST_F(GateClientTest, RefusesASessionWhoseCasAreNotTheGatesOwnWord) {
  FakeGate::Faults faults;
  faults.announce_anchors = testing::MakeTlsIdentity().certificate_pem;
  faults.swap_anchors = true;
  gate_.Misbehave(faults);
  EXPECT_EQ(ReasonOf(Open().status()), Reason::kGateConfirmationInvalid);
}

TEST_P(GateClientFaultTest, RefusesTheChildSession) {
  auto parent = Open();
  ASSERT_TRUE(parent.ok()) << parent.status();
  gate_.Misbehave(GetParam().faults);
  auto child = OpenChild(**parent);
  ASSERT_FALSE(child.ok());
  EXPECT_EQ(ReasonOf(child.status()), GetParam().reason) << child.status();
}

INSTANTIATE_TEST_SUITE_P(Faults, GateClientFaultTest, ::testing::ValuesIn(Faults()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_F(GateClientTest, RefusesAChildOfAnotherSubject) {
  auto parent = Open();
  ASSERT_TRUE(parent.ok()) << parent.status();
  FakeGate::Faults faults;
  faults.session_subject = "mallory";
  gate_.Misbehave(faults);
  EXPECT_EQ(ReasonOf(OpenChild(**parent).status()), Reason::kSubjectMismatch);
  EXPECT_EQ(gate_.counts().ended, 1) << "nobody will use it";
}

TEST_F(GateClientTest, ReportsThatTheGateKnowsAnotherIdentity) {
  GateConnection::OpenOptions options;
  options.gate_identity = X25519PrivateKey::Generate().public_key();
  options.signers.push_back(MakeSigner());
  auto session = connection_->OpenSession(options);
  EXPECT_TRUE(absl::IsUnauthenticated(session.status())) << session.status();
  EXPECT_THAT(gate_.reasons(), ElementsAre("gate-identity-unknown"));
}

// LAW 2: a proof leaves only on a connection with the certificate that it was made for.
TEST_F(GateClientTest, DoesNotSendAProofToAnotherCertificate) {
  auto session = Open();
  ASSERT_TRUE(session.ok()) << session.status();
  FakeGate other("gate.test");
  auto connection = Connect(other.target());
  absl::Status status = connection->WhoAmI(**session).status();
  EXPECT_TRUE(absl::IsAborted(status)) << status;
  EXPECT_EQ(other.counts().refused, 0) << "the prefix was sent";
}

TEST_F(GateClientTest, ReturnsTheSignersErrorAsItIs) {
  GateConnection::OpenOptions options;
  options.gate_identity = gate_.identity();
  options.signers.push_back({id_, [](absl::string_view) -> absl::StatusOr<SignedStatement> {
                               return absl::ResourceExhaustedError("locked out");
                             }});
  EXPECT_EQ(connection_->OpenSession(options).status(), absl::ResourceExhaustedError("locked out"));
}

TEST_F(GateClientTest, SortsCredentialsAndRefusesOneTwice) {
  SoftwareKey second = SoftwareKey::Generate(Algorithm::kEs256);
  std::string second_id = gate_.AddCredential("alice", second.public_key());
  Signer other{second_id, [&second](absl::string_view s) -> absl::StatusOr<SignedStatement> {
                 return SignedStatement{second.Sign(s), "", ""};
               }};
  for (auto signers : {std::vector<Signer>{MakeSigner(), other}, {other, MakeSigner()}}) {
    auto prefix = connection_->MakeDevicePrefix("/test.Echo/Say", "", signers);
    ASSERT_TRUE(prefix.ok()) << prefix.status();
    auto parsed = Prefix::Parse(*prefix);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->device()->assertions.size(), 2u);
  }
  auto twice = connection_->MakeDevicePrefix("/test.Echo/Say", "", {MakeSigner(), MakeSigner()});
  EXPECT_TRUE(absl::IsInvalidArgument(twice.status())) << twice.status();
}

// Another network, or a long sleep: the connection is there, and nothing comes through.
TEST_F(GateClientTest, AChallengeIsAskedForAgainOnANewConnection) {
  testing::FaultProxy proxy(gate_.port());
  GateConnection::Options options;
  options.target = gate_.target();
  options.target.address = absl::StrCat("localhost:", proxy.port());
  options.challenge_timeout = absl::Milliseconds(300);
  connection_ = GateConnection::New(std::move(options)).value();
  ASSERT_TRUE(Open().ok());
  proxy.Strike(testing::Fault::Kind::kStall, /*from_client=*/true);
  const auto session = Open();
  EXPECT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(signatures_, 2) << "the token was not asked for the attempt that failed";
}

TEST_F(GateClientTest, AfterASuspendTheConnectionIsMadeAnew) {
  testing::FaultProxy proxy(gate_.port());
  std::atomic<int64_t> asleep{0};
  GateConnection::Options options;
  options.target = gate_.target();
  options.target.address = absl::StrCat("localhost:", proxy.port());
  options.challenge_timeout = absl::InfiniteDuration();
  options.rpc_timeout = absl::Minutes(5);
  options.asleep_nanos = [&asleep] { return asleep.load(); };
  connection_ = GateConnection::New(std::move(options)).value();
  const auto session = Open();
  ASSERT_TRUE(session.ok()) << session.status();
  proxy.Strike(testing::Fault::Kind::kStall, /*from_client=*/true);
  asleep = 60'000'000'000;
  // On the old one this would wait for five minutes.
  EXPECT_TRUE(connection_->WhoAmI(**session).ok());
}

TEST_F(GateClientTest, ShutdownEndsACallThatHangs) {
  testing::FaultProxy proxy(gate_.port());
  GateConnection::Options options;
  options.target = gate_.target();
  options.target.address = absl::StrCat("localhost:", proxy.port());
  options.challenge_timeout = absl::Minutes(5);
  connection_ = GateConnection::New(std::move(options)).value();
  ASSERT_TRUE(Open().ok());
  proxy.Strike(testing::Fault::Kind::kStall, /*from_client=*/true);
  absl::Status hung;
  std::thread caller([&] { hung = Open().status(); });
  connection_->Shutdown();
  caller.join();
  EXPECT_TRUE(absl::IsCancelled(hung)) << hung;
}

TEST_F(GateClientTest, TellsADeadGateABadCertificateAndAWrongClockApart) {
  const auto trouble = [this](const GateTarget& target) {
    connection_ = Connect(target);
    const absl::Status status = Open().status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    return GateTroubleOf(status);
  };
  GateTarget target = gate_.target();
  target.ca_pem = testing::MakeTlsIdentity().certificate_pem;
  EXPECT_EQ(trouble(target), v1::GATE_TROUBLE_CERTIFICATE_UNTRUSTED);
  target = gate_.target();
  target.tls_server_name = "other.test";
  EXPECT_EQ(trouble(target), v1::GATE_TROUBLE_CERTIFICATE_FOR_OTHER_NAME);
  FakeGate early("gate.test", testing::MakeTlsIdentity("", absl::Hours(1), absl::Hours(2)));
  EXPECT_EQ(trouble(early.target()), v1::GATE_TROUBLE_CERTIFICATE_NOT_YET_VALID);
  FakeGate late("gate.test", testing::MakeTlsIdentity("", -absl::Hours(2), -absl::Hours(1)));
  EXPECT_EQ(trouble(late.target()), v1::GATE_TROUBLE_CERTIFICATE_EXPIRED);
  target = gate_.target();
  {
    FakeGate gone("gate.test");
    target.address = absl::StrCat("127.0.0.1:", gone.port());
  }
  EXPECT_EQ(trouble(target), v1::GATE_TROUBLE_NO_CONNECTION);
}

TEST_F(GateClientTest, SaysWhatToDoWhenTheGateIsNotThere) {
  GateTarget target = gate_.target();
  target.address = "127.0.0.1:1";
  absl::Status status =
      Connect(target)->GetChallenge(v1::GetChallengeRequest::PURPOSE_CALL).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("check that the gate is running"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("127.0.0.1:1"));
}

TEST_F(GateClientTest, RefusesACertificateOfAnotherCa) {
  GateTarget target = gate_.target();
  target.ca_pem = testing::MakeTlsIdentity().certificate_pem;
  absl::Status status =
      Connect(target)->GetChallenge(v1::GetChallengeRequest::PURPOSE_CALL).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("not signed by the CA"));
  EXPECT_EQ(gate_.counts().challenges, 0);
}

TEST_F(GateClientTest, RefusesACertificateForAnotherHostUnlessItsNameIsRecorded) {
  FakeGate other("gate.test", testing::MakeTlsIdentity("elsewhere.test"));
  GateTarget target = other.target();
  absl::Status status =
      Connect(target)->GetChallenge(v1::GetChallengeRequest::PURPOSE_CALL).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("another host name"));
  target.tls_server_name = "elsewhere.test";
  EXPECT_TRUE(Connect(target)->GetChallenge(v1::GetChallengeRequest::PURPOSE_CALL).ok());
}

TEST_F(GateClientTest, RefusesTrustAnchorsThatAreNone) {
  GateConnection::Options options;
  options.target = gate_.target();
  options.target.ca_pem = "hello";
  EXPECT_TRUE(absl::IsInvalidArgument(GateConnection::New(options).status()));
}

TEST(ChannelBindingTest, IsTheHashOfTheDer) {
  TlsIdentity tls = testing::MakeTlsIdentity();
  EXPECT_EQ(ChannelBindingFromPem(tls.certificate_pem).value(), Sha256(tls.certificate_der));
  EXPECT_FALSE(ChannelBindingFromPem("").ok());
  EXPECT_FALSE(ChannelBindingFromPem("hello").ok());
  EXPECT_FALSE(ChannelBindingFromPem(tls.key_pem).ok()) << "a PEM block of another kind";
  EXPECT_FALSE(
      ChannelBindingFromPem(tls.certificate_pem.substr(0, tls.certificate_pem.size() / 2)).ok());
}

TEST(ChannelBindingTest, TheCacheFollowsTheCertificate) {
  TlsIdentity a = testing::MakeTlsIdentity();
  TlsIdentity b = testing::MakeTlsIdentity();
  ChannelBindingCache cache;
  EXPECT_EQ(**cache.Get(a.certificate_pem), Sha256(a.certificate_der));
  EXPECT_EQ(**cache.Get(b.certificate_pem), Sha256(b.certificate_der));
  EXPECT_EQ(**cache.Get(a.certificate_pem), Sha256(a.certificate_der));
  EXPECT_FALSE(cache.Get("").ok());
}

TEST(ClientSessionTest, SequencesAndAgesGoUp) {
  FakeClock clock;
  ClientSession::Parts parts;
  parts.id = RandomBytes(16);
  parts.key = Secret(RandomBytes(32));
  parts.channel_binding = RandomBytes(32);
  parts.opened_at = clock.BootNow();
  parts.idle_s = 600;
  parts.absolute_s = 3600;
  ClientSession session(std::move(parts), &clock);
  std::string first = session.MakePrefix("/a.B/C");
  clock.Advance(absl::Milliseconds(2500));
  std::string second = session.MakePrefix("/a.B/C");
  EXPECT_EQ(Prefix::Parse(first)->session()->sequence, 1u);
  EXPECT_EQ(Prefix::Parse(first)->session()->age_s, 0u);
  EXPECT_EQ(Prefix::Parse(second)->session()->sequence, 2u);
  EXPECT_EQ(Prefix::Parse(second)->session()->age_s, 2u);
}

TEST(ClientSessionTest, EndsBeforeTheGateEndsIt) {
  FakeClock clock;
  ClientSession::Parts parts;
  parts.id = RandomBytes(16);
  parts.key = Secret(RandomBytes(32));
  parts.channel_binding = RandomBytes(32);
  parts.opened_at = clock.BootNow();
  parts.idle_s = 100;
  parts.absolute_s = 200;
  ClientSession session(std::move(parts), &clock);
  EXPECT_EQ(session.state(), ClientSession::State::kFresh);
  clock.Advance(absl::Seconds(89));
  EXPECT_EQ(session.state(), ClientSession::State::kFresh);
  clock.Advance(absl::Seconds(1));
  EXPECT_EQ(session.state(), ClientSession::State::kExpired) << "idle";
  session.MakePrefix("/a.B/C");
  EXPECT_EQ(session.state(), ClientSession::State::kFresh) << "a use moves the idle end";
  clock.Advance(absl::Seconds(65));
  session.MakePrefix("/a.B/C");
  EXPECT_EQ(session.state(), ClientSession::State::kAging);
  clock.Advance(absl::Seconds(35));
  session.MakePrefix("/a.B/C");
  EXPECT_EQ(session.state(), ClientSession::State::kExpired) << "absolute, with a margin of 10 s";
}

}  // namespace
}  // namespace forekey

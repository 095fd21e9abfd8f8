// SPDX-License-Identifier: Apache-2.0
// Connections: counted, limited, ended; and calls that outlive their permission.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/time/clock.h"
#include "examples/echo_services.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "src/base/reason.h"
#include "src/crypto/digest.h"
#include "src/wire/statement.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kSayMethod = MethodOf(Kind::kUnary);
const std::string kChatMethod = MethodOf(Kind::kBidi);
constexpr absl::Duration kPatience = absl::Seconds(60);

GatedWorld::Options With(std::function<void(GateConfig&)> change) {
  GatedWorld::Options options;
  options.change = std::move(change);
  return options;
}

// A peer that speaks TCP and nothing else.
class RawPeer {
 public:
  explicit RawPeer(int port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const timeval patience = {60, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }
  ~RawPeer() { Close(); }
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  // Waits until the gate ended it: false where it did not.
  bool Ended() {
    char byte;
    const ssize_t got = recv(fd_, &byte, 1, 0);
    return got == 0 || (got < 0 && errno == ECONNRESET);
  }

 private:
  int fd_;
};

// The newest line with this reason; waits for it.
Decision WaitForLine(GatedWorld& world, Reason reason, bool with_subject = false) {
  const absl::Time until = absl::Now() + kPatience;
  absl::Mutex mutex;
  while (absl::Now() < until) {
    for (const Decision& decision : world.audit().decisions()) {
      if (decision.reason == reason && (!with_subject || !decision.subject.empty()))
        return decision;
    }
    absl::MutexLock lock(&mutex);
    const bool never = false;
    mutex.AwaitWithTimeout(absl::Condition(&never), absl::Milliseconds(5));
  }
  ADD_FAILURE() << "no line with reason " << ReasonName(reason);
  return {};
}

bool Has(GatedWorld& world, Reason reason) {
  for (const Decision& decision : world.audit().decisions()) {
    if (decision.reason == reason) return true;
  }
  return false;
}

// A stream that is open and has been answered once.
class LiveChat {
 public:
  LiveChat(const std::shared_ptr<grpc::Channel>& channel, const std::string& prefix)
      : stub_(example::Echo::NewStub(channel)) {
    context_.AddMetadata("forekey-prefix-bin", prefix);
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(3));
    stream_ = stub_->Chat(&context_);
    EXPECT_TRUE(Say());
  }
  bool Say() {
    example::EchoRequest request;
    example::EchoResponse response;
    request.set_text("x");
    return stream_->Write(request) && stream_->Read(&response);
  }
  // Waits for the other side to end it.
  grpc::Status Ended() {
    example::EchoResponse response;
    while (stream_->Read(&response)) {
    }
    return stream_->Finish();
  }
  grpc::Status Finish() {
    stream_->WritesDone();
    return Ended();
  }

 private:
  const std::unique_ptr<example::Echo::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<example::EchoRequest, example::EchoResponse>> stream_;
};

TEST(ConnectionsTest, EveryDecisionNamesItsPeer) {
  example::SyncEcho echo;
  GatedWorld world;
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  EchoResult refused = Call(world.NewChannel(), {});
  EXPECT_EQ(world.AuditOf(refused.status).reason, Reason::kPrefixMissing);
  EXPECT_THAT(world.AuditOf(refused.status).peer, StartsWith("ipv4:127.0.0.1:"));
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  ASSERT_TRUE(Call(alice.channel(), {.prefixes = {Must(alice.DevicePrefix(kSayMethod), "prefix")}})
                  .status.ok());
  EXPECT_THAT(world.audit().decisions().back().peer, StartsWith("ipv4:127.0.0.1:"));
}

TEST(ConnectionsTest, AForgedPrefixEndsItsConnectionOnceItWasAnsweredAndNoOther) {
  example::SyncEcho echo;
  GatedWorld world(With([](GateConfig& config) { config.connections.forged_refusals = 1; }));
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  LiveChat chat(alice.channel(), Must(alice.DevicePrefix(kChatMethod), "prefix"));
  auto stranger = world.NewChannel();
  EchoResult forged = Call(stranger, {.prefixes = {"rubbish"}});
  EXPECT_EQ(world.AuditOf(forged.status).reason, Reason::kPrefixMalformed) << "it was answered";
  const Decision ended = WaitForLine(world, Reason::kConnectionEnded);
  EXPECT_EQ(ended.peer, world.AuditOf(forged.status).peer);
  EXPECT_TRUE(stranger->WaitForStateChange(
      GRPC_CHANNEL_READY, std::chrono::system_clock::now() + std::chrono::seconds(60)));
  EXPECT_TRUE(chat.Say()) << "the other connection goes on";
  EXPECT_TRUE(chat.Finish().ok());
}

TEST(ConnectionsTest, RefusalsOfOtherKindsEndItAfterAsManyAsConfiguredInARow) {
  example::SyncEcho echo;
  GatedWorld world(With([](GateConfig& config) { config.connections.refusals = 3; }));
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  for (int round = 0; round < 3; ++round) {
    Call(alice.channel(), {});
    Call(alice.channel(), {});
    ASSERT_TRUE(
        Call(alice.channel(), {.prefixes = {Must(alice.DevicePrefix(kSayMethod), "prefix")}})
            .status.ok());
  }
  EXPECT_FALSE(Has(world, Reason::kConnectionEnded)) << "what was admitted between made it good";
  for (int i = 0; i < 3; ++i) Call(alice.channel(), {});
  WaitForLine(world, Reason::kConnectionEnded);
}

TEST(ConnectionsTest, AForgerPaysWithNewConnectionsAndWhoIsConnectedGoesOn) {
  example::SyncEcho echo;
  GatedWorld world(With([](GateConfig& config) {
    config.connections.forged_refusals = 1;
    config.connections.forged_cost = 100;
    config.connections.per_address_burst = 50;
    config.connections.per_address_per_second = 1e-6;
  }));
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  LiveChat chat(alice.channel(), Must(alice.DevicePrefix(kChatMethod), "prefix"));
  EchoResult forged = Call(world.NewChannel(), {.prefixes = {"rubbish"}});
  EXPECT_EQ(world.AuditOf(forged.status).reason, Reason::kPrefixMalformed) << "it was answered";
  WaitForLine(world, Reason::kConnectionEnded);
  RawPeer again(world.gate().port());
  EXPECT_TRUE(again.Ended());
  EXPECT_THAT(WaitForLine(world, Reason::kConnectionLimit).detail, HasSubstr("at once"));
  EXPECT_TRUE(chat.Say()) << "who is connected goes on";
  EXPECT_TRUE(Call(alice.channel(), {.prefixes = {Must(alice.DevicePrefix(kSayMethod), "prefix")}})
                  .status.ok());
  EXPECT_TRUE(chat.Finish().ok());
}

TEST(ConnectionsTest, OtherRefusalsCostTheirOwn) {
  example::SyncEcho echo;
  GatedWorld world(With([](GateConfig& config) {
    config.connections.refusals = 3;
    config.connections.refused_cost = 2;
    config.connections.forged_cost = 0;
    config.connections.per_address_burst = 4;
    config.connections.per_address_per_second = 1e-6;
  }));
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  auto stranger = world.NewChannel();
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Call(stranger, {}).status.ok());
  WaitForLine(world, Reason::kConnectionEnded);
  // Of four, one was the stranger's, and two are its price.
  RawPeer fourth(world.gate().port()), fifth(world.gate().port());
  EXPECT_TRUE(fifth.Ended());
  EXPECT_THAT(WaitForLine(world, Reason::kConnectionLimit).detail, HasSubstr("at once"));
}

TEST(ConnectionsTest, BehindAProxyRefusalsEndNothing) {
  example::SyncEcho echo;
  GatedWorld world;
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  auto channel = world.NewChannel();
  std::string peer;
  for (int i = 0; i < 50; ++i) {
    EchoResult refused = Call(channel, {.prefixes = {"rubbish"}});
    if (i == 0) peer = world.AuditOf(refused.status).peer;
    EXPECT_EQ(world.AuditOf(refused.status).peer, peer) << "one connection for all";
  }
  EXPECT_FALSE(Has(world, Reason::kConnectionEnded));
}

TEST(ConnectionsTest, OneAddressHasOnlySoManyConnectionsAndGetsTheirPlacesBack) {
  example::SyncEcho echo;
  GatedWorld world(With([](GateConfig& config) { config.connections.per_address = 2; }));
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  RawPeer first(world.gate().port());
  auto second = std::make_unique<RawPeer>(world.gate().port());
  RawPeer third(world.gate().port());
  EXPECT_TRUE(third.Ended());
  const Decision line = WaitForLine(world, Reason::kConnectionLimit);
  EXPECT_THAT(line.peer, StartsWith("ipv4:127.0.0.1:"));
  EXPECT_THAT(line.detail, HasSubstr("2 are open from this address"));
  second.reset();
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  ASSERT_TRUE(alice.channel()->WaitForConnected(std::chrono::system_clock::now() +
                                                std::chrono::seconds(60)));
  EXPECT_TRUE(Call(alice.channel(), {.prefixes = {Must(alice.DevicePrefix(kSayMethod), "prefix")}})
                  .status.ok());
}

TEST(ConnectionsTest, OneAddressOpensOnlySoManyAtOnce) {
  GatedWorld world(With([](GateConfig& config) {
    config.connections.per_address_burst = 2;
    config.connections.per_address_per_second = 1e-6;
  }));
  world.Start([](grpc::ServerBuilder&) {});
  RawPeer first(world.gate().port()), second(world.gate().port()), third(world.gate().port());
  EXPECT_TRUE(third.Ended());
  EXPECT_THAT(WaitForLine(world, Reason::kConnectionLimit).detail, HasSubstr("at once"));
}

TEST(ConnectionsTest, APeerThatSaysNothingIsEnded) {
  GatedWorld world(With([](GateConfig& config) { config.connections.proof = absl::Seconds(1); }));
  world.Start([](grpc::ServerBuilder&) {});
  RawPeer silent(world.gate().port());
  EXPECT_TRUE(silent.Ended());
  EXPECT_THAT(WaitForLine(world, Reason::kConnectionTimeout).peer, StartsWith("ipv4:127.0.0.1:"));
}

TEST(ConnectionsTest, AHandshakeThatDoesNotEndIsEnded) {
  GatedWorld world(
      With([](GateConfig& config) { config.connections.handshake = absl::Seconds(1); }));
  world.Start([](grpc::ServerBuilder&) {});
  RawPeer silent(world.gate().port());
  EXPECT_TRUE(silent.Ended());
}

size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

TEST(ConnectionsTest, NothingIsLeftOfConnectionsThatEnded) {
  example::SyncEcho echo;
  GatedWorld world;
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  ASSERT_TRUE(Call(alice.channel(), {.prefixes = {Must(alice.DevicePrefix(kSayMethod), "prefix")}})
                  .status.ok());
  const size_t before = OpenDescriptors();
  for (int i = 0; i < 100; ++i) {
    RawPeer peer(world.gate().port());
    if (i % 10 == 0) Call(world.NewChannel(), {});
  }
  const absl::Time until = absl::Now() + kPatience;
  while (OpenDescriptors() > before && absl::Now() < until) Call(alice.channel(), {});
  EXPECT_LE(OpenDescriptors(), before);
}

// ---- Calls that outlive their permission ----

class LiveCallsTest : public ::testing::TestWithParam<bool> {
 protected:
  LiveCallsTest()
      : world_(With([](GateConfig& config) {
          config.streams.check_interval = absl::Milliseconds(50);
          MethodRule rule;
          rule.methods = {kChatMethod};
          rule.any_role = {"talker"};
          config.rules.rules = {rule};
          config.rules.permit_unlisted = true;
        })) {
    world_.Start([this](grpc::ServerBuilder& builder) {
      if (GetParam())
        builder.RegisterService(&sync_);
      else
        builder.RegisterService(&callback_);
    });
  }
  // Prints how long it took.
  void ExpectEnded(LiveChat& chat, absl::Time since, Reason reason) {
    EXPECT_EQ(chat.Ended().error_code(), grpc::StatusCode::CANCELLED);
    const absl::Duration took = absl::Now() - since;
    std::printf("a live stream ended %s after %s\n", absl::FormatDuration(took).c_str(),
                std::string(ReasonName(reason)).c_str());
    const Decision line = WaitForLine(world_, reason, /*with_subject=*/true);
    EXPECT_EQ(line.method, kChatMethod);
    EXPECT_EQ(line.subject, "alice");
    EXPECT_THAT(line.detail, HasSubstr("a live call was ended"));
  }

  example::SyncEcho sync_;
  example::CallbackEcho callback_;
  GatedWorld world_;
};

TEST_P(LiveCallsTest, EndWhenACredentialIsRevokedAndOthersGoOn) {
  SoftwareClient alice = world_.Enrol("alice", world_.NewChannel(), {"talker"});
  SoftwareClient bob = world_.Enrol("bob", world_.NewChannel(), {"talker"});
  LiveChat hers(alice.channel(), Must(alice.DevicePrefix(kChatMethod), "prefix"));
  LiveChat his(bob.channel(), Must(bob.DevicePrefix(kChatMethod), "prefix"));
  v1::RevokeCredentialRequest request;
  request.set_subject("alice");
  const absl::Time since = absl::Now();
  Must(world_.core().admin().RevokeCredential(request, "test").status(), "revoke");
  ExpectEnded(hers, since, Reason::kCredentialRevoked);
  EXPECT_TRUE(his.Say());
  EXPECT_TRUE(his.Finish().ok());
}

// Between the gate's verdict and the beginning of the stream.
TEST(LiveCallsRaceTest, AStreamWhoseRightEndsAsItBeginsIsEnded) {
  example::SyncEcho echo;
  GatedWorld* world = nullptr;
  GatedWorld::Options options;
  options.on_audit = [&world](const Decision& decision) {
    if (!decision.admitted || decision.method != kChatMethod) return;
    v1::RevokeCredentialRequest request;
    request.set_subject("alice");
    Must(world->core().admin().RevokeCredential(request, "test").status(), "revoke");
  };
  GatedWorld made(std::move(options));
  world = &made;
  made.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient alice = made.Enrol("alice", made.NewChannel());
  auto stub = example::Echo::NewStub(alice.channel());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
  context.AddMetadata("forekey-prefix-bin", Must(alice.DevicePrefix(kChatMethod), "prefix"));
  auto stream = stub->Chat(&context);
  stream->WritesDone();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(WaitForLine(made, Reason::kCredentialRevoked).method, kChatMethod);
}

TEST_P(LiveCallsTest, EndWithTheirSession) {
  SoftwareClient alice = world_.Enrol("alice", world_.NewChannel(), {"talker"});
  auto session = Must(alice.OpenSession(), "session");
  LiveChat chat(alice.channel(), session->Prefix(kChatMethod));
  auto stub = v1::Gate::NewStub(alice.channel());
  grpc::ClientContext context;
  v1::EndSessionResponse response;
  context.AddMetadata("forekey-prefix-bin", session->Prefix("/forekey.v1.Gate/EndSession"));
  const absl::Time since = absl::Now();
  ASSERT_TRUE(stub->EndSession(&context, v1::EndSessionRequest(), &response).ok());
  ExpectEnded(chat, since, Reason::kSessionEnded);
}

TEST_P(LiveCallsTest, EndWhenTheRulesNoLongerAllowThem) {
  SoftwareClient alice = world_.Enrol("alice", world_.NewChannel(), {"talker"});
  auto session = Must(alice.OpenSession(), "session");
  LiveChat chat(alice.channel(), session->Prefix(kChatMethod));
  v1::SetSubjectRequest request;
  request.set_subject("alice");
  request.set_set_roles(true);
  const absl::Time since = absl::Now();
  Must(world_.core().admin().SetSubject(request, "test").status(), "roles");
  ExpectEnded(chat, since, Reason::kMethodNotPermitted);
}

INSTANTIATE_TEST_SUITE_P(Apis, LiveCallsTest, ::testing::Bool());

// What takes a right away has live calls looked at then, not at the next of the regular looks.
class LiveCallsAtOnceTest : public ::testing::Test {
 protected:
  LiveCallsAtOnceTest() : world_(Options()) {
    world_.Start([this](grpc::ServerBuilder& builder) { builder.RegisterService(&echo_); });
    alice_.emplace(world_.Enrol("alice", world_.NewChannel(), {"talker"}));
    session_ = Must(alice_->OpenSession(), "session");
  }
  GatedWorld::Options Options() {
    GatedWorld::Options options = With([](GateConfig& config) {
      config.streams.check_interval = absl::Hours(1);
      MethodRule rule;
      rule.methods = {kChatMethod};
      rule.any_role = {"talker"};
      config.rules.rules = {rule};
      config.rules.permit_unlisted = true;
    });
    options.on_audit = [this](const Decision& decision) {
      if (decision.event == AuditEvent::kSessionEnded && while_a_session_ends_) {
        while_a_session_ends_();
      }
    };
    return options;
  }
  grpc::Status EndSession() {
    grpc::ClientContext context;
    v1::EndSessionResponse response;
    context.AddMetadata("forekey-prefix-bin", session_->Prefix(kEndSessionMethod));
    return v1::Gate::NewStub(alice_->channel())
        ->EndSession(&context, v1::EndSessionRequest(), &response);
  }

  std::function<void()> while_a_session_ends_;
  example::SyncEcho echo_;
  GatedWorld world_;
  std::optional<SoftwareClient> alice_;
  std::unique_ptr<SoftwareSession> session_;
};

TEST_F(LiveCallsAtOnceTest, ARevocationEndsThem) {
  LiveChat chat(alice_->channel(), session_->Prefix(kChatMethod));
  v1::RevokeCredentialRequest request;
  request.set_subject("alice");
  Must(world_.core().admin().RevokeCredential(request, "test").status(), "revoke");
  EXPECT_EQ(chat.Ended().error_code(), grpc::StatusCode::CANCELLED);
  WaitForLine(world_, Reason::kCredentialRevoked, /*with_subject=*/true);
}

TEST_F(LiveCallsAtOnceTest, ADisabledSubjectEndsThem) {
  LiveChat chat(alice_->channel(), session_->Prefix(kChatMethod));
  v1::SetSubjectRequest request;
  request.set_subject("alice");
  request.set_set_disabled(true);
  request.set_disabled(true);
  Must(world_.core().admin().SetSubject(request, "test").status(), "disable");
  EXPECT_EQ(chat.Ended().error_code(), grpc::StatusCode::CANCELLED);
  WaitForLine(world_, Reason::kSubjectDisabled, /*with_subject=*/true);
}

TEST_F(LiveCallsAtOnceTest, ARoleThatIsTakenAwayEndsThem) {
  LiveChat chat(alice_->channel(), session_->Prefix(kChatMethod));
  v1::SetSubjectRequest request;
  request.set_subject("alice");
  request.set_set_roles(true);
  Must(world_.core().admin().SetSubject(request, "test").status(), "roles");
  EXPECT_EQ(chat.Ended().error_code(), grpc::StatusCode::CANCELLED);
  WaitForLine(world_, Reason::kMethodNotPermitted, /*with_subject=*/true);
}

// EndSession's own call is a live call of the session that it ends.
TEST_F(LiveCallsAtOnceTest, TheEndOfTheirSessionEndsThemAndIsAnswered) {
  LiveChat chat(alice_->channel(), session_->Prefix(kChatMethod));
  // The check has come by before the answer is given.
  while_a_session_ends_ = [&] {
    EXPECT_EQ(chat.Ended().error_code(), grpc::StatusCode::CANCELLED);
  };
  const grpc::Status ended = EndSession();
  EXPECT_TRUE(ended.ok()) << ended.error_code() << " " << ended.error_message();
  WaitForLine(world_, Reason::kSessionEnded, /*with_subject=*/true);
  for (const Decision& decision : world_.audit().decisions()) {
    if (decision.admitted) continue;
    EXPECT_NE(decision.method, kEndSessionMethod) << decision.detail;
  }
}

TEST(LiveCallsExpiryTest, EndWhenTheirSessionExpiresButALiveCallKeepsItFromIdling) {
  FakeClock clock(absl::Now());
  example::SyncEcho echo;
  GatedWorld::Options options;
  options.clock = &clock;
  options.change = [](GateConfig& config) {
    config.streams.check_interval = absl::Milliseconds(20);
    config.sessions.idle = absl::Minutes(10);
    config.sessions.absolute = absl::Hours(1);
  };
  GatedWorld world(options);
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  auto session = Must(alice.OpenSession(), "session");
  LiveChat chat(alice.channel(), session->Prefix(kChatMethod));
  const Session& held = *world.core().sessions().Find(session->id());
  for (int i = 0; i < 6; ++i) {
    clock.Advance(absl::Minutes(9));
    const absl::Time until = absl::Now() + kPatience;
    while (held.last_used() < clock.BootNow() && absl::Now() < until) ASSERT_TRUE(chat.Say());
  }
  EXPECT_TRUE(chat.Say()) << "54 minutes with nothing but a live call";
  clock.Advance(absl::Minutes(9));
  EXPECT_EQ(chat.Ended().error_code(), grpc::StatusCode::CANCELLED);
  WaitForLine(world, Reason::kSessionExpired, /*with_subject=*/true);
}

}  // namespace
}  // namespace forekey::testing

// SPDX-License-Identifier: Apache-2.0
// Connections that break, or stop for ever, at each stage of a client's life: the TLS handshake,
// between challenge and session, and in the middle of a stream. The gate gets back what they held.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "examples/echo_services.h"
#include "src/base/file.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/fault_proxy.h"
#include "tests/end2end/gated_world.h"
#include "tests/operate/gate_calm.h"

namespace forekey::testing {
namespace {

const std::string kBrokenSay = MethodOf(Kind::kUnary);
const std::string kBrokenChat = MethodOf(Kind::kBidi);

struct Break {
  Fault::Kind kind;
  bool from_client;
};
// A stall is not here: nothing ends by it.
constexpr Break kBreaks[] = {{Fault::Kind::kCut, true},
                             {Fault::Kind::kTruncate, true},
                             {Fault::Kind::kHalfClose, true},
                             {Fault::Kind::kHalfClose, false}};

class BrokenConnectionsTest : public ::testing::Test {
 protected:
  BrokenConnectionsTest() : world_(Options()) {
    world_.Start([this](grpc::ServerBuilder& builder) { builder.RegisterService(&echo_); });
    proxy_ = std::make_unique<FaultProxy>(world_.gate().port());
    alice_ = std::make_unique<SoftwareClient>(world_.Enrol("alice", nullptr));
    // What is made once and stays is made.
    for (int i = 0; i < 3; ++i) {
      SoftwareClient alice = AliceOver(world_.NewChannel());
      Must(alice.DevicePrefix(kBrokenSay).status(), "challenge");
    }
  }
  GatedWorld::Options Options() {
    GatedWorld::Options options;
    options.clock = &clock_;
    options.change = [](GateConfig& config) {
      config.connections.handshake = absl::Seconds(1);
      config.connections.arriving = 32;
      config.streams.check_interval = absl::Milliseconds(50);
      config.sessions.idle = absl::Minutes(10);
    };
    return options;
  }
  std::shared_ptr<grpc::Channel> ThroughProxy() const {
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = Must(ReadFile(world_.directory() + "/cert.pem"), "certificate");
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 60'000);
    return grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", proxy_->port()),
                                     grpc::SslCredentials(tls), arguments);
  }
  SoftwareClient AliceOver(std::shared_ptr<grpc::Channel> channel) {
    return alice_->Over(std::move(channel));
  }
  Holdings Now() { return Holdings::Of(world_.core()); }
  void ExpectCalm(const Holdings& before) {
    EXPECT_TRUE(Eventually([&] { return proxy_->open() == 0 && Now().NoMoreThan(before); }))
        << Now() << ", where there were " << before;
  }
  // The gate goes on for others.
  void ExpectServed() {
    SoftwareClient alice = AliceOver(world_.NewChannel());
    auto prefix = alice.DevicePrefix(kBrokenSay);
    ASSERT_TRUE(prefix.ok()) << prefix.status();
    EXPECT_TRUE(Call(alice.channel(), {.prefixes = {*prefix}}).status.ok());
  }

  FakeClock clock_{absl::Now()};
  example::SyncEcho echo_;
  GatedWorld world_;
  std::unique_ptr<FaultProxy> proxy_;
  std::unique_ptr<SoftwareClient> alice_;
};

std::string Name(const Break& how) {
  return absl::StrCat("fault ", static_cast<int>(how.kind),
                      how.from_client ? " of the client's" : " of the gate's", " bytes");
}

TEST_F(BrokenConnectionsTest, InTheHandshake) {
  const Holdings before = Now();
  for (const Break& how : kBreaks) {
    for (size_t after : {size_t{0}, size_t{100}, size_t{400}}) {
      SCOPED_TRACE(absl::StrCat(Name(how), " after ", after));
      const int met = proxy_->faults();
      proxy_->Set({how.kind, how.from_client, after});
      {
        auto channel = ThroughProxy();
        channel->GetState(/*try_to_connect=*/true);
        EXPECT_TRUE(Eventually([&] { return proxy_->faults() > met; }));
        proxy_->Set({});
      }
      ExpectCalm(before);
    }
  }
  ExpectServed();
}

TEST_F(BrokenConnectionsTest, AHandshakeThatIsHeldForEverIsEndedByTheGate) {
  const Holdings before = Now();
  for (bool from_client : {true, false}) {
    const int met = proxy_->faults();
    proxy_->Set({Fault::Kind::kStall, from_client, 100});
    auto channel = ThroughProxy();
    channel->GetState(/*try_to_connect=*/true);
    EXPECT_TRUE(Eventually([&] { return proxy_->faults() > met; }));
    proxy_->Set({});
    // [connections] handshake: the gate gives its two descriptors back, while nothing was released.
    // The client's and the two of the proxy may still be open.
    EXPECT_TRUE(Eventually([&] { return Now().descriptors <= before.descriptors + 3; })) << Now();
    channel.reset();
    proxy_->Release();
    ExpectCalm(before);
  }
  ExpectServed();
}

TEST_F(BrokenConnectionsTest, BetweenChallengeAndSession) {
  const Holdings before = Now();
  for (const Break& how : kBreaks) {
    SCOPED_TRACE(Name(how));
    {
      SoftwareClient alice = AliceOver(ThroughProxy());
      Must(alice.DevicePrefix(kBrokenSay).status(), "challenge");
      const int met = proxy_->faults();
      proxy_->Strike(how.kind, how.from_client);
      EXPECT_TRUE(Eventually([&] { return proxy_->faults() > met; }));
      // On this connection or, where the break is known by then, another.
      alice.OpenSession().status().IgnoreError();
    }
    // A session whose answer was lost is nobody's: it ends when it has idled.
    clock_.Advance(absl::Minutes(11));
    ExpectCalm(before);
  }
  ExpectServed();
}

TEST_F(BrokenConnectionsTest, BytesThatWereHeldAndReleasedOpenTheSessionOnce) {
  const Holdings before = Now();
  for (bool from_client : {true, false}) {
    SCOPED_TRACE(from_client ? "request held" : "answer held");
    SoftwareClient alice = AliceOver(ThroughProxy());
    Must(alice.DevicePrefix(kBrokenSay).status(), "challenge");
    const int met = proxy_->faults();
    proxy_->Strike(Fault::Kind::kStall, from_client);
    absl::StatusOr<std::unique_ptr<SoftwareSession>> session = absl::UnknownError("not asked");
    std::thread opening([&] { session = alice.OpenSession(); });
    EXPECT_TRUE(Eventually([&] { return proxy_->faults() > met; }));
    EXPECT_EQ(Now().sessions, before.sessions) << "the challenge itself is held";
    proxy_->Release();
    opening.join();
    ASSERT_TRUE(session.ok()) << session.status();
    EXPECT_EQ(Now().sessions, before.sessions + 1);
    EXPECT_TRUE(Call(alice.channel(), {.prefixes = {(*session)->Prefix(kBrokenSay)}}).status.ok());
    clock_.Advance(absl::Minutes(11));
    EXPECT_TRUE(Eventually([&] { return Now().sessions == before.sessions; }));
  }
}

class BrokenChat {
 public:
  BrokenChat(const std::shared_ptr<grpc::Channel>& channel, const std::string& prefix)
      : stub_(example::Echo::NewStub(channel)) {
    context_.AddMetadata("forekey-prefix-bin", prefix);
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(5));
    stream_ = stub_->Chat(&context_);
  }
  bool Write() {
    example::EchoRequest request;
    request.set_text("x");
    return stream_->Write(request);
  }
  bool Read() {
    example::EchoResponse response;
    return stream_->Read(&response);
  }
  grpc::Status Ended() {
    while (Read()) {
    }
    return stream_->Finish();
  }

 private:
  const std::unique_ptr<example::Echo::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<example::EchoRequest, example::EchoResponse>> stream_;
};

TEST_F(BrokenConnectionsTest, InTheMiddleOfAStream) {
  const Holdings before = Now();
  for (const Break& how : kBreaks) {
    SCOPED_TRACE(Name(how));
    {
      SoftwareClient alice = AliceOver(ThroughProxy());
      auto session = Must(alice.OpenSession(), "session");
      BrokenChat chat(alice.channel(), session->Prefix(kBrokenChat));
      EXPECT_TRUE(chat.Write() && chat.Read());
      // The opening of the session is answered before it is gone.
      EXPECT_TRUE(Eventually([&] { return Now().live_calls == before.live_calls + 1; }));
      proxy_->Strike(how.kind, how.from_client);
      EXPECT_EQ(chat.Ended().error_code(), grpc::StatusCode::UNAVAILABLE);
      EXPECT_TRUE(Eventually([&] { return Now().live_calls == before.live_calls; }));
    }
    clock_.Advance(absl::Minutes(11));
    ExpectCalm(before);
  }
  ExpectServed();
}

TEST_F(BrokenConnectionsTest, AStreamThatIsHeldEndsWithItsSessionAtTheGate) {
  const Holdings before = Now();
  for (bool from_client : {true, false}) {
    {
      SoftwareClient alice = AliceOver(ThroughProxy());
      auto session = Must(alice.OpenSession(), "session");
      BrokenChat chat(alice.channel(), session->Prefix(kBrokenChat));
      EXPECT_TRUE(chat.Write() && chat.Read());
      proxy_->Strike(Fault::Kind::kStall, from_client);
      EXPECT_TRUE(chat.Write());
      // Nothing of the client's reaches the gate, or the other way round; the gate has the call
      // until what permits it is gone.
      v1::RevokeCredentialRequest request;
      request.set_credential_id(alice.credential_id());
      Must(world_.core().admin().RevokeCredential(request, "test").status(), "revoke");
      EXPECT_TRUE(Eventually([&] { return Now().live_calls == before.live_calls; }));
      proxy_->Release();
      EXPECT_EQ(chat.Ended().error_code(), grpc::StatusCode::CANCELLED);
    }
    ExpectCalm(before);
    alice_ = std::make_unique<SoftwareClient>(world_.Enrol(from_client ? "bob" : "carol", nullptr));
  }
  ExpectServed();
}

// One session, a connection for each call: a call that was sent later may be there earlier.
TEST_F(BrokenConnectionsTest, ConnectionsThatOvertakeOneAnother) {
  constexpr size_t kConnections = 6;
  const Holdings before = Now();
  {
    SoftwareClient alice = AliceOver(world_.NewChannel());
    auto session = Must(alice.OpenSession(), "session");
    proxy_->ReverseNext(kConnections);
    std::vector<std::thread> callers;
    std::vector<grpc::Status> results(kConnections,
                                      grpc::Status(grpc::StatusCode::UNKNOWN, "not called"));
    for (size_t i = 0; i < kConnections; ++i) {
      const std::string prefix = session->Prefix(kBrokenSay);
      auto channel = ThroughProxy();
      callers.emplace_back([&results, i, channel, prefix] {
        results[i] = Call(channel, {.prefixes = {prefix}}).status;
      });
      EXPECT_TRUE(Eventually([&] { return proxy_->open() == i + 1; })) << "in this order";
    }
    for (std::thread& caller : callers) caller.join();
    for (const grpc::Status& result : results) EXPECT_TRUE(result.ok()) << result.error_message();
    std::set<std::string> peers;
    for (const Decision& decision : world_.audit().decisions()) {
      if (decision.method == kBrokenSay && decision.admitted) peers.insert(decision.peer);
    }
    EXPECT_EQ(peers.size(), kConnections) << "each over its own";
  }
  clock_.Advance(absl::Minutes(11));
  ExpectCalm(before);
}

}  // namespace
}  // namespace forekey::testing

// SPDX-License-Identifier: Apache-2.0
// Live calls of sessions that end: a log that can't be written holds up neither their end nor
// anybody else's call, and each has one line, however long its handler goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/synchronization/notification.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "src/base/deadline.h"
#include "src/wire/statement.h"
#include "tests/end2end/echo_apis.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gated_world.h"
#include "tests/end2end/raw_http2.h"

namespace forekey::testing {
namespace {

constexpr char kSay[] = "/forekey.example.Echo/Say", kChat[] = "/forekey.example.Echo/Chat";

bool TellsOfAnEnd(const Decision& decision) {
  return absl::StartsWith(decision.detail, "a live call was ended");
}

// A stream by a session of its own.
struct Stream {
  explicit Stream(SoftwareClient& of) : session(Must(of.OpenSession(), "a session")) {
    context.AddMetadata("forekey-prefix-bin", session->Prefix(kChat));
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    chat = example::Echo::NewStub(of.channel())->Chat(&context);
    example::EchoResponse response;
    EXPECT_TRUE(chat->Write(example::EchoRequest()) && chat->Read(&response));
  }
  grpc::StatusCode Ended() {
    example::EchoResponse response;
    while (chat->Read(&response)) {
    }
    return chat->Finish().error_code();
  }

  std::unique_ptr<SoftwareSession> session;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<example::EchoRequest, example::EchoResponse>> chat;
};

class EndedCallsTest : public ::testing::Test {
 protected:
  explicit EndedCallsTest(bool log_gets_stuck = false) : world_(Options(log_gets_stuck)) {}

  GatedWorld::Options Options(bool log_gets_stuck) {
    GatedWorld::Options options;
    options.change = [](GateConfig& config) {
      config.streams.check_interval = absl::Milliseconds(20);
    };
    if (!log_gets_stuck) return options;
    options.on_audit = [this](const Decision& decision) {
      if (!TellsOfAnEnd(decision)) return;
      if (!stuck_.HasBeenNotified()) stuck_.Notify();
      back_.WaitForNotification();
    };
    return options;
  }
  void Start(const std::function<void(grpc::ServerBuilder&)>& fill) {
    world_.Start(fill);
    channel_ = world_.NewChannel();
  }
  SoftwareClient Enrol(const std::string& subject) { return world_.Enrol(subject, channel_); }
  void End(SoftwareSession& session) {
    grpc::ClientContext context;
    context.AddMetadata("forekey-prefix-bin", session.Prefix(kEndSessionMethod));
    v1::EndSessionResponse response;
    const grpc::Status ended = v1::Gate::NewStub(channel_)->EndSession(&context, {}, &response);
    EXPECT_TRUE(ended.ok()) << ended.error_message();
  }
  size_t LinesOf(const SoftwareSession& session) {
    size_t count = 0;
    for (const Decision& decision : world_.audit().decisions()) {
      count += TellsOfAnEnd(decision) && decision.session == session.id();
    }
    return count;
  }
  void AwaitLineOf(const SoftwareSession& session) {
    Bell never;
    for (int i = 0; i < 2000 && LinesOf(session) == 0; ++i) never.Await(absl::Milliseconds(10));
    EXPECT_EQ(LinesOf(session), 1u);
  }

  absl::Notification stuck_, back_;
  GatedWorld world_;
  std::shared_ptr<grpc::Channel> channel_;
};

class EndedCallsStuckLogTest : public EndedCallsTest {
 protected:
  EndedCallsStuckLogTest()
      : EndedCallsTest(/*log_gets_stuck=*/true), api_(EchoApi::New(Api::kCallback)) {
    Start([this](grpc::ServerBuilder& builder) { api_->Register(builder); });
  }
  ~EndedCallsStuckLogTest() override {
    back_.Notify();
    world_.StopServer();
  }

  std::unique_ptr<EchoApi> api_;
};

TEST_F(EndedCallsStuckLogTest, NobodyWaitsForTheLineOfACallThatWasEnded) {
  SoftwareClient ada = Enrol("ada"), bob = Enrol("bob"), eve = Enrol("eve");
  auto others = Must(bob.OpenSession(), "a session");
  Stream first(ada), second(eve);
  End(*first.session);
  stuck_.WaitForNotification();
  EXPECT_EQ(first.Ended(), grpc::StatusCode::CANCELLED);
  // Enough to meet every part of the table of live calls.
  for (int i = 0; i < 200; ++i) {
    const EchoResult result = Call(channel_, {Kind::kUnary, {others->Prefix(kSay)}});
    ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  }
  End(*second.session);
  EXPECT_EQ(second.Ended(), grpc::StatusCode::CANCELLED) << "later ones are ended, too";
  EXPECT_FALSE(back_.HasBeenNotified());
}

// Its handler notices nothing before it is told to.
class SlowEcho final : public example::Echo::Service {
 public:
  grpc::Status Say(grpc::ServerContext*, const example::EchoRequest*,
                   example::EchoResponse*) override {
    begun.Notify();
    end.WaitForNotification();
    return grpc::Status::OK;
  }
  grpc::Status Chat(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<example::EchoResponse, example::EchoRequest>* stream) override {
    example::EchoRequest request;
    while (stream->Read(&request)) stream->Write(example::EchoResponse());
    return grpc::Status::OK;
  }
  absl::Notification begun, end;
};

TEST_F(EndedCallsTest, ACallWhoseHandlerGoesOnHasOneLine) {
  SlowEcho echo;
  Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient ada = Enrol("ada"), bob = Enrol("bob");
  auto session = Must(ada.OpenSession(), "a session");
  grpc::ClientContext context;
  context.AddMetadata("forekey-prefix-bin", session->Prefix(kSay));
  example::EchoRequest request;
  example::EchoResponse response;
  absl::Notification answered;
  grpc::Status status;
  example::Echo::NewStub(channel_)->async()->Say(&context, &request, &response,
                                                 [&](grpc::Status ended) {
                                                   status = std::move(ended);
                                                   answered.Notify();
                                                 });
  echo.begun.WaitForNotification();
  End(*session);
  AwaitLineOf(*session);
  // The line of each is from another look at all calls.
  for (int look = 0; look < 4; ++look) {
    Stream other(bob);
    End(*other.session);
    AwaitLineOf(*other.session);
    EXPECT_EQ(other.Ended(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_EQ(LinesOf(*session), 1u);
  answered.WaitForNotification();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  echo.end.Notify();
  world_.StopServer();
}

// The log says first that the call was admitted.
TEST(CallsAtTheEndTest, WhoWasJudgedJustBeforeTheEndHasALineThatSaysSo) {
  std::unique_ptr<RawHttp2> peer;
  std::thread ending;
  GatedWorld* at = nullptr;
  GatedWorld::Options options;
  options.change = [](GateConfig& config) { config.listen.drain = absl::Minutes(1); };
  options.on_audit = [&](const Decision& decision) {
    if (!decision.admitted || decision.method != kSay || ending.joinable()) return;
    ending = std::thread([&] { at->StopServer(); });
    EXPECT_TRUE(peer->WaitForGoAway());
  };
  GatedWorld world(options);
  at = &world;
  const auto api = EchoApi::New(Api::kCallback);
  world.Start([&](grpc::ServerBuilder& builder) { api->Register(builder); });
  SoftwareClient ada = world.Enrol("ada", world.NewChannel());
  auto session = Must(ada.OpenSession(), "a session");
  peer = std::make_unique<RawHttp2>(world.gate().port());
  const EchoResult result = Call(ada.channel(), {Kind::kUnary, {session->Prefix(kSay)}});
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  ASSERT_TRUE(ending.joinable());
  peer.reset();
  ending.join();
  const std::vector<Decision> decisions = world.audit().decisions();
  ASSERT_FALSE(decisions.empty());
  const Decision& last = decisions.back();
  EXPECT_EQ(last.reason, Reason::kGateEnding);
  EXPECT_EQ(last.subject, "ada");
  EXPECT_EQ(last.session, session->id());
  EXPECT_THAT(last.credential_ids, ::testing::ElementsAre(ada.credential_id()));
  EXPECT_THAT(last.detail, ::testing::HasSubstr("no handler saw it"));
}

}  // namespace
}  // namespace forekey::testing

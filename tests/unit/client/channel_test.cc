// SPDX-License-Identifier: Apache-2.0
// forekey::Channel: sessions within the application's calls. LAW 2 for the library, and "a
// handler's own UNAUTHENTICATED is not run twice".
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "forekey/client.h"
#include "forekey/refusal.h"
#include "forekey/v1/agent.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"
#include "src/base/deadline.h"
#include "src/base/reason.h"
#include "src/client/agent_socket.h"
#include "src/client/prefix_credentials.h"
#include "tests/unit/client/fakes/fake_gate.h"

namespace forekey {
namespace {

using ::testing::ElementsAre;
using testing::FakeGate;
using ::testing::HasSubstr;
using ::testing::Not;

// An agent that opens a session for each request, and can be held back.
class FakeAgent : public v1::Agent::Service {
 public:
  FakeAgent(FakeGate* gate, const std::string& socket)
      : gate_(gate), key_(SoftwareKey::Generate(Algorithm::kEs256)) {
    id_ = gate->AddCredential("alice", key_.public_key());
    GateConnection::Options options;
    options.target = gate->target();
    connection_ = GateConnection::New(options).value();
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~FakeAgent() override { server_->Shutdown(); }

  grpc::Status GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*,
                         v1::GetStatusResponse* response) override {
    for (const std::string& name : gates) {
      v1::EnrolledGate* gate = response->add_gates();
      gate->set_audience(name);
      gate->set_address(gate_->target().address);
      gate->set_ca_pem(gate_->target().ca_pem);
    }
    return grpc::Status::OK;
  }

  grpc::Status OpenSession(grpc::ServerContext*, const v1::OpenLocalSessionRequest* request,
                           v1::OpenLocalSessionResponse* response) override {
    ++opened;
    {
      absl::MutexLock lock(&mutex);
      auto free = [this] { return !held; };
      mutex.Await(absl::Condition(&free));
      rejected.push_back(request->rejected_session());
      methods.push_back(request->method());
      if (!failure.ok()) return failure;
    }
    GateConnection::OpenOptions options;
    options.gate_identity = gate_->identity();
    options.signers.push_back({id_, [this](absl::string_view s) -> absl::StatusOr<SignedStatement> {
                                 return SignedStatement{key_.Sign(s), "", ""};
                               }});
    auto session = connection_->OpenSession(options);
    if (!session.ok()) return grpc::Status(grpc::StatusCode::INTERNAL, session.status().ToString());
    response->set_session_id((*session)->id());
    response->set_key(std::string((*session)->key().view()));
    response->set_idle_s((*session)->idle_s());
    response->set_absolute_s((*session)->absolute_s());
    response->set_opened_boot_nanos((*session)->opened_at().nanos());
    response->set_subject((*session)->subject());
    response->set_affinity(affinity);
    return grpc::Status::OK;
  }

  grpc::Status WatchNotices(grpc::ServerContext* context, const v1::WatchNoticesRequest*,
                            grpc::ServerWriter<v1::Notice>* writer) override {
    v1::Notice notice;
    for (const char* gate : {"other.test", "gate.test"}) {
      notice.set_gate(gate);
      notice.set_text(absl::StrCat("touch the key for ", gate));
      writer->Write(notice);
    }
    Bell nobody;
    while (!context->IsCancelled()) nobody.Await(absl::Milliseconds(10));
    return grpc::Status::OK;
  }

  std::vector<std::string> gates = {"gate.test"};
  std::string affinity;  // of the sessions
  std::atomic<int> opened{0};
  absl::Mutex mutex;
  bool held = false;
  std::vector<std::string> rejected, methods;
  grpc::Status failure;

 private:
  FakeGate* const gate_;
  SoftwareKey key_;
  std::string id_;
  std::unique_ptr<GateConnection> connection_;
  std::unique_ptr<grpc::Server> server_;
};

class ChannelTest : public ::testing::Test {
 protected:
  ChannelTest() : gate_("gate.test") {
    std::string name = ::testing::TempDir() + "forekey-channel-XXXXXX";
    root_ = mkdtemp(name.data());
    socket_ = root_ + "/agent.sock";
    agent_ = std::make_unique<FakeAgent>(&gate_, socket_);
    options_.agent_socket = socket_;
  }
  ~ChannelTest() override {
    channel_.reset();
    agent_.reset();
    std::filesystem::remove_all(root_);
  }

  std::shared_ptr<grpc::Channel> channel() {
    if (channel_ == nullptr) channel_ = Channel(options_).value();
    return channel_;
  }

  static grpc::ByteBuffer Message(const std::string& text) {
    grpc::Slice slice(text);
    return grpc::ByteBuffer(&slice, 1);
  }
  static std::string Text(const grpc::ByteBuffer& message) {
    grpc::Slice slice;
    (void)message.DumpToSingleSlice(&slice);
    return std::string(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }

  // A unary call of "/test.Echo/Say".
  grpc::Status Say(const std::string& text, std::string* answer,
                   grpc::ClientContext* context = nullptr) {
    grpc::ClientContext own;
    if (context == nullptr) context = &own;
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    grpc::ByteBuffer request = Message(text);
    grpc::ByteBuffer response;
    absl::Notification done;
    grpc::Status status;
    grpc::GenericStub stub(channel());
    stub.UnaryCall(context, "/test.Echo/Say", grpc::StubOptions(), &request, &response,
                   [&](grpc::Status result) {
                     status = std::move(result);
                     done.Notify();
                   });
    done.WaitForNotification();
    if (status.ok()) *answer = Text(response);
    return status;
  }
  grpc::Status Say() {
    std::string answer;
    grpc::Status status = Say("hello", &answer);
    EXPECT_EQ(answer, status.ok() ? "hello" : "");
    return status;
  }

  FakeGate gate_;
  std::string root_, socket_;
  std::unique_ptr<FakeAgent> agent_;
  ChannelOptions options_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(ChannelTest, CallsCarryWhatTheAgentGaveForBalancersAndNothingWhereItGaveNone) {
  ASSERT_TRUE(Say().ok());
  EXPECT_THAT(gate_.affinities()["/test.Echo/Say"], ElementsAre(""));
  agent_->affinity = "0123456789abcdef";
  gate_.DropSessions();
  ASSERT_TRUE(Say().ok());  // refused once, with the old session
  EXPECT_THAT(gate_.affinities()["/test.Echo/Say"], ElementsAre("", "0123456789abcdef"));
}

TEST_F(ChannelTest, OpensASessionOnFirstUseAndKeepsIt) {
  channel();
  EXPECT_EQ(agent_->opened, 0);
  for (int i = 0; i < 5; ++i) {
    grpc::Status status = Say();
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_EQ(agent_->opened, 1);
  EXPECT_EQ(gate_.counts().refused, 0);
}

TEST_F(ChannelTest, ReopensOnceWithinOneCallAfterTheGateForgot) {
  ASSERT_TRUE(Say().ok());
  gate_.DropSessions();
  grpc::Status status = Say();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(agent_->opened, 2);
  EXPECT_THAT(gate_.reasons(), ElementsAre("session-unknown"));
  EXPECT_EQ(gate_.counts().echo, 2) << "the handler ran once a call";
  ASSERT_EQ(agent_->rejected.size(), 2u);
  EXPECT_EQ(agent_->rejected[0], "");
  EXPECT_EQ(agent_->rejected[1].size(), 16u) << "the agent is told which session was refused";
}

TEST_F(ChannelTest, ManyCallsAtOnceReopenOnce) {
  ASSERT_TRUE(Say().ok());
  gate_.DropSessions();
  std::vector<std::thread> callers;
  std::atomic<int> good{0};
  for (int i = 0; i < 16; ++i) {
    callers.emplace_back([this, &good] { good += Say().ok(); });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(good, 16);
  EXPECT_EQ(agent_->opened, 2);
}

TEST_F(ChannelTest, CallsMadeMeanwhileWaitForTheOneOpening) {
  channel();
  {
    absl::MutexLock lock(&agent_->mutex);
    agent_->held = true;
  }
  std::vector<std::thread> callers;
  std::atomic<int> good{0};
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([this, &good] { good += Say().ok(); });
  }
  {
    absl::MutexLock lock(&agent_->mutex);
    auto asked = [this] { return agent_->opened > 0; };
    while (!asked()) agent_->mutex.AwaitWithTimeout(absl::Condition(&asked), absl::Milliseconds(5));
    agent_->held = false;
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(good, 8);
  EXPECT_EQ(agent_->opened, 1);
}

TEST_F(ChannelTest, AHandlersOwnUnauthenticatedIsNotRunTwice) {
  ASSERT_TRUE(Say().ok());
  FakeGate::Faults faults;
  faults.handler_unauthenticated = true;
  gate_.Misbehave(faults);
  grpc::Status status = Say();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(status.error_message(), "the handler's own");
  EXPECT_EQ(gate_.counts().echo, 2);
  EXPECT_EQ(agent_->opened, 1);
}

TEST_F(ChannelTest, AGateThatRefusesEverythingIsAskedTwiceAndNoMore) {
  ASSERT_TRUE(Say().ok());
  // The agent's sessions are good at another gate only.
  gate_.DropSessions();
  gate_.RefuseSessions(true);
  grpc::Status status = Say();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << status.error_message();
  EXPECT_EQ(agent_->opened, 2);
  EXPECT_EQ(gate_.counts().refused, 2);
}

// Three messages there and back.
struct Chat : grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
  Chat(const std::shared_ptr<grpc::Channel>& channel, const char* method = "/test.Echo/Chat")
      : stub(channel) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    stub.PrepareBidiStreamingCall(&context, method, grpc::StubOptions(), this);
    StartRead(&response);
    Next();
    StartCall();
  }
  void Next() {
    grpc::Slice slice(absl::StrCat("m", sent++));
    request = grpc::ByteBuffer(&slice, 1);
    StartWrite(&request);
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    grpc::Slice slice;
    (void)response.DumpToSingleSlice(&slice);
    received.emplace_back(reinterpret_cast<const char*>(slice.begin()), slice.size());
    StartRead(&response);
    WrittenOrAnswered();
  }
  void OnWriteDone(bool ok) override {
    failed_writes += !ok;
    WrittenOrAnswered();
  }
  // An answer may overtake the end of its write: the next write waits for both.
  void WrittenOrAnswered() {
    if (++events % 2 != 0) return;
    if (sent == 3) {
      StartWritesDone();
    } else {
      Next();
    }
  }
  void OnDone(const grpc::Status& result) override {
    status = result;
    done.Notify();
  }
  grpc::GenericStub stub;
  grpc::ClientContext context;
  grpc::ByteBuffer request, response;
  std::atomic<int> events{0}, failed_writes{0};
  int sent = 0;
  std::vector<std::string> received;
  grpc::Status status;
  absl::Notification done;
};

// The gate is asked before the stream starts: gRPC must not have to start it again.
TEST_F(ChannelTest, StreamsStartWithASessionThatTheGateKnows) {
  ASSERT_TRUE(Say().ok());
  gate_.DropSessions();
  Chat chat(channel());
  chat.done.WaitForNotification();
  EXPECT_TRUE(chat.status.ok()) << chat.status.error_message();
  EXPECT_THAT(chat.received, ElementsAre("m0", "m1", "m2"));
  EXPECT_EQ(chat.failed_writes, 0);
  EXPECT_EQ(agent_->opened, 2);
  EXPECT_THAT(gate_.reasons(), ElementsAre("session-unknown"));
  EXPECT_THAT(gate_.refused_paths(), ElementsAre("/forekey.v1.Gate/GetRequirements"));
}

TEST_F(ChannelTest, StreamsOfOneMethodAreAskedForOnce) {
  ASSERT_TRUE(Say().ok());
  std::vector<std::unique_ptr<Chat>> chats;
  for (int i = 0; i < 20; ++i) chats.push_back(std::make_unique<Chat>(channel()));
  for (const auto& chat : chats) {
    chat->done.WaitForNotification();
    EXPECT_TRUE(chat->status.ok()) << chat->status.error_message();
  }
  EXPECT_LT(gate_.counts().requirements, 20);
  const int asked = gate_.counts().requirements;
  Chat other(channel(), "/test.Echo/Other");
  other.done.WaitForNotification();
  EXPECT_EQ(gate_.counts().requirements, asked + 1);
  EXPECT_EQ(gate_.peers().size(), 1u) << "asked on the connection that the streams have";
  EXPECT_EQ(agent_->opened, 1);
}

TEST_F(ChannelTest, StreamsThatNeedMoreAskTheAgentBeforeTheyStart) {
  ASSERT_TRUE(Say().ok());
  FakeGate::Faults faults;
  faults.step_up = "fido2";
  gate_.Misbehave(faults);
  Chat chat(channel());
  chat.done.WaitForNotification();
  EXPECT_TRUE(chat.status.ok()) << chat.status.error_message();
  EXPECT_EQ(agent_->rejected.back().size(), 16u) << "the agent is told which session was too weak";
  EXPECT_EQ(agent_->methods.back(), "/test.Echo/Chat");
  EXPECT_EQ(gate_.counts().refused, 0);
}

TEST_F(ChannelTest, StreamsEndWithTheAgentsErrorAsUnaryCallsDo) {
  ASSERT_TRUE(Say().ok());
  gate_.DropSessions();
  {
    absl::MutexLock lock(&agent_->mutex);
    agent_->failure = grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "no token is plugged in");
  }
  Chat chat(channel());
  chat.done.WaitForNotification();
  EXPECT_FALSE(chat.status.ok());
  EXPECT_THAT(chat.status.error_message(), HasSubstr("no token is plugged in"));
  EXPECT_EQ(gate_.counts().echo, 1);
}

TEST_F(ChannelTest, LargeCallsAreOpenedAgainToo) {
  ASSERT_TRUE(Say().ok());
  gate_.DropSessions();
  std::string answer;
  std::string large(3 << 20, 'x');
  grpc::Status status = Say(large, &answer);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(answer, large);
}

TEST_F(ChannelTest, AnExpiredSessionIsRenewedBeforeTheGateSeesIt) {
  FakeGate::Faults faults;
  faults.idle_s = 1;
  faults.absolute_s = 1;  // given up after 0.9 s
  gate_.Misbehave(faults);
  ASSERT_TRUE(Say().ok());
  while (agent_->opened < 2) ASSERT_TRUE(Say().ok());
  EXPECT_EQ(gate_.counts().refused, 0);
}

TEST_F(ChannelTest, SaysWhyNoSessionCouldBeOpened) {
  agent_->failure = grpc::Status(grpc::StatusCode::NOT_FOUND, "the token was pulled out");
  grpc::Status status = Say();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("the token was pulled out"));
  EXPECT_THAT(status.error_message(), Not(HasSubstr("plugin")));
  agent_->failure = grpc::Status::OK;
  EXPECT_TRUE(Say().ok()) << "and tries again";
}

grpc::Status FromAgent(grpc::StatusCode code, v1::DeviceTrouble device, v1::GateTrouble gate) {
  v1::AgentErrorDetails details;
  details.set_agent_version("test");
  details.set_device_trouble(device);
  details.set_gate_trouble(gate);
  return grpc::Status(code, "what the agent says", details.SerializeAsString());
}

TEST_F(ChannelTest, AnApplicationIsToldWhatItsPersonHasToDo) {
  absl::Notification told;
  std::string text;
  options_.on_notice = [&](const std::string& notice) {
    text = notice;
    told.Notify();
  };
  channel();
  told.WaitForNotification();
  EXPECT_EQ(text, "touch the key for gate.test");
}

// A retry policy of the application's that retries UNAVAILABLE must not ask a person again: each
// try of a PIN brings the token nearer to locking itself.
TEST_F(ChannelTest, APersonIsAskedOnceACallWhateverIsRetried) {
  options_.arguments.SetServiceConfigJSON(
      R"({"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 4, "initialBackoff":
          "0.01s", "maxBackoff": "0.01s", "backoffMultiplier": 1,
          "retryableStatusCodes": ["UNAVAILABLE", "UNAUTHENTICATED"]}}]})");
  agent_->failure = FromAgent(grpc::StatusCode::UNAUTHENTICATED, v1::DEVICE_TROUBLE_WRONG_PIN,
                              v1::GATE_TROUBLE_UNSPECIFIED);
  const grpc::Status status = Say();
  EXPECT_EQ(agent_->opened, 1);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  const auto refusal = RefusalOf(status);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->kind, Refusal::Kind::kPersonDeclined);
  EXPECT_FALSE(refusal->retry_can_help);
  // The next call is another question.
  agent_->failure = grpc::Status::OK;
  EXPECT_TRUE(Say().ok());
}

TEST_F(ChannelTest, TellsProgramsWhetherAnotherTryCanHelp) {
  struct Case {
    grpc::Status from_agent;
    Refusal::Kind kind;
    bool retry;
    grpc::StatusCode code;
  } cases[] = {
      {FromAgent(grpc::StatusCode::UNAVAILABLE, {}, v1::GATE_TROUBLE_NO_CONNECTION),
       Refusal::Kind::kGateUnreachable, true, grpc::StatusCode::UNAVAILABLE},
      {FromAgent(grpc::StatusCode::UNAVAILABLE, {}, v1::GATE_TROUBLE_CERTIFICATE_EXPIRED),
       Refusal::Kind::kGateUntrusted, false, grpc::StatusCode::FAILED_PRECONDITION},
      {FromAgent(grpc::StatusCode::UNAVAILABLE, v1::DEVICE_TROUBLE_BUSY, {}),
       Refusal::Kind::kTokenBusy, true, grpc::StatusCode::UNAVAILABLE},
      {FromAgent(grpc::StatusCode::NOT_FOUND, v1::DEVICE_TROUBLE_GONE, {}),
       Refusal::Kind::kTokenMissing, false, grpc::StatusCode::NOT_FOUND},
      {FromAgent(grpc::StatusCode::FAILED_PRECONDITION, v1::DEVICE_TROUBLE_PIN_REQUIRED, {}),
       Refusal::Kind::kPersonNeeded, false, grpc::StatusCode::FAILED_PRECONDITION},
  };
  for (const Case& one : cases) {
    agent_->failure = one.from_agent;
    const grpc::Status status = Say();
    const auto refusal = RefusalOf(status);
    ASSERT_TRUE(refusal.has_value()) << status.error_message();
    EXPECT_EQ(RefusalKindName(refusal->kind), RefusalKindName(one.kind));
    EXPECT_EQ(refusal->retry_can_help, one.retry) << RefusalKindName(one.kind);
    EXPECT_EQ(status.error_code(), one.code) << RefusalKindName(one.kind);
  }
}

TEST(RefusalTest, AGatesRefusalHasItsReferenceAndWhatIsLacking) {
  const auto plain = RefusalOf(grpc::Status(grpc::StatusCode::PERMISSION_DENIED,
                                            "forekey: refused, reference 9f3c5a7d01e2b486"));
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->kind, Refusal::Kind::kGateRefused);
  EXPECT_EQ(plain->reference, "9f3c5a7d01e2b486");
  EXPECT_EQ(plain->lacking, "");
  EXPECT_FALSE(plain->retry_can_help);
  const auto step_up =
      RefusalOf(grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                             "forekey: step-up fido2+uv&call|tpm, reference 9f3c5a7d01e2b486"));
  ASSERT_TRUE(step_up.has_value());
  EXPECT_EQ(step_up->lacking, "fido2+uv&call|tpm");
  const auto busy = RefusalOf(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                                           "forekey: refused, reference 9f3c5a7d01e2b486"));
  EXPECT_TRUE(busy->retry_can_help);
}

TEST(RefusalTest, WhatAHandlerSaysIsNone) {
  EXPECT_FALSE(RefusalOf(grpc::Status::OK).has_value());
  for (const char* said : {"no such order", "refused, reference 9f3c5a7d01e2b486",
                           "forekey: refused, reference short", ""}) {
    EXPECT_FALSE(RefusalOf(grpc::Status(grpc::StatusCode::PERMISSION_DENIED, said)).has_value());
  }
  // Details of another kind: google.rpc.Status begins with a number.
  EXPECT_FALSE(RefusalOf(grpc::Status(grpc::StatusCode::INTERNAL, "x", std::string("\x08\x05")))
                   .has_value());
}

TEST_F(ChannelTest, SaysThatTheAgentHasGone) {
  channel();
  agent_.reset();
  grpc::Status status = Say();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("start forekey-agent"));
  EXPECT_EQ(RefusalOf(status)->kind, Refusal::Kind::kAgentNotRunning);
  EXPECT_TRUE(RefusalOf(status)->retry_can_help) << "it may just be started again";
}

TEST_F(ChannelTest, SaysThatTheAgentIsNotRunning) {
  agent_.reset();
  absl::Status status = Channel(options_).status();
  EXPECT_EQ(RefusalOf(status)->kind, Refusal::Kind::kAgentNotRunning);
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("start forekey-agent"));
}

TEST_F(ChannelTest, ChoosesTheOnlyGateAndAsksAmongSeveral) {
  options_.gate = "other.test";
  EXPECT_EQ(Channel(options_).status().code(), absl::StatusCode::kPermissionDenied);
  options_.gate = "";
  agent_->gates = {"gate.test", "other.test"};
  EXPECT_TRUE(absl::IsInvalidArgument(Channel(options_).status()));
  agent_->gates = {};
  EXPECT_EQ(ReasonOf(Channel(options_).status()), Reason::kGateNotEnrolled);
}

TEST_F(ChannelTest, RefusesASocketOfAnotherUser) {
  if (geteuid() == 0) {
    ASSERT_EQ(chown(socket_.c_str(), 12345, 12345), 0);
  } else {
    options_.agent_socket = "/run/dbus/system_bus_socket";
    if (!std::filesystem::exists(options_.agent_socket)) return;
  }
  EXPECT_EQ(ReasonOf(Channel(options_).status()), Reason::kPeerUidRefused);
}

TEST_F(ChannelTest, CredentialsOfTheCallAreToldNotDropped) {
  grpc::ClientContext context;
  context.set_credentials(grpc::AccessTokenCredentials("token"));
  std::string answer;
  grpc::Status status = Say("hello", &answer, &context);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("ChannelOptions::call_credentials"));
}

TEST_F(ChannelTest, CredentialsOfTheChannelGoBesideThePrefix) {
  options_.call_credentials = grpc::AccessTokenCredentials("token");
  EXPECT_TRUE(Say().ok());
  EXPECT_EQ(gate_.authorization(), "Bearer token");
}

TEST_F(ChannelTest, AnOpeningThatNobodyWaitsForAnyMoreDoesNoHarm) {
  channel();
  {
    absl::MutexLock lock(&agent_->mutex);
    agent_->held = true;
  }
  grpc::ClientContext context;
  std::thread caller([&] {
    std::string answer;
    EXPECT_EQ(Say("hello", &answer, &context).error_code(), grpc::StatusCode::CANCELLED);
  });
  while (agent_->opened == 0) std::this_thread::yield();
  context.TryCancel();
  caller.join();
  channel_.reset();  // while the agent is still being asked
  absl::MutexLock lock(&agent_->mutex);
  agent_->held = false;
}

TEST(PrefixCredentialsTest, MethodsAreRebuiltAsTheyAreOnTheWire) {
  EXPECT_EQ(MethodFromServiceUrl("https://host/test.Echo", "Say"), "/test.Echo/Say");
  EXPECT_EQ(MethodFromServiceUrl("https://host:443/a.b.C", "D"), "/a.b.C/D");
  EXPECT_EQ(MethodFromServiceUrl("https://host", "Say"), "");
}

TEST(AgentSocketTest, FollowsTheEnvironment) {
  setenv("FOREKEY_AGENT_SOCKET", "/a/b.sock", 1);
  EXPECT_EQ(*DefaultAgentSocket(), "/a/b.sock");
  unsetenv("FOREKEY_AGENT_SOCKET");
  setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
  EXPECT_EQ(*DefaultAgentSocket(), "/run/user/7/forekey/agent.sock");
  unsetenv("XDG_RUNTIME_DIR");
  setenv("XDG_STATE_HOME", "/home/x/state", 1);
  EXPECT_EQ(*DefaultAgentSocket(), "/home/x/state/forekey/agent.sock");
  unsetenv("XDG_STATE_HOME");
  setenv("HOME", "/home/x", 1);
  EXPECT_EQ(*DefaultAgentSocket(), "/home/x/.local/state/forekey/agent.sock");
}

// cron sets no XDG_RUNTIME_DIR: the agent is found in the user's folder all the same.
TEST(AgentSocketTest, IsFoundWhereTheAgentIsWithoutARuntimeDirectory) {
  for (const char* name : {"FOREKEY_AGENT_SOCKET", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"}) {
    unsetenv(name);
  }
  std::string root = ::testing::TempDir() + "forekey-run-XXXXXX";
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  setenv("HOME", (root + "/home").c_str(), 1);
  const std::string folder = absl::StrCat(root, "/", geteuid(), "/forekey");
  std::filesystem::create_directories(folder);
  EXPECT_EQ(*FindAgentSocket(root), root + "/home/.local/state/forekey/agent.sock");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path = folder + "/agent.sock";
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  path.copy(address.sun_path, path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(*FindAgentSocket(root), path);
  close(fd);
  std::filesystem::remove_all(root);
}

TEST(AgentErrorTest, OnlyWhatDidNotComeFromAnAgentMeansThatNoneRuns) {
  v1::AgentErrorDetails details;
  details.set_gate_trouble(v1::GATE_TROUBLE_NO_CONNECTION);
  const grpc::Status from_agent(grpc::StatusCode::UNAVAILABLE, "failed to connect to all addresses",
                                details.SerializeAsString());
  const absl::Status told = AgentError(from_agent, "/a.sock");
  EXPECT_EQ(told.message(), "failed to connect to all addresses");
  EXPECT_EQ(AgentErrorDetailsOf(told)->gate_trouble(), v1::GATE_TROUBLE_NO_CONNECTION);
  const absl::Status dead =
      AgentError(grpc::Status(grpc::StatusCode::UNAVAILABLE, "socket closed"), "/a.sock");
  EXPECT_THAT(std::string(dead.message()), HasSubstr("start forekey-agent"));
  EXPECT_FALSE(AgentErrorDetailsOf(dead).has_value());
}

}  // namespace
}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// What Install() puts into a server, and what it must not let through.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "examples/echo_services.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/gate/grpc/live_calls.h"
#include "src/wire/statement.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;

// An echo that also tells which metadata it saw.
class WatchedEcho : public example::SyncEcho {
 public:
  grpc::Status Say(grpc::ServerContext* context, const example::EchoRequest* request,
                   example::EchoResponse* response) override {
    absl::MutexLock lock(&mutex_);
    prefixes_seen_ = context->client_metadata().count("forekey-prefix-bin");
    affinities_seen_ = context->client_metadata().count("forekey-affinity");
    properties_.clear();
    for (const auto& [name, value] : *context->auth_context()) {
      properties_.emplace_back(std::string(name.data(), name.size()),
                               std::string(value.data(), value.size()));
    }
    return SyncEcho::Say(context, request, response);
  }
  size_t prefixes_seen() const {
    absl::MutexLock lock(&mutex_);
    return prefixes_seen_;
  }
  size_t affinities_seen() const {
    absl::MutexLock lock(&mutex_);
    return affinities_seen_;
  }
  std::vector<std::pair<std::string, std::string>> properties() const {
    absl::MutexLock lock(&mutex_);
    return properties_;
  }

 private:
  mutable absl::Mutex mutex_;
  size_t prefixes_seen_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t affinities_seen_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::pair<std::string, std::string>> properties_ ABSL_GUARDED_BY(mutex_);
};

const std::string kSay = MethodOf(Kind::kUnary);

TEST(GateInstallTest, ExemptCallsHaveNoCallerWhateverTheyCarry) {
  WatchedEcho echo;
  GatedWorld world({.exempt = {kSay}});
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  auto session = Must(alice.OpenSession(), "open");
  // A good prefix for this very method, alone and twice.
  for (int copies : {1, 2}) {
    std::vector<std::string> prefixes(copies, session->Prefix(kSay));
    EchoResult result = Call(alice.channel(), {.prefixes = prefixes});
    ASSERT_TRUE(result.status.ok()) << result.status.error_message();
    EXPECT_EQ(result.responses[0].subject(), "");
    EXPECT_EQ(echo.prefixes_seen(), 0u) << "the prefix of an exempt call must be stripped";
  }
  // The same connection's gated calls go on having one.
  EchoResult gated = Call(
      alice.channel(), {.kind = Kind::kBidi, .prefixes = {session->Prefix(MethodOf(Kind::kBidi))}});
  EXPECT_EQ(gated.responses.at(0).subject(), "alice");
}

TEST(GateInstallTest, WhatIsForABalancerIsTakenAwayAndProvesNothing) {
  WatchedEcho echo;
  for (const bool exempt : {false, true}) {
    GatedWorld world(
        {.exempt = exempt ? std::vector<std::string>{kSay} : std::vector<std::string>{}});
    world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
    SoftwareClient alice = world.Enrol("alice", world.NewChannel());
    auto session = Must(alice.OpenSession(), "open");
    const EchoResult result = Call(
        alice.channel(), {.prefixes = {session->Prefix(kSay)}, .affinity = "0123456789abcdef"});
    ASSERT_TRUE(result.status.ok()) << result.status.error_message();
    EXPECT_EQ(result.responses.at(0).subject(), exempt ? "" : "alice");
    EXPECT_EQ(echo.affinities_seen(), 0u);
    if (exempt) continue;
    const EchoResult alone = Call(alice.channel(), {.affinity = "0123456789abcdef"});
    EXPECT_EQ(alone.status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  }
}

TEST(GateInstallTest, NothingAboutACallerIsInTheConnectionsAuthContext) {
  WatchedEcho echo;
  GatedWorld world;
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  auto session = Must(alice.OpenSession(), "open");
  int marks = 0;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Call(alice.channel(), {.prefixes = {session->Prefix(kSay)}}).status.ok());
    marks = 0;
    for (const auto& [name, value] : echo.properties()) {
      marks += name == "forekey-gate" ? 1 : 0;
      EXPECT_THAT(value, ::testing::Not(HasSubstr("alice")));
    }
    EXPECT_EQ(marks, 1) << "one mark a connection, not one a call";
  }
}

TEST(GateInstallTest, APortThatIsNotTheGatesHasNoCallers) {
  WatchedEcho echo;
  GatedWorld world;
  int open_port = 0;
  world.Start([&](grpc::ServerBuilder& builder) {
    builder.RegisterService(&echo);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &open_port);
  });
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  auto session = Must(alice.OpenSession(), "open");
  auto open_channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(open_port),
                                          grpc::InsecureChannelCredentials());
  const std::string admitted = session->Prefix(kSay);
  EXPECT_EQ(Call(alice.channel(), {.prefixes = {admitted}}).responses.at(0).subject(), "alice");
  // One that the gate admitted, and one that it has not seen: both good, both from somewhere else.
  for (const std::string& prefix : {admitted, session->Prefix(kSay)}) {
    EchoResult result = Call(open_channel, {.prefixes = {prefix}});
    ASSERT_TRUE(result.status.ok());
    EXPECT_EQ(result.responses[0].subject(), "");
  }
  // The gate's own methods take no callers from there either.
  grpc::ClientContext context;
  context.AddMetadata("forekey-prefix-bin", session->Prefix(kWhoAmIMethod));
  v1::WhoAmIResponse response;
  grpc::Status status = v1::Gate::NewStub(open_channel)->WhoAmI(&context, {}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST(GateInstallTest, WhoAmITellsTheCallerOfThisCall) {
  GatedWorld world;
  world.Start([](grpc::ServerBuilder&) {});
  SoftwareClient alice = world.Enrol("alice", world.NewChannel(), {"admin", "dev"});
  auto session = Must(alice.OpenSession(), "open");
  grpc::ClientContext context;
  context.AddMetadata("forekey-prefix-bin", session->Prefix(kWhoAmIMethod));
  v1::WhoAmIResponse response;
  grpc::Status status = v1::Gate::NewStub(alice.channel())->WhoAmI(&context, {}, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.subject(), "alice");
  EXPECT_THAT(response.roles(), ::testing::ElementsAre("admin", "dev"));
  EXPECT_EQ(response.session(), absl::BytesToHexString(session->id()));
  EXPECT_EQ(response.factors(0).name(), "tpm");
}

TEST(GateInstallTest, AnEndedSessionIsRefusedAtItsNextCall) {
  WatchedEcho echo;
  GatedWorld world;
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  auto session = Must(alice.OpenSession(), "open");
  ASSERT_TRUE(Call(alice.channel(), {.prefixes = {session->Prefix(kSay)}}).status.ok());
  grpc::ClientContext context;
  context.AddMetadata("forekey-prefix-bin", session->Prefix(kEndSessionMethod));
  v1::EndSessionResponse response;
  ASSERT_TRUE(v1::Gate::NewStub(alice.channel())->EndSession(&context, {}, &response).ok());
  EchoResult refused = Call(alice.channel(), {.prefixes = {session->Prefix(kSay)}});
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(world.AuditOf(refused.status).reason, Reason::kSessionEnded);
}

// LAW 6: a coarse code and a number; not which check failed.
TEST(GateInstallTest, EveryRefusalLooksTheSame) {
  GatedWorld world;
  world.Start([](grpc::ServerBuilder&) {});
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  auto session = Must(alice.OpenSession(), "open");
  std::string forged = session->Prefix(kSay);
  forged.back() ^= 1;
  std::vector<std::string> messages;
  for (const std::vector<std::string>& prefixes : {std::vector<std::string>{},
                                                   {"garbage"},
                                                   {forged},
                                                   {session->Prefix("/other.Service/Method")}}) {
    grpc::Status status = Call(alice.channel(), {.prefixes = prefixes}).status;
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_TRUE(world.AuditOf(status).reason.has_value());
    std::string message = status.error_message();
    const std::string reference = message.substr(message.rfind(' ') + 1);
    EXPECT_EQ(reference.size(), 16u);
    messages.push_back(message.substr(0, message.size() - reference.size()));
  }
  EXPECT_THAT(messages, ::testing::Each(messages.front()));
}

TEST(GateInstallTest, TheTableOfLiveCallsIsEmptyWhenNoCallIsServed) {
  WatchedEcho echo;
  GatedWorld world;
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  auto session = Must(alice.OpenSession(), "open");
  for (Kind kind : kAllKinds) {
    ASSERT_TRUE(Call(alice.channel(), {.kind = kind, .prefixes = {session->Prefix(MethodOf(kind))}})
                    .status.ok());
  }
  world.StopServer();  // waits for what the calls leave behind
  EXPECT_EQ(LiveCalls::OfProcess().size(), 0u);
}

// The seam for ending the streams of a session that ends.
TEST(GateInstallTest, LiveStreamsCanBeCancelledBySession) {
  WatchedEcho echo;
  GatedWorld world;
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  SoftwareClient bob = world.Enrol("bob", alice.channel());
  const std::string method = MethodOf(Kind::kBidi);
  auto stub = example::Echo::NewStub(alice.channel());
  grpc::ClientContext alices, bobs;
  auto session = Must(alice.OpenSession(), "open");
  alices.AddMetadata("forekey-prefix-bin", session->Prefix(method));
  bobs.AddMetadata("forekey-prefix-bin", Must(bob.OpenSession(), "open")->Prefix(method));
  auto first = stub->Chat(&alices);
  auto second = stub->Chat(&bobs);
  example::EchoResponse response;
  for (auto* stream : {first.get(), second.get()}) {
    ASSERT_TRUE(stream->Write(example::EchoRequest()) && stream->Read(&response));
  }
  EXPECT_EQ(LiveCalls::OfProcess().CancelIf([&](const LiveCalls::Entry& entry) {
    return entry.caller->session() != nullptr && entry.caller->session()->id() == session->id();
  }),
            1u);
  EXPECT_FALSE(first->Read(&response));
  EXPECT_EQ(first->Finish().error_code(), grpc::StatusCode::CANCELLED);
  ASSERT_TRUE(second->Write(example::EchoRequest()) && second->Read(&response));
  EXPECT_EQ(response.subject(), "bob");
  second->WritesDone();
  EXPECT_TRUE(second->Finish().ok());
}

// An application's interceptors stand behind the gate.
class CountingInterceptors : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  CountingInterceptors(std::atomic<int>* calls, grpc::StatusCode end_with)
      : calls_(calls), end_with_(end_with) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    if (info->method() != kSay) return nullptr;  // the gate's own methods are not meant
    class Counting : public grpc::experimental::Interceptor {
     public:
      explicit Counting(grpc::StatusCode end_with) : end_with_(end_with) {}
      void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
        if (end_with_ != grpc::StatusCode::OK &&
            methods->QueryInterceptionHookPoint(
                grpc::experimental::InterceptionHookPoints::PRE_SEND_STATUS)) {
          methods->ModifySendStatus(grpc::Status(end_with_, "the interceptor's own"));
        }
        methods->Proceed();
      }
      const grpc::StatusCode end_with_;
    };
    ++*calls_;
    return new Counting(end_with_);
  }

 private:
  std::atomic<int>* const calls_;
  const grpc::StatusCode end_with_;
};

TEST(GateInstallTest, InterceptorsOfTheApplicationSeeAdmittedCallsAlone) {
  WatchedEcho echo;
  GatedWorld world;
  std::atomic<int> calls{0};
  InstallOptions options;
  options.interceptors.push_back(
      std::make_unique<CountingInterceptors>(&calls, grpc::StatusCode::UNAUTHENTICATED));
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); },
              std::move(options));
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  EXPECT_FALSE(Call(alice.channel(), {}).status.ok());
  EXPECT_EQ(calls, 0);
  // What they turn into UNAUTHENTICATED is not run again, either.
  EchoResult result =
      Call(alice.channel(), {.prefixes = {Must(alice.DevicePrefix(kSay), "prefix")}});
  EXPECT_EQ(result.status.error_message(), "the interceptor's own");
  EXPECT_EQ(result.trailers.count("grpc-retry-pushback-ms"), 1u);
}

// ---- An application's own contexts ----

struct OwnContext : grpc::CallbackServerContext {};

class OwnContexts : public grpc::ContextAllocator {
 public:
  explicit OwnContexts(std::atomic<int>* alive) : alive_(alive) {}
  grpc::CallbackServerContext* NewCallbackServerContext() override {
    ++*alive_;
    return new OwnContext;
  }
  void Release(grpc::CallbackServerContext* context) override {
    --*alive_;
    delete context;
  }

 private:
  std::atomic<int>* const alive_;
};

class OwnContextEcho : public example::CallbackEcho {
 public:
  grpc::ServerUnaryReactor* Say(grpc::CallbackServerContext* context,
                                const example::EchoRequest* request,
                                example::EchoResponse* response) override {
    if (dynamic_cast<OwnContext*>(context) != nullptr) ++own_;
    return CallbackEcho::Say(context, request, response);
  }
  int own() const { return own_; }

 private:
  std::atomic<int> own_{0};
};

// They are not taken away, whether they were asked for before the gate or after it; and the gate
// knows who calls all the same.
class OwnContextsTest : public ::testing::TestWithParam<bool> {};

TEST_P(OwnContextsTest, StayTheApplications) {
  std::atomic<int> alive{0};
  OwnContextEcho echo;
  GatedWorld world;
  grpc::ServerBuilder builder;
  builder.RegisterService(&echo);
  if (GetParam()) builder.SetContextAllocator(std::make_unique<OwnContexts>(&alive));
  ASSERT_TRUE(world.gate().Install(builder).ok());
  if (!GetParam()) builder.SetContextAllocator(std::make_unique<OwnContexts>(&alive));
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  auto session = Must(alice.OpenSession(), "open");
  EchoResult result = Call(alice.channel(), {.prefixes = {session->Prefix(kSay)}});
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.responses[0].subject(), "alice");
  EXPECT_EQ(result.trailers.count("grpc-retry-pushback-ms"), 0u) << "it ended well";
  EXPECT_EQ(echo.own(), 1);
  server->Shutdown();
  server.reset();
  EXPECT_EQ(LiveCalls::OfProcess().size(), 0u);
  EXPECT_EQ(alive, 0);
}

INSTANTIATE_TEST_SUITE_P(BeforeAndAfterInstall, OwnContextsTest, ::testing::Bool());

TEST(GateInstallTest, AGateServesOneServer) {
  GatedWorld world;
  world.Start([](grpc::ServerBuilder&) {});
  grpc::ServerBuilder second;
  const absl::Status refused = world.gate().Install(second);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("needs a gate of its own"));
}

TEST(GateInstallTest, SaysThatThePortIsTaken) {
  GatedWorld first;
  first.Start([](grpc::ServerBuilder&) {});
  GatedWorld second({.change = [&](GateConfig& config) {
    config.listen.address = "127.0.0.1:" + std::to_string(first.gate().port());
  }});
  grpc::ServerBuilder builder;
  const absl::Status installed = second.gate().Install(builder);
  EXPECT_THAT(std::string(installed.message()),
              ::testing::AllOf(HasSubstr(second.config().listen.address), HasSubstr("in use")));
}

// A socket that listens on a port of this machine, so that nobody else can.
class TakenPort {
 public:
  TakenPort() : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(socket_, 1), 0);
    EXPECT_EQ(getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    address_ = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  }
  ~TakenPort() { GiveBack(); }
  const std::string& address() const { return address_; }
  void GiveBack() {
    if (socket_ >= 0) close(std::exchange(socket_, -1));
  }

 private:
  int socket_;
  std::string address_;
};

// Nothing of what failed stays, neither in the gate nor in the builder.
TEST(GateInstallTest, InstallsAfterWhatWasInTheWayIsGone) {
  TakenPort port, metrics_port;
  GatedWorld world({.change = [&](GateConfig& config) {
    config.listen.address = port.address();
    config.metrics.listen = metrics_port.address();
  }});
  const std::string admin_socket = world.config().state.AdminSocketPath();
  ASSERT_TRUE(std::filesystem::create_directories(admin_socket + "/in the way"));
  WatchedEcho echo;
  grpc::ServerBuilder builder;
  builder.RegisterService(&echo);
  const auto refused = [&] {
    const std::string message(world.gate().Install(builder).message());
    EXPECT_EQ(world.gate().port(), 0) << message;
    EXPECT_EQ(world.gate().metrics_port(), 0) << message;
    return message;
  };
  EXPECT_THAT(refused(), ::testing::AllOf(HasSubstr(port.address()), HasSubstr("in use")));
  port.GiveBack();
  EXPECT_THAT(refused(), HasSubstr("[metrics] listen"));
  metrics_port.GiveBack();
  EXPECT_THAT(refused(), HasSubstr(admin_socket));
  std::filesystem::remove_all(admin_socket);
  ASSERT_TRUE(world.gate().Install(builder).ok());
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  EXPECT_EQ(absl::StrCat("127.0.0.1:", world.gate().port()), port.address());
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  const EchoResult result =
      Call(alice.channel(), {.prefixes = {Must(alice.DevicePrefix(kSay), "prefix")}});
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.responses.at(0).subject(), "alice");
  server->Shutdown();
}

TEST(GateInstallTest, SaysThatTheKeyIsOpenToOthers) {
  TempDirectory directory;
  const absl::Status made = WriteFileAtomically(directory.path() + "/gate.toml", R"(
audience = "a"
[tls]
certificate = "cert.pem"
private_key = "key.pem"
[state]
directory = "state"
)");
  ASSERT_TRUE(made.ok());
  GatedWorld world;  // for a certificate
  ASSERT_TRUE(WriteFileAtomically(directory.path() + "/cert.pem",
                                  *ReadFile(world.directory() + "/cert.pem"))
                  .ok());
  ASSERT_TRUE(WriteFileAtomically(directory.path() + "/key.pem",
                                  *ReadFile(world.directory() + "/key.pem"), 0644)
                  .ok());
  auto gate = Gate::New({.config_file = directory.path() + "/gate.toml"});
  EXPECT_THAT(std::string(gate.status().message()),
              ::testing::AllOf(HasSubstr("key.pem"), HasSubstr("chmod 600")));
}

// In a server of the application's own they would be passed over in silence.
TEST(GateInstallTest, SaysThatUpstreamsAreForServe) {
  GatedWorld world;  // for a certificate
  const std::string common =
      absl::StrCat("audience = \"a\"\n[tls]\ncertificate = \"", world.directory(),
                   "/cert.pem\"\nprivate_key = \"", world.directory(), "/key.pem\"\n");
  TempDirectory directory;
  const std::string file = directory.path() + "/gate.toml";
  const std::pair<const char*, const char*> parts[] = {
      {"[[upstream]]",
       "[[upstream]]\nname = \"shop\"\nmethods = [\"/shop.*/*\"]\naddresses = "
       "[\"unix:/run/shop.sock\"]\n"},
      {"[fronts]", "[fronts]\nhttp = \"127.0.0.1:0\"\nsecret = \"secret\"\n"}};
  for (const auto& [name, part] : parts) {
    const std::string state =
        absl::StrCat("[state]\ndirectory = \"", directory.path(), "/state\"\n");
    ASSERT_TRUE(WriteFileAtomically(file, absl::StrCat(common, state, part)).ok());
    const absl::Status refused = Gate::New({.config_file = file}).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(refused.message()), ::testing::AllOf(HasSubstr(file), HasSubstr(name),
                                                                 HasSubstr("forekey-gate serve")));
  }
}

TEST(GateInstallTest, SaysThatAnotherGateHoldsTheState) {
  GatedWorld first;
  auto second = GateCore::New(first.config());
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(first.config().state.directory));
}

}  // namespace
}  // namespace forekey::testing

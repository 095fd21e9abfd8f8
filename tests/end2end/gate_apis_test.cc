// SPDX-License-Identifier: Apache-2.0
// The gate before every API that gRPC has for servers, and every kind of method.
#include <gmock/gmock.h>
#include <grpcpp/impl/client_unary_call.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/escaping.h"
#include "src/base/reason.h"
#include "src/gate/grpc/live_calls.h"
#include "tests/end2end/echo_apis.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Property;

class GateApisTest : public ::testing::TestWithParam<Api> {
 protected:
  GateApisTest() : api_(EchoApi::New(GetParam())) {
    InstallOptions options;
    if (GetParam() == Api::kGenericCallback) options.server_api = ServerApi::kCallback;
    world_.Start([this](grpc::ServerBuilder& builder) { api_->Register(builder); },
                 std::move(options));
    api_->Start();
  }
  ~GateApisTest() override {
    if (stopped_) return;
    world_.server().Shutdown(std::chrono::system_clock::now());
    api_->Stop();
    world_.StopServer();
  }

  // A forged prefix does not end the connection: what comes after it meets the same one.
  GatedWorld world_{{.change = [](GateConfig& config) { config.connections.forged_refusals = 0; }}};
  std::unique_ptr<EchoApi> api_;
  bool stopped_ = false;
};

TEST_P(GateApisTest, HandlersSeeTheVerifiedCallerOfTheirCall) {
  SoftwareClient alice = world_.Enrol("alice", world_.NewChannel());
  auto session = Must(alice.OpenSession(), "open");
  for (Kind kind : kAllKinds) {
    SCOPED_TRACE(MethodOf(kind));
    EchoResult result =
        Call(alice.channel(), {.kind = kind, .prefixes = {session->Prefix(MethodOf(kind))}});
    ASSERT_TRUE(result.status.ok()) << result.status.error_message();
    const bool streams_out = kind == Kind::kServerStream || kind == Kind::kBidi;
    ASSERT_EQ(result.responses.size(), streams_out ? 2u : 1u);
    EXPECT_EQ(result.responses[0].text(), kind == Kind::kBidi ? "a" : "ab");
    EXPECT_THAT(result.responses, Each(Property(&example::EchoResponse::subject, "alice")));
    EXPECT_THAT(result.responses, Each(Property(&example::EchoResponse::session,
                                                absl::BytesToHexString(session->id()))));
    EXPECT_EQ(result.trailers.count("grpc-retry-pushback-ms"), 0u);
  }
}

TEST_P(GateApisTest, ADeviceProofMadeForTheCallNamesTheCallerWithoutASession) {
  SoftwareClient alice = world_.Enrol("alice", world_.NewChannel());
  EchoResult result = Call(
      alice.channel(), {.prefixes = {Must(alice.DevicePrefix(MethodOf(Kind::kUnary)), "prefix")}});
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.responses[0].subject(), "alice");
  EXPECT_EQ(result.responses[0].session(), "");
}

TEST_P(GateApisTest, WithoutAPrefixNoHandlerRuns) {
  auto channel = world_.NewChannel();
  for (Kind kind : kAllKinds) {
    EchoResult result = Call(channel, {.kind = kind, .fail = true});
    EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(world_.AuditOf(result.status).reason, Reason::kPrefixMissing);
    EXPECT_EQ(world_.AuditOf(result.status).method, MethodOf(kind));
  }
  EXPECT_EQ(api_->failures(), 0) << "a handler was reached";
}

TEST_P(GateApisTest, APrefixThatWasUsedIsRefused) {
  SoftwareClient alice = world_.Enrol("alice", world_.NewChannel());
  auto session = Must(alice.OpenSession(), "open");
  for (Kind kind : kAllKinds) {
    const std::string prefix = session->Prefix(MethodOf(kind));
    EXPECT_TRUE(Call(alice.channel(), {.kind = kind, .prefixes = {prefix}}).status.ok());
    EchoResult again = Call(alice.channel(), {.kind = kind, .prefixes = {prefix}});
    EXPECT_EQ(again.status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(world_.AuditOf(again.status).reason, Reason::kSequenceReplayed);
  }
}

TEST_P(GateApisTest, TwoPrefixesAreRefusedEvenWhenBothAreGood) {
  SoftwareClient alice = world_.Enrol("alice", world_.NewChannel());
  auto session = Must(alice.OpenSession(), "open");
  const std::string method = MethodOf(Kind::kUnary);
  EchoResult result =
      Call(alice.channel(), {.prefixes = {session->Prefix(method), session->Prefix(method)}});
  EXPECT_EQ(world_.AuditOf(result.status).reason, Reason::kPrefixRepeated);
}

// One TLS connection, two subjects, calls interleaved: the AuthContext is the connection's, so
// whoever takes the caller from there confuses them.
TEST_P(GateApisTest, TwoSubjectsOnOneConnectionAreNeverConfused) {
  auto channel = world_.NewChannel();
  SoftwareClient alice = world_.Enrol("alice", channel);
  SoftwareClient bob = world_.Enrol("bob", channel);
  auto run = [&](SoftwareClient& client) {
    auto session = Must(client.OpenSession(), "open");
    for (int i = 0; i < 40; ++i) {
      const Kind kind = kAllKinds[i % 4];
      EchoResult result =
          Call(channel, {.kind = kind, .prefixes = {session->Prefix(MethodOf(kind))}});
      ASSERT_TRUE(result.status.ok()) << result.status.error_message();
      ASSERT_THAT(result.responses,
                  Each(Property(&example::EchoResponse::subject, client.subject())));
    }
  };
  std::thread other([&] { run(bob); });
  run(alice);
  other.join();
}

// Two streams of one connection that live at the same time, each asked in turn.
TEST_P(GateApisTest, TwoSubjectsStreamsOfOneConnectionKeepTheirCallers) {
  auto channel = world_.NewChannel();
  SoftwareClient alice = world_.Enrol("alice", channel);
  SoftwareClient bob = world_.Enrol("bob", channel);
  const std::string method = MethodOf(Kind::kBidi);
  auto stub = example::Echo::NewStub(channel);
  grpc::ClientContext contexts[2];
  contexts[0].AddMetadata("forekey-prefix-bin", Must(alice.OpenSession(), "open")->Prefix(method));
  contexts[1].AddMetadata("forekey-prefix-bin", Must(bob.OpenSession(), "open")->Prefix(method));
  std::unique_ptr<grpc::ClientReaderWriter<example::EchoRequest, example::EchoResponse>> streams[2];
  for (int i = 0; i < 2; ++i) streams[i] = stub->Chat(&contexts[i]);
  example::EchoRequest request;
  example::EchoResponse response;
  for (int round = 0; round < 6; ++round) {
    const int i = round % 2;
    ASSERT_TRUE(streams[i]->Write(request) && streams[i]->Read(&response));
    EXPECT_EQ(response.subject(), i == 0 ? "alice" : "bob");
  }
  for (auto& stream : streams) {
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
  }
}

// Clients of a gate retry UNAUTHENTICATED once: that is for refusals by the gate, and must never
// run a handler twice.
TEST_P(GateApisTest, AHandlersOwnUnauthenticatedIsNotRunTwice) {
  auto channel = world_.NewChannel(R"({"methodConfig": [{"name": [{}], "retryPolicy": {
      "maxAttempts": 2, "initialBackoff": "0.01s", "maxBackoff": "0.01s", "backoffMultiplier": 1,
      "retryableStatusCodes": ["UNAUTHENTICATED"]}}]})");
  SoftwareClient alice = world_.Enrol("alice", channel);
  auto session = Must(alice.OpenSession(), "open");
  int runs = 0;
  for (Kind kind : kAllKinds) {
    EchoResult result =
        Call(channel, {.kind = kind, .prefixes = {session->Prefix(MethodOf(kind))}, .fail = true});
    EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(result.status.error_message(), "the handler's own") << "a second attempt was made";
    EXPECT_EQ(result.trailers.count("grpc-retry-pushback-ms"), 1u);
    EXPECT_EQ(api_->failures(), ++runs);
  }
  // And the policy does retry a refusal: two audit lines for one call.
  const size_t before = world_.audit().decisions().size();
  EXPECT_FALSE(Call(channel, {}).status.ok());
  EXPECT_EQ(world_.audit().decisions().size(), before + 2);
}

// The handler's caller is looked up by the prefix, without its MAC: so what is wrong with a prefix
// must be met before, also on a connection on which much was admitted.
TEST_P(GateApisTest, AForgedPrefixReachesNoHandlerOnAConnectionOfAdmittedCalls) {
  auto channel = world_.NewChannel();
  SoftwareClient alice = world_.Enrol("alice", channel), bob = world_.Enrol("bob", channel);
  auto alices = Must(alice.OpenSession(), "open"), bobs = Must(bob.OpenSession(), "open");
  const std::string say = MethodOf(Kind::kUnary);
  const std::string admitted = alices->Prefix(say), bobs_admitted = bobs->Prefix(say);
  for (const std::string& prefix : {admitted, bobs_admitted}) {
    ASSERT_TRUE(Call(channel, {.prefixes = {prefix}}).status.ok());
  }
  std::string changed = admitted, under_another_id = bobs_admitted;
  changed.back() ^= 1;
  under_another_id.replace(under_another_id.find(bobs->id()), bobs->id().size(), alices->id());
  const struct {
    Kind kind;
    std::string prefix;
    Reason why;
  } forged[] = {{Kind::kUnary, admitted, Reason::kSequenceReplayed},
                {Kind::kBidi, admitted, Reason::kMacInvalid},
                {Kind::kUnary, changed, Reason::kMacInvalid},
                {Kind::kUnary, under_another_id, Reason::kMacInvalid}};
  for (const auto& [kind, prefix, why] : forged) {
    EchoResult result = Call(channel, {.kind = kind, .prefixes = {prefix}, .fail = true});
    EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(world_.AuditOf(result.status).reason, why);
  }
  EXPECT_EQ(api_->failures(), 0) << "a handler was reached";
  EchoResult good = Call(channel, {.prefixes = {alices->Prefix(say)}});
  ASSERT_TRUE(good.status.ok()) << good.status.error_message();
  EXPECT_EQ(good.responses[0].subject(), "alice");
}

// Nobody judges such a call, so nobody vouches for its prefix.
TEST_P(GateApisTest, AnInProcessChannelHasNoCallers) {
  SoftwareClient alice = world_.Enrol("alice", world_.NewChannel());
  auto session = Must(alice.OpenSession(), "open");
  auto inside = world_.server().InProcessChannel(grpc::ChannelArguments());
  for (Kind kind : kAllKinds) {
    const std::string admitted = session->Prefix(MethodOf(kind));
    EchoResult gated = Call(alice.channel(), {.kind = kind, .prefixes = {admitted}});
    EXPECT_THAT(gated.responses, Each(Property(&example::EchoResponse::subject, "alice")));
    for (const std::string& prefix : {admitted, session->Prefix(MethodOf(kind))}) {
      EchoResult result = Call(inside, {.kind = kind, .prefixes = {prefix}});
      ASSERT_TRUE(result.status.ok()) << result.status.error_message();
      ASSERT_FALSE(result.responses.empty());
      EXPECT_THAT(result.responses, Each(Property(&example::EchoResponse::subject, "")));
    }
  }
}

// A call is in the table for as long as it lives, and ends by it.
TEST_P(GateApisTest, ALiveStreamCanBeCancelledAndIsForgotten) {
  SoftwareClient alice = world_.Enrol("alice", world_.NewChannel());
  const std::string method = MethodOf(Kind::kBidi);
  auto session = Must(alice.OpenSession(), "open");
  auto stub = example::Echo::NewStub(alice.channel());
  grpc::ClientContext context;
  context.AddMetadata("forekey-prefix-bin", session->Prefix(method));
  auto stream = stub->Chat(&context);
  example::EchoResponse response;
  ASSERT_TRUE(stream->Write(example::EchoRequest()) && stream->Read(&response));
  EXPECT_EQ(LiveCalls::OfProcess().CancelIf([&](const LiveCalls::Entry& entry) {
    return entry.caller->session() != nullptr && entry.caller->session()->id() == session->id();
  }),
            1u);
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  world_.server().Shutdown(std::chrono::system_clock::now());
  api_->Stop();
  world_.StopServer();  // waits for what the calls leave behind
  EXPECT_EQ(LiveCalls::OfProcess().size(), 0u);
  stopped_ = true;
}

TEST_P(GateApisTest, AnUnknownMethodIsRefusedLikeAKnownOne) {
  auto channel = world_.NewChannel();
  grpc::internal::RpcMethod unknown("/forekey.example.Echo/NoSuchMethod",
                                    grpc::internal::RpcMethod::NORMAL_RPC);
  example::EchoRequest request;
  example::EchoResponse response;
  grpc::ClientContext context;
  grpc::Status status =
      grpc::internal::BlockingUnaryCall(channel.get(), unknown, &context, request, &response);
  grpc::Status known = Call(channel, {}).status;
  EXPECT_EQ(status.error_code(), known.error_code());
  EXPECT_THAT(status.error_message(), HasSubstr("forekey"));
  EXPECT_EQ(status.error_message().size(), known.error_message().size());
  EXPECT_EQ(world_.AuditOf(status).reason, Reason::kPrefixMissing);
}

INSTANTIATE_TEST_SUITE_P(EveryApi, GateApisTest, ::testing::ValuesIn(kAllApis),
                         [](const auto& info) { return ApiName(info.param); });

}  // namespace
}  // namespace forekey::testing

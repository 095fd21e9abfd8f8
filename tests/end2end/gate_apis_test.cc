// SPDX-License-Identifier: Apache-2.0
// The gate before every API that gRPC has for servers, and every kind of method.
#include <gmock/gmock.h>
#include <grpcpp/impl/client_unary_call.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/escaping.h"
#include "src/base/reason.h"
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
    world_.server().Shutdown(std::chrono::system_clock::now());
    api_->Stop();
    world_.StopServer();
  }

  GatedWorld world_;
  std::unique_ptr<EchoApi> api_;
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

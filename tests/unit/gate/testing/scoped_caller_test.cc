// SPDX-License-Identifier: Apache-2.0
// How an application tests its handlers, with the public headers alone.
#include <forekey/testing.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>

#include "examples/echo_services.h"

namespace {

using ::forekey::testing::ScopedCaller;
using ::testing::ElementsAre;

// A handler as an application writes it.
grpc::Status ForManagers(const grpc::ServerContextBase* context) {
  const absl::StatusOr<forekey::CallerInfo> caller = forekey::Caller(context);
  if (!caller.ok()) return {grpc::StatusCode::UNAUTHENTICATED, "nobody"};
  if (!caller->HasRole("manager")) return {grpc::StatusCode::PERMISSION_DENIED, caller->subject};
  return grpc::Status::OK;
}

template <typename Context>
class ScopedCallerTest : public ::testing::Test {};
using Contexts = ::testing::Types<grpc::ServerContext, grpc::CallbackServerContext>;
TYPED_TEST_SUITE(ScopedCallerTest, Contexts);

TYPED_TEST(ScopedCallerTest, IsTheCallerWhileItLives) {
  TypeParam context;
  TypeParam other;
  EXPECT_EQ(ForManagers(&context).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  {
    ScopedCaller caller(&context, {.subject = "alice", .roles = {"reader", "manager"}});
    EXPECT_TRUE(ForManagers(&context).ok());
    EXPECT_THAT(forekey::Caller(&context)->roles(), ElementsAre("manager", "reader"));
    EXPECT_EQ(ForManagers(&other).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  }
  EXPECT_EQ(ForManagers(&context).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  ScopedCaller caller(&context, {.subject = "bob"});
  EXPECT_EQ(ForManagers(&context).error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TYPED_TEST(ScopedCallerTest, WhoAskedKeepsWhatItWasGiven) {
  TypeParam context;
  absl::StatusOr<forekey::VerifiedCaller> caller = absl::UnknownError("not asked yet");
  {
    ScopedCaller scoped(&context, {.subject = "alice",
                                   .roles = {"manager"},
                                   .credentials = {{.id = "ab", .kind = "tpm", .label = "desk"}},
                                   .factors = {{.name = "tpm"}},
                                   .session_id = "cd",
                                   .child_session = true});
    caller = forekey::Caller(&context);
  }
  ASSERT_TRUE(caller.ok());
  EXPECT_EQ(caller->subject(), "alice");
  EXPECT_TRUE(caller->HasRole("manager"));
  EXPECT_TRUE(caller->HasFactor("tpm"));
  EXPECT_FALSE(caller->HasFactor("piv"));
  EXPECT_EQ(caller->credentials().at(0).label, "desk");
  EXPECT_EQ(caller->factors().at(0).name, "tpm");
  EXPECT_EQ(caller->session_id(), "cd");
  EXPECT_TRUE(caller->child_session());
  const forekey::CallerInfo info = *caller;
  EXPECT_EQ(info.session_id, "cd");
}

TYPED_TEST(ScopedCallerTest, OneAtATime) {
  TypeParam context;
  ScopedCaller caller(&context, {.subject = "alice"});
  EXPECT_DEATH(ScopedCaller(&context, {.subject = "bob"}), "has a caller already");
}

// A program that serves and links this all the same: its contexts are given a caller before gRPC
// binds a call to them.
struct ForgedContext : grpc::CallbackServerContext {
  ScopedCaller caller{this, {.subject = "mallory"}};
};

class ForgedContexts : public grpc::ContextAllocator {
 public:
  grpc::CallbackServerContext* NewCallbackServerContext() override { return new ForgedContext; }
  void Release(grpc::CallbackServerContext* context) override {
    delete static_cast<ForgedContext*>(context);
  }
};

TEST(ScopedCallerOfACallTest, HasNone) {
  forekey::example::CallbackEcho service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  builder.SetContextAllocator(std::make_unique<ForgedContexts>());
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  auto stub = forekey::example::Echo::NewStub(server->InProcessChannel({}));
  grpc::ClientContext context;
  forekey::example::EchoResponse response;
  ASSERT_TRUE(stub->Say(&context, {}, &response).ok());
  EXPECT_EQ(response.subject(), "");
  server->Shutdown();
}

}  // namespace

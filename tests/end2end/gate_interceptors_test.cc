// SPDX-License-Identifier: Apache-2.0
// The application's own interceptors beside the gate, with every API that gRPC has for servers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "src/gate/grpc/interceptors.h"
#include "src/gate/grpc/live_calls.h"
#include "tests/end2end/echo_apis.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

using grpc::experimental::InterceptionHookPoints;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// "method: subject" for each time that an interceptor was run, and when it was destroyed.
class Seen {
 public:
  void Add(grpc::experimental::ServerRpcInfo* info) {
    const absl::StatusOr<CallerInfo> caller = Caller(info->server_context());
    absl::MutexLock lock(&mutex_);
    lines_.push_back(absl::StrCat(info->method(), ": ", caller.ok() ? caller->subject : "nobody"));
  }
  std::vector<std::string> Take() {
    absl::MutexLock lock(&mutex_);
    return std::exchange(lines_, {});
  }

 private:
  absl::Mutex mutex_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mutex_);
};

class AskingFactory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit AskingFactory(Seen* seen) : seen_(seen) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    class Asking : public grpc::experimental::Interceptor {
     public:
      Asking(Seen* seen, grpc::experimental::ServerRpcInfo* info) : seen_(seen), info_(info) {}
      void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
        seen_->Add(info_);
        methods->Proceed();
      }

     private:
      Seen* const seen_;
      grpc::experimental::ServerRpcInfo* const info_;
    };
    return new Asking(seen_, info);
  }

 private:
  Seen* const seen_;
};

InterceptorFactories Asking(Seen* seen) {
  InterceptorFactories factories;
  factories.push_back(std::make_unique<AskingFactory>(seen));
  factories.push_back(std::make_unique<AskingFactory>(seen));
  return factories;
}

class GateInterceptorsTest : public ::testing::TestWithParam<Api> {
 protected:
  GateInterceptorsTest() : api_(EchoApi::New(GetParam())) { api_->Register(builder_); }
  void Start() {
    server_ = builder_.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    api_->Start();
  }
  InstallOptions Options() const {
    InstallOptions options;
    if (GetParam() == Api::kGenericCallback) options.server_api = ServerApi::kCallback;
    return options;
  }
  void End() {
    world_.gate().Drain(*server_);
    api_->Stop();
    server_.reset();
    EXPECT_EQ(LiveCalls::OfProcess().size(), 0u);
  }

  Seen seen_;
  GatedWorld world_{{.change = [](GateConfig& config) { config.health.service = true; }}};
  std::unique_ptr<EchoApi> api_;
  grpc::ServerBuilder builder_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_P(GateInterceptorsTest, KnowTheCallerFromTheirFirstHookOn) {
  InstallOptions options = Options();
  options.interceptors = Asking(&seen_);
  ASSERT_TRUE(world_.gate().Install(builder_, std::move(options)).ok());
  Start();
  SoftwareClient alice = world_.Enrol("alice", world_.NewChannel());
  auto session = Must(alice.OpenSession(), "open");
  for (Kind kind : kAllKinds) {
    const std::string method = MethodOf(kind);
    const EchoResult result =
        Call(alice.channel(), {.kind = kind, .prefixes = {session->Prefix(method)}});
    ASSERT_TRUE(result.status.ok()) << result.status.error_message();
    EXPECT_EQ(result.responses.at(0).subject(), "alice") << "the handler knows, too";
  }
  End();
  const std::vector<std::string> lines = seen_.Take();
  for (Kind kind : kAllKinds) EXPECT_THAT(lines, Contains(MethodOf(kind) + ": alice"));
  EXPECT_THAT(lines, Each(HasSubstr(": alice")));
  EXPECT_THAT(lines, Each(HasSubstr("/forekey.example.Echo/"))) << "sessions are the gate's matter";
}

TEST_P(GateInterceptorsTest, NeverSeeWhatIsRefusedNorTheGatesOwnMethods) {
  InstallOptions options = Options();
  options.interceptors = Asking(&seen_);
  ASSERT_TRUE(world_.gate().Install(builder_, std::move(options)).ok());
  Start();
  auto channel = world_.NewChannel();
  EXPECT_FALSE(Call(channel, {}).status.ok());
  SoftwareClient alice = world_.Enrol("alice", channel);
  Must(alice.OpenSession(), "open");
  End();
  EXPECT_THAT(seen_.Take(), IsEmpty());
}

TEST_P(GateInterceptorsTest, ThatTheBuilderHasAlreadyAreAnError) {
  builder_.experimental().SetInterceptorCreators(Asking(&seen_));
  const absl::Status refused = world_.gate().Install(builder_, Options());
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("InstallOptions::interceptors"));
  // The gate was not used up by it.
  builder_.experimental().SetInterceptorCreators({});
  ASSERT_TRUE(world_.gate().Install(builder_, Options()).ok());
  Start();
  End();
}

// They would have taken the place of the gate's: no handler would have known who calls.
TEST_P(GateInterceptorsTest, ThatAreSetAfterInstallKnowTheCallerToo) {
  ASSERT_TRUE(world_.gate().Install(builder_, Options()).ok());
  builder_.experimental().SetInterceptorCreators(Asking(&seen_));
  Start();
  SoftwareClient alice = world_.Enrol("alice", world_.NewChannel());
  auto session = Must(alice.OpenSession(), "open");
  const std::string method = MethodOf(Kind::kUnary);
  const EchoResult result = Call(alice.channel(), {.prefixes = {session->Prefix(method)}});
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.responses.at(0).subject(), "alice");
  End();
  const std::vector<std::string> lines = seen_.Take();
  EXPECT_THAT(lines, Not(IsEmpty()));
  EXPECT_THAT(lines, Each(method + ": alice"));
}

INSTANTIATE_TEST_SUITE_P(Apis, GateInterceptorsTest, ::testing::ValuesIn(kAllApis),
                         [](const auto& info) { return ApiName(info.param); });

}  // namespace
}  // namespace forekey::testing

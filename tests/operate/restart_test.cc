// SPDX-License-Identifier: Apache-2.0
// A gate that is stopped and started again under its clients: in order, and with kill -9.
#include <forekey/client.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "echo.grpc.pb.h"
#include "examples/demo/deployment.h"
#include "src/store/sqlite_registry.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

using demo::Deployment;

constexpr int kClients = 4;
constexpr int kCallsAfterEachStart =
    8;                              // that each client gets answered before the gate goes again
constexpr int kMostCalls = 20'000;  // of one client
constexpr auto kCallDeadline = std::chrono::seconds(60);
constexpr absl::Duration kRestartPatience = absl::Minutes(3);

// What the clients and the one who stops the gate tell each other.
struct Stage {
  absl::Mutex mutex;
  int starts ABSL_GUARDED_BY(mutex) = 0;  // of the gate
  bool up ABSL_GUARDED_BY(mutex) = false;
  bool over ABSL_GUARDED_BY(mutex) = false;
  std::map<int, int> answered ABSL_GUARDED_BY(mutex);  // by client, since the last start
};

struct Outcome {
  grpc::Status status;
  int start = 0;        // the gate's, when the call began
  bool denied = false;  // the handler was asked to answer UNAUTHENTICATED by itself
};

// One client with a channel of its own, which it keeps through everything.
class RestartClient {
 public:
  RestartClient(int number, const std::string& agent_socket, Stage* stage)
      : number_(number), stage_(stage) {
    ChannelOptions options;
    options.agent_socket = agent_socket;
    options.arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    options.arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    options.arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    echo_ = example::Echo::NewStub(Must(Channel(options), "channel"));
    thread_ = std::thread([this] { Run(); });
  }
  ~RestartClient() {
    if (!thread_.joinable()) return;
    {
      absl::MutexLock lock(&stage_->mutex);
      stage_->over = true;
    }
    thread_.join();
  }
  // What became of its calls, once the stage is over.
  std::map<std::string, Outcome> Join() {
    thread_.join();
    return std::move(outcomes_);
  }

 private:
  void Run() {
    for (int i = 0; i < kMostCalls; ++i) {
      int starts;
      {
        absl::MutexLock lock(&stage_->mutex);
        if (stage_->over) return;
        starts = stage_->starts;
      }
      const bool denied = i % 5 == 4;
      const std::string id = absl::StrCat(denied ? "deny" : "call", "-", number_, "-", i);
      const Outcome& outcome = outcomes_[id] = {Say(id), starts, denied};
      absl::MutexLock lock(&stage_->mutex);
      if (outcome.status.ok() && stage_->starts == starts) ++stage_->answered[number_];
      if (!outcome.status.ok() && !denied && stage_->starts == starts) AwaitGate(starts);
    }
  }
  // A call that failed is not made again before there is a gate: the calls are not used up on none.
  void AwaitGate(int starts) ABSL_EXCLUSIVE_LOCKS_REQUIRED(stage_->mutex) {
    auto there = [this, starts]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(stage_->mutex) {
      return stage_->over || stage_->up || stage_->starts != starts;
    };
    stage_->mutex.AwaitWithTimeout(absl::Condition(&there), kRestartPatience);
  }
  grpc::Status Say(const std::string& id) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallDeadline);
    context.set_wait_for_ready(true);
    example::EchoRequest request;
    example::EchoResponse response;
    request.set_text(id);
    grpc::Status status = echo_->Say(&context, request, &response);
    EXPECT_TRUE(!status.ok() || response.text() == id) << response.text();
    return status;
  }

  const int number_;
  Stage* const stage_;
  std::unique_ptr<example::Echo::Stub> echo_;
  std::map<std::string, Outcome> outcomes_;
  std::thread thread_;
};

class RestartTest : public ::testing::Test {
 protected:
  void SetUp() override {
    world_ = Must(Deployment::Create({.binaries = FOREKEY_BIN,
                                      .server = "forekey-test-counting-server",
                                      .extra_config = "\n[audit]\nadmitted = \"all\"\n"
                                                      "[connections]\narriving = 32\n"}),
                  "deployment");
    Must(world_->StartTpm(), "TPM");
    Must(world_->StartGate(), "gate");
    Must(world_->StartAgent(), "agent");
    const std::string invite = Must(world_->Invite("alice", "reader"), "invite");
    Must(world_->Forekey({"enroll", invite, "--device", world_->tpm_uri()}).status(), "enrolment");
  }

  void Announce(bool up) {
    absl::MutexLock lock(&stage_.mutex);
    stage_.up = up;
    if (!up) return;
    ++stage_.starts;
    stage_.answered.clear();
  }
  // Every client was answered by the gate that runs now, on the channel that it had before.
  bool AwaitAnswers() {
    absl::MutexLock lock(&stage_.mutex);
    auto enough = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(stage_.mutex) {
      int clients = 0;
      for (const auto& [client, calls] : stage_.answered) clients += calls >= kCallsAfterEachStart;
      return clients == kClients;
    };
    return stage_.mutex.AwaitWithTimeout(absl::Condition(&enough), kRestartPatience);
  }
  void Stop(int signal) {
    world_->gate()->Signal(signal);
    const auto ended = world_->gate()->Wait();
    ASSERT_TRUE(ended.ok()) << ended.status();
    EXPECT_EQ(ended->exit_status, signal == SIGKILL ? 128 + SIGKILL : 0);
  }
  // How often each call reached the handler.
  std::map<std::string, int> Accepted() const {
    std::map<std::string, int> accepted;
    std::ifstream file(world_->gate_config() + ".calls");
    for (std::string line; std::getline(file, line);) ++accepted[line];
    return accepted;
  }

  std::unique_ptr<Deployment> world_;
  Stage stage_;
};

// `orderly`: the starts that SIGTERM ended.
void ExpectOnce(const std::map<std::string, Outcome>& outcomes,
                const std::map<std::string, int>& accepted, const std::set<int>& orderly) {
  for (const auto& [id, outcome] : outcomes) {
    SCOPED_TRACE(absl::StrCat(id, ": ", outcome.status.error_message(), ", start ", outcome.start));
    const auto found = accepted.find(id);
    const int times = found == accepted.end() ? 0 : found->second;
    EXPECT_LE(times, 1) << "accepted twice";
    const grpc::StatusCode code = outcome.status.error_code();
    const bool handlers_own = code == grpc::StatusCode::UNAUTHENTICATED &&
                              outcome.status.error_message() == "the handler's own";
    EXPECT_TRUE(outcome.denied ? !outcome.status.ok() : !handlers_own);
    if (outcome.status.ok() || handlers_own) {
      EXPECT_EQ(times, 1) << "answered";
      continue;
    }
    // The connection broke, or nobody was there to open a session at: never a refusal that the
    // library should have dealt with, nor a call that hung until its deadline. What reaches a gRPC
    // server while it shuts down in order is ended as CANCELLED, and never handled; what was
    // handled is answered.
    EXPECT_TRUE(code == grpc::StatusCode::UNAVAILABLE ||
                (code == grpc::StatusCode::CANCELLED && orderly.count(outcome.start) != 0))
        << code;
    EXPECT_TRUE(times == 0 || orderly.count(outcome.start) == 0) << "accepted, and not answered";
  }
}

TEST_F(RestartTest, UnderLoadNothingIsAcceptedTwiceAndClientsRecoverByThemselves) {
  std::vector<std::string> invites;
  std::set<int> orderly;
  std::vector<std::unique_ptr<RestartClient>> clients;
  Announce(true);
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<RestartClient>(i, world_->agent_socket(), &stage_));
  }
  for (int signal : {SIGTERM, SIGKILL, SIGKILL, SIGTERM, SIGKILL}) {
    const bool answered = AwaitAnswers();
    EXPECT_TRUE(answered) << "the clients did not recover";
    if (!answered) break;
    const std::string subject = absl::StrCat("subject", invites.size());
    Must(world_->Invite(subject, "reader").status(), "invite");  // acknowledged: it is durable
    invites.push_back(subject);
    Announce(false);
    if (signal == SIGTERM) orderly.insert(static_cast<int>(invites.size()));
    Stop(signal);
    world_->StopGate();
    const absl::Status started = world_->StartGate();
    EXPECT_TRUE(started.ok()) << started;
    if (!started.ok()) break;
    Announce(true);
  }
  EXPECT_TRUE(AwaitAnswers()) << "after the last start";
  {
    absl::MutexLock lock(&stage_.mutex);
    stage_.over = true;
  }
  std::map<std::string, Outcome> outcomes;
  for (auto& client : clients) outcomes.merge(client->Join());
  const std::map<std::string, int> accepted = Accepted();
  ExpectOnce(outcomes, accepted, orderly);
  size_t broken = 0;
  for (const auto& [id, outcome] : outcomes)
    broken += outcome.status.error_code() == grpc::StatusCode::UNAVAILABLE;
  std::printf("%zu calls, %zu accepted, %zu met a restart\n", outcomes.size(), accepted.size(),
              broken);

  // What it wrote is whole. Each call that was accepted has its line, written before the handler
  // ran.
  size_t lines = 0;
  for (const nlohmann::json& line : world_->AuditLog()) {
    lines +=
        line.value("admitted", false) && line.value("method", "") == "/forekey.example.Echo/Say";
  }
  EXPECT_GE(lines, accepted.size());
  const auto verified = world_->ForekeyGate({"audit", "verify"});
  EXPECT_TRUE(verified.ok()) << verified.status();
  world_->StopGate();
  auto registry = SqliteRegistry::Open(world_->directory() + "/gate/state/registry.sqlite", {});
  ASSERT_TRUE(registry.ok()) << registry.status();
  EXPECT_TRUE((*registry)->Check().ok());
  std::vector<std::string> kept;
  for (const InviteRecord& invite : Must((*registry)->ListInvites(), "invites")) {
    if (!invite.used_at) kept.push_back(invite.subject);
  }
  EXPECT_THAT(kept, ::testing::UnorderedElementsAreArray(invites)) << "acknowledged, and lost";
}

}  // namespace
}  // namespace forekey::testing

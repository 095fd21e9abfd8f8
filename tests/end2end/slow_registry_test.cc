// SPDX-License-Identifier: Apache-2.0
// A registry that does not answer holds up nobody who does not need it: calls of sessions go on, on
// the very connection whose other call waits, whichever API the server has; and so do fronts'
// questions.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "forekey/v1/prefix.pb.h"
#include "src/base/deadline.h"
#include "src/base/file.h"
#include "src/crypto/random.h"
#include "src/gate/caller/caller_keys.h"
#include "src/gate/front/front_judge.h"
#include "src/gate/grpc/call_gate.h"
#include "src/gate/grpc/live_calls.h"
#include "src/wire/statement.h"
#include "tests/end2end/echo_apis.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gated_world.h"
#include "tests/support/fake_clock.h"
#include "tests/support/forwarding_registry.h"
#include "tests/support/postgres_server.h"

namespace forekey::testing {
namespace {

// While it is shut, whoever asks waits.
class Door {
 public:
  void Shut() {
    absl::MutexLock lock(&mutex_);
    open_ = false;
  }
  void Open() {
    absl::MutexLock lock(&mutex_);
    open_ = true;
  }
  void Pass() {
    absl::MutexLock lock(&mutex_);
    ++waiting_;
    mutex_.Await(absl::Condition(&open_));
    --waiting_;
  }
  void AwaitOneThatWaits() { AwaitThatWait(1); }
  void AwaitThatWait(int many) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return waiting_ >= many; };
    mutex_.Await(absl::Condition(&enough));
  }

 private:
  absl::Mutex mutex_;
  bool open_ ABSL_GUARDED_BY(mutex_) = true;
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
};

class DoorRegistry final : public ForwardingRegistry {
 public:
  DoorRegistry(std::shared_ptr<Registry> inner, Door& door)
      : ForwardingRegistry(std::move(inner)), door_(door) {}

 protected:
  Registry& inner() override {
    door_.Pass();
    return ForwardingRegistry::inner();
  }

 private:
  Door& door_;
};

class SlowRegistryTest : public ::testing::TestWithParam<Api> {
 protected:
  SlowRegistryTest() : world_(Options()), api_(EchoApi::New(GetParam())) {
    world_.Start([this](grpc::ServerBuilder& builder) { api_->Register(builder); });
    api_->Start();
    channel_ = world_.NewChannel();
  }
  ~SlowRegistryTest() override {
    door_.Open();
    world_.StopServer();
    api_->Stop();
  }
  GatedWorld::Options Options() {
    GatedWorld::Options options;
    options.elsewhere = [this](std::shared_ptr<Registry> real) {
      return std::make_shared<DoorRegistry>(std::move(real), door_);
    };
    options.change = [](GateConfig& config) {
      config.sessions.resumption = true;
      config.fronts.secret = config.state.directory + "/front-secret";
    };
    return options;
  }
  void ExpectCallsOf(SoftwareSession& session) {
    for (int i = 0; i < 20; ++i) {
      const EchoResult result = Call(channel_, {Kind::kUnary, {session.Prefix(kSay)}});
      ASSERT_TRUE(result.status.ok()) << result.status.error_message();
    }
  }

  static constexpr char kSay[] = "/forekey.example.Echo/Say";
  Door door_;
  GatedWorld world_;
  std::unique_ptr<EchoApi> api_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_P(SlowRegistryTest, ADeviceProofThatWaitsHoldsUpNoCallOfASession) {
  SoftwareClient ada = world_.Enrol("ada", channel_), bob = world_.Enrol("bob", channel_);
  auto session = Must(ada.OpenSession(), "a session");
  const std::string proof = Must(bob.DevicePrefix(kSay), "a device proof");
  door_.Shut();
  EchoResult waited;
  std::thread waiting([&] { waited = Call(channel_, {Kind::kUnary, {proof}}); });
  door_.AwaitOneThatWaits();
  ExpectCallsOf(*session);
  door_.Open();
  waiting.join();
  EXPECT_TRUE(waited.status.ok()) << waited.status.error_message();
  EXPECT_EQ(Call(channel_, {Kind::kUnary, {proof}}).status.error_code(),
            grpc::StatusCode::UNAUTHENTICATED)
      << "once";
}

TEST_P(SlowRegistryTest, OpeningsThatWaitHoldUpNoCallOfASession) {
  SoftwareClient ada = world_.Enrol("ada", channel_);
  auto session = Must(ada.OpenSession(), "a session");
  door_.Shut();
  // More than gRPC has threads for callbacks.
  std::vector<std::thread> waiting;
  std::atomic<int> opened{0};
  for (int i = 0; i < 24; ++i) {
    waiting.emplace_back([&] { opened += ada.OpenSession().ok(); });
  }
  door_.AwaitOneThatWaits();
  ExpectCallsOf(*session);
  door_.Open();
  for (std::thread& thread : waiting) thread.join();
  EXPECT_EQ(opened, 24);
}

TEST_P(SlowRegistryTest, ALogoutHoldsHereBeforeTheRegistryHasIt) {
  SoftwareClient ada = world_.Enrol("ada", channel_);
  // More than threads that tell the registry.
  std::vector<std::unique_ptr<SoftwareSession>> sessions;
  for (int i = 0; i < 5; ++i) sessions.push_back(Must(ada.OpenSession(), "a session"));
  door_.Shut();
  std::vector<std::thread> leaving;
  std::atomic<int> left{0};
  for (const auto& session : sessions) {
    leaving.emplace_back([&] {
      grpc::ClientContext context;
      context.AddMetadata("forekey-prefix-bin", session->Prefix(kEndSessionMethod));
      v1::EndSessionResponse response;
      left += v1::Gate::NewStub(channel_)->EndSession(&context, {}, &response).ok();
    });
  }
  Bell never;
  int refused = 0;
  for (const auto& session : sessions) {
    bool good = true;
    for (int i = 0; i < 1000 && good; ++i) {
      good = Call(channel_, {Kind::kUnary, {session->Prefix(kSay)}}).status.ok();
      if (good) never.Await(absl::Milliseconds(10));
    }
    refused += !good;
  }
  EXPECT_EQ(refused, 5);
  EXPECT_EQ(left, 0) << "nobody is told before it is durable";
  door_.Open();
  for (std::thread& thread : leaving) thread.join();
  EXPECT_EQ(left, 5);
}

// More device proofs than threads judge them, on a clock that moves when told.
class LongQueueTest : public ::testing::Test {
 protected:
  // A call whose answer is awaited later.
  struct Pending {
    grpc::ClientContext context;
    example::EchoRequest request;
    example::EchoResponse response;
    absl::Mutex mutex;
    bool done ABSL_GUARDED_BY(mutex) = false;
    grpc::Status status;
    bool Done() {
      absl::MutexLock lock(&mutex);
      return done;
    }
    const grpc::Status& Await() {
      absl::MutexLock lock(&mutex);
      mutex.Await(absl::Condition(&done));
      return status;
    }
  };

  LongQueueTest() : world_(Options()), api_(EchoApi::New(Api::kCallback)) {
    world_.Start([this](grpc::ServerBuilder& builder) { api_->Register(builder); });
    api_->Start();
    channel_ = world_.NewChannel();
    ada_ = std::make_unique<SoftwareClient>(world_.Enrol("ada", channel_));
    bob_ = std::make_unique<SoftwareClient>(world_.Enrol("bob", channel_));
    session_ = Must(ada_->OpenSession(), "a session");
    AwaitArrivals(channel_);
  }
  ~LongQueueTest() override {
    door_.Open();
    for (auto& call : calls_) call->Await();
    world_.StopServer();
    api_->Stop();
  }
  GatedWorld::Options Options() {
    GatedWorld::Options options;
    options.clock = &clock_;
    options.change = [](GateConfig& config) {
      config.metrics.listen = "127.0.0.1:0";
      config.sessions.resumption = true;
    };
    options.elsewhere = [this](std::shared_ptr<Registry> real) {
      return std::make_shared<DoorRegistry>(std::move(real), door_);
    };
    return options;
  }
  std::string Proof(SoftwareClient& by) {
    return Must(by.DevicePrefix("/forekey.example.Echo/Say"), "a device proof");
  }
  Pending& Send(const std::shared_ptr<grpc::Channel>& channel, const std::string& proof) {
    calls_.push_back(std::make_unique<Pending>());
    Pending& call = *calls_.back();
    call.context.AddMetadata("forekey-prefix-bin", proof);
    example::Echo::NewStub(channel)->async()->Say(&call.context, &call.request, &call.response,
                                                  [&call](grpc::Status status) {
                                                    absl::MutexLock lock(&call.mutex);
                                                    call.status = std::move(status);
                                                    call.done = true;
                                                  });
    return call;
  }
  // A connection's calls arrive in the order in which they were sent: what was sent before this on
  // `channel` has arrived when it returns.
  void AwaitArrivals(const std::shared_ptr<grpc::Channel>& channel) {
    const std::string prefix = session_->Prefix("/forekey.example.Echo/Say");
    const EchoResult result = Call(channel, {Kind::kUnary, {prefix}});
    ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  }
  std::string Metrics() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(world_.gate().metrics_port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
    EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(request.size()));
    std::string page;
    char buffer[4096];
    for (ssize_t got; (got = read(fd, buffer, sizeof(buffer))) > 0;) page.append(buffer, got);
    close(fd);
    return page;
  }
  // Every thread that judges waits at the door.
  void FillThreads() {
    constexpr int kThreads = 8;
    std::vector<std::string> proofs;
    for (int i = 0; i < kThreads; ++i) proofs.push_back(Proof(*bob_));
    waiting_proof_ = Proof(*bob_);
    door_.Shut();
    for (const std::string& proof : proofs) Send(channel_, proof);
    door_.AwaitThatWait(kThreads);
  }

  Door door_;
  FakeClock clock_;
  GatedWorld world_;
  std::unique_ptr<EchoApi> api_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<SoftwareClient> ada_, bob_;
  std::unique_ptr<SoftwareSession> session_;
  std::vector<std::unique_ptr<Pending>> calls_;
  std::string waiting_proof_;
};

TEST_F(LongQueueTest, WhoWaitedForTooLongIsRefusedUnheard) {
  FillThreads();
  Pending& late = Send(channel_, waiting_proof_);
  AwaitArrivals(channel_);
  clock_.Advance(CallGate::kLongestWait + absl::Milliseconds(1));
  door_.Open();
  const grpc::Status& status = late.Await();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  const Decision refused = world_.AuditOf(status);
  EXPECT_EQ(refused.reason, Reason::kStoreUnavailable);
  EXPECT_THAT(refused.detail, ::testing::HasSubstr("waited"));
}

TEST_F(LongQueueTest, NoProofIsJudgedWhoseConnectionIsGone) {
  SoftwareClient carol = world_.Enrol("carol", channel_);
  const std::string proof = Proof(carol), after = Proof(*ada_);
  FillThreads();
  auto leaving = world_.NewChannel();
  Pending& gone = Send(leaving, proof);
  AwaitArrivals(leaving);
  gone.context.TryCancel();
  gone.Await();
  calls_.pop_back();  // its context holds the channel
  leaving.reset();
  Bell never;
  for (int i = 0; i < 3000 && !absl::StrContains(Metrics(), "\nforekey_connections 1\n"); ++i) {
    never.Await(absl::Milliseconds(10));
  }
  ASSERT_THAT(Metrics(), ::testing::HasSubstr("\nforekey_connections 1\n"));
  Pending& last = Send(channel_, after);
  AwaitArrivals(channel_);
  door_.Open();
  EXPECT_TRUE(last.Await().ok()) << last.status.error_message();
  for (const auto& call : calls_) call->Await();
  for (const Decision& decision : world_.audit().decisions()) {
    EXPECT_NE(decision.subject, "carol") << "nobody is there to hear of it";
  }
}

TEST_F(LongQueueTest, NothingIsOpenedForWhoIsGoneOrWaitedForTooLong) {
  const int threads = static_cast<int>(world_.core().MostOpeningThreads()) + 8;
  SoftwareClient carol = world_.Enrol("carol", channel_), dora = world_.Enrol("dora", channel_);
  for (SoftwareClient* one : {&carol, &dora}) Must(one->OpenSession(), "a session");
  const auto opened_by = [&](absl::string_view subject) {
    const std::vector<Decision> decisions = world_.audit().decisions();
    return std::count_if(decisions.begin(), decisions.end(), [&](const Decision& decision) {
      return decision.event == AuditEvent::kSessionOpened && decision.subject == subject;
    });
  };
  ASSERT_EQ(opened_by("carol"), 1);
  door_.Shut();
  std::vector<std::thread> opening;
  std::atomic<int> opened{0};
  for (int i = 0; i < threads; ++i) {
    opening.emplace_back([&] { opened += ada_->OpenSession().ok(); });
  }
  door_.AwaitThatWait(threads);
  // Two more, which have no thread.
  const size_t live = LiveCalls::OfProcess().size();
  grpc::ClientContext context;
  absl::Status gone, late;
  opening.emplace_back([&] { gone = carol.OpenSession(&context).status(); });
  opening.emplace_back([&] { late = dora.OpenSession().status(); });
  Bell never;
  for (int i = 0; i < 3000 && LiveCalls::OfProcess().size() < live + 2; ++i) {
    never.Await(absl::Milliseconds(10));
  }
  ASSERT_EQ(LiveCalls::OfProcess().size(), live + 2);
  for (int i = 0; i < 20; ++i) AwaitArrivals(channel_);
  context.TryCancel();
  opening[threads].join();
  opening.erase(opening.begin() + threads);
  EXPECT_TRUE(absl::IsCancelled(gone)) << gone;
  for (int i = 0; i < 20; ++i) AwaitArrivals(channel_);
  clock_.Advance(CallGate::kLongestWait + absl::Milliseconds(1));
  door_.Open();
  for (std::thread& thread : opening) thread.join();
  EXPECT_EQ(opened, threads) << "whose turn had come";
  EXPECT_TRUE(absl::IsUnavailable(late)) << late;
  for (int i = 0; i < 3000 && LiveCalls::OfProcess().size() > 0; ++i) {
    never.Await(absl::Milliseconds(10));
  }
  EXPECT_EQ(opened_by("carol"), 1) << "nobody is there to hear of it";
  EXPECT_EQ(opened_by("dora"), 1);
  const std::vector<Decision> decisions = world_.audit().decisions();
  EXPECT_TRUE(std::any_of(decisions.begin(), decisions.end(), [](const Decision& decision) {
    return decision.reason == Reason::kStoreUnavailable &&
           absl::StrContains(decision.detail, "the opening waited");
  }));
}

TEST_F(LongQueueTest, NoEnrolmentIsJudgedForWhoIsGoneOrWaitedForTooLong) {
  struct Enrolling {
    grpc::ClientContext context;
    v1::BeginEnrollmentRequest request;
    v1::BeginEnrollmentResponse response;
    absl::Notification done;
    grpc::Status status;
  };
  const auto stub = v1::Gate::NewStub(channel_);
  std::vector<std::unique_ptr<Enrolling>> enrolling;
  // By an invite that nobody made.
  const auto begin = [&]() -> Enrolling& {
    grpc::ClientContext context;
    v1::GetChallengeRequest ask;
    v1::GetChallengeResponse challenge;
    ask.set_purpose(v1::GetChallengeRequest::PURPOSE_ENROLL);
    EXPECT_TRUE(stub->GetChallenge(&context, ask, &challenge).ok());
    v1::EnrollmentOpening opening;
    opening.set_challenge(challenge.challenge());
    opening.set_channel_binding(world_.channel_binding());
    opening.set_key_share(RandomBytes(32));
    opening.set_gate_identity(world_.core().identities().current()->fingerprint());
    opening.set_kind(v1::TOKEN_KIND_TPM);
    enrolling.push_back(std::make_unique<Enrolling>());
    Enrolling& one = *enrolling.back();
    one.request.set_payload(opening.SerializeAsString());
    one.request.set_invite_public_key(RandomBytes(32));
    one.request.set_invite_signature(RandomBytes(64));
    stub->async()->BeginEnrollment(&one.context, &one.request, &one.response,
                                   [&one](grpc::Status status) {
                                     one.status = std::move(status);
                                     one.done.Notify();
                                   });
    return one;
  };
  door_.Shut();
  Enrolling& first = begin();  // which has the only thread
  door_.AwaitOneThatWaits();
  for (int i = 0; i < 12; ++i) begin();
  Enrolling& late = begin();
  for (int i = 0; i < 20; ++i) AwaitArrivals(channel_);
  for (const auto& one : enrolling) {
    if (one.get() != &first && one.get() != &late) one->context.TryCancel();
  }
  for (const auto& one : enrolling) {
    if (one.get() != &first && one.get() != &late) one->done.WaitForNotification();
  }
  for (int i = 0; i < 20; ++i) AwaitArrivals(channel_);
  clock_.Advance(CallGate::kLongestWait + absl::Milliseconds(1));
  door_.Open();
  for (Enrolling* one : {&first, &late}) one->done.WaitForNotification();
  EXPECT_EQ(world_.AuditOf(first.status).reason, Reason::kInviteUnknown);
  const Decision refused = world_.AuditOf(late.status);
  EXPECT_EQ(refused.reason, Reason::kStoreUnavailable);
  EXPECT_THAT(refused.detail, ::testing::HasSubstr("the enrolment waited"));
  const std::vector<Decision> decisions = world_.audit().decisions();
  EXPECT_EQ(std::count_if(
                decisions.begin(), decisions.end(),
                [](const Decision& decision) { return decision.reason == Reason::kInviteUnknown; }),
            1)
      << "nobody is there to hear of the others";
}

// Two threads tell the registry of logouts.
TEST_F(LongQueueTest, AnEndWaitsForNoLogoutThatNobodyWaitsFor) {
  constexpr int kLeaving = 6;
  std::vector<std::unique_ptr<SoftwareSession>> sessions;
  for (int i = 0; i < kLeaving; ++i) sessions.push_back(Must(bob_->OpenSession(), "a session"));
  Bell never;
  const auto await_live_calls = [&](size_t many) {
    for (int i = 0; i < 1000 && LiveCalls::OfProcess().size() != many; ++i) {
      never.Await(absl::Milliseconds(10));
    }
    ASSERT_EQ(LiveCalls::OfProcess().size(), many);
  };
  await_live_calls(0);
  door_.Shut();
  std::vector<std::thread> leaving;
  std::atomic<int> left{0};
  for (const auto& session : sessions) {
    leaving.emplace_back([&] {
      grpc::ClientContext context;
      context.AddMetadata("forekey-prefix-bin", session->Prefix(kEndSessionMethod));
      v1::EndSessionResponse response;
      left += v1::Gate::NewStub(channel_)->EndSession(&context, {}, &response).ok();
    });
  }
  door_.AwaitThatWait(2);
  await_live_calls(kLeaving);
  for (int i = 0; i < 20; ++i) AwaitArrivals(channel_);
  std::thread ending([&] { world_.StopServer(); });
  for (std::thread& thread : leaving) thread.join();
  EXPECT_EQ(left, 0);
  never.Await(absl::Milliseconds(100));  // the server learns of it as the clients do
  door_.Open();
  ending.join();
  int told = 0, alone = 0;
  for (const Decision& decision : world_.audit().decisions()) {
    if (decision.event != AuditEvent::kSessionEnded) continue;
    told += decision.admitted;
    alone += absl::StrContains(decision.detail, "the session ended here");
  }
  EXPECT_EQ(told + alone, kLeaving);
  EXPECT_GT(alone, 0);
  EXPECT_GE(told, 2) << "what had begun";
}

TEST_F(LongQueueTest, StrangersFillNoMoreThanTheirShare) {
  constexpr size_t kTooMany = 3;
  std::vector<std::string> proofs;
  for (size_t i = 0; i < CallGate::kMostLaterOfOneStranger + kTooMany; ++i) {
    proofs.push_back(Proof(*bob_));
  }
  const std::string known = Proof(*ada_);
  door_.Shut();
  const auto stranger = world_.NewChannel();
  for (const std::string& proof : proofs) Send(stranger, proof);
  const auto answered = [&] {
    size_t count = 0;
    for (const auto& call : calls_) count += call->Done();
    return count;
  };
  Bell never;
  for (int i = 0; i < 3000 && answered() < kTooMany; ++i) never.Await(absl::Milliseconds(10));
  ASSERT_EQ(answered(), kTooMany);
  for (const auto& call : calls_) {
    if (!call->Done()) continue;
    EXPECT_EQ(world_.AuditOf(call->Await()).reason, Reason::kRateLimited);
  }
  Pending& taken = Send(channel_, known);
  AwaitArrivals(channel_);
  EXPECT_FALSE(taken.Done()) << "it waits, and is not refused";
  door_.Open();
  EXPECT_TRUE(taken.Await().ok()) << taken.status.error_message();
}

// Of a gate with a front, which asks on this thread.
class SlowRegistryFrontTest : public SlowRegistryTest {
 protected:
  SlowRegistryFrontTest() {
    keys_ = Must(CallerKeys::Open(world_.directory() + "/keys", absl::Hours(720), Clock::System()),
                 "keys");
    tokens_ =
        std::make_unique<CallerTokens>(*keys_, Clock::System(), "gate.test", absl::Seconds(60));
    Must(WriteFileAtomically(world_.config().fronts.secret, "sixteen letters and more", 0600),
         "secret");
    judge_ = Must(FrontJudge::New(&world_.core(), tokens_.get()), "judge");
  }
  ~SlowRegistryFrontTest() override { door_.Open(); }
  void Ask(const std::string& prefix, const std::string& peer, const FrontJudge::Told& told) {
    judge_->Ask({kSay, {absl::Base64Escape(prefix)}, peer, "shop"}, told);
  }
  // Told before Ask() returns.
  absl::Status AskNow(const std::string& prefix) {
    absl::Status status = absl::UnknownError("not told yet");
    Ask(prefix, "", [&](const FrontAnswer& answer) { status = answer.status; });
    return status;
  }

  std::unique_ptr<CallerKeys> keys_;
  std::unique_ptr<CallerTokens> tokens_;
  std::unique_ptr<FrontJudge> judge_;
};

TEST_P(SlowRegistryFrontTest, AProofThatWaitsHoldsUpNobodyElsesAndIsToldInTheEnd) {
  SoftwareClient ada = world_.Enrol("ada", channel_), bob = world_.Enrol("bob", channel_);
  auto session = Must(ada.OpenSession(), "a session");
  const std::string proof = Must(bob.DevicePrefix(kSay), "a device proof");
  absl::Notification told;
  absl::Status waited;
  door_.Shut();
  Ask(proof, "192.0.2.1", [&](const FrontAnswer& answer) {
    waited = answer.status;
    told.Notify();
  });
  door_.AwaitOneThatWaits();
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(AskNow(session->Prefix(kSay)).ok());
  EXPECT_FALSE(told.HasBeenNotified());
  door_.Open();
  told.WaitForNotification();
  EXPECT_TRUE(waited.ok()) << waited;
}

TEST_P(SlowRegistryFrontTest, OneAddressFillsOnlyItsPartAndAllAreToldAtTheEnd) {
  SoftwareClient ada = world_.Enrol("ada", channel_);
  const std::string proof = Must(ada.DevicePrefix(kSay), "a device proof");
  absl::Mutex mutex;
  size_t asked = 0, told = 0;
  const auto ask = [&](const std::string& peer) {
    ++asked;
    Ask(proof, peer, [&](const FrontAnswer&) {
      absl::MutexLock lock(&mutex);
      ++told;
    });
  };
  const auto count = [&] {
    absl::MutexLock lock(&mutex);
    return told;
  };
  door_.Shut();
  for (size_t i = 0; i < FrontJudge::kMostLaterOfOneAddress; ++i) ask("192.0.2.1");
  EXPECT_EQ(count(), 0u);
  ask("192.0.2.1");
  EXPECT_EQ(count(), 1u) << "refused at once";
  const std::vector<Decision> audited = world_.audit().decisions();
  EXPECT_TRUE(std::any_of(audited.begin(), audited.end(), [](const Decision& decision) {
    return decision.reason == Reason::kRateLimited;
  }));
  ask("198.51.100.1");
  ask("");
  EXPECT_EQ(count(), 1u) << "others have places";
  door_.Open();
  judge_->Stop();
  EXPECT_EQ(count(), asked);
  ask("192.0.2.1");
  EXPECT_EQ(count(), asked) << "nobody waits for who has stopped";
}

// Who comes by fronts, and whether they were told.
class FrontSharesTest : public SlowRegistryFrontTest {
 protected:
  // A proof by somebody who was admitted lately, or not.
  std::string ProofBy(const std::string& subject, bool admitted) {
    SoftwareClient client = world_.Enrol(subject, channel_);
    if (admitted) {
      absl::Notification done;
      Ask(Must(client.DevicePrefix(kSay), "a device proof"), "", [&](const FrontAnswer& answer) {
        EXPECT_TRUE(answer.status.ok()) << answer.status;
        done.Notify();
      });
      done.WaitForNotification();
    }
    return Must(client.DevicePrefix(kSay), "a device proof");
  }
  // How many of them were told at once: that they have no place, or are refused.
  size_t ToldOf(const std::string& proof, const std::string& peer, size_t times) {
    const size_t before = Told();
    for (size_t i = 0; i < times; ++i) {
      Ask(proof, peer, [this](const FrontAnswer&) {
        absl::MutexLock lock(&mutex_);
        ++told_;
      });
    }
    return Told() - before;
  }
  size_t Told() {
    absl::MutexLock lock(&mutex_);
    return told_;
  }

  absl::Mutex mutex_;
  size_t told_ ABSL_GUARDED_BY(mutex_) = 0;
};

TEST_P(FrontSharesTest, BehindAFrontThatNamesNobodyOneCallerFillsOnlyAPart) {
  const std::string stranger = ProofBy("bob", false), ada = ProofBy("ada", true),
                    carol = ProofBy("carol", true);
  door_.Shut();
  EXPECT_EQ(ToldOf(stranger, "", FrontJudge::kMostLaterByStrangers), 0u);
  EXPECT_EQ(ToldOf(stranger, "", 1), 1u) << "refused at once";
  EXPECT_EQ(ToldOf(ada, "", FrontJudge::kMostLaterByOneCredential), 0u) << "she has places";
  EXPECT_EQ(ToldOf(ada, "", 1), 1u);
  EXPECT_EQ(ToldOf(carol, "", 1), 0u) << "others have places";
  EXPECT_EQ(ToldOf(stranger, "192.0.2.1", 1), 0u);
  door_.Open();
  judge_->Stop();
}

TEST_P(FrontSharesTest, WhoComesUnnamedTakesNoPlaceOfTheNamed) {
  const std::string stranger = ProofBy("bob", false);
  std::vector<std::string> known;
  constexpr size_t kMore = FrontJudge::kMostLaterUnnamed / FrontJudge::kMostLaterByOneCredential;
  for (size_t i = 0; i < kMore; ++i) known.push_back(ProofBy(absl::StrCat("one-", i), true));
  door_.Shut();
  size_t refused = ToldOf(stranger, "", FrontJudge::kMostLaterByStrangers);
  for (const std::string& proof : known) {
    refused += ToldOf(proof, "", FrontJudge::kMostLaterByOneCredential);
  }
  EXPECT_EQ(refused, FrontJudge::kMostLaterByStrangers) << "all together fill no more than theirs";
  static_assert(FrontJudge::kMostLater == 4 * FrontJudge::kMostLaterOfOneAddress);
  for (const char* peer : {"192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1"}) {
    EXPECT_EQ(ToldOf(stranger, peer, FrontJudge::kMostLaterOfOneAddress), 0u) << peer;
  }
  door_.Open();
  judge_->Stop();
}

TEST_P(FrontSharesTest, WhatIsRefusedBeforeTheRegistryIsAskedTakesNoPlace) {
  const std::string ada = ProofBy("ada", true);
  v1::Prefix prefix;
  ASSERT_TRUE(prefix.ParseFromString(ada));
  std::string& challenge = *prefix.mutable_device()->mutable_challenge();
  challenge.back() = static_cast<char>(challenge.back() ^ 1);
  const std::string forged = prefix.SerializeAsString();
  ASSERT_TRUE(prefix.ParseFromString(ada));
  prefix.mutable_device()->set_channel_binding(RandomBytes(32));
  const std::string elsewhere = prefix.SerializeAsString();
  door_.Shut();
  EXPECT_EQ(ToldOf("no proof at all", "", 1), 1u);
  EXPECT_EQ(ToldOf(forged, "", 1), 1u);
  EXPECT_EQ(world_.audit().decisions().back().reason, Reason::kChallengeForged);
  EXPECT_EQ(ToldOf(elsewhere, "", 1), 1u);
  EXPECT_EQ(world_.audit().decisions().back().reason, Reason::kChannelBindingUnknown);
  EXPECT_EQ(ToldOf(ada, "", 1), 0u);
  door_.Open();
  judge_->Stop();
}

INSTANTIATE_TEST_SUITE_P(Over, FrontSharesTest, ::testing::Values(Api::kCallback),
                         [](const auto& api) { return ApiName(api.param); });

INSTANTIATE_TEST_SUITE_P(Over, SlowRegistryFrontTest, ::testing::Values(Api::kCallback),
                         [](const auto& api) { return ApiName(api.param); });

INSTANTIATE_TEST_SUITE_P(Over, SlowRegistryTest, ::testing::Values(Api::kCallback, Api::kSync),
                         [](const auto& api) { return ApiName(api.param); });

class LeaseHealthTest : public ::testing::Test {
 protected:
  static PostgresServer& server() {
    static PostgresServer postgres;
    return postgres;
  }
};

TEST_F(LeaseHealthTest, HealthSaysWhetherTheReplicaMayAdmitAnything) {
  server().Reset();
  FakeClock clock;
  GatedWorld::Options options;
  options.clock = &clock;
  options.shared = [] {
    return std::shared_ptr<PostgresRegistry>(
        Must(PostgresRegistry::Open(server().Url()), "the registry"));
  };
  options.exempt = {"/grpc.health.v1.Health/Check"};
  options.change = [](GateConfig& config) { config.health.service = true; };
  GatedWorld world(std::move(options));
  const auto api = EchoApi::New(Api::kCallback);
  world.Start([&](grpc::ServerBuilder& builder) { api->Register(builder); });
  api->Start();
  const auto channel = world.NewChannel();
  const auto serving = [&] {
    world.gate().TellHealth(world.server());
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    const grpc::Slice nothing;
    const grpc::ByteBuffer request(&nothing, 1);
    grpc::ByteBuffer answer;
    absl::Mutex mutex;
    bool done = false;
    grpc::Status status;
    stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", {}, &request, &answer,
                   [&](grpc::Status ended) {
                     absl::MutexLock lock(&mutex);
                     status = std::move(ended);
                     done = true;
                   });
    absl::MutexLock lock(&mutex);
    mutex.Await(absl::Condition(&done));
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::vector<grpc::Slice> slices;
    EXPECT_TRUE(answer.Dump(&slices).ok());
    std::string bytes;
    for (const grpc::Slice& slice : slices) bytes.append(slice.begin(), slice.end());
    return bytes == std::string("\x08\x01");  // HealthCheckResponse: status = SERVING
  };
  EXPECT_TRUE(serving());
  server().Freeze();
  clock.Advance(absl::Seconds(4));
  EXPECT_FALSE(serving());
  server().Continue();
  Bell never;
  for (int i = 0; i < 3000 && !world.core().LeaseHolds(); ++i) never.Await(absl::Milliseconds(10));
  EXPECT_TRUE(serving());
  world.gate().AnnounceEnd(world.server());
  EXPECT_FALSE(serving()) << "an end that was announced stays";
  world.StopServer();
  api->Stop();
}

}  // namespace
}  // namespace forekey::testing

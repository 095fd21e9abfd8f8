// SPDX-License-Identifier: Apache-2.0
// Services behind `forekey-gate serve`: what passes the proxy, what does not, and what becomes of
// calls when the service is gone, slow, or dies.
#include <forekey/caller.h>
#include <grpc/grpc.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "echo.grpc.pb.h"
#include "src/base/deadline.h"
#include "src/base/file.h"
#include "src/gate/grpc/self_signed.h"
#include "src/gate/proxy/upstream_proxy.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gated_world.h"
#include "tests/end2end/raw_http2.h"
#include "tests/support/certificate_maker.h"
#include "tests/support/status_matchers.h"

namespace forekey::testing {
namespace {

using Metadata = std::multimap<std::string, std::string>;
constexpr absl::Duration kPatience = absl::Seconds(30);
// After this, what has not happened is taken not to happen.
constexpr absl::Duration kLongEnough = absl::Milliseconds(700);

// What "x-do" in a call's metadata has the service do.
class Service : public example::Echo::Service {
 public:
  explicit Service(std::string name = "one") : name_(std::move(name)) {}

  grpc::Status Say(grpc::ServerContext* context, const example::EchoRequest* request,
                   example::EchoResponse* response) override {
    const std::string wish = Note(context);
    response->set_text(request->text());
    response->set_subject(name_);
    context->AddInitialMetadata("x-first", "1");
    context->AddTrailingMetadata("x-last-bin", std::string("\0\1\2", 3));
    if (wish == "fail") return {grpc::StatusCode::UNAUTHENTICATED, "the service's own"};
    if (wish == "details") return {grpc::StatusCode::ABORTED, "why", std::string("\0pb", 3)};
    if (wish == "hang") Hang(context);
    return grpc::Status::OK;
  }
  grpc::Status Collect(grpc::ServerContext* context,
                       grpc::ServerReader<example::EchoRequest>* reader,
                       example::EchoResponse* response) override {
    const std::string wish = Note(context);
    if (wish == "refuse") return {grpc::StatusCode::RESOURCE_EXHAUSTED, "not a byte more"};
    std::string all;
    if (wish == "deaf") {
      absl::MutexLock lock(&mutex_);
      AwaitFor(mutex_, absl::Condition(&heard_enough_), kPatience);
      return grpc::Status::OK;
    }
    for (example::EchoRequest request; reader->Read(&request);) {
      absl::MutexLock lock(&mutex_);
      all += request.text().substr(0, 1);
      ++taken_;
    }
    absl::MutexLock lock(&mutex_);
    ++(grpc_call_failed_before_recv_message(context->c_call()) ? cut_off_ : finished_);
    response->set_text(all);
    return grpc::Status::OK;
  }
  grpc::Status Repeat(grpc::ServerContext* context, const example::EchoRequest* request,
                      grpc::ServerWriter<example::EchoResponse>* writer) override {
    if (Note(context) == "greet") {
      context->AddInitialMetadata("x-first", "1");
      writer->SendInitialMetadata();
    }
    example::EchoResponse response;
    response.set_text(request->text());
    for (uint32_t i = 0; i < request->times(); ++i) {
      if (!writer->Write(response)) break;
      absl::MutexLock lock(&mutex_);
      ++written_;
    }
    return grpc::Status::OK;
  }
  grpc::Status Chat(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<example::EchoResponse, example::EchoRequest>* stream) override {
    if (Note(context) == "greet") {
      context->AddInitialMetadata("x-first", "1");
      stream->SendInitialMetadata();
    }
    example::EchoResponse response;
    response.set_subject(name_);
    for (example::EchoRequest request; stream->Read(&request);) {
      response.set_text(request.text());
      if (!stream->Write(response)) break;
    }
    absl::MutexLock lock(&mutex_);
    if (context->IsCancelled()) ++cancelled_;
    return grpc::Status::OK;
  }

  bool Await(int Service::*counter, int least, absl::Duration patience = kPatience) {
    absl::MutexLock lock(&mutex_);
    const auto reached = [&] { return this->*counter >= least; };
    return AwaitFor(mutex_, absl::Condition(&reached), patience);
  }
  int Count(int Service::*counter) {
    absl::MutexLock lock(&mutex_);
    return this->*counter;
  }
  void EndDeafCalls() {
    absl::MutexLock lock(&mutex_);
    heard_enough_ = true;
  }
  Metadata LastMetadata() {
    absl::MutexLock lock(&mutex_);
    return metadata_;
  }
  absl::Duration last_time_left() {
    absl::MutexLock lock(&mutex_);
    return time_left_;
  }

  int calls_ = 0, cancelled_ = 0, cut_off_ = 0, finished_ = 0, written_ = 0, taken_ = 0;

 private:
  std::string Note(grpc::ServerContext* context) {
    absl::MutexLock lock(&mutex_);
    ++calls_;
    metadata_.clear();
    for (const auto& [key, value] : context->client_metadata()) {
      metadata_.emplace(std::string(key.data(), key.size()),
                        std::string(value.data(), value.size()));
    }
    time_left_ = absl::FromChrono(context->deadline()) - absl::Now();
    auto wish = metadata_.find("x-do");
    return wish == metadata_.end() ? "" : wish->second;
  }
  void Hang(grpc::ServerContext* context) {
    absl::Mutex nobody;
    absl::MutexLock lock(&nobody);
    while (!context->IsCancelled()) {
      AwaitFor(nobody,
               absl::Condition(
                   +[](void*) { return false; }, static_cast<void*>(nullptr)),
               absl::Milliseconds(5));
    }
    absl::MutexLock mine(&mutex_);
    ++cancelled_;
  }

  const std::string name_;
  absl::Mutex mutex_;
  Metadata metadata_;
  absl::Duration time_left_;
  bool heard_enough_ = false;
};

struct PemPair {
  std::string certificate, key;
};

// A certificate for clients, which vouches for itself.
PemPair ClientCertificate() {
  const TestCa self = TestCa::New("gate");
  CertificateSpec spec = self.CaSpec(self);
  spec.key_usage = "critical,keyCertSign,digitalSignature";
  spec.extended_key_usage = "clientAuth";
  const std::string der = MakeDer(spec);
  const auto* bytes = reinterpret_cast<const uint8_t*>(der.data());
  const X509Ptr x509(d2i_X509(nullptr, &bytes, static_cast<long>(der.size())));
  const auto text = [](const std::function<int(BIO*)>& write) {
    const BioPtr bio(BIO_new(BIO_s_mem()));
    if (write(bio.get()) != 1) std::abort();
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return std::string(data, static_cast<size_t>(size));
  };
  return {text([&](BIO* bio) { return PEM_write_bio_X509(bio, x509.get()); }), text([&](BIO* bio) {
            return PEM_write_bio_PrivateKey(bio, self.key.get(), nullptr, nullptr, 0, nullptr,
                                            nullptr);
          })};
}

// A service on a socket of its own.
class Running {
 public:
  explicit Running(
      const std::string& address, std::string name = "one",
      std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials(),
      bool health = false)
      : service(std::move(name)) {
    grpc::EnableDefaultHealthCheckService(health);
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, std::move(credentials), &port);
    builder.RegisterService(&service);
    server = builder.BuildAndStart();
    grpc::EnableDefaultHealthCheckService(false);
    if (server == nullptr) std::abort();
  }
  ~Running() { Stop(); }
  // Its connections break: calls that run are not waited for.
  void Stop() {
    if (server != nullptr) server->Shutdown(std::chrono::system_clock::now());
    server.reset();
  }
  Service service;
  int port = 0;
  std::unique_ptr<grpc::Server> server;
};

// How many of 16 answers of 3 MiB, of two upstreams in turn, did not come for want of memory. Those
// that came are kept. The upstreams share `memory`, of which neither alone needs more than half.
size_t LostForWantOfMemory(size_t memory) {
  const TempDirectory sockets;
  grpc::ResourceQuota quota("test");
  quota.Resize(memory);
  std::vector<std::unique_ptr<Running>> services;
  std::vector<std::shared_ptr<Upstream>> upstreams;
  for (const char* name : {"a", "b"}) {
    UpstreamOptions options;
    options.name = name;
    options.addresses = {absl::StrCat("unix:", sockets.path(), "/", name)};
    services.push_back(std::make_unique<Running>(options.addresses[0]));
    upstreams.push_back(Must(Upstream::New(options, quota, 16 << 20), "upstream"));
  }
  example::EchoRequest request;
  request.set_text(std::string(3 << 20, 'a'));
  const grpc::Slice slice(request.SerializeAsString());
  const grpc::ByteBuffer asked(&slice, 1);
  std::vector<grpc::ByteBuffer> kept(16);
  size_t lost = 0;
  for (size_t i = 0; i < kept.size(); ++i) {
    const Upstream::Turn turn = upstreams[i % upstreams.size()]->Take();
    grpc::GenericStub stub(turn.channel());
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    absl::Notification done;
    grpc::Status status;
    stub.UnaryCall(&context, MethodOf(Kind::kUnary), {}, &asked, &kept[i], [&](grpc::Status told) {
      status = std::move(told);
      done.Notify();
    });
    done.WaitForNotification();
    lost += !status.ok();  // RESOURCE_EXHAUSTED, or UNAVAILABLE where gRPC ends the connection
  }
  return lost;
}

TEST(UpstreamTest, WhatAllUpstreamsAnswerHasABoundBeyondWhichCallsEnd) {
  EXPECT_EQ(LostForWantOfMemory(size_t{1} << 30), 0u);
  EXPECT_GE(LostForWantOfMemory(size_t{40} << 20), 1u);
}

class UpstreamProxyTest : public ::testing::Test {
 protected:
  std::string Socket(const std::string& name) const {
    return absl::StrCat("unix:", sockets_.path(), "/", name);
  }

  static UpstreamOptions Upstream(std::vector<std::string> addresses,
                                  std::vector<std::string> methods = {"/forekey.example.*/*"}) {
    UpstreamOptions options;
    options.name = "echo";
    options.methods = std::move(methods);
    options.addresses = std::move(addresses);
    return options;
  }

  void Start(std::vector<UpstreamOptions> upstreams,
             std::function<void(GateConfig&)> change = nullptr) {
    GatedWorld::Options options;
    options.change = [&](GateConfig& config) {
      config.upstreams = std::move(upstreams);
      if (change) change(config);
    };
    world_ = std::make_unique<GatedWorld>(std::move(options));
    keys_ = Must(CallerKeys::Open(sockets_.path() + "/keys", absl::Hours(720), Clock::System()),
                 "keys");
    tokens_ =
        std::make_unique<CallerTokens>(*keys_, Clock::System(), "gate.test", absl::Seconds(60));
    proxy_ = Must(UpstreamProxy::New(&world_->gate(), tokens_.get()), "proxy");
    world_->Start([&](grpc::ServerBuilder& builder) { proxy_->Register(builder); },
                  {.server_api = ServerApi::kCallback});
    channel_ = world_->NewChannel();
    client_ =
        std::make_unique<SoftwareClient>(world_->Enrol("alice", channel_, {"clerk", "admin"}));
    session_ = Must(client_->OpenSession(), "session");
  }
  void TearDown() override {
    if (world_ != nullptr) world_->StopServer();
  }

  std::unique_ptr<grpc::ClientContext> Context(Kind kind, const std::string& wish = "") {
    auto context = std::make_unique<grpc::ClientContext>();
    context->AddMetadata("forekey-prefix-bin", session_->Prefix(MethodOf(kind)));
    if (!wish.empty()) context->AddMetadata("x-do", wish);
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    return context;
  }
  grpc::Status Say(const std::string& wish = "", example::EchoResponse* response = nullptr) {
    auto context = Context(Kind::kUnary, wish);
    example::EchoRequest request;
    request.set_text("ab");
    example::EchoResponse ignored;
    return Stub()->Say(context.get(), request, response == nullptr ? &ignored : response);
  }
  std::unique_ptr<example::Echo::Stub> Stub() { return example::Echo::NewStub(channel_); }

  TempDirectory sockets_;
  std::unique_ptr<GatedWorld> world_;
  std::unique_ptr<CallerKeys> keys_;
  std::unique_ptr<CallerTokens> tokens_;
  std::unique_ptr<UpstreamProxy> proxy_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<SoftwareClient> client_;
  std::unique_ptr<SoftwareSession> session_;
};

TEST_F(UpstreamProxyTest, PassesCallsOfAllKinds) {
  Running upstream(Socket("a"));
  Start({Upstream({Socket("a")})});
  for (Kind kind : kAllKinds) {
    EchoCall call;
    call.kind = kind;
    call.prefixes = {session_->Prefix(MethodOf(kind))};
    const EchoResult result = Call(channel_, call);
    EXPECT_TRUE(result.status.ok()) << MethodOf(kind) << " " << result.status.error_message();
    const size_t answers = kind == Kind::kServerStream || kind == Kind::kBidi ? 2 : 1;
    EXPECT_EQ(result.responses.size(), answers) << MethodOf(kind);
  }
}

TEST_F(UpstreamProxyTest, KeepsMetadataTrailersAndDeadlineAndStripsWhatIsTheGates) {
  Running upstream(Socket("a"));
  Start({Upstream({Socket("a")})});
  auto context = Context(Kind::kUnary);
  context->AddMetadata("x-twice", "a");
  context->AddMetadata("x-twice", "b");
  context->AddMetadata("x-raw-bin", std::string("\0\xff,", 3));
  context->AddMetadata("authorization", "Bearer mine");
  context->AddMetadata("forekey-subject", "root");
  context->AddMetadata("forekey-caller", "root");
  context->AddMetadata("forekey-roles", "root");
  context->AddMetadata("forekey-anything", "1");
  example::EchoRequest request;
  example::EchoResponse response;
  ASSERT_TRUE(Stub()->Say(context.get(), request, &response).ok());
  const Metadata seen = upstream.service.LastMetadata();
  EXPECT_EQ(seen.count("x-twice"), 2u);
  EXPECT_EQ(seen.find("x-raw-bin")->second, std::string("\0\xff,", 3));
  EXPECT_EQ(seen.find("authorization")->second, "Bearer mine");
  for (const char* key :
       {"forekey-subject", "forekey-roles", "forekey-factors", "forekey-caller"}) {
    EXPECT_EQ(seen.count(key), 1u) << key;
  }
  EXPECT_EQ(seen.find("forekey-subject")->second, "alice");
  EXPECT_EQ(seen.find("forekey-roles")->second, "admin,clerk");
  EXPECT_EQ(seen.find("forekey-factors")->second, "tpm");
  EXPECT_NE(seen.find("forekey-caller")->second, "root");
  EXPECT_EQ(seen.count("forekey-prefix-bin"), 0u);
  EXPECT_EQ(seen.count("forekey-anything"), 0u);
  EXPECT_EQ(context->GetServerInitialMetadata().count("x-first"), 1u);
  ASSERT_EQ(context->GetServerTrailingMetadata().count("x-last-bin"), 1u);
  EXPECT_EQ(context->GetServerTrailingMetadata().find("x-last-bin")->second,
            grpc::string_ref("\0\1\2", 3));
  EXPECT_GT(upstream.service.last_time_left(), absl::Seconds(20));
  EXPECT_LT(upstream.service.last_time_left(), absl::Seconds(61));
}

TEST_F(UpstreamProxyTest, OddHeadersOfACallerHarmNobody) {
  Running upstream(Socket("a"));
  Start({Upstream({Socket("a")})});
  RawHttp2 peer(world_->gate().port());
  const uint32_t stream = peer.NextStream();
  const std::string method = MethodOf(Kind::kUnary);
  peer.Headers(stream, method,
               {{"forekey-prefix-bin", absl::Base64Escape(session_->Prefix(method))},
                {"Forekey-Subject", "root"},
                {"x a", "1"},
                {"x-control", "a\x01"},
                {"x-good", "1"}});
  peer.Data(stream, RawHttp2::Message(""), /*last=*/true);
  EXPECT_TRUE(peer.WaitForStreamEnd(stream));
  const Metadata seen = upstream.service.LastMetadata();
  EXPECT_EQ(seen.count("x-good"), 1u);
  EXPECT_EQ(seen.count("Forekey-Subject") + seen.count("x a") + seen.count("x-control"), 0u);
  EXPECT_TRUE(Say().ok());
}

TEST_F(UpstreamProxyTest, WaitsForNothingThatMayNeverCome) {
  Running upstream(Socket("a"));
  Start({Upstream({Socket("a")})});
  // Metadata alone reaches the service, and its own the caller, before there is any message.
  auto context = Context(Kind::kBidi, "greet");
  auto stream = Stub()->Chat(context.get());
  stream->WaitForInitialMetadata();
  EXPECT_EQ(context->GetServerInitialMetadata().count("x-first"), 1u);
  // One message is answered while nothing is known of a second one, and so is each that follows.
  example::EchoRequest request;
  example::EchoResponse response;
  for (const char* text : {"a", "b", "c"}) {
    request.set_text(text);
    ASSERT_TRUE(stream->Write(request));
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.text(), text);
  }
  EXPECT_TRUE(stream->WritesDone());
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(UpstreamProxyTest, PassesStreamsWithoutAnyMessage) {
  Running upstream(Socket("a"));
  Start({Upstream({Socket("a")})});
  {
    auto context = Context(Kind::kClientStream);
    example::EchoResponse response;
    auto writer = Stub()->Collect(context.get(), &response);
    EXPECT_TRUE(writer->WritesDone());
    EXPECT_TRUE(writer->Finish().ok());
    EXPECT_EQ(response.text(), "");
  }
  auto context = Context(Kind::kServerStream, "greet");
  example::EchoRequest none;
  auto reader = Stub()->Repeat(context.get(), none);
  example::EchoResponse response;
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(context->GetServerInitialMetadata().count("x-first"), 1u);
}

TEST_F(UpstreamProxyTest, PassesNothingOnThatWasNotAdmitted) {
  Running upstream(Socket("a"));
  Start({Upstream({Socket("a")})});
  EchoCall call;
  const EchoResult refused = Call(channel_, call);
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(world_->AuditOf(refused.status).reason, Reason::kPrefixMissing);
  EXPECT_EQ(upstream.service.Count(&Service::calls_), 0);
}

TEST_F(UpstreamProxyTest, RunsAServicesOwnUnauthenticatedOnceAndKeepsItsWords) {
  Running upstream(Socket("a"));
  Start({Upstream({Socket("a")})});
  EchoCall call;
  call.prefixes = {session_->Prefix(MethodOf(Kind::kUnary))};
  auto context = Context(Kind::kUnary, "fail");
  example::EchoResponse response;
  const grpc::Status status = Stub()->Say(context.get(), {}, &response);
  EXPECT_EQ(status.error_message(), "the service's own");
  EXPECT_EQ(context->GetServerTrailingMetadata().count("grpc-retry-pushback-ms"), 1u);
  EXPECT_EQ(upstream.service.Count(&Service::calls_), 1);
  const grpc::Status detailed = Say("details");
  EXPECT_EQ(detailed.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(detailed.error_details(), std::string("\0pb", 3));
}

TEST_F(UpstreamProxyTest, TellsThatAServiceIsGoneWithoutItsAddressAndFindsItAgain) {
  auto upstream = std::make_unique<Running>(Socket("a"));
  Start({Upstream({Socket("a")})});
  EXPECT_TRUE(Say().ok());
  upstream.reset();
  const grpc::Status gone = Say();
  EXPECT_EQ(gone.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(absl::StrContains(gone.error_message(), sockets_.path())) << gone.error_message();
  Running again(Socket("a"));
  grpc::Status back = Say();
  for (const Deadline end = Deadline::In(kPatience); !back.ok() && !end.Passed();) back = Say();
  EXPECT_TRUE(back.ok()) << back.error_message();
}

TEST_F(UpstreamProxyTest, EndsAStreamWhoseServiceDies) {
  Running upstream(Socket("a"));
  Start({Upstream({Socket("a")})});
  auto context = Context(Kind::kBidi);
  auto stream = Stub()->Chat(context.get());
  example::EchoRequest request;
  example::EchoResponse response;
  ASSERT_TRUE(stream->Write(request) && stream->Read(&response));
  upstream.Stop();
  EXPECT_FALSE(stream->Read(&response));
  const grpc::Status ended = stream->Finish();
  EXPECT_TRUE(ended.error_code() == grpc::StatusCode::UNAVAILABLE ||
              ended.error_code() == grpc::StatusCode::CANCELLED)
      << ended.error_code() << ended.error_message();
}

TEST_F(UpstreamProxyTest, ACallerWhoIsGoneCancelsAndNeverEndsItsMessages) {
  Running upstream(Socket("a"));
  Start({Upstream({Socket("a")})});
  for (int i = 1; i <= 20; ++i) {
    auto context = Context(Kind::kClientStream);
    example::EchoRequest request;
    example::EchoResponse response;
    request.set_text("a");
    auto stream = Stub()->Collect(context.get(), &response);
    ASSERT_TRUE(stream->Write(request));
    ASSERT_TRUE(upstream.service.Await(&Service::taken_, i));
    context->TryCancel();
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
    ASSERT_TRUE(upstream.service.Await(&Service::cut_off_, i));
  }
  EXPECT_EQ(upstream.service.Count(&Service::finished_), 0);
}

TEST_F(UpstreamProxyTest, RevocationEndsLiveCallsAtTheServiceToo) {
  Running upstream(Socket("a"));
  Start({Upstream({Socket("a")})});
  auto context = Context(Kind::kBidi);
  auto stream = Stub()->Chat(context.get());
  example::EchoRequest request;
  example::EchoResponse response;
  ASSERT_TRUE(stream->Write(request) && stream->Read(&response));
  v1::SetSubjectRequest disable;
  disable.set_subject("alice");
  disable.set_set_disabled(true);
  disable.set_disabled(true);
  ASSERT_TRUE(world_->core().admin().SetSubject(disable, "test").ok());
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(upstream.service.Await(&Service::cancelled_, 1));
}

TEST_F(UpstreamProxyTest, AnAnswerBeforeTheMessagesWereReadReachesTheCaller) {
  Running upstream(Socket("a"));
  Start({Upstream({Socket("a")})});
  auto context = Context(Kind::kClientStream, "refuse");
  example::EchoRequest request;
  example::EchoResponse response;
  request.set_text(std::string(1 << 20, 'a'));
  auto stream = Stub()->Collect(context.get(), &response);
  while (stream->Write(request)) {
  }
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "not a byte more");
}

TEST_F(UpstreamProxyTest, WhoDoesNotReadHoldsUpTheServiceAndFillsNoMemory) {
  Running upstream(Socket("a"));
  Start({Upstream({Socket("a")})});
  constexpr int kMessages = 400;
  auto context = Context(Kind::kServerStream);
  example::EchoRequest request;
  request.set_text(std::string(64 << 10, 'a'));
  request.set_times(kMessages);
  auto stream = Stub()->Repeat(context.get(), request);
  EXPECT_FALSE(upstream.service.Await(&Service::written_, kMessages, kLongEnough));
  int read = 0;
  for (example::EchoResponse response; stream->Read(&response);) ++read;
  EXPECT_EQ(read, kMessages);
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(UpstreamProxyTest, AServiceThatDoesNotReadHoldsUpItsCaller) {
  Running upstream(Socket("a"));
  Start({Upstream({Socket("a")})});
  auto context = Context(Kind::kClientStream, "deaf");
  example::EchoResponse response;
  auto stream = Stub()->Collect(context.get(), &response);
  absl::Mutex mutex;
  int written = 0;
  std::thread writer([&] {
    example::EchoRequest request;
    request.set_text(std::string(64 << 10, 'a'));
    while (stream->Write(request)) {
      absl::MutexLock lock(&mutex);
      ++written;
    }
  });
  {
    absl::MutexLock lock(&mutex);
    const auto too_many = [&] { return written > 400; };
    EXPECT_FALSE(AwaitFor(mutex, absl::Condition(&too_many), kLongEnough));
  }
  context->TryCancel();
  writer.join();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  upstream.service.EndDeafCalls();
}

TEST_F(UpstreamProxyTest, ADeadlineEndsACallThatTheServiceHoldsUp) {
  Running upstream(Socket("a"));
  Start({Upstream({Socket("a")})});
  ASSERT_TRUE(Say().ok());  // connected: what is left fits into the deadline on any machine
  auto context = Context(Kind::kUnary, "hang");
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(3));
  example::EchoResponse response;
  EXPECT_EQ(Stub()->Say(context.get(), {}, &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(upstream.service.Await(&Service::cancelled_, 1));
}

TEST_F(UpstreamProxyTest, SpreadsCallsAndGoesOnWithoutTheOneThatIsGone) {
  for (auto balance :
       {UpstreamOptions::Balance::kRoundRobin, UpstreamOptions::Balance::kLeastRequests}) {
    Running one(Socket("a"), "one");
    auto two = std::make_unique<Running>(Socket("b"), "two");
    UpstreamOptions options = Upstream({Socket("a"), Socket("b")});
    options.balance = balance;
    Start({options});
    const Deadline end = Deadline::In(kPatience);
    while (!end.Passed() &&
           (one.service.Count(&Service::calls_) < 3 || two->service.Count(&Service::calls_) < 3)) {
      ASSERT_TRUE(Say().ok());
    }
    two.reset();
    // A call may find out; the ones after it need not.
    int failed = 0;
    for (int i = 0; i < 20; ++i) failed += Say().ok() ? 0 : 1;
    EXPECT_LE(failed, 2);
    world_->StopServer();
  }
}

TEST_F(UpstreamProxyTest, GivesNoNewCallsToWhoSaysThatItDoesNotServe) {
  Running one(Socket("a"), "one", grpc::InsecureServerCredentials(), /*health=*/true);
  Running two(Socket("b"), "two", grpc::InsecureServerCredentials(), /*health=*/true);
  UpstreamOptions options = Upstream({Socket("a"), Socket("b")});
  options.health = true;
  Start({options});
  const Deadline end = Deadline::In(kPatience);
  while (!end.Passed() && two.service.Count(&Service::calls_) < 2) ASSERT_TRUE(Say().ok());
  two.server->GetHealthCheckService()->SetServingStatus(false);
  // Until the gate has heard of it.
  int before = -1, quiet = 0;
  while (!end.Passed() && quiet < 6) {
    ASSERT_TRUE(Say().ok());
    const int now = two.service.Count(&Service::calls_);
    quiet = now == before ? quiet + 1 : 0;
    before = now;
  }
  EXPECT_FALSE(end.Passed());
}

TEST_F(UpstreamProxyTest, SpeaksTlsByItsOwnCertificateToTheOneOfItsCaAlone) {
  const PemPair own = ClientCertificate();
  const auto theirs =
      Must(MakeSelfSignedCertificate({"shop.internal"}, absl::Now(), absl::Hours(1)), "theirs");
  const auto others =
      Must(MakeSelfSignedCertificate({"shop.internal"}, absl::Now(), absl::Hours(1)), "others");
  for (const auto& served : {&theirs, &others}) {
    grpc::SslServerCredentialsOptions tls(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    tls.pem_root_certs = own.certificate;
    tls.pem_key_cert_pairs.push_back({served->key_pem, served->certificate_pem});
    Running upstream("127.0.0.1:0", "one", grpc::SslServerCredentials(tls));
    UpstreamOptions options = Upstream({absl::StrCat("127.0.0.1:", upstream.port)});
    options.tls = true;
    options.ca = sockets_.path() + "/ca.pem";
    options.certificate = sockets_.path() + "/own.pem";
    options.private_key = sockets_.path() + "/own.key";
    options.server_name = "shop.internal";
    Must(WriteFileAtomically(options.ca, theirs.certificate_pem), "ca");
    Must(WriteFileAtomically(options.certificate, own.certificate), "certificate");
    Must(WriteFileAtomically(options.private_key, own.key, 0600), "key");
    Start({options});
    EXPECT_EQ(Say().error_code(),
              served == &theirs ? grpc::StatusCode::OK : grpc::StatusCode::UNAVAILABLE);
    world_->StopServer();
  }
}

TEST_F(UpstreamProxyTest, ReloadTakesOtherUpstreamsAndDropsNoCall) {
  Running one(Socket("a"), "one"), two(Socket("b"), "two");
  const std::string file = sockets_.path() + "/gate.toml";
  const auto write = [&](const std::string& upstream) {
    Must(WriteFileAtomically(file,
                             absl::StrCat("audience = \"gate.test\"\n[tls]\ncertificate = \"c\"\n"
                                          "private_key = \"k\"\n[state]\ndirectory = \"s\"\n",
                                          upstream)),
         "config");
  };
  Start({Upstream({Socket("a")})}, [&](GateConfig& config) { config.file = file; });
  auto context = Context(Kind::kBidi);
  auto stream = Stub()->Chat(context.get());
  example::EchoRequest request;
  example::EchoResponse response;
  ASSERT_TRUE(stream->Write(request) && stream->Read(&response));

  write(absl::StrCat("[[upstream]]\nname = \"other\"\nmethods = [\"/*/*\"]\naddresses = [\"",
                     Socket("b"), "\"]\n"));
  ASSERT_THAT(proxy_->Reload(), IsOk());
  ASSERT_TRUE(Say("", &response).ok());
  EXPECT_EQ(response.subject(), "two");
  ASSERT_TRUE(stream->Write(request) && stream->Read(&response));
  EXPECT_EQ(response.subject(), "one");

  write("[[upstream]]\nname = \"other\"\nmethods = [\"nonsense\"]\n");
  EXPECT_FALSE(proxy_->Reload().ok());
  EXPECT_TRUE(Say().ok());

  write("");
  ASSERT_THAT(proxy_->Reload(), IsOk());
  EXPECT_EQ(Say().error_code(), grpc::StatusCode::UNIMPLEMENTED);
  ASSERT_TRUE(stream->Write(request) && stream->Read(&response));
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(UpstreamProxyTest, TheMostSpecificPatternOfAllUpstreamsWins) {
  Running one(Socket("a"), "one"), two(Socket("b"), "two");
  UpstreamOptions wide = Upstream({Socket("a")}, {"/*/*", "/forekey.example.Echo/*"});
  UpstreamOptions narrow = Upstream({Socket("b")}, {"/forekey.example.Echo/Sa*"});
  narrow.name = "narrow";
  Start({wide, narrow});
  example::EchoResponse response;
  ASSERT_TRUE(Say("", &response).ok());
  EXPECT_EQ(response.subject(), "two");
  auto context = Context(Kind::kBidi);
  auto stream = Stub()->Chat(context.get());
  ASSERT_TRUE(stream->Write({}) && stream->Read(&response));
  EXPECT_EQ(response.subject(), "one");
}

}  // namespace
}  // namespace forekey::testing

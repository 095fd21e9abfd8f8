// SPDX-License-Identifier: Apache-2.0
// Calls that are passed on between peers that are not gRPC's own, and speak HTTP/2 as no library
// would. What services and callers of gRPC's own see is tests/end2end/upstream_proxy_test.cc.
#include "src/rpc/proxy/call_pump.h"

#include <gmock/gmock.h>
#include <grpc/grpc.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/client_interceptor.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "tests/end2end/raw_http2.h"

namespace forekey::testing {
namespace {

using Fields = RawHttp2::Fields;
constexpr char kMethod[] = "/a.B/C";
constexpr size_t kMostBytes = 1000;
constexpr absl::Duration kPatience = absl::Seconds(60);

// What gRPC takes in and refuses to send. Each is beside a field that passes.
const Fields& OddFields() {
  static const Fields* fields = new Fields{{"Forekey-Subject", "root"},
                                           {"X-Capital", "1"},
                                           {"x a", "1"},
                                           {"k\xc3\xa9", "1"},
                                           {"x-high", "\xff\x80"},
                                           {"x-control",
                                            "a\x01"
                                            "b"},
                                           {"x-return", "a\rb"},
                                           {"", "nameless"},
                                           {"x-utf8", "na\xc3\xafve"}};
  return *fields;
}

grpc::ByteBuffer Bytes(const std::string& text) {
  const grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

int Connect(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) std::abort();
  return fd;
}

// Takes all messages and answers one.
class Service : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    absl::MutexLock lock(&mutex_);
    for (const auto& [key, value] : context->client_metadata()) {
      seen_.emplace_back(std::string(key.data(), key.size()),
                         std::string(value.data(), value.size()));
    }
    return new Call(this, context);
  }
  std::vector<std::pair<std::string, std::string>> TakeSeen() {
    absl::MutexLock lock(&mutex_);
    return std::exchange(seen_, {});
  }
  bool Await(int Service::*counter, int least) {
    absl::MutexLock lock(&mutex_);
    const auto reached = [&] { return this->*counter >= least; };
    return mutex_.AwaitWithTimeout(absl::Condition(&reached), kPatience);
  }
  int Count(int Service::*counter) {
    absl::MutexLock lock(&mutex_);
    return this->*counter;
  }
  int messages_ = 0, committed_ = 0, ended_ = 0;

 private:
  class Call : public grpc::ServerGenericBidiReactor {
   public:
    Call(Service* service, grpc::GenericCallbackServerContext* context)
        : service_(service), context_(context) {
      StartRead(&request_);
    }
    void OnReadDone(bool ok) override {
      if (ok) {
        service_->Add(&Service::messages_);
        StartRead(&request_);
        return;
      }
      if (grpc_call_failed_before_recv_message(context_->c_call()) != 0) {
        Finish(grpc::Status::CANCELLED);
        return;
      }
      service_->Add(&Service::committed_);
      StartWriteAndFinish(&answer_, {}, grpc::Status::OK);
    }
    void OnDone() override {
      service_->Add(&Service::ended_);
      delete this;
    }

   private:
    Service* const service_;
    grpc::GenericCallbackServerContext* const context_;
    grpc::ByteBuffer request_, answer_ = Bytes("done");
  };
  void Add(int Service::*counter) {
    absl::MutexLock lock(&mutex_);
    ++(this->*counter);
  }

  absl::Mutex mutex_;
  std::vector<std::pair<std::string, std::string>> seen_;
};

// Passes everything on to `to`.
class Pump : public grpc::CallbackGenericService {
 public:
  explicit Pump(const std::string& to) {
    grpc::ChannelArguments arguments;
    KeepLittle(kMostBytes, &arguments);
    to_ = grpc::CreateCustomChannel(to, grpc::InsecureChannelCredentials(), arguments);
  }
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    PumpedCall call;
    call.to = to_;
    call.method = context->method();
    call.unreachable = "out of reach";
    call.max_message = kMostBytes;
    call.adds_pushback = adds_pushback_;
    return PumpCall(context, std::move(call));
  }
  bool adds_pushback_ = false;

 private:
  std::shared_ptr<grpc::Channel> to_;
};

class CallPumpTest : public ::testing::Test {
 protected:
  CallPumpTest() {
    folder_ = (std::filesystem::temp_directory_path() / "forekey-XXXXXX").string();
    if (mkdtemp(folder_.data()) == nullptr) std::abort();
    pump_ = std::make_unique<Pump>("unix:" + ServicePath());
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + PumpPath(), grpc::InsecureServerCredentials());
    builder.RegisterCallbackGenericService(pump_.get());
    TakeMessages(kMostBytes, builder);
    pump_server_ = builder.BuildAndStart();
  }
  ~CallPumpTest() override {
    over_.Notify();
    if (raw_.joinable()) raw_.join();
    if (listener_ >= 0) close(listener_);
    pump_server_->Shutdown(std::chrono::system_clock::now());
    pump_server_.reset();
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
    std::filesystem::remove_all(folder_);
  }
  std::string ServicePath() const { return folder_ + "/service"; }
  std::string PumpPath() const { return folder_ + "/pump"; }

  void ServeWithGrpc() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + ServicePath(), grpc::InsecureServerCredentials());
    builder.RegisterCallbackGenericService(&service_);
    server_ = builder.BuildAndStart();
  }
  // Answers one call with what `answer` sends on its stream, and waits until the other side is
  // gone.
  void ServeByHand(std::function<void(RawHttp2&, uint32_t stream)> answer) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    ServicePath().copy(address.sun_path, sizeof(address.sun_path) - 1);
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(listen(listener_, 4), 0);
    raw_ = std::thread([this, answer = std::move(answer)] {
      RawHttp2 peer(accept(listener_, nullptr, nullptr), RawHttp2::Side::kServer);
      if (!peer.WaitForHeaders(1)) return;
      answer(peer, 1);
      while (peer.open() && !over_.HasBeenNotified()) peer.Read(20);
    });
  }
  static bool AnswerFields(RawHttp2& peer, uint32_t stream, const Fields& fields, bool last) {
    std::string block;
    for (const auto& [name, value] : fields) block += RawHttp2::Field(name, value);
    return peer.Frame(RawHttp2::kHeaders, RawHttp2::kEndHeaders | (last ? RawHttp2::kEndStream : 0),
                      stream, block);
  }

  // One unary call by gRPC's own client, to the pump.
  grpc::Status Call(grpc::ClientContext& context, std::string* answer = nullptr) {
    grpc::GenericStub stub(
        grpc::CreateChannel("unix:" + PumpPath(), grpc::InsecureChannelCredentials()));
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    const grpc::ByteBuffer request = Bytes("ask");
    grpc::ByteBuffer response;
    grpc::Status status;
    absl::Notification done;
    stub.UnaryCall(&context, kMethod, {}, &request, &response, [&](grpc::Status told) {
      status = std::move(told);
      done.Notify();
    });
    done.WaitForNotification();
    grpc::Slice slice;
    if (answer != nullptr && response.Valid() && response.DumpToSingleSlice(&slice).ok()) {
      *answer = std::string(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
    return status;
  }

  std::string folder_;
  Service service_;
  std::unique_ptr<Pump> pump_;
  std::unique_ptr<grpc::Server> server_, pump_server_;
  int listener_ = -1;
  std::thread raw_;
  absl::Notification over_;
};

TEST_F(CallPumpTest, OddMetadataOfCallersStaysBehindAndTheirCallsPass) {
  ServeWithGrpc();
  for (const auto& odd : OddFields()) {
    RawHttp2 peer(Connect(PumpPath()), RawHttp2::Side::kClient);
    peer.set_patience(kPatience);
    const uint32_t stream = peer.NextStream();
    peer.Headers(stream, kMethod, {{"x-good", "1"}, odd, {"x-raw-bin", "/w"}});
    peer.Data(stream, RawHttp2::Message("ask"), /*last=*/true);
    ASSERT_TRUE(peer.WaitForStreamEnd(stream)) << odd.first;
    int good = 0;
    for (const auto& [key, value] : service_.TakeSeen()) {
      EXPECT_TRUE(PassesOn(key, value) || key == "user-agent") << key;
      EXPECT_NE(key, odd.first);
      if (key == "x-good" || (key == "x-raw-bin" && value == "\xff")) ++good;
    }
    EXPECT_EQ(good, 2) << odd.first;
  }
  EXPECT_EQ(service_.Count(&Service::committed_), static_cast<int>(OddFields().size()));
}

TEST_F(CallPumpTest, OddMetadataOfServicesStaysBehindAndTheirAnswersPass) {
  ServeByHand([](RawHttp2& peer, uint32_t stream) {
    Fields first = {{":status", "200"}, {"content-type", "application/grpc"}, {"x-first", "1"}};
    Fields last = {{"grpc-status", "0"}, {"x-last", "1"}};
    for (const auto& odd : OddFields()) {
      first.push_back(odd);
      last.push_back(odd);
    }
    AnswerFields(peer, stream, first, /*last=*/false);
    peer.Data(stream, RawHttp2::Message("hi"), /*last=*/false);
    AnswerFields(peer, stream, last, /*last=*/true);
  });
  grpc::ClientContext context;
  std::string answer;
  const grpc::Status status = Call(context, &answer);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(answer, "hi");
  EXPECT_EQ(context.GetServerInitialMetadata().count("x-first"), 1u);
  EXPECT_EQ(context.GetServerTrailingMetadata().count("x-last"), 1u);
  for (const auto& odd : OddFields()) {
    EXPECT_EQ(context.GetServerInitialMetadata().count(odd.first), 0u) << odd.first;
    EXPECT_EQ(context.GetServerTrailingMetadata().count(odd.first), 0u) << odd.first;
  }
}

TEST_F(CallPumpTest, AMessageOfAStatusPassesWhateverItsBytes) {
  ServeByHand([](RawHttp2& peer, uint32_t stream) {
    AnswerFields(peer, stream, {{":status", "200"}, {"content-type", "application/grpc"}}, false);
    AnswerFields(peer, stream,
                 {{"grpc-status", "9"},
                  {"grpc-message", "na\xc3\xafve %C3%A4 100%25"},
                  {"grpc-status-details-bin", "AHBi"}},
                 /*last=*/true);
  });
  grpc::ClientContext context;
  const grpc::Status status = Call(context);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(), "na\xc3\xafve \xc3\xa4 100%");
  EXPECT_EQ(status.error_details(), std::string("\0pb", 3));
}

TEST_F(CallPumpTest, AServiceThatAnswersTrailersAloneKeepsItsWords) {
  ServeByHand([](RawHttp2& peer, uint32_t stream) {
    AnswerFields(peer, stream,
                 {{":status", "200"},
                  {"content-type", "application/grpc"},
                  {"grpc-status", "14"},
                  {"grpc-message", "come back later"},
                  {"grpc-status-details-bin", "AHBi"}},
                 /*last=*/true);
  });
  grpc::ClientContext context;
  const grpc::Status status = Call(context);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "come back later");
  EXPECT_EQ(status.error_details(), std::string("\0pb", 3));
}

TEST_F(CallPumpTest, WhoIsNotThereIsOutOfReach) {
  grpc::ClientContext context;
  EXPECT_EQ(Call(context).error_message(), "out of reach");
}

TEST_F(CallPumpTest, AMessageAfterRefusedMetadataEndsTheCall) {
  ServeByHand([](RawHttp2& peer, uint32_t stream) {
    // In one piece, so that the message is there when the metadata is refused.
    peer.Send(RawHttp2::FrameBytes(RawHttp2::kHeaders, RawHttp2::kEndHeaders, stream,
                                   RawHttp2::Field(":status", "503") +
                                       RawHttp2::Field("content-type", "application/grpc")) +
              RawHttp2::FrameBytes(RawHttp2::kData, 0, stream, RawHttp2::Message("hi")));
  });
  grpc::ClientContext context;
  const grpc::Status status = Call(context);
  EXPECT_NE(status.error_code(), grpc::StatusCode::OK);
  EXPECT_NE(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << "it held the call";
}

TEST_F(CallPumpTest, TellsThatNothingIsToBeRetriedUnlessItsServerDoes) {
  ServeByHand([](RawHttp2& peer, uint32_t stream) {
    for (const uint32_t one : {stream, stream + 2}) {
      if (!peer.WaitForHeaders(one)) return;
      AnswerFields(peer, one, {{":status", "200"}, {"content-type", "application/grpc"}}, false);
      AnswerFields(peer, one, {{"grpc-status", "16"}, {"grpc-retry-pushback-ms", "-1"}}, true);
    }
  });
  for (const bool adds : {false, true}) {
    pump_->adds_pushback_ = adds;
    grpc::ClientContext context;
    EXPECT_EQ(Call(context).error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(context.GetServerTrailingMetadata().count("grpc-retry-pushback-ms"), adds ? 0u : 1u);
  }
}

// The service has taken what came before, and must not hear that it was all.
TEST_F(CallPumpTest, AMessageThatIsTooLargeNeverLooksLikeTheLastOne) {
  ServeWithGrpc();
  int calls = 0;
  // Within the transport's limit, and beyond it.
  for (const size_t size : {kMostBytes + 1, 2 * kMostBytes + 1}) {
    for (int i = 0; i < 10; ++i) {
      RawHttp2 peer(Connect(PumpPath()), RawHttp2::Side::kClient);
      peer.set_patience(kPatience);
      const uint32_t stream = peer.NextStream();
      peer.Headers(stream, kMethod);
      peer.Data(stream, RawHttp2::Message("first"), /*last=*/false);
      ASSERT_TRUE(service_.Await(&Service::messages_, ++calls));
      peer.Data(stream, RawHttp2::Message(std::string(size, 'x')), /*last=*/true);
      EXPECT_TRUE(peer.WaitForStreamEnd(stream));
      ASSERT_TRUE(service_.Await(&Service::ended_, calls));
    }
  }
  EXPECT_EQ(service_.Count(&Service::committed_), 0);
}

TEST_F(CallPumpTest, AMessageOfTheLargestSizePasses) {
  ServeWithGrpc();
  RawHttp2 peer(Connect(PumpPath()), RawHttp2::Side::kClient);
  peer.set_patience(kPatience);
  const uint32_t stream = peer.NextStream();
  peer.Headers(stream, kMethod);
  peer.Data(stream, RawHttp2::Message(std::string(kMostBytes, 'x')), /*last=*/true);
  EXPECT_TRUE(peer.WaitForStreamEnd(stream));
  EXPECT_EQ(service_.Count(&Service::committed_), 1);
}

// Holds back what the channel reads second, from when gRPC has it until Release(), and counts how
// often the call was cancelled.
class SecondRead : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new Interceptor(this);
  }
  bool IsHeld() {
    absl::MutexLock lock(&mutex_);
    return held_ != nullptr;
  }
  bool AwaitHeld() {
    return Await([this] { return held_ != nullptr; });
  }
  bool AwaitCancelled(int times) {
    return Await([this, times] { return cancelled_ >= times; });
  }
  void Release() {
    grpc::experimental::InterceptorBatchMethods* held;
    {
      absl::MutexLock lock(&mutex_);
      held = std::exchange(held_, nullptr);
    }
    held->Proceed();
  }

 private:
  using Points = grpc::experimental::InterceptionHookPoints;
  class Interceptor : public grpc::experimental::Interceptor {
   public:
    explicit Interceptor(SecondRead* all) : all_(all) {}
    void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
      {
        absl::MutexLock lock(&all_->mutex_);
        if (methods->QueryInterceptionHookPoint(Points::PRE_SEND_CANCEL)) ++all_->cancelled_;
        if (methods->QueryInterceptionHookPoint(Points::POST_RECV_MESSAGE) && ++all_->reads_ == 2) {
          all_->held_ = methods;
          return;
        }
      }
      methods->Proceed();
    }

   private:
    SecondRead* const all_;
  };
  bool Await(const std::function<bool()>& reached) {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&reached), kPatience);
  }

  absl::Mutex mutex_;
  int reads_ = 0, cancelled_ = 0;
  grpc::experimental::InterceptorBatchMethods* held_ = nullptr;
};

// Answers a message of that size, and a small one behind it.
class TwoAnswers : public grpc::CallbackGenericService {
 public:
  explicit TwoAnswers(size_t first) : first_(first) {}
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    return new Call(this);
  }
  absl::Notification sent;  // both

 private:
  class Call : public grpc::ServerGenericBidiReactor {
   public:
    explicit Call(TwoAnswers* all) : all_(all), large_(Bytes(std::string(all->first_, 'x'))) {
      StartWrite(&large_);
    }
    void OnWriteDone(bool ok) override {
      if (!ok) return;
      if (std::exchange(second_, true))
        all_->sent.Notify();
      else
        StartWrite(&small_);
    }
    void OnCancel() override { Finish(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }

   private:
    TwoAnswers* const all_;
    bool second_ = false;
    grpc::ByteBuffer large_, small_ = Bytes("y");
  };

  const size_t first_;
};

// Reads nothing but metadata.
class DeafCaller : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  void OnReadInitialMetadataDone(bool) override { began.Notify(); }
  void OnDone(const grpc::Status&) override { ended.Notify(); }
  absl::Notification began, ended;
};

// Passes calls on, and notes the end of one.
class NotingPump : public grpc::CallbackGenericService {
 public:
  explicit NotingPump(std::shared_ptr<grpc::Channel> to) : to_(std::move(to)) {}
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    PumpedCall call;
    call.to = to_;
    call.method = context->method();
    call.done = [this] { done.Notify(); };
    return PumpCall(context, std::move(call));
  }
  absl::Notification done;

 private:
  const std::shared_ptr<grpc::Channel> to_;
};

// A call to a service with two answers, whose caller takes none of them.
class UntakenAnswersTest : public CallPumpTest {
 protected:
  ~UntakenAnswersTest() override {
    if (pumping_ != nullptr) pumping_->Shutdown(std::chrono::system_clock::now());
    if (served_ != nullptr) served_->Shutdown(std::chrono::system_clock::now());
  }
  // Returns when the first answer is on its way to the caller, whose window does not hold it.
  void Call(size_t first) {
    service_ = std::make_unique<TwoAnswers>(first);
    grpc::ServerBuilder behind;
    behind.AddListeningPort("unix:" + ServicePath(), grpc::InsecureServerCredentials());
    behind.RegisterCallbackGenericService(service_.get());
    served_ = behind.BuildAndStart();

    grpc::ChannelArguments arguments;
    KeepLittle(static_cast<int>(2 * first), &arguments);
    second_ = new SecondRead;
    std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> watching;
    watching.emplace_back(second_);
    noting_ = std::make_unique<NotingPump>(grpc::experimental::CreateCustomChannelWithInterceptors(
        "unix:" + ServicePath(), grpc::InsecureChannelCredentials(), arguments,
        std::move(watching)));
    grpc::ServerBuilder before;
    before.AddListeningPort("unix:" + folder_ + "/noting", grpc::InsecureServerCredentials());
    before.RegisterCallbackGenericService(noting_.get());
    pumping_ = before.BuildAndStart();

    grpc::ChannelArguments small;
    small.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 1024);
    small.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    stub_ = std::make_unique<grpc::GenericStub>(grpc::CreateCustomChannel(
        "unix:" + folder_ + "/noting", grpc::InsecureChannelCredentials(), small));
    stub_->PrepareBidiStreamingCall(&context_, kMethod, {}, &caller_);
    caller_.StartCall();
    ASSERT_TRUE(caller_.began.WaitForNotificationWithTimeout(kPatience));
  }
  void AwaitEnd() {
    if (!noting_->done.WaitForNotificationWithTimeout(kPatience)) {
      ADD_FAILURE() << "the call is never over; Shutdown() would not return either";
      std::abort();
    }
    caller_.ended.WaitForNotification();
  }

  std::unique_ptr<TwoAnswers> service_;
  std::unique_ptr<NotingPump> noting_;
  std::unique_ptr<grpc::Server> served_, pumping_;
  SecondRead* second_ = nullptr;  // the channel's
  std::unique_ptr<grpc::GenericStub> stub_;
  grpc::ClientContext context_;
  DeafCaller caller_;
};

// The caller goes away while an answer waits for its window, and what was read ahead of that is
// heard of only then. That read was the last, so that it has to end the call: before it did, the
// call stayed for ever, and so did the server's Shutdown().
TEST_F(UntakenAnswersTest, OneThatIsReadAfterTheCallerWentEndsTheCall) {
  ASSERT_NO_FATAL_FAILURE(Call(40'000));
  ASSERT_TRUE(second_->AwaitHeld());
  context_.TryCancel();
  // By gRPC's word that the call is cancelled, as no request comes any more, and as the answer was
  // not taken: whichever is heard first.
  ASSERT_TRUE(second_->AwaitCancelled(3));
  second_->Release();
  AwaitEnd();
}

TEST_F(UntakenAnswersTest, BehindALargeOneNoOtherIsReadAhead) {
  ASSERT_NO_FATAL_FAILURE(Call(100'000));
  ASSERT_TRUE(service_->sent.WaitForNotificationWithTimeout(kPatience));
  EXPECT_FALSE(second_->IsHeld());
  context_.TryCancel();
  if (second_->IsHeld()) second_->Release();
  AwaitEnd();
}

}  // namespace
}  // namespace forekey::testing

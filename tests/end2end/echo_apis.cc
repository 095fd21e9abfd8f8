// SPDX-License-Identifier: Apache-2.0
#include "tests/end2end/echo_apis.h"

#include <forekey/caller.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "examples/echo_services.h"

namespace forekey::testing {

using example::CallbackEcho;
using example::Echo;
using example::EchoRequest;
using example::EchoResponse;
using example::SyncEcho;

std::string ApiName(Api api) {
  switch (api) {
    case Api::kSync:
      return "Sync";
    case Api::kCallback:
      return "Callback";
    case Api::kAsync:
      return "Async";
    case Api::kGenericAsync:
      return "GenericAsync";
    case Api::kGenericCallback:
      return "GenericCallback";
  }
  return "";
}

bool EchoApi::AskedToFail(const grpc::ServerContextBase& context) {
  if (context.client_metadata().count("x-fail") == 0) return false;
  ++failures_;
  return true;
}

grpc::Status EchoApi::Failure() {
  return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "the handler's own");
}

namespace {

EchoResponse Answer(const grpc::ServerContextBase& context, const std::string& text) {
  EchoResponse response;
  response.set_text(text);
  if (absl::StatusOr<CallerInfo> caller = Caller(&context); caller.ok()) {
    response.set_subject(caller->subject);
    response.set_session(caller->session_id);
  }
  return response;
}

class SyncApi : public EchoApi, public SyncEcho {
 public:
  void Register(grpc::ServerBuilder& builder) override { builder.RegisterService(this); }
  grpc::Status Say(grpc::ServerContext* context, const EchoRequest* request,
                   EchoResponse* response) override {
    return AskedToFail(*context) ? Failure() : SyncEcho::Say(context, request, response);
  }
  grpc::Status Collect(grpc::ServerContext* context, grpc::ServerReader<EchoRequest>* reader,
                       EchoResponse* response) override {
    return AskedToFail(*context) ? Failure() : SyncEcho::Collect(context, reader, response);
  }
  grpc::Status Repeat(grpc::ServerContext* context, const EchoRequest* request,
                      grpc::ServerWriter<EchoResponse>* writer) override {
    return AskedToFail(*context) ? Failure() : SyncEcho::Repeat(context, request, writer);
  }
  grpc::Status Chat(grpc::ServerContext* context,
                    grpc::ServerReaderWriter<EchoResponse, EchoRequest>* stream) override {
    return AskedToFail(*context) ? Failure() : SyncEcho::Chat(context, stream);
  }
};

template <typename Reactor>
Reactor* Failing(const grpc::Status& status) {
  class Failed : public Reactor {
   public:
    explicit Failed(const grpc::Status& status) { this->Finish(status); }
    void OnDone() override { delete this; }
  };
  return new Failed(status);
}

class CallbackApi : public EchoApi, public CallbackEcho {
 public:
  void Register(grpc::ServerBuilder& builder) override { builder.RegisterService(this); }
  grpc::ServerUnaryReactor* Say(grpc::CallbackServerContext* context, const EchoRequest* request,
                                EchoResponse* response) override {
    if (AskedToFail(*context)) return Failing<grpc::ServerUnaryReactor>(Failure());
    return CallbackEcho::Say(context, request, response);
  }
  grpc::ServerReadReactor<EchoRequest>* Collect(grpc::CallbackServerContext* context,
                                                EchoResponse* response) override {
    if (AskedToFail(*context)) return Failing<grpc::ServerReadReactor<EchoRequest>>(Failure());
    return CallbackEcho::Collect(context, response);
  }
  grpc::ServerWriteReactor<EchoResponse>* Repeat(grpc::CallbackServerContext* context,
                                                 const EchoRequest* request) override {
    if (AskedToFail(*context)) return Failing<grpc::ServerWriteReactor<EchoResponse>>(Failure());
    return CallbackEcho::Repeat(context, request);
  }
  grpc::ServerBidiReactor<EchoRequest, EchoResponse>* Chat(
      grpc::CallbackServerContext* context) override {
    if (AskedToFail(*context)) {
      return Failing<grpc::ServerBidiReactor<EchoRequest, EchoResponse>>(Failure());
    }
    return CallbackEcho::Chat(context);
  }
};

// A completion queue and the thread that serves it. Tags are closures, run once.
class QueueThread {
 public:
  using Tag = std::function<void(bool ok)>;
  static void* Make(Tag tag) { return new Tag(std::move(tag)); }
  // Part of each call that is served or waited for.
  class Alive {
   public:
    explicit Alive(QueueThread* thread) : thread_(thread) { thread_->Count(1); }
    ~Alive() { thread_->Count(-1); }

   private:
    QueueThread* const thread_;
  };

  void Serve(std::unique_ptr<grpc::ServerCompletionQueue> queue) { queue_ = std::move(queue); }
  grpc::ServerCompletionQueue* queue() const { return queue_.get(); }
  void Start() {
    thread_ = std::thread([this] {
      void* tag = nullptr;
      for (bool ok = false; queue_->Next(&tag, &ok);) {
        std::unique_ptr<Tag> once(static_cast<Tag*>(tag));
        (*once)(ok);
      }
    });
  }
  // The server was shut down, so that every call ends soon. Nothing may be begun on a queue that is
  // shut down: not even what ends a call.
  void Stop() {
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(
          +[](int* calls) { return *calls == 0; }, &calls_));
    }
    queue_->Shutdown();
    thread_.join();
  }

 private:
  void Count(int more) {
    absl::MutexLock lock(&mutex_);
    calls_ += more;
  }

  absl::Mutex mutex_;
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::thread thread_;
};

// Calls own themselves: the last tag deletes them.
class AsyncApi : public EchoApi {
 public:
  void Register(grpc::ServerBuilder& builder) override {
    builder.RegisterService(&service_);
    thread_.Serve(builder.AddCompletionQueue());
  }
  void Start() override {
    TakeSay();
    TakeCollect();
    TakeRepeat();
    TakeChat();
    thread_.Start();
  }
  void Stop() override { thread_.Stop(); }

 private:
  template <typename Stream>
  struct Call {
    explicit Call(QueueThread* thread) : alive(thread) {}
    const QueueThread::Alive alive;
    grpc::ServerContext context;
    EchoRequest request;
    EchoResponse response;
    std::string all;
    uint32_t left = 0;
    Stream stream{&context};
  };

  void TakeSay() {
    auto* call = new Call<grpc::ServerAsyncResponseWriter<EchoResponse>>(&thread_);
    service_.RequestSay(&call->context, &call->request, &call->stream, thread_.queue(),
                        thread_.queue(), QueueThread::Make([this, call](bool ok) {
                          if (!ok) return delete call;
                          TakeSay();
                          auto done = QueueThread::Make([call](bool) { delete call; });
                          if (AskedToFail(call->context)) {
                            return call->stream.FinishWithError(Failure(), done);
                          }
                          call->response = Answer(call->context, call->request.text());
                          call->stream.Finish(call->response, grpc::Status::OK, done);
                        }));
  }

  using CollectCall = Call<grpc::ServerAsyncReader<EchoResponse, EchoRequest>>;
  void TakeCollect() {
    auto* call = new CollectCall(&thread_);
    service_.RequestCollect(&call->context, &call->stream, thread_.queue(), thread_.queue(),
                            QueueThread::Make([this, call](bool ok) {
                              if (!ok) return delete call;
                              TakeCollect();
                              if (AskedToFail(call->context)) {
                                return call->stream.FinishWithError(
                                    Failure(), QueueThread::Make([call](bool) { delete call; }));
                              }
                              ReadCollect(call);
                            }));
  }
  void ReadCollect(CollectCall* call) {
    call->stream.Read(&call->request, QueueThread::Make([this, call](bool ok) {
      if (ok) {
        call->all += call->request.text();
        return ReadCollect(call);
      }
      call->response = Answer(call->context, call->all);
      call->stream.Finish(call->response, grpc::Status::OK,
                          QueueThread::Make([call](bool) { delete call; }));
    }));
  }

  using RepeatCall = Call<grpc::ServerAsyncWriter<EchoResponse>>;
  void TakeRepeat() {
    auto* call = new RepeatCall(&thread_);
    service_.RequestRepeat(&call->context, &call->request, &call->stream, thread_.queue(),
                           thread_.queue(), QueueThread::Make([this, call](bool ok) {
                             if (!ok) return delete call;
                             TakeRepeat();
                             if (AskedToFail(call->context)) {
                               return call->stream.Finish(
                                   Failure(), QueueThread::Make([call](bool) { delete call; }));
                             }
                             call->response = Answer(call->context, call->request.text());
                             call->left = call->request.times();
                             WriteRepeat(call);
                           }));
  }
  void WriteRepeat(RepeatCall* call) {
    if (call->left == 0) {
      return call->stream.Finish(grpc::Status::OK,
                                 QueueThread::Make([call](bool) { delete call; }));
    }
    --call->left;
    call->stream.Write(call->response, QueueThread::Make([this, call](bool ok) {
                         if (!ok) call->left = 0;
                         WriteRepeat(call);
                       }));
  }

  using ChatCall = Call<grpc::ServerAsyncReaderWriter<EchoResponse, EchoRequest>>;
  void TakeChat() {
    auto* call = new ChatCall(&thread_);
    service_.RequestChat(&call->context, &call->stream, thread_.queue(), thread_.queue(),
                         QueueThread::Make([this, call](bool ok) {
                           if (!ok) return delete call;
                           TakeChat();
                           if (AskedToFail(call->context)) return FinishChat(call, Failure());
                           ReadChat(call);
                         }));
  }
  void FinishChat(ChatCall* call, const grpc::Status& status) {
    call->stream.Finish(status, QueueThread::Make([call](bool) { delete call; }));
  }
  void ReadChat(ChatCall* call) {
    call->stream.Read(&call->request, QueueThread::Make([this, call](bool ok) {
      if (!ok) return FinishChat(call, grpc::Status::OK);
      call->response = Answer(call->context, call->request.text());
      call->stream.Write(call->response, QueueThread::Make([this, call](bool ok) {
                           if (!ok) return FinishChat(call, grpc::Status::OK);
                           ReadChat(call);
                         }));
    }));
  }

  Echo::AsyncService service_;
  QueueThread thread_;
};

EchoRequest Parse(grpc::ByteBuffer& bytes) {
  EchoRequest request;
  grpc::ProtoBufferReader reader(&bytes);
  request.ParseFromZeroCopyStream(&reader);
  return request;
}

grpc::ByteBuffer Serialize(const EchoResponse& response) {
  const std::string bytes = response.SerializeAsString();
  grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// What a generic handler does with one method's messages, whatever API moves them.
struct GenericEcho {
  explicit GenericEcho(const std::string& path) : method(path.substr(path.rfind('/') + 1)) {}
  // What to write after a message (or after the end, `request` null).
  uint32_t AnswersTo(const EchoRequest* request) {
    if (request != nullptr) text = method == "Collect" ? text + request->text() : request->text();
    if (method == "Collect") return request == nullptr ? 1 : 0;
    if (request == nullptr) return 0;
    return method == "Repeat" ? request->times() : 1;
  }
  const std::string method;
  std::string text;
};

class GenericAsyncApi : public EchoApi {
 public:
  void Register(grpc::ServerBuilder& builder) override {
    builder.RegisterAsyncGenericService(&service_);
    thread_.Serve(builder.AddCompletionQueue());
  }
  void Start() override {
    Take();
    thread_.Start();
  }
  void Stop() override { thread_.Stop(); }

 private:
  struct Call {
    explicit Call(QueueThread* thread) : alive(thread) {}
    const QueueThread::Alive alive;
    grpc::GenericServerContext context;
    grpc::GenericServerAsyncReaderWriter stream{&context};
    grpc::ByteBuffer bytes;
    std::unique_ptr<GenericEcho> echo;
    uint32_t left = 0;
    bool ended = false;
  };

  void Take() {
    auto* call = new Call(&thread_);
    service_.RequestCall(&call->context, &call->stream, thread_.queue(), thread_.queue(),
                         QueueThread::Make([this, call](bool ok) {
                           if (!ok) return delete call;
                           Take();
                           call->echo = std::make_unique<GenericEcho>(call->context.method());
                           if (AskedToFail(call->context)) return Finish(call, Failure());
                           Read(call);
                         }));
  }
  void Finish(Call* call, const grpc::Status& status) {
    call->stream.Finish(status, QueueThread::Make([call](bool) { delete call; }));
  }
  void Read(Call* call) {
    if (call->ended) return Finish(call, grpc::Status::OK);
    call->stream.Read(&call->bytes, QueueThread::Make([this, call](bool ok) {
      call->ended = !ok;
      EchoRequest request;
      if (ok) request = Parse(call->bytes);
      call->left = call->echo->AnswersTo(ok ? &request : nullptr);
      Write(call);
    }));
  }
  void Write(Call* call) {
    if (call->left == 0) return Read(call);
    --call->left;
    call->stream.Write(Serialize(Answer(call->context, call->echo->text)),
                       QueueThread::Make([this, call](bool ok) {
                         if (!ok) call->left = 0, call->ended = true;
                         Write(call);
                       }));
  }

  grpc::AsyncGenericService service_;
  QueueThread thread_;
};

class GenericCallbackApi : public EchoApi, public grpc::CallbackGenericService {
 public:
  void Register(grpc::ServerBuilder& builder) override {
    builder.RegisterCallbackGenericService(this);
  }
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    if (AskedToFail(*context)) return Failing<grpc::ServerGenericBidiReactor>(Failure());
    class Reactor : public grpc::ServerGenericBidiReactor {
     public:
      explicit Reactor(grpc::GenericCallbackServerContext* context)
          : context_(context), echo_(context->method()) {
        StartRead(&bytes_);
      }
      void OnReadDone(bool ok) override {
        ended_ = !ok;
        EchoRequest request;
        if (ok) request = Parse(bytes_);
        left_ = echo_.AnswersTo(ok ? &request : nullptr);
        Next();
      }
      void OnWriteDone(bool ok) override {
        if (!ok) left_ = 0, ended_ = true;
        Next();
      }
      void OnDone() override { delete this; }

     private:
      void Next() {
        if (left_ > 0) {
          --left_;
          out_ = Serialize(Answer(*context_, echo_.text));
          return StartWrite(&out_);
        }
        if (ended_) return Finish(grpc::Status::OK);
        StartRead(&bytes_);
      }
      grpc::GenericCallbackServerContext* const context_;
      GenericEcho echo_;
      grpc::ByteBuffer bytes_;
      grpc::ByteBuffer out_;
      uint32_t left_ = 0;
      bool ended_ = false;
    };
    return new Reactor(context);
  }
};

}  // namespace

std::unique_ptr<EchoApi> EchoApi::New(Api api) {
  switch (api) {
    case Api::kSync:
      return std::make_unique<SyncApi>();
    case Api::kCallback:
      return std::make_unique<CallbackApi>();
    case Api::kAsync:
      return std::make_unique<AsyncApi>();
    case Api::kGenericAsync:
      return std::make_unique<GenericAsyncApi>();
    case Api::kGenericCallback:
      return std::make_unique<GenericCallbackApi>();
  }
  return nullptr;
}

}  // namespace forekey::testing

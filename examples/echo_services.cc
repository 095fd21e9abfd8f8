// SPDX-License-Identifier: Apache-2.0
#include "examples/echo_services.h"

#include <forekey/caller.h>

#include <string>

namespace forekey::example {
namespace {

EchoResponse Answer(const grpc::ServerContextBase* context, const std::string& text) {
  EchoResponse response;
  response.set_text(text);
  if (const auto caller = Caller(context); caller.ok()) {
    response.set_subject(caller->subject());
    response.set_session(caller->session_id());
  }
  return response;
}

}  // namespace

grpc::Status SyncEcho::Say(grpc::ServerContext* context, const EchoRequest* request,
                           EchoResponse* response) {
  *response = Answer(context, request->text());
  return grpc::Status::OK;
}

grpc::Status SyncEcho::Collect(grpc::ServerContext* context,
                               grpc::ServerReader<EchoRequest>* reader, EchoResponse* response) {
  std::string all;
  for (EchoRequest request; reader->Read(&request);) all += request.text();
  *response = Answer(context, all);
  return grpc::Status::OK;
}

grpc::Status SyncEcho::Repeat(grpc::ServerContext* context, const EchoRequest* request,
                              grpc::ServerWriter<EchoResponse>* writer) {
  for (uint32_t i = 0; i < request->times(); ++i) {
    if (!writer->Write(Answer(context, request->text()))) break;
  }
  return grpc::Status::OK;
}

grpc::Status SyncEcho::Chat(grpc::ServerContext* context,
                            grpc::ServerReaderWriter<EchoResponse, EchoRequest>* stream) {
  for (EchoRequest request; stream->Read(&request);) {
    if (!stream->Write(Answer(context, request.text()))) break;
  }
  return grpc::Status::OK;
}

grpc::ServerUnaryReactor* CallbackEcho::Say(grpc::CallbackServerContext* context,
                                            const EchoRequest* request, EchoResponse* response) {
  *response = Answer(context, request->text());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerReadReactor<EchoRequest>* CallbackEcho::Collect(grpc::CallbackServerContext* context,
                                                            EchoResponse* response) {
  class Reactor : public grpc::ServerReadReactor<EchoRequest> {
   public:
    Reactor(grpc::CallbackServerContext* context, EchoResponse* response)
        : context_(context), response_(response) {
      StartRead(&request_);
    }
    void OnReadDone(bool ok) override {
      if (ok) {
        all_ += request_.text();
        StartRead(&request_);
        return;
      }
      *response_ = Answer(context_, all_);
      Finish(grpc::Status::OK);
    }
    void OnDone() override { delete this; }

   private:
    grpc::CallbackServerContext* const context_;
    EchoResponse* const response_;
    EchoRequest request_;
    std::string all_;
  };
  return new Reactor(context, response);
}

grpc::ServerWriteReactor<EchoResponse>* CallbackEcho::Repeat(grpc::CallbackServerContext* context,
                                                             const EchoRequest* request) {
  class Reactor : public grpc::ServerWriteReactor<EchoResponse> {
   public:
    Reactor(grpc::CallbackServerContext* context, const EchoRequest& request)
        : response_(Answer(context, request.text())), left_(request.times()) {
      Next();
    }
    void OnWriteDone(bool ok) override {
      if (!ok) left_ = 0;
      Next();
    }
    void OnDone() override { delete this; }

   private:
    void Next() {
      if (left_ == 0) return Finish(grpc::Status::OK);
      --left_;
      StartWrite(&response_);
    }
    const EchoResponse response_;
    uint32_t left_;
  };
  return new Reactor(context, *request);
}

grpc::ServerBidiReactor<EchoRequest, EchoResponse>* CallbackEcho::Chat(
    grpc::CallbackServerContext* context) {
  class Reactor : public grpc::ServerBidiReactor<EchoRequest, EchoResponse> {
   public:
    explicit Reactor(grpc::CallbackServerContext* context) : context_(context) {
      StartRead(&request_);
    }
    void OnReadDone(bool ok) override {
      if (!ok) return Finish(grpc::Status::OK);
      response_ = Answer(context_, request_.text());
      StartWrite(&response_);
    }
    void OnWriteDone(bool ok) override {
      if (!ok) return Finish(grpc::Status::OK);
      StartRead(&request_);
    }
    void OnDone() override { delete this; }

   private:
    grpc::CallbackServerContext* const context_;
    EchoRequest request_;
    EchoResponse response_;
  };
  return new Reactor(context);
}

}  // namespace forekey::example

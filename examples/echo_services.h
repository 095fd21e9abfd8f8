// SPDX-License-Identifier: Apache-2.0
// The echo service, twice: for gRPC's sync and callback APIs. What Forekey adds to a handler is one
// line: forekey::Caller(context).
#ifndef FOREKEY_EXAMPLES_ECHO_SERVICES_H_
#define FOREKEY_EXAMPLES_ECHO_SERVICES_H_

#include "echo.grpc.pb.h"

namespace forekey::example {

class SyncEcho : public Echo::Service {
 public:
  grpc::Status Say(grpc::ServerContext* context, const EchoRequest* request,
                   EchoResponse* response) override;
  grpc::Status Collect(grpc::ServerContext* context, grpc::ServerReader<EchoRequest>* reader,
                       EchoResponse* response) override;
  grpc::Status Repeat(grpc::ServerContext* context, const EchoRequest* request,
                      grpc::ServerWriter<EchoResponse>* writer) override;
  grpc::Status Chat(grpc::ServerContext* context,
                    grpc::ServerReaderWriter<EchoResponse, EchoRequest>* stream) override;
};

class CallbackEcho : public Echo::CallbackService {
 public:
  grpc::ServerUnaryReactor* Say(grpc::CallbackServerContext* context, const EchoRequest* request,
                                EchoResponse* response) override;
  grpc::ServerReadReactor<EchoRequest>* Collect(grpc::CallbackServerContext* context,
                                                EchoResponse* response) override;
  grpc::ServerWriteReactor<EchoResponse>* Repeat(grpc::CallbackServerContext* context,
                                                 const EchoRequest* request) override;
  grpc::ServerBidiReactor<EchoRequest, EchoResponse>* Chat(
      grpc::CallbackServerContext* context) override;
};

}  // namespace forekey::example

#endif  // FOREKEY_EXAMPLES_ECHO_SERVICES_H_

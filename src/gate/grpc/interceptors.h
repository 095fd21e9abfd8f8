// SPDX-License-Identifier: Apache-2.0
// Interceptors between routing and the handler: the gate's, where each call's CallRecord begins,
// and the application's, which see the application's methods alone and can ask who calls.
//
// gRPC 1.51 asks the factories in the order of its list, runs the interceptors for what a server
// sends in that order, and for what it receives in the reverse one. The first hook of every call is
// something received. So the gate's interceptor is the last of the list, and there is a factory of
// the gate's at the front, for calls whose record is in their context (CallContexts): gRPC asks for
// interceptors when the call and its metadata are bound, which is when such a record begins.
#ifndef FOREKEY_SRC_GATE_GRPC_INTERCEPTORS_H_
#define FOREKEY_SRC_GATE_GRPC_INTERCEPTORS_H_

#include <grpcpp/server_builder.h>
#include <grpcpp/support/server_interceptor.h>

#include <memory>
#include <vector>

#include "src/gate/grpc/call_gate.h"

namespace forekey {

using InterceptorFactories =
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>;

// Gives `builder` the gate's interceptors, with the application's between them.
void SetInterceptors(grpc::ServerBuilder& builder, std::shared_ptr<CallGate> gate,
                     InterceptorFactories applications);

// Whether `builder` was given interceptors. It has no getter for them.
bool HasInterceptors(const grpc::ServerBuilder& builder);

// For when the server is built: an application that set interceptors of its own after
// SetInterceptors() took the gate's away. They are put around those that it set.
void KeepInterceptors(grpc::ServerBuilder& builder, std::shared_ptr<CallGate> gate);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_INTERCEPTORS_H_

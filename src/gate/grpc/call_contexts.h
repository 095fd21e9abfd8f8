// SPDX-License-Identifier: Apache-2.0
// Contexts of calls of the callback API that carry the gate's CallRecord, so that those calls need
// no interceptor of the gate's: one interceptor makes gRPC 1.51 spend 7,200 instructions a call on
// asking it.
//
// A context is made when a call is matched to its method, and released in the reactor's last step,
// after OnDone() and before gRPC lets go of the grpc_call (ServerBuilder::SetContextAllocator).
// GenericCallbackServerContext can't be derived from, so calls of generic services keep the
// interceptor, as do those of the sync and asynchronous APIs.
#ifndef FOREKEY_SRC_GATE_GRPC_CALL_CONTEXTS_H_
#define FOREKEY_SRC_GATE_GRPC_CALL_CONTEXTS_H_

#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>

#include <memory>

#include "src/gate/grpc/call_record.h"

namespace forekey {

// For ServerBuilder::SetContextAllocator.
std::unique_ptr<grpc::ContextAllocator> MakeCallContexts();

// Null where `context` is none that MakeCallContexts() made.
CallRecord* RecordIn(grpc::ServerContextBase* context);

// Whether `builder` was given an allocator already. It has no getter for it.
bool HasContextAllocator(const grpc::ServerBuilder& builder);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_CALL_CONTEXTS_H_

// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/call_contexts.h"

#include <typeinfo>

namespace forekey {
namespace {

class CallContext final : public grpc::CallbackServerContext {
 public:
  CallRecord record;
};

bool IsOurs(const grpc::ServerContextBase& context) {
  return typeid(context) == typeid(CallContext);
}

class CallContexts final : public grpc::ContextAllocator {
 public:
  grpc::CallbackServerContext* NewCallbackServerContext() override { return new CallContext; }
  // Called for generic calls' contexts, too, which gRPC makes and destroys by itself.
  void Release(grpc::CallbackServerContext* context) override {
    if (IsOurs(*context)) delete static_cast<CallContext*>(context);
  }
};

// An explicit instantiation may name a private member: the one way to see that the application's
// allocator is there, and not to take its contexts away from handlers that rely on their type.
using AllocatorOfBuilder = std::unique_ptr<grpc::ContextAllocator> grpc::ServerBuilder::*;
AllocatorOfBuilder WhereAllocatorIs();
template <AllocatorOfBuilder where>
struct AllocatorAccess {
  friend AllocatorOfBuilder WhereAllocatorIs() { return where; }
};
template struct AllocatorAccess<&grpc::ServerBuilder::context_allocator_>;

}  // namespace

std::unique_ptr<grpc::ContextAllocator> MakeCallContexts() {
  return std::make_unique<CallContexts>();
}

CallRecord* RecordIn(grpc::ServerContextBase* context) {
  return IsOurs(*context) ? &static_cast<CallContext*>(context)->record : nullptr;
}

bool HasContextAllocator(const grpc::ServerBuilder& builder) {
  return builder.*WhereAllocatorIs() != nullptr;
}

}  // namespace forekey

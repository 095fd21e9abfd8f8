// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/interceptors.h"

#include <grpcpp/server_context.h>

#include <typeinfo>
#include <utility>

#include "absl/strings/match.h"
#include "src/gate/grpc/call_contexts.h"
#include "src/gate/grpc/call_record.h"

namespace forekey {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerInterceptorFactoryInterface;
using grpc::experimental::ServerRpcInfo;

// gRPC destroys interceptors with the last reference to a call's state, before it lets go of the
// grpc_call; the last of the list at last.
class CallerInterceptor final : public Interceptor {
 public:
  CallerInterceptor(CallGate* gate, ServerRpcInfo* info) : gate_(gate), info_(info) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      record_.Begin(*gate_, *info_);
    }
    methods->Proceed();
  }

 private:
  CallGate* const gate_;
  ServerRpcInfo* const info_;
  CallRecord record_;
};

// At the front: begins the records that lie in contexts.
class RecordsInContexts final : public ServerInterceptorFactoryInterface {
 public:
  explicit RecordsInContexts(std::shared_ptr<CallGate> gate) : gate_(std::move(gate)) {}

  Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    CallRecord* const record = RecordIn(info->server_context());
    if (record != nullptr) record->Begin(*gate_, *info);
    return nullptr;
  }

 private:
  const std::shared_ptr<CallGate> gate_;
};

// At the end: keeps the records of all other calls.
class RecordsInInterceptors final : public ServerInterceptorFactoryInterface {
 public:
  explicit RecordsInInterceptors(std::shared_ptr<CallGate> gate) : gate_(std::move(gate)) {}

  Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    if (RecordIn(info->server_context()) != nullptr) return nullptr;
    return new CallerInterceptor(gate_.get(), info);
  }

 private:
  const std::shared_ptr<CallGate> gate_;
};

// One factory of the application's.
class Applications final : public ServerInterceptorFactoryInterface {
 public:
  Applications(std::shared_ptr<CallGate> gate,
               std::unique_ptr<ServerInterceptorFactoryInterface> factory)
      : gate_(std::move(gate)), factory_(std::move(factory)) {}

  Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    return IsGates(info->method()) ? nullptr : factory_->CreateServerInterceptor(info);
  }

 private:
  // What Install() registered by itself.
  bool IsGates(absl::string_view method) const {
    return absl::StartsWith(method, "/forekey.v1.Gate/") ||
           (gate_->core()->config().health.service &&
            absl::StartsWith(method, "/grpc.health.v1.Health/"));
  }

  const std::shared_ptr<CallGate> gate_;
  const std::unique_ptr<ServerInterceptorFactoryInterface> factory_;
};

// An explicit instantiation may name a private member: the one way to see what was set.
using FactoriesOfBuilder = InterceptorFactories grpc::ServerBuilder::*;
FactoriesOfBuilder WhereFactoriesAre();
template <FactoriesOfBuilder where>
struct FactoriesAccess {
  friend FactoriesOfBuilder WhereFactoriesAre() { return where; }
};
template struct FactoriesAccess<&grpc::ServerBuilder::interceptor_creators_>;

}  // namespace

void SetInterceptors(grpc::ServerBuilder& builder, std::shared_ptr<CallGate> gate,
                     InterceptorFactories applications) {
  InterceptorFactories all;
  all.push_back(std::make_unique<RecordsInContexts>(gate));
  for (auto& factory : applications) {
    if (factory != nullptr) all.push_back(std::make_unique<Applications>(gate, std::move(factory)));
  }
  all.push_back(std::make_unique<RecordsInInterceptors>(std::move(gate)));
  builder.experimental().SetInterceptorCreators(std::move(all));
}

bool HasInterceptors(const grpc::ServerBuilder& builder) {
  return !(builder.*WhereFactoriesAre()).empty();
}

void KeepInterceptors(grpc::ServerBuilder& builder, std::shared_ptr<CallGate> gate) {
  InterceptorFactories& set = builder.*WhereFactoriesAre();
  if (!set.empty() && set.front() != nullptr) {
    const ServerInterceptorFactoryInterface& first = *set.front();
    if (typeid(first) == typeid(RecordsInContexts)) return;
  }
  SetInterceptors(builder, std::move(gate), std::move(set));
}

}  // namespace forekey

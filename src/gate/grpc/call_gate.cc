// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/call_gate.h"

#include <grpc/grpc.h>
#include <grpcpp/server_context.h>

#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "src/base/reason.h"
#include "src/crypto/random.h"
#include "src/gate/grpc/live_calls.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr char kMark[] = "forekey-gate";
// gRPC refuses these itself (GateServices::Plugin), and would write a line to its log for each.
constexpr char kNotCompressed[] = "compressed requests are refused: send them as they are";
// Of the methods that are the gate's own.
constexpr absl::string_view kGateServicePrefix = "/forekey.v1.Gate/";

absl::string_view View(const grpc_slice& slice) {
  return absl::string_view(reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)),
                           GRPC_SLICE_LENGTH(slice));
}

// Unary and streaming calls of gates carry exactly one; more are a refusal.
using Prefixes = absl::InlinedVector<absl::string_view, 1>;

class PushbackInterceptor : public grpc::experimental::Interceptor {
 public:
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    AddPushback(methods);
    methods->Proceed();
  }

  static void AddPushback(grpc::experimental::InterceptorBatchMethods* methods) {
    using grpc::experimental::InterceptionHookPoints;
    if (!methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) return;
    if (methods->GetSendStatus().error_code() != grpc::StatusCode::UNAUTHENTICATED) return;
    methods->GetSendTrailingMetadata()->emplace("grpc-retry-pushback-ms", "-1");
  }
};

class CallerInterceptor : public grpc::experimental::Interceptor {
 public:
  CallerInterceptor(CallGate* gate, grpc::experimental::ServerRpcInfo* info, bool with_pushback)
      : gate_(gate), info_(info), with_pushback_(with_pushback) {}

  // gRPC destroys interceptors with the last reference to a call's state, before it lets go of the
  // grpc_call: the entry never outlives what names it.
  ~CallerInterceptor() override {
    if (call_ != nullptr) LiveCalls::OfProcess().Remove(call_);
    if (exempt_on_ != 0) gate_->connections()->ExemptDone(exempt_on_);
  }

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    using grpc::experimental::InterceptionHookPoints;
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      RememberCaller();
    } else if (with_pushback_) {
      PushbackInterceptor::AddPushback(methods);
    }
    methods->Proceed();
  }

 private:
  void RememberCaller() {
    if (call_ != nullptr) return;
    uint64_t connection = 0;
    absl::StatusOr<VerifiedCall> caller =
        gate_->CallerOf(info_->server_context(), info_->method(), &connection);
    if (!caller.ok()) {
      if (gate_->core()->calls().IsExempt(info_->method())) {
        if (exempt_on_ == 0 && connection != 0) gate_->connections()->ExemptBegan(connection);
        exempt_on_ = connection;
        return;
      }
      // A stream that was admitted, and lost its right just now: nobody would end it later.
      if (ReasonOf(caller.status()) &&
          info_->type() != grpc::experimental::ServerRpcInfo::Type::UNARY) {
        gate_->core()
            ->refusals()
            .Tell(caller.status(), info_->method(), info_->server_context()->peer())
            .IgnoreError();
        info_->server_context()->TryCancel();
      }
      return;
    }
    caller_.emplace(*std::move(caller));
    call_ = info_->server_context()->c_call();
    LiveCalls::OfProcess().Add(call_, {&*caller_, gate_->core(), info_->method(), connection});
  }

  CallGate* const gate_;
  grpc::experimental::ServerRpcInfo* const info_;
  const bool with_pushback_;
  std::optional<VerifiedCall> caller_;
  grpc_call* call_ = nullptr;
  uint64_t exempt_on_ = 0;  // the connection of an exempt call
};

class CallerInterceptorFactory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  CallerInterceptorFactory(std::shared_ptr<CallGate> gate, bool with_pushback)
      : gate_(std::move(gate)), with_pushback_(with_pushback) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    return new CallerInterceptor(gate_.get(), info, with_pushback_);
  }

 private:
  const std::shared_ptr<CallGate> gate_;
  const bool with_pushback_;
};

class PushbackInterceptorFactory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo*) override {
    return new PushbackInterceptor;
  }
};

}  // namespace

CallGate::CallGate(GateCore* core)
    : core_(core), instance_(absl::BytesToHexString(RandomBytes(16))) {}

struct CallGate::ProcessorState {
  const std::shared_ptr<CallGate> gate;
  const std::shared_ptr<void> keep_alive;
  Connections::Slot* const slot;
};

grpc_auth_metadata_processor CallGate::Processor(std::shared_ptr<void> keep_alive,
                                                 Connections::Slot* slot) {
  grpc_auth_metadata_processor processor;
  processor.process = &CallGate::Process;
  processor.state = new ProcessorState{shared_from_this(), std::move(keep_alive), slot};
  processor.destroy = [](void* state) { delete static_cast<ProcessorState*>(state); };
  return processor;
}

void CallGate::Process(void* state, grpc_auth_context* connection, const grpc_metadata* metadata,
                       size_t count, grpc_process_auth_metadata_done_cb done, void* done_data) {
  const ProcessorState& processor = *static_cast<ProcessorState*>(state);
  CallGate& gate = *processor.gate;
  const std::shared_ptr<Connection> from = gate.ConnectionOf(connection, *processor.slot);
  CallInput input;
  bool compressed = false;
  Prefixes prefixes;
  absl::InlinedVector<grpc_metadata, 1> prefix_entries;
  for (size_t i = 0; i < count; ++i) {
    const absl::string_view key = View(metadata[i].key);
    if (key == kPrefixMetadataKey) {
      prefixes.push_back(View(metadata[i].value));
      prefix_entries.push_back(metadata[i]);
    } else if (key == ":path") {
      input.path = View(metadata[i].value);
    } else if (key == "grpc-encoding") {
      compressed = View(metadata[i].value) != "identity";
    }
  }
  input.prefixes = prefixes;
  if (from != nullptr) input.peer = from->peer();

  const auto refuse = [&](const absl::Status& status) {
    const std::string message(status.message());
    done(done_data, nullptr, 0, nullptr, 0, static_cast<grpc_status_code>(status.code()),
         message.c_str());
  };
  const Judgement judgement = gate.core_->calls().Judge(input);
  if (!judgement.status.ok()) {
    refuse(judgement.status);
    if (from != nullptr) gate.connections_->Refused(from, judgement.reason);
    return;
  }
  if (judgement.exempt) {
    const bool own = absl::StartsWith(input.path, kGateServicePrefix);
    if (absl::Status admitted = gate.connections_->AdmitExempt(from, own); !admitted.ok()) {
      refuse(gate.core_->refusals().Tell(admitted, input.path, input.peer));
      return;
    }
  } else if (!judgement.call.has_value()) {
    done(done_data, nullptr, 0, nullptr, 0, GRPC_STATUS_INTERNAL, "forekey: no verdict");
    return;
  } else if (from != nullptr) {
    gate.connections_->Admitted(from);
  }
  if (compressed) {
    if (judgement.exempt && from != nullptr) gate.connections_->ExemptDone(from->id());
    refuse(absl::UnimplementedError(kNotCompressed));
    return;
  }
  // An exempt call has no caller: what it carried is taken away, so that nothing behind the gate
  // can take it for one.
  done(done_data, judgement.exempt ? prefix_entries.data() : nullptr,
       judgement.exempt ? prefix_entries.size() : 0, nullptr, 0, GRPC_STATUS_OK, nullptr);
}

std::optional<uint64_t> CallGate::ReadMark(const grpc_auth_context* context) const {
  grpc_auth_property_iterator properties =
      grpc_auth_context_find_properties_by_name(context, kMark);
  const grpc_auth_property* mark = grpc_auth_property_iterator_next(&properties);
  if (mark == nullptr) return std::nullopt;
  const absl::string_view value(mark->value, mark->value_length);
  uint64_t id = 0;
  if (value.size() != instance_.size() + sizeof(id) || !absl::StartsWith(value, instance_)) {
    return std::nullopt;
  }
  std::memcpy(&id, value.data() + instance_.size(), sizeof(id));
  return id;
}

// An AuthContext is not thread-safe. It is written here alone, once, under a lock that every call
// of the connection takes on its way in: so the write is over before any handler or interceptor of
// this connection runs, and they may read it freely.
std::shared_ptr<Connection> CallGate::ConnectionOf(grpc_auth_context* context,
                                                   const Connections::Slot& slot) {
  std::shared_ptr<Connection> first;
  {
    absl::MutexLock lock(&marking_[(reinterpret_cast<uintptr_t>(context) >> 6) % kMarkingLocks]);
    if (const std::optional<uint64_t> id = ReadMark(context); id) return connections_->Find(*id);
    first = slot.current();
    const uint64_t id = first == nullptr ? 0 : first->id();
    std::string mark = instance_;
    mark.append(reinterpret_cast<const char*>(&id), sizeof(id));
    grpc_auth_context_add_property(context, kMark, mark.data(), mark.size());
  }
  if (first != nullptr) connections_->Called(first);
  return first;
}

uint64_t CallGate::ConnectionIdOf(grpc_call* call, const CallGate& gate) {
  grpc_auth_context* context = grpc_call_auth_context(call);
  if (context == nullptr) return 0;
  const std::optional<uint64_t> id = gate.ReadMark(context);
  grpc_auth_context_release(context);
  return id.value_or(0);
}

void CallGate::ServiceAnswered(grpc_call* call, std::optional<Reason> refusal) {
  const std::shared_ptr<Connection> from = connections_->Find(ConnectionIdOf(call, *this));
  if (from == nullptr) return;
  if (refusal)
    connections_->Refused(from, refusal);
  else
    connections_->Admitted(from);
}

absl::StatusOr<VerifiedCall> CallGate::CallerOf(grpc::ServerContextBase* context,
                                                absl::string_view method, uint64_t* connection) {
  grpc_auth_context* marked = grpc_call_auth_context(context->c_call());
  const std::optional<uint64_t> mark = marked == nullptr ? std::nullopt : ReadMark(marked);
  grpc_auth_context_release(marked);
  *connection = mark.value_or(0);
  if (!mark) return absl::UnauthenticatedError("the call did not come through this gate");

  Prefixes prefixes;
  auto range = context->client_metadata().equal_range(
      grpc::string_ref(kPrefixMetadataKey.data(), kPrefixMetadataKey.size()));
  for (auto entry = range.first; entry != range.second; ++entry) {
    prefixes.emplace_back(entry->second.data(), entry->second.size());
  }
  if (prefixes.empty()) return absl::UnauthenticatedError("the method is exempt: it has no caller");
  // From here on, an error has a Reason.
  return core_->calls().Recall(prefixes, method);
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> CallerInterceptors(
    std::shared_ptr<CallGate> gate, bool with_pushback) {
  return std::make_unique<CallerInterceptorFactory>(std::move(gate), with_pushback);
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> PushbackInterceptors() {
  return std::make_unique<PushbackInterceptorFactory>();
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/call_gate.h"

#include <grpc/grpc.h>
#include <grpcpp/server_context.h>

#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/crypto/random.h"
#include "src/gate/call/refusals.h"
#include "src/gate/limits/host_buckets.h"
#include "src/wire/prefix.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

// gRPC refuses these itself (GateServices::Plugin), and would write a line to its log for each.
constexpr char kNotCompressed[] = "compressed requests are refused: send them as they are";
// Says which process a balancer shall give a call to (docs/BALANCERS.md). It proves nothing.
constexpr absl::string_view kAffinityKey = "forekey-affinity";
// Of the methods that are the gate's own.
constexpr absl::string_view kGateServicePrefix = "/forekey.v1.Gate/";

absl::string_view View(const grpc_slice& slice) {
  return absl::string_view(reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)),
                           GRPC_SLICE_LENGTH(slice));
}

// Unary and streaming calls of gates carry exactly one; more are a refusal.
using Prefixes = absl::InlinedVector<absl::string_view, 1>;

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

struct CallGate::Arrival {
  Arrival(std::shared_ptr<Connection> from, const grpc_metadata* metadata, size_t count,
          grpc_process_auth_metadata_done_cb done, void* done_data);
  // Both give the place back first.
  void Refuse(const absl::Status& status);
  void LetIn(absl::Span<const grpc_metadata> without);

  std::shared_ptr<Connection> from;
  grpc_process_auth_metadata_done_cb done;
  void* done_data;
  std::shared_ptr<void> place;  // of one that is judged later
  BootTime came;                // the same
  // What views point to is gRPC's, or the connection's.
  CallInput input() const {
    return {prefixes, path,
            from == nullptr ? absl::string_view() : absl::string_view(from->peer())};
  }
  absl::string_view path;
  bool compressed = false;
  Prefixes prefixes;
  absl::InlinedVector<grpc_metadata, 1> prefix_entries;
  absl::InlinedVector<grpc_metadata, 1> taken_away;
};

CallGate::Arrival::Arrival(std::shared_ptr<Connection> from, const grpc_metadata* metadata,
                           size_t count, grpc_process_auth_metadata_done_cb done, void* done_data)
    : from(std::move(from)), done(done), done_data(done_data) {
  for (size_t i = 0; i < count; ++i) {
    const absl::string_view key = View(metadata[i].key);
    if (key == kPrefixMetadataKey) {
      prefixes.push_back(View(metadata[i].value));
      prefix_entries.push_back(metadata[i]);
    } else if (key == kAffinityKey) {
      taken_away.push_back(metadata[i]);
    } else if (key == ":path") {
      path = View(metadata[i].value);
    } else if (key == "grpc-encoding") {
      compressed = View(metadata[i].value) != "identity";
    }
  }
}

void CallGate::Arrival::Refuse(const absl::Status& status) {
  place.reset();
  const std::string message(status.message());
  done(done_data, nullptr, 0, nullptr, 0, static_cast<grpc_status_code>(status.code()),
       message.c_str());
}

void CallGate::Arrival::LetIn(absl::Span<const grpc_metadata> without) {
  place.reset();
  done(done_data, without.empty() ? nullptr : without.data(), without.size(), nullptr, 0,
       GRPC_STATUS_OK, nullptr);
}

void CallGate::Process(void* state, grpc_auth_context* connection, const grpc_metadata* metadata,
                       size_t count, grpc_process_auth_metadata_done_cb done, void* done_data) {
  const ProcessorState& processor = *static_cast<ProcessorState*>(state);
  CallGate& gate = *processor.gate;
  Arrival arrival(gate.ConnectionOf(connection, *processor.slot), metadata, count, done, done_data);
  if (gate.ending_.load(std::memory_order_acquire)) return gate.RefuseLate(arrival);
  const bool may_wait = gate.later_ != nullptr && arrival.prefixes.size() == 1 &&
                        !Prefix::IsOfSession(arrival.prefixes[0]) &&
                        !gate.core_->calls().IsExempt(arrival.path);
  if (!may_wait) return gate.Judge(arrival);
  if (gate.JudgeLater(arrival)) return;
  const CallInput input = arrival.input();
  arrival.Refuse(gate.core_->refusals().Tell(
      Refuse(Reason::kRateLimited,
             "too many device proofs wait already, in all or of this address"),
      input.path, input.peer));
}

std::shared_ptr<void> CallGate::TakePlace(const Arrival& arrival) {
  struct Place {
    ~Place() {
      if (strangers != nullptr) strangers->Leave(host);
      if (all != nullptr) all->Leave(host);
    }
    const std::string host;
    HostPlaces* all = nullptr;
    HostPlaces* strangers = nullptr;
  };
  auto place = std::make_shared<Place>(Place{HostKey(arrival.input().peer)});
  if (arrival.from == nullptr || !arrival.from->proved()) {
    if (!stranger_places_.Enter(place->host)) return nullptr;
    place->strangers = &stranger_places_;
  }
  if (!places_.Enter(place->host)) return nullptr;
  place->all = &places_;
  return place;
}

bool CallGate::JudgeLater(const Arrival& arrival) {
  Arrival later = arrival;
  later.place = TakePlace(arrival);
  if (later.place == nullptr) return false;
  later.came = core_->clock().BootNow();
  return later_->Submit([this, later = std::move(later)]() mutable { JudgeNow(later); });
}

// gRPC tells a processor neither a call's deadline nor that it was cancelled. A connection that is
// gone says it for all of its calls, and after kLongestWait few still wait for the answer.
void CallGate::JudgeNow(Arrival& arrival) {
  if (ending_.load(std::memory_order_acquire)) return RefuseLate(arrival);
  if (arrival.from != nullptr && connections_->Find(arrival.from->id()) == nullptr) {
    return arrival.Refuse(absl::CancelledError("the connection is gone"));
  }
  const absl::Duration waited = core_->clock().BootNow() - arrival.came;
  if (waited > kLongestWait) {
    const CallInput input = arrival.input();
    return arrival.Refuse(core_->refusals().Tell(
        Refuse(Reason::kStoreUnavailable,
               absl::StrCat("the proof waited for ", absl::FormatDuration(waited),
                            " to be judged: the registry is too slow for all who ask")),
        input.path, input.peer));
  }
  Judge(arrival);
}

void CallGate::RefuseLate(Arrival& arrival, const VerifiedCall* judged) {
  const CallInput input = arrival.input();
  const bool own =
      absl::StartsWith(input.path, kGateServicePrefix) || core_->calls().IsExempt(input.path);
  absl::Status told = absl::UnavailableError("the gate is ending");
  if (!own || judged != nullptr) {
    Decision decision = core_->audit().NewDecision(AuditEvent::kCall);
    decision.method = std::string(input.path);
    decision.peer = std::string(input.peer);
    absl::Status why = Refuse(Reason::kGateEnding);
    if (judged != nullptr) {
      DescribeCaller(*judged, decision);
      why = Refuse(Reason::kGateEnding, "it was judged just before the end; no handler saw it");
    }
    const absl::Status refused = core_->refusals().Tell(std::move(decision), why);
    if (!own) told = refused;
  }
  arrival.Refuse(told);
}

void CallGate::Judge(Arrival& arrival) {
  const CallInput input = arrival.input();
  const Judgement judgement = core_->calls().Judge(input);
  if (!judgement.status.ok()) {
    arrival.Refuse(judgement.status);
    if (arrival.from != nullptr) connections_->Refused(arrival.from, judgement.reason);
    return;
  }
  if (judgement.exempt) {
    const bool own = absl::StartsWith(input.path, kGateServicePrefix);
    if (absl::Status admitted = connections_->AdmitExempt(arrival.from, own); !admitted.ok()) {
      arrival.Refuse(core_->refusals().Tell(admitted, input.path, input.peer));
      return;
    }
  } else if (!judgement.call.has_value()) {
    arrival.Refuse(absl::InternalError("forekey: no verdict"));
    return;
  } else if (arrival.from != nullptr && judgement.call->resumption() == nullptr) {
    // A resumption shows something once the registry agreed to it (GateServices).
    connections_->Admitted(arrival.from);
  }
  if (arrival.compressed) {
    if (judgement.exempt && arrival.from != nullptr) connections_->ExemptDone(arrival.from->id());
    arrival.Refuse(absl::UnimplementedError(kNotCompressed));
    return;
  }
  // An exempt call has no caller: what it carried is taken away, so that nothing behind the gate
  // can take it for one. So is what was for a balancer before the gate.
  auto taken_away = arrival.taken_away;
  if (judgement.exempt) {
    taken_away.insert(taken_away.end(), arrival.prefix_entries.begin(),
                      arrival.prefix_entries.end());
  }
  // Between this look and gRPC's own is next to no time, unless a thread is held up just here.
  if (ending_.load(std::memory_order_acquire)) {
    return RefuseLate(arrival, judgement.call.has_value() ? &*judgement.call : nullptr);
  }
  arrival.LetIn(taken_away);
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

}  // namespace forekey

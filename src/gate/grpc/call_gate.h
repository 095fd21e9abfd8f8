// SPDX-License-Identifier: Apache-2.0
// The two places where gRPC meets the gate on a call's way: before routing (the metadata processor)
// and before the handler (CallRecord::Begin).
//
// The processor runs on the thread that reads the connection, and judges there what waits for
// nothing. Over a registry in PostgreSQL, what may have to ask it is judged by a worker, and gRPC
// told late: so a database that answers slowly holds up no call of a session.
//
// The processor sees every call that arrives on the gate's port, with its raw :path and before
// anything else of the server does: what it refuses reaches no interceptor and no handler, and an
// unknown method is refused like a known one (LAW 1). It is given to gRPC's core directly
// (grpc_auth_metadata_processor in grpc/grpc_security.h), because gRPC's C++ wrapper builds two
// multimaps a call first.
//
// Between the two there is no object of gRPC's that lasts as long as one call and no longer, and
// that the peer can't reach: the AuthContext belongs to the connection. So nothing about a caller
// is handed over (LAW 4). Instead the verified prefix itself stays in the metadata, and the caller
// is looked up by it once more (CallJudge::Recall). The processor writes the gate's random instance
// id into the AuthContext, once a connection, and the connection's number behind it, by which its
// later calls are known (Connections). It says nothing about callers, and no peer can put a
// property of that name there.
//
// The look-up proves nothing by a MAC a second time, and needs not, since a call with the mark and
// a prefix is one that the processor admitted with this very prefix and path:
//   - The mark is written in Process() alone, into the AuthContext of a connection that was handed
//     to one of this gate's acceptors. A processor belongs to its acceptor's credentials, so gRPC's
//     filter asks it for every call of that connection, the first and all later ones, whatever
//     subject makes them. Connections of other ports, of other gates in the process and of
//     Server::InProcessChannel() have AuthContexts of their own, or none, without this gate's
//     128-bit instance id: without the mark there is no caller, however good the prefix.
//   - What the processor does not answer with OK ends there; gRPC 1.51 matches a method only after
//     OK.
//   - The metadata of the call are those that the processor saw, but for what it consumed: nothing
//     between the two adds an entry, and trailers of a peer are not among them. Where it admitted a
//     call, there was exactly one prefix, which it did not consume. Where it let an exempt call in,
//     it consumed every prefix, so that none is left to be looked up.
//   - The method that the handler was matched by is the :path that the processor judged.
// A prefix that was admitted before and comes again is refused by the processor (its sequence is
// used), so what the look-up finds is never another call's. It still asks whether the session lives
// and whether the sequence was accepted, and nothing is believed of a session that is gone.
// Attacks that would show if one of these did not hold, in tests/attacks/live: duplicated-metadata,
// exempt-identity-smuggling, forged-on-shared-connection, in-process-channel, sequence-replay,
// subject-confusion, ungated-port.
#ifndef FOREKEY_SRC_GATE_GRPC_CALL_GATE_H_
#define FOREKEY_SRC_GATE_GRPC_CALL_GATE_H_

#include <grpc/grpc_security.h>
#include <grpcpp/server_context.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/gate/grpc/connections.h"
#include "src/gate/grpc/worker.h"
#include "src/gate/limits/host_places.h"
#include "src/gate/service/gate_core.h"

namespace forekey {

// Shared by the processors and interceptors of one gate. Safe from any thread.
class CallGate : public std::enable_shared_from_this<CallGate> {
 public:
  // The name of the property that marks a connection: an instance, and the connection's number.
  static constexpr char kMark[] = "forekey-gate";

  // `core` must outlive the gRPC server.
  explicit CallGate(GateCore* core);

  // For grpc_server_credentials_set_auth_metadata_processor; holds a reference to this, and to
  // `keep_alive`, which lives as long as those credentials do in gRPC's core. `slot`: whose first
  // calls it judges.
  grpc_auth_metadata_processor Processor(std::shared_ptr<void> keep_alive, Connections::Slot* slot);
  // Told of every verdict. Both must outlive the gRPC server.
  void SetConnections(Connections* connections) { connections_ = connections; }
  // Where proofs are judged that may have to wait for a registry elsewhere: a device's, and a
  // resumption. Those of sessions, which ask no registry, are judged where they arrive, and wait
  // for nobody. Null: all are. It must outlive the gRPC server, and end before `connections`.
  void JudgeLater(Worker* worker) { later_ = worker; }
  // Of proofs that wait or are judged there: so many at once, so many of one address. Strangers,
  // on whose connection nothing was admitted yet, have half of them, so that they never fill what
  // the others wait in, and fewer of one address.
  static constexpr size_t kMostLater = 512, kMostLaterOfOneAddress = 128;
  static constexpr size_t kMostLaterOfStrangers = 256, kMostLaterOfOneStranger = 32;
  // Who waited for longer than this is refused unheard: the registry is too slow for all who ask.
  static constexpr absl::Duration kLongestWait = absl::Seconds(5);
  GateCore* core() const { return core_; }
  // The server shuts down now. gRPC tells its peers to go elsewhere (GOAWAY), and ends as CANCELLED
  // what arrives before they have answered that they heard of it, which no client may take for "try
  // again". So these calls are refused here: the application's methods with UNAUTHENTICATED, so
  // that clients try them once more, elsewhere; the gate's own and exempt ones with UNAVAILABLE,
  // which costs nobody a session or a touch. They are refused at once: after the peer's answer,
  // gRPC 1.51 closes a connection together with its last stream, and loses what a refusal said.
  void RefuseFromNowOn() { ending_.store(true, std::memory_order_release); }

  // The caller of the call behind `context`, for calls that passed Processor(), and the number of
  // the connection that it came in by (0: not known). Called once a call.
  absl::StatusOr<VerifiedCall> CallerOf(grpc::ServerContextBase* context, absl::string_view method,
                                        uint64_t* connection);
  // The number of the connection that a call came in by; 0: not known.
  static uint64_t ConnectionIdOf(grpc_call* call, const CallGate& gate);
  // One of the gate's own exempt methods has answered: with a refusal, or (nullopt) with what only
  // an honest enrolment gets.
  void ServiceAnswered(grpc_call* call, std::optional<Reason> refusal);
  Connections* connections() const { return connections_; }

 private:
  struct ProcessorState;
  static void Process(void* state, grpc_auth_context* connection, const grpc_metadata* metadata,
                      size_t count, grpc_process_auth_metadata_done_cb done, void* done_data);
  // A call on its way in. What gRPC gave stays where it is until `done` is called.
  struct Arrival;
  void Judge(Arrival& arrival);
  // `judged`: who was let in, and may stand in the log as admitted; null where nobody was.
  void RefuseLate(Arrival& arrival, const VerifiedCall* judged = nullptr);
  // False where there is no place: nobody was told.
  bool JudgeLater(const Arrival& arrival);
  // Once it is its turn: unless nobody waits for it any more, or it waited for too long.
  void JudgeNow(Arrival& arrival);
  // To be let go before the peer is told, who may come again at once. Null: there is none.
  std::shared_ptr<void> TakePlace(const Arrival& arrival);
  std::shared_ptr<Connection> ConnectionOf(grpc_auth_context* context,
                                           const Connections::Slot& slot);
  // The number in this gate's mark; nullopt without one.
  std::optional<uint64_t> ReadMark(const grpc_auth_context* context) const;

  static constexpr size_t kMarkingLocks = 64;

  GateCore* const core_;
  Connections* connections_ = nullptr;
  Worker* later_ = nullptr;
  std::atomic<bool> ending_{false};
  HostPlaces places_{kMostLater, kMostLaterOfOneAddress};
  HostPlaces stranger_places_{kMostLaterOfStrangers, kMostLaterOfOneStranger};
  const std::string instance_;  // hex, so that it may be read as a C string, too
  std::array<absl::Mutex, kMarkingLocks> marking_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_CALL_GATE_H_

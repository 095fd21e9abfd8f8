// SPDX-License-Identifier: Apache-2.0
// Asks the gate about a stream before it starts, so that no stream starts with a session that the
// gate would refuse: gRPC 1.51 loses operations of a stream that it has to start again, and can
// crash over it. Unary calls need no such care.
#ifndef FOREKEY_SRC_CLIENT_PREFLIGHT_H_
#define FOREKEY_SRC_CLIENT_PREFLIGHT_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "src/base/clock.h"
#include "src/base/lanes.h"
#include "src/base/single_flight.h"
#include "src/client/client_session.h"
#include "src/client/prefix_credentials.h"

namespace forekey {

// Safe from any thread; made by std::make_shared, as what is asked of the gate shares it.
class Preflight : public std::enable_shared_from_this<Preflight> {
 public:
  // `gate`: a channel to the gate that adds no prefixes and tries nothing twice.
  Preflight(const std::shared_ptr<grpc::Channel>& gate, std::shared_ptr<Lanes> lanes,
            const Clock* clock = &Clock::System());

  using Waiter = std::function<void(bool refused)>;
  // True when the gate said lately that it takes such calls of `session` on this connection: a gate
  // that started again has another one. Else it is asked, and `waiter` called once, from another
  // thread: with `refused` where the gate doesn't take the session, or wants more than it proves.
  // Where it could not be asked, the call itself shall find out.
  bool IsTaken(ConnectionPtr connection, absl::string_view method,
               std::shared_ptr<const ClientSession> session, Waiter waiter);

  // Cancels what is being asked. The channel is gone: nobody waits any more.
  void Shutdown();

 private:
  using Flights = SingleFlight<bool>;
  struct Entry {
    ConnectionPtr connection;  // kept, so that no other gets its address
    std::shared_ptr<const ClientSession> session;
    BootTime taken_until;
  };
  void Ask(const Flights::FlightPtr& flight, const ClientSession& session,
           const std::string& method);
  void Finish(const Flights::FlightPtr& flight, bool refused);

  const std::unique_ptr<forekey::v1::Gate::Stub> stub_;
  const std::shared_ptr<Lanes> lanes_;
  const Clock* const clock_;
  Flights flights_;  // by connection, session and method
  absl::Mutex mutex_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::set<grpc::ClientContext*> asking_ ABSL_GUARDED_BY(mutex_);
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_PREFLIGHT_H_

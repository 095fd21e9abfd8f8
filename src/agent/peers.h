// SPDX-License-Identifier: Apache-2.0
// Which program is at the other end of a connection to the agent's socket: asked of the kernel
// (SO_PEERCRED) when it connects, so that a prompt can name it.
//
// gRPC does not tell a handler which socket a call came on. So each of some connections gets an
// acceptor of its own, whose credentials mark the calls; the overflow shares one, and its programs
// are not named. That costs about 27 KB for each.
#ifndef FOREKEY_SRC_AGENT_PEERS_H_
#define FOREKEY_SRC_AGENT_PEERS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "grpcpp/grpcpp.h"

namespace forekey {

// "/usr/bin/orders (process 4711)": of the process that connected `fd`; empty where the kernel does
// not tell. A program may be replaced or end at any time: this is for people, nothing depends on it.
std::string ProgramOf(int fd);

class Peers {
 public:
  Peers() = default;
  ~Peers();

  // Before the server starts.
  void AddTo(grpc::ServerBuilder* builder);
  // A connection that was accepted, non-blocking; owns it.
  void Take(int fd);
  // The program at the other end of the call's connection; empty where that is not known.
  std::string Program(const grpc::AuthContext& context) const;

 private:
  struct Slot {
    std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor;
    int watched = -1;  // a duplicate of the connection's descriptor
    std::string program;
  };
  static bool IsFree(const Slot& slot);

  mutable absl::Mutex mutex_;
  std::vector<Slot> slots_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> overflow_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_PEERS_H_

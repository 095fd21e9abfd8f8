// SPDX-License-Identifier: Apache-2.0
// Which program is at the other end of a connection to the agent's socket: asked of the kernel
// (SO_PEERCRED) when it connects, so that a prompt can name it.
//
// gRPC does not tell a handler which socket a call came on. So each of some connections gets an
// acceptor of its own, whose credentials mark the calls; the overflow shares one, and its programs
// are not named. That costs about 27 KB for each.
#ifndef FOREKEY_SRC_AGENT_PEERS_H_
#define FOREKEY_SRC_AGENT_PEERS_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "grpcpp/grpcpp.h"
#include "src/agent/prompt_place.h"

namespace forekey {

// "/usr/bin/orders (process 4711)": of the process that connected `fd`; empty where the kernel does
// not tell. A program may be replaced or end at any time: this is for people, nothing depends on
// it.
std::string ProgramOf(int fd);

// Who is at the other end of a connection, for people.
struct Peer {
  std::string program;  // ProgramOf()
  PromptPlace place;
};

// Which connection has which slot. Not thread-safe.
class PeerSlots {
 public:
  // One process has at most `share` of the slots, so that it can't make others' nameless.
  PeerSlots(size_t slots, size_t share) : slots_(slots), share_(share) {}
  ~PeerSlots();
  PeerSlots(const PeerSlots&) = delete;
  PeerSlots& operator=(const PeerSlots&) = delete;

  // A slot for the connection `fd` of the process `pid`, until that one closes it; none where there
  // is none for it. Keeps a duplicate of `fd`.
  std::optional<size_t> Take(int fd, pid_t pid, std::string program, PromptPlace place = {});
  std::string Program(size_t slot) const { return Of(slot).program; }
  Peer Of(size_t slot) const;

 private:
  struct Slot {
    int watched = -1;  // a duplicate of the connection's descriptor
    pid_t pid = 0;
    Peer peer;
  };
  static bool IsFree(const Slot& slot);

  std::vector<Slot> slots_;
  const size_t share_;
};

class Peers {
 public:
  Peers();

  // Before the server starts.
  void AddTo(grpc::ServerBuilder* builder);
  // A connection that was accepted, non-blocking; owns it.
  void Take(int fd);
  // Who is at the other end of the call's connection; empty where that is not known.
  Peer Of(const grpc::AuthContext& context) const;

 private:
  using Acceptor = std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor>;

  mutable absl::Mutex mutex_;
  PeerSlots slots_ ABSL_GUARDED_BY(mutex_);
  std::vector<Acceptor> acceptors_;  // of the slots
  Acceptor overflow_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_PEERS_H_

// SPDX-License-Identifier: Apache-2.0
// The accept loop of a gRPC server for programs of this machine.
//
// gRPC's own has no bound on connections, and ends for ever at the first accept() that fails for
// want of descriptors (gRPC 1.51): any local user could so shut a port until the program starts
// again. This one waits a moment and goes on. It has room for a number of connections. Beyond
// that, on a port, a new one takes the place of the oldest on which nobody showed yet that he may
// call (Known()), and is closed at once where there is none; at a unix socket, whose file says who
// may come, it is closed. Where that may be others than the owner, one user has half of the room.
//
// A connection costs the process two descriptors: one is gRPC's, one sees its end.
#ifndef FOREKEY_SRC_RPC_ACCEPT_ACCEPT_LOOP_H_
#define FOREKEY_SRC_RPC_ACCEPT_ACCEPT_LOOP_H_

#include <grpcpp/grpcpp.h>

#include <sys/types.h>

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/rpc/accept/local_socket.h"

namespace forekey {

// Of one server. The order is New(), Install(), BuildAndStart(), Start(), Stop(), the server's
// Shutdown(). Known() and open() are safe from any thread.
class AcceptLoop {
 public:
  // See LocalSocket::Listen. `most`: connections at once; fewer where the process may not have that
  // many descriptors.
  static absl::StatusOr<std::unique_ptr<AcceptLoop>> New(const std::string& address, mode_t mode,
                                                         size_t most);
  ~AcceptLoop();

  int port() const { return socket_->port(); }
  // Without TLS. A connection that begins no HTTP/2 within 5 s is closed.
  void Install(grpc::ServerBuilder& builder);
  void Start();
  // Nobody is accepted from here on; what is open stays.
  void Stop();

  // `peer`: as ServerContext::peer() says it, of a call that showed that it may be made.
  void Known(absl::string_view peer);
  size_t open() const;

 private:
  struct Open {
    uint32_t serial;   // tells it from others that had the same descriptor
    std::string peer;  // of a port
    uid_t uid;         // of a unix socket
    std::optional<std::list<int>::iterator> stranger;
  };

  explicit AcceptLoop(std::unique_ptr<LocalSocket> socket) : socket_(std::move(socket)) {}
  void Run();
  // False: the process, or the system, has no descriptor left.
  bool AcceptSome();
  bool Take(int fd);
  // False: the kernel has no room for it now.
  bool Watch(int fd, uint32_t events, uint32_t serial = 0);
  bool HasRoomFor(uid_t uid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool SendOldestStrangerAway() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoStranger(Open& open) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Forget(int watched) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::unique_ptr<LocalSocket> socket_;
  size_t most_ = 0;
  size_t most_of_one_ = 0;  // user, at a unix socket
  int poll_ = -1;
  int wake_ = -1;
  uint32_t last_serial_ = 0;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  mutable absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // By the descriptor that sees its end.
  absl::flat_hash_map<int, Open> open_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uid_t, size_t> open_of_ ABSL_GUARDED_BY(mutex_);  // at a unix socket
  std::list<int> strangers_ ABSL_GUARDED_BY(mutex_);                    // the oldest first
  absl::flat_hash_map<std::string, int> strangers_by_peer_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_RPC_ACCEPT_ACCEPT_LOOP_H_

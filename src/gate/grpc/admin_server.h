// SPDX-License-Identifier: Apache-2.0
// forekey.v1.Admin on <state.directory>/admin.sock: a gRPC server of its own, for the gate's own
// user and root. The socket has mode 0600 in a folder of mode 0700, and each connection's peer is
// asked of the kernel (SO_PEERCRED) before gRPC sees a byte of it.
#ifndef FOREKEY_SRC_GATE_GRPC_ADMIN_SERVER_H_
#define FOREKEY_SRC_GATE_GRPC_ADMIN_SERVER_H_

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "src/gate/admin/administration.h"
#include "src/gate/call/refusals.h"

namespace forekey {

struct AdminServerOptions {
  std::string socket_path;
  uid_t allowed_uid = 0;  // besides root; the gate's own
};

class AdminServer {
 public:
  // Both must outlive this. A socket file that was left behind is replaced. Errors: a path too
  // long for a socket (107 bytes), a folder that can't be written.
  static absl::StatusOr<std::unique_ptr<AdminServer>> New(Administration* admin, Refusals* refusals,
                                                          const AdminServerOptions& options);
  ~AdminServer();

 private:
  // A gRPC server a uid, so that a service knows who asks without believing anything that was sent.
  struct ServerOfUid;

  AdminServer(Administration* admin, Refusals* refusals, AdminServerOptions options);
  absl::Status Listen();
  void Accept();
  void Admit(int fd);
  ServerOfUid* ServerOf(uid_t uid);

  Administration* const admin_;
  Refusals* const refusals_;
  const AdminServerOptions options_;
  int listener_ = -1;
  int stop_event_ = -1;
  std::map<uid_t, std::unique_ptr<ServerOfUid>> servers_;  // of thread_ alone
  std::thread thread_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_ADMIN_SERVER_H_

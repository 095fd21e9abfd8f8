// SPDX-License-Identifier: Apache-2.0
// `forekey proxy`: a local endpoint without TLS, for gRPC clients in any language that know nothing
// of Forekey. What comes in goes to the gate over a channel of the client library's
// (forekey/client.h), which proves each call, binds it to the certificate of the connection that it
// runs on, opens sessions, and has people asked for touches within the call.
//
// Whoever can reach the endpoint calls as the user. So a unix socket is made with mode 0600 in a
// folder that nobody else may write; on a loopback port, which every user of the machine can reach,
// each call must carry a token that only this user can read. On a port, strangers may make
// connections: they give way to others, and never end the listening (AcceptLoop).
#ifndef FOREKEY_SRC_CLI_CLIENT_LOCAL_PROXY_H_
#define FOREKEY_SRC_CLI_CLIENT_LOCAL_PROXY_H_

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/base/secret.h"
#include "src/rpc/accept/accept_loop.h"

namespace forekey {

inline constexpr char kProxyTokenKey[] = "forekey-proxy-token";

// Safe from any thread.
class LocalProxy : public grpc::CallbackGenericService {
 public:
  struct Options {
    std::string listen;      // "unix:/path", "127.0.0.1:port" or "[::1]:port"; port 0: any
    std::string token_file;  // of a port: made with mode 0600; each start has another token
    int max_message = 64 << 20;
  };
  // `to` should take messages of Options::max_message. Errors: not a local address; others may
  // write the socket's folder; somebody listens there already.
  static absl::StatusOr<std::unique_ptr<LocalProxy>> Start(std::shared_ptr<grpc::Channel> to,
                                                           const Options& options);
  ~LocalProxy() override;

  // What clients connect to: "unix:/path", "127.0.0.1:41234".
  const std::string& address() const { return address_; }

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  explicit LocalProxy(std::shared_ptr<grpc::Channel> to, const Options& options)
      : to_(std::move(to)), options_(options) {}
  absl::Status Listen();
  bool HasToken(const grpc::ServerContextBase& context) const;

  const std::shared_ptr<grpc::Channel> to_;
  const Options options_;
  std::string address_;
  bool wants_token_ = true;  // of a port
  Secret token_;
  bool token_written_ = false;
  std::unique_ptr<AcceptLoop> accepts_;
  std::unique_ptr<grpc::Server> server_;
};

// Serves until SIGINT or SIGTERM. Must be called before any other thread exists: it blocks those.
struct ProxyArguments {
  std::string gate;
  std::string agent_socket;
  LocalProxy::Options proxy;
};
absl::Status RunLocalProxy(const ProxyArguments& arguments, bool json, std::ostream& out);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_CLIENT_LOCAL_PROXY_H_

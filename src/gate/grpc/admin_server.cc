// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/admin_server.h"

#include <errno.h>
#include <grpcpp/grpcpp.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "forekey/v1/admin.grpc.pb.h"
#include "src/base/status.h"
#include "src/rpc/call_deadline.h"
#include "src/rpc/status.h"

namespace forekey {
namespace {

constexpr int kPauseMillis = 100;

absl::Status Errno(absl::string_view call, const std::string& path) {
  const int error = errno;
  return absl::ErrnoToStatus(error, absl::StrCat(call, " ", path));
}

template <typename Response>
grpc::Status Answer(absl::StatusOr<Response> result, Response* response) {
  if (!result.ok()) return ToGrpc(result.status());
  *response = *std::move(result);
  return grpc::Status::OK;
}

class AdminService : public v1::Admin::Service {
 public:
  AdminService(Administration* admin, std::string actor)
      : admin_(admin), actor_(std::move(actor)) {}

  grpc::Status GetGateStatus(grpc::ServerContext*, const v1::GetGateStatusRequest* request,
                             v1::GetGateStatusResponse* response) override {
    return Answer(admin_->GetGateStatus(*request), response);
  }
  grpc::Status CreateInvite(grpc::ServerContext*, const v1::CreateInviteRequest* request,
                            v1::CreateInviteResponse* response) override {
    return Answer(admin_->CreateInvite(*request, actor_), response);
  }
  grpc::Status ListInvites(grpc::ServerContext*, const v1::ListInvitesRequest* request,
                           v1::ListInvitesResponse* response) override {
    return Answer(admin_->ListInvites(*request), response);
  }
  grpc::Status CancelInvite(grpc::ServerContext*, const v1::CancelInviteRequest* request,
                            v1::CancelInviteResponse* response) override {
    return Answer(admin_->CancelInvite(*request, actor_), response);
  }
  grpc::Status ListSubjects(grpc::ServerContext*, const v1::ListSubjectsRequest* request,
                            v1::ListSubjectsResponse* response) override {
    return Answer(admin_->ListSubjects(*request), response);
  }
  grpc::Status SetSubject(grpc::ServerContext*, const v1::SetSubjectRequest* request,
                          v1::SetSubjectResponse* response) override {
    return Answer(admin_->SetSubject(*request, actor_), response);
  }
  grpc::Status SetPassword(grpc::ServerContext*, const v1::SetPasswordRequest* request,
                           v1::SetPasswordResponse* response) override {
    return Answer(admin_->SetPassword(*request, actor_), response);
  }
  grpc::Status SetOidcIdentity(grpc::ServerContext*, const v1::SetOidcIdentityRequest* request,
                               v1::SetOidcIdentityResponse* response) override {
    return Answer(admin_->SetOidcIdentity(*request, actor_), response);
  }
  grpc::Status ListIdentityProviders(grpc::ServerContext*,
                                     const v1::ListIdentityProvidersRequest* request,
                                     v1::ListIdentityProvidersResponse* response) override {
    return Answer(admin_->ListIdentityProviders(*request, actor_), response);
  }
  grpc::Status ListCredentials(grpc::ServerContext*, const v1::ListCredentialsRequest* request,
                               v1::ListCredentialsResponse* response) override {
    return Answer(admin_->ListCredentials(*request), response);
  }
  grpc::Status RevokeCredential(grpc::ServerContext*, const v1::RevokeCredentialRequest* request,
                                v1::RevokeCredentialResponse* response) override {
    return Answer(admin_->RevokeCredential(*request, actor_), response);
  }
  grpc::Status RecheckCredentials(grpc::ServerContext*,
                                  const v1::RecheckCredentialsRequest* request,
                                  v1::RecheckCredentialsResponse* response) override {
    return Answer(admin_->RecheckCredentials(*request, actor_), response);
  }
  grpc::Status RotateIdentity(grpc::ServerContext*, const v1::RotateIdentityRequest* request,
                              v1::RotateIdentityResponse* response) override {
    return Answer(admin_->RotateIdentity(*request, actor_), response);
  }
  grpc::Status BackUp(grpc::ServerContext*, const v1::BackUpRequest* request,
                      v1::BackUpResponse* response) override {
    return Answer(admin_->BackUp(*request, actor_), response);
  }

 private:
  Administration* const admin_;
  const std::string actor_;
};

}  // namespace

struct AdminServer::ServerOfUid {
  ServerOfUid(Administration* admin, uid_t uid)
      : service(std::make_unique<AdminService>(admin, absl::StrCat("uid ", uid))) {
    grpc::ServerBuilder builder;
    builder.RegisterService(service.get());
    builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
    builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
    acceptor = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        grpc::InsecureServerCredentials());
    server = builder.BuildAndStart();
  }
  ~ServerOfUid() {
    if (server != nullptr) server->Shutdown(CallDeadline(absl::ZeroDuration()));
  }
  const std::unique_ptr<v1::Admin::Service> service;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor;
  std::unique_ptr<grpc::Server> server;
};

AdminServer::AdminServer(Administration* admin, Refusals* refusals, AdminServerOptions options)
    : admin_(admin), refusals_(refusals), options_(std::move(options)) {}

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::New(Administration* admin,
                                                              Refusals* refusals,
                                                              const AdminServerOptions& options) {
  std::unique_ptr<AdminServer> server(new AdminServer(admin, refusals, options));
  FOREKEY_RETURN_IF_ERROR(server->Listen());
  server->thread_ = std::thread([raw = server.get()] { raw->Accept(); });
  return server;
}

absl::Status AdminServer::Listen() {
  const std::string& path = options_.socket_path;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the admin socket's path is longer than the ", sizeof(address.sun_path) - 1,
        " bytes that a socket's may have: ", path, ": choose a shorter state directory"));
  }
  memcpy(address.sun_path, path.data(), path.size());
  stop_event_ = eventfd(0, EFD_CLOEXEC);
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (stop_event_ < 0 || listener_ < 0) return Errno("make the socket", path);
  // One gate holds the state folder's lock, so a socket that is there was left behind.
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return Errno("remove the old socket", path);
  // The mode of the socket file is that of the descriptor: there is no moment in which others
  // could.
  if (fchmod(listener_, 0600) != 0 ||
      bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return Errno("bind", path);
  }
  if (chmod(path.c_str(), 0600) != 0) return Errno("chmod", path);
  if (listen(listener_, 16) != 0) return Errno("listen", path);
  return absl::OkStatus();
}

AdminServer::~AdminServer() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    while (write(stop_event_, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    thread_.join();
    unlink(options_.socket_path.c_str());
  }
  if (listener_ >= 0) close(listener_);
  if (stop_event_ >= 0) close(stop_event_);
}

void AdminServer::Accept() {
  for (;;) {
    pollfd waiting[2] = {{listener_, POLLIN, 0}, {stop_event_, POLLIN, 0}};
    if (poll(waiting, 2, -1) < 0 && errno != EINTR) return;
    if (waiting[1].revents != 0) return;
    // Non-blocking, as gRPC wants its sockets: a blocking one would hang a poller.
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      Admit(fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // The connection stays in the backlog; without a pause this would spin.
      poll(&waiting[1], 1, kPauseMillis);
    }
  }
}

void AdminServer::Admit(int fd) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  ServerOfUid* server = nullptr;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
      (peer.uid == options_.allowed_uid || peer.uid == 0)) {
    server = ServerOf(peer.uid);
  } else {
    // The answer to the peer is a closed connection; the audit log has who it was.
    refusals_
        ->Tell(absl::PermissionDeniedError(absl::StrCat("uid ", peer.uid,
                                                        " may not administrate this gate (uid ",
                                                        options_.allowed_uid, " may)")),
               "admin", absl::StrCat("admin socket, uid ", peer.uid))
        .IgnoreError();
  }
  if (server == nullptr || server->server == nullptr) {
    close(fd);
    return;
  }
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
  connection.listener_fd = listener_;
  connection.fd = fd;
  server->acceptor->HandleNewConnection(&connection);
}

AdminServer::ServerOfUid* AdminServer::ServerOf(uid_t uid) {
  auto& server = servers_[uid];
  if (server == nullptr) server = std::make_unique<ServerOfUid>(admin_, uid);
  return server.get();
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// Administration over the unix socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "examples/echo_services.h"
#include "forekey/v1/admin.grpc.pb.h"
#include "src/base/reason.h"
#include "src/gate/grpc/admin_server.h"
#include "src/wire/invite.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

std::unique_ptr<v1::Admin::Stub> StubOf(const GatedWorld& world) {
  return v1::Admin::NewStub(grpc::CreateChannel("unix:" + world.config().state.AdminSocketPath(),
                                                grpc::InsecureChannelCredentials()));
}

TEST(AdminTest, TheSocketIsTheOwnersAlone) {
  GatedWorld world;
  world.Start([](grpc::ServerBuilder&) {});
  struct stat info = {};
  ASSERT_EQ(stat(world.config().state.AdminSocketPath().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_TRUE(S_ISSOCK(info.st_mode));
}

// A peer of another uid is closed before gRPC sees a byte.
TEST(AdminTest, AnotherUidIsClosed) {
  GatedWorld world;
  // Root is always taken: where the tests run as root, a child of another uid asks.
  const uid_t owner = 54321;
  const uid_t other = 12345;
  auto server =
      Must(AdminServer::New(&world.core().admin(), &world.core().refusals(),
                            {.socket_path = world.directory() + "/t", .allowed_uid = owner}),
           "server");
  ASSERT_EQ(chmod((world.directory() + "/t").c_str(), 0777), 0);
  ASSERT_EQ(chmod(world.directory().c_str(), 0755), 0);
  const pid_t child = fork();
  if (child == 0) {
    if (geteuid() == 0 && setuid(other) != 0) _exit(3);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, (world.directory() + "/t").c_str(),
                 sizeof(address.sun_path) - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) _exit(4);
    char byte;
    // HTTP/2 servers speak first (SETTINGS): a closed connection says nothing.
    _exit(read(fd, &byte, 1) == 0 ? 0 : 5);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  bool audited = false;
  for (const Decision& decision : world.audit().decisions()) {
    audited |= decision.detail.find("may not administrate") != std::string::npos;
  }
  EXPECT_TRUE(audited);
}

TEST(AdminTest, InvitesNameTheGate) {
  GatedWorld world;
  world.Start([](grpc::ServerBuilder&) {});
  grpc::ClientContext context;
  v1::CreateInviteRequest request;
  v1::CreateInviteResponse response;
  request.set_subject("alice");
  grpc::Status status = StubOf(world)->CreateInvite(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  Invite invite = Must(Invite::Parse(response.invite()), "invite");
  EXPECT_EQ(invite.audience, world.gate().audience());
  EXPECT_EQ(invite.identity_fingerprint, world.core().identities().current()->fingerprint());
}

// "An answer means that the running gate has it": the very next call is refused.
TEST(AdminTest, RevocationTakesEffectAtTheNextCall) {
  example::SyncEcho echo;
  GatedWorld world;
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  auto session = Must(alice.OpenSession(), "open");
  const std::string method = MethodOf(Kind::kUnary);
  ASSERT_TRUE(Call(alice.channel(), {.prefixes = {session->Prefix(method)}}).status.ok());
  grpc::ClientContext context;
  v1::RevokeCredentialRequest request;
  v1::RevokeCredentialResponse response;
  request.set_credential_id(alice.credential_id());
  request.set_note("lost");
  ASSERT_TRUE(StubOf(world)->RevokeCredential(&context, request, &response).ok());
  EXPECT_EQ(response.revoked(), 1u);
  EXPECT_EQ(response.sessions_ended(), 1u);
  EchoResult by_session = Call(alice.channel(), {.prefixes = {session->Prefix(method)}});
  EXPECT_THAT(world.AuditOf(by_session.status).reason, Reason::kCredentialRevoked);
  EchoResult by_device =
      Call(alice.channel(), {.prefixes = {Must(alice.DevicePrefix(method), "prefix")}});
  EXPECT_EQ(world.AuditOf(by_device.status).reason, Reason::kCredentialRevoked);
  EXPECT_EQ(by_device.status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST(AdminTest, FailuresAreExactForAdministrators) {
  GatedWorld world;
  world.Start([](grpc::ServerBuilder&) {});
  grpc::ClientContext context;
  v1::RevokeCredentialRequest request;
  v1::RevokeCredentialResponse response;
  request.set_credential_id(std::string(32, 'x'));
  grpc::Status status = StubOf(world)->RevokeCredential(&context, request, &response);
  EXPECT_THAT(status.error_message(), ::testing::HasSubstr("credential-unknown"));
}

TEST(AdminTest, APathThatIsTooLongForASocketSaysSo) {
  GatedWorld world;
  auto server = AdminServer::New(&world.core().admin(), &world.core().refusals(),
                                 {.socket_path = world.directory() + "/" + std::string(120, 'x')});
  EXPECT_THAT(std::string(server.status().message()),
              ::testing::HasSubstr("shorter state directory"));
}

}  // namespace
}  // namespace forekey::testing

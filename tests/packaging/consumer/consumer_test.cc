// SPDX-License-Identifier: Apache-2.0
// A unit test of a handler, without a server.
#include <forekey/testing.h>
#include <grpcpp/grpcpp.h>

int main() {
  grpc::ServerContext context;
  if (forekey::Caller(&context).ok()) return 1;
  forekey::testing::ScopedCaller caller(&context, {.subject = "alice", .roles = {"manager"}});
  return forekey::Caller(&context)->HasRole("manager") ? 0 : 1;
}

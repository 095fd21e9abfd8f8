// SPDX-License-Identifier: Apache-2.0
// For unit tests of handlers, which ask forekey::Caller(): a context that a test makes by itself
// has a caller for as long as a ScopedCaller lives. Link forekey::testing, in tests alone.
//
//   grpc::ServerContext context;                        // or CallbackServerContext
//   forekey::testing::ScopedCaller caller(&context, {.subject = "alice", .roles = {"manager"}});
//   EXPECT_TRUE(service.Delete(&context, &request, &response).ok());
//
// It knows contexts alone that no call stands behind. The caller of a call that came through gRPC
// is whoever the gate verified, in whatever program this is linked: for tests with a server and a
// gate there is forekey-sim, whose tokens enrol and sign like real ones.
#ifndef FOREKEY_TESTING_H_
#define FOREKEY_TESTING_H_

#include "forekey/caller.h"

namespace forekey::testing {

// Safe from any thread. Contexts have one caller at a time: one that has a ScopedCaller already, or
// a call behind it, ends the program with a message.
class ScopedCaller {
 public:
  // `context` must outlive this. Roles are sorted, as the gate's are; nothing else is added.
  ScopedCaller(const grpc::ServerContextBase* context, CallerInfo caller);
  ~ScopedCaller();
  ScopedCaller(const ScopedCaller&) = delete;
  ScopedCaller& operator=(const ScopedCaller&) = delete;

 private:
  const grpc::ServerContextBase* const context_;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTING_H_

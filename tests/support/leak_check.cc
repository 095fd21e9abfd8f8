// SPDX-License-Identifier: Apache-2.0
// Linked into every gtest program of an AddressSanitizer build. Leaks are counted when the tests
// are over, not when the process ends. By then OpenSSL has put itself away: it deletes the key
// under which each thread keeps its error state (904 bytes), and a thread of gRPC's that ends
// later leaves that state behind, which is no leak of ours.
#include <gtest/gtest.h>
#include <sanitizer/lsan_interface.h>

// Null in programs that have no gRPC.
extern "C" {
[[gnu::weak]] void grpc_init(void);
[[gnu::weak]] void grpc_shutdown_blocking(void);
}

namespace {

class LeakCheck : public ::testing::Environment {
 public:
  void TearDown() override {
    if (grpc_init != nullptr && grpc_shutdown_blocking != nullptr) {
      // Without the last reference gRPC ends its threads later, in a thread of its own.
      grpc_init();
      grpc_shutdown_blocking();
    }
    __lsan_do_leak_check();
  }
};

[[maybe_unused]] const ::testing::Environment* const kLeakCheck =
    ::testing::AddGlobalTestEnvironment(new LeakCheck);

}  // namespace

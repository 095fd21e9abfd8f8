// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/server_context.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "forekey/testing.h"
#include "src/gate/grpc/caller_info.h"
#include "src/gate/grpc/caller_of_no_call.h"

namespace forekey::testing {
namespace {

class Callers {
 public:
  static Callers& OfProcess() {
    static Callers* const callers = [] {
      auto* made = new Callers;
      SetCallerOfNoCall(
          [](const grpc::ServerContextBase* context) { return OfProcess().Find(context); });
      return made;
    }();
    return *callers;
  }

  bool Add(const grpc::ServerContextBase* context, CallerInfo caller) {
    absl::MutexLock lock(&mutex_);
    return callers_.emplace(context, std::make_shared<const CallerInfo>(std::move(caller))).second;
  }
  void Remove(const grpc::ServerContextBase* context) {
    absl::MutexLock lock(&mutex_);
    callers_.erase(context);
  }
  absl::StatusOr<VerifiedCaller> Find(const grpc::ServerContextBase* context) const {
    absl::MutexLock lock(&mutex_);
    const auto found = callers_.find(context);
    if (found == callers_.end()) {
      return absl::UnauthenticatedError("no caller: this context has no ScopedCaller");
    }
    return CallerMaker::Of(found->second);
  }

 private:
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<const grpc::ServerContextBase*, std::shared_ptr<const CallerInfo>> callers_
      ABSL_GUARDED_BY(mutex_);
};

[[noreturn]] void End(const char* why) {
  std::fprintf(stderr, "forekey::testing::ScopedCaller: %s\n", why);
  std::abort();
}

}  // namespace

ScopedCaller::ScopedCaller(const grpc::ServerContextBase* context, CallerInfo caller)
    : context_(context) {
  if (context == nullptr) End("no context");
  if (const_cast<grpc::ServerContextBase*>(context)->c_call() != nullptr) {
    End("a call stands behind this context: its caller is the gate's to say");
  }
  std::sort(caller.roles.begin(), caller.roles.end());
  if (!Callers::OfProcess().Add(context, std::move(caller))) {
    End("this context has a caller already");
  }
}

ScopedCaller::~ScopedCaller() { Callers::OfProcess().Remove(context_); }

}  // namespace forekey::testing

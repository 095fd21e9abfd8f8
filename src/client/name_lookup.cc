// SPDX-License-Identifier: Apache-2.0
#include "src/client/name_lookup.h"

#include <atomic>
#include <memory>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace forekey {
namespace {

constexpr int kMostLeft = 4;
// Lookups whose callers have gone: their threads are the process's, as the name service is.
std::atomic<int> lookups_left{0};

struct Lookup {
  absl::Mutex mutex;
  bool done ABSL_GUARDED_BY(mutex) = false;
  bool left ABSL_GUARDED_BY(mutex) = false;
  int error ABSL_GUARDED_BY(mutex) = 0;
  Addresses found ABSL_GUARDED_BY(mutex);
};

absl::Status TooSlow(const std::string& host) {
  return absl::DeadlineExceededError(
      absl::StrCat("the name service has not answered in time for ", host));
}

void Resolve(Lookup& lookup, const std::string& host, const std::string& port,
             const Resolver& resolver) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = resolver(host.c_str(), port.c_str(), &hints, &found);
  absl::MutexLock lock(&lookup.mutex);
  lookup.error = error;
  lookup.found.reset(found);
  lookup.done = true;
  if (lookup.left) --lookups_left;
}

}  // namespace

absl::StatusOr<Addresses> LookUpName(const std::string& host, const std::string& port,
                                     const Deadline& deadline, Resolver resolver) {
  if (lookups_left >= kMostLeft) return TooSlow(host);
  auto lookup = std::make_shared<Lookup>();
  std::thread([lookup, host, port, resolver = std::move(resolver)] {
    Resolve(*lookup, host, port, resolver);
  }).detach();
  absl::MutexLock lock(&lookup->mutex);
  if (!AwaitUntil(lookup->mutex, absl::Condition(&lookup->done), deadline)) {
    lookup->left = true;
    ++lookups_left;
    return TooSlow(host);
  }
  if (lookup->error != 0) return absl::NotFoundError(gai_strerror(lookup->error));
  return std::move(lookup->found);
}

}  // namespace forekey

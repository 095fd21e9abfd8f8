// SPDX-License-Identifier: Apache-2.0
#include "src/client/notice_watcher.h"

#include <utility>

#include "absl/time/time.h"

namespace forekey {
namespace {

// Before an agent that has ended is asked again.
constexpr absl::Duration kPause = absl::Seconds(1);

}  // namespace

NoticeWatcher::NoticeWatcher(const std::shared_ptr<grpc::Channel>& agent, std::string gate,
                             std::function<void(const std::string& text)> tell)
    : stub_(v1::Agent::NewStub(agent)), gate_(std::move(gate)), tell_(std::move(tell)) {
  thread_ = std::thread([this] { Run(); });
}

NoticeWatcher::~NoticeWatcher() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  ended_.Ring();
  thread_.join();
}

void NoticeWatcher::Run() {
  for (;;) {
    WatchOnce();
    if (ended_.Await(kPause)) return;
  }
}

void NoticeWatcher::WatchOnce() {
  grpc::ClientContext context;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return;
    context_ = &context;
  }
  auto reader = stub_->WatchNotices(&context, v1::WatchNoticesRequest());
  for (v1::Notice notice; reader->Read(&notice);) {
    if (notice.gate() == gate_) tell_(notice.text());
  }
  (void)reader->Finish();
  absl::MutexLock lock(&mutex_);
  context_ = nullptr;
}

}  // namespace forekey

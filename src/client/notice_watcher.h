// SPDX-License-Identifier: Apache-2.0
// Hands on what the agent has to tell a person ("touch Security Key to open a session") for as long
// as a channel lives.
#ifndef FOREKEY_SRC_CLIENT_NOTICE_WATCHER_H_
#define FOREKEY_SRC_CLIENT_NOTICE_WATCHER_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "forekey/v1/agent.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "src/base/deadline.h"

namespace forekey {

class NoticeWatcher {
 public:
  // `tell` is called from one thread of this object's, with notices of that gate. An agent that
  // ends is asked again when there is another one.
  NoticeWatcher(const std::shared_ptr<grpc::Channel>& agent, std::string gate,
                std::function<void(const std::string& text)> tell);
  // Returns when `tell` has returned.
  ~NoticeWatcher();

 private:
  void Run();
  void WatchOnce();

  const std::unique_ptr<v1::Agent::Stub> stub_;
  const std::string gate_;
  const std::function<void(const std::string& text)> tell_;
  Bell ended_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::thread thread_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_NOTICE_WATCHER_H_

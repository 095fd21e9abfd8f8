// SPDX-License-Identifier: Apache-2.0
// forekey-test-caller AGENT_SOCKET: an application whose calls of the echo service its standard
// input asks for, a line each, as many at once as it is told:
//   say ID MILLIS      a unary call with that text and deadline
//   open ID MILLIS     a stream
//   write ID TEXT      a message on it
//   close ID           no more of them
// What becomes of them are lines of JSON on standard output: {"id","event":"answer"|"end",...}.
// It ends with its input.
#include <forekey/client.h>

#include <cstdint>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "echo.grpc.pb.h"
#include "nlohmann/json.hpp"
#include "src/rpc/call_deadline.h"

namespace {

using forekey::example::Echo;
using forekey::example::EchoRequest;
using forekey::example::EchoResponse;

void Print(const nlohmann::json& line) {
  static std::mutex* const mutex = new std::mutex;
  const std::string text =
      line.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace) + "\n";
  std::lock_guard<std::mutex> lock(*mutex);
  std::cout << text << std::flush;
}

void PrintEnd(const std::string& id, const grpc::Status& status) {
  Print({{"id", id},
         {"event", "end"},
         {"code", static_cast<int>(status.error_code())},
         {"message", status.error_message()}});
}

// How many calls are under way: each has threads of its own, which outlive their stream here.
class Pending {
 public:
  void Begin() {
    absl::MutexLock lock(&mutex_);
    ++calls_;
  }
  void End() {
    absl::MutexLock lock(&mutex_);
    --calls_;
  }
  void AwaitNone() {
    absl::MutexLock lock(&mutex_);
    const auto none = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return calls_ == 0; };
    mutex_.Await(absl::Condition(&none));
  }

 private:
  absl::Mutex mutex_;
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;
};

void Say(Echo::Stub* echo, const std::string& id, int64_t millis) {
  grpc::ClientContext context;
  context.set_deadline(forekey::CallDeadline(absl::Milliseconds(millis)));
  EchoRequest request;
  EchoResponse response;
  request.set_text(id);
  const grpc::Status status = echo->Say(&context, request, &response);
  if (status.ok()) Print({{"id", id}, {"event", "answer"}, {"text", response.text()}});
  PrintEnd(id, status);
}

// One stream: a thread writes what it is told, another reads until the end.
class Stream {
 public:
  void Write(const std::string& text) {
    absl::MutexLock lock(&mutex_);
    texts_.push_back(text);
  }
  void Close() {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }
  void Run(Echo::Stub* echo, const std::string& id, int64_t millis) {
    grpc::ClientContext context;
    context.set_deadline(forekey::CallDeadline(absl::Milliseconds(millis)));
    auto stream = echo->Chat(&context);
    std::thread writer([&] {
      for (EchoRequest request; Next(&request);) {
        if (!stream->Write(request)) return;
      }
      stream->WritesDone();
    });
    for (EchoResponse response; stream->Read(&response);) {
      Print({{"id", id}, {"event", "answer"}, {"text", response.text()}});
    }
    Close();
    writer.join();
    PrintEnd(id, stream->Finish());
  }

 private:
  bool Next(EchoRequest* request) {
    absl::MutexLock lock(&mutex_);
    const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return closed_ || !texts_.empty();
    };
    mutex_.Await(absl::Condition(&ready));
    if (texts_.empty()) return false;
    request->set_text(texts_.front());
    texts_.pop_front();
    return true;
  }

  absl::Mutex mutex_;
  std::deque<std::string> texts_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

class Caller {
 public:
  explicit Caller(std::unique_ptr<Echo::Stub> echo) : echo_(std::move(echo)) {}

  // False where it is not understood.
  bool Do(const std::string& line) {
    std::istringstream words(line);
    std::string verb, id, text;
    int64_t millis = 0;
    words >> verb >> id;
    if (verb == "say" && words >> millis) {
      Start([this, id, millis] { Say(echo_.get(), id, millis); });
    } else if (verb == "open" && words >> millis) {
      auto stream = streams_[id] = std::make_shared<Stream>();
      Start([this, stream, id, millis] { stream->Run(echo_.get(), id, millis); });
    } else if (verb == "write" && words >> text && streams_.count(id) != 0) {
      streams_[id]->Write(text);
    } else if (verb == "close" && streams_.count(id) != 0) {
      streams_[id]->Close();
      streams_.erase(id);
    } else {
      return false;
    }
    return true;
  }
  void Finish() {
    for (const auto& [id, stream] : streams_) stream->Close();
    pending_.AwaitNone();
  }

 private:
  template <typename Call>
  void Start(Call call) {
    pending_.Begin();
    std::thread([this, call] {
      call();
      pending_.End();
    }).detach();
  }

  const std::unique_ptr<Echo::Stub> echo_;
  Pending pending_;
  std::map<std::string, std::shared_ptr<Stream>> streams_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "usage: forekey-test-caller AGENT_SOCKET\n", 2;
  forekey::ChannelOptions options;
  options.agent_socket = argv[1];
  options.arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  options.arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);  // a connection's time, too
  options.arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = forekey::Channel(options);
  if (!channel.ok()) return std::cerr << channel.status().message() << "\n", 2;
  Caller caller(Echo::NewStub(*channel));
  Print({{"event", "ready"}});
  for (std::string line; std::getline(std::cin, line);) {
    if (!caller.Do(line)) std::cerr << "not understood: " << line << std::endl;
  }
  caller.Finish();
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// A page over HTTP/1 on a loopback address: what Prometheus asks for. One thread serves all, and
// never waits for one: a request that is sent by halves, or an answer that is not read, holds up
// nobody. Each connection has some seconds and one request; of too many, the oldest goes.
#ifndef FOREKEY_SRC_GATE_GRPC_METRICS_PAGE_SERVER_H_
#define FOREKEY_SRC_GATE_GRPC_METRICS_PAGE_SERVER_H_

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/base/boot_time.h"

namespace forekey {

// What a request that begins with these bytes gets: 0 where they are not a whole one yet, 200 for
// "GET /metrics", else 400, 404, 405 or 431 (longer than 8 KiB).
int JudgePageRequest(absl::string_view bytes);

class MetricsPageServer {
 public:
  struct Options {
    size_t connections = 64;
    absl::Duration patience = absl::Seconds(10);
    // So long nobody is accepted after descriptors ran out: what waits would only be found again.
    absl::Duration pause = absl::Milliseconds(250);
  };

  // `address`: numeric host:port, "[::1]:9464". `page` gives the text, on the server's thread.
  // Errors: the system's, with the address.
  static absl::StatusOr<std::unique_ptr<MetricsPageServer>> New(const std::string& address,
                                                                std::function<std::string()> page,
                                                                Options options);
  ~MetricsPageServer();
  int port() const { return port_; }
  // How often it looked for something to do.
  uint64_t looks() const { return looks_.load(std::memory_order_relaxed); }

 private:
  struct Peer {
    int fd;
    BootTime until;
    std::string request;
    std::string answer;  // not empty: the rest of it is to be sent
  };

  MetricsPageServer(std::function<std::string()> page, Options options);
  void Run();
  // False: the system has no room for another one now.
  bool Accept();
  // False: it is done with.
  bool Serve(Peer& peer);
  bool Receive(Peer& peer);

  const std::function<std::string()> page_;
  const Options options_;
  int listener_ = -1;
  int wake_ = -1;
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> looks_{0};
  std::list<Peer> peers_;  // the oldest first; of thread_ alone
  std::thread thread_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_METRICS_PAGE_SERVER_H_

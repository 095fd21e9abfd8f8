// SPDX-License-Identifier: Apache-2.0
// A small HTTP/1.1 server (RFC 9110, RFC 9112) for programs of this machine: requests without a
// body, answers of some KiB, connections that are kept.
//
// What is bounded: a request line with its headers has kMaxRequestBytes and kMaxHeaders; it must
// have come within `patience` of its first byte, and an answer be taken within the same. A
// connection that asks nothing for `idle` is closed, and one that was never `known`
// after `idle_stranger`. Beyond `connections` a new one takes the place of the oldest that was
// never known; where all are, it is closed at once. A request that announces a body is refused and
// its connection closed, so that nothing of a body is ever taken for a next request. One thread
// serves all, and never waits for one: an answer may come later, from another thread.
#ifndef FOREKEY_SRC_GATE_FRONT_HTTP_SERVER_H_
#define FOREKEY_SRC_GATE_FRONT_HTTP_SERVER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace forekey {

inline constexpr size_t kMaxRequestBytes = 32 * 1024;
inline constexpr size_t kMaxHeaders = 200;

struct HttpRequest {
  std::string method;
  std::string target;
  // As they came, one after the other; names in lower case.
  std::vector<std::pair<std::string, std::string>> headers;

  // The values of all headers of that name.
  std::vector<absl::string_view> All(absl::string_view name) const;
  // The only one; nullopt where there is none or more than one.
  std::optional<absl::string_view> One(absl::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

// Of a whole request's bytes: what the server would hand over. InvalidArgument: it would not, and
// answers an error. For tests and fuzzing; the server reads with the same parser.
absl::StatusOr<HttpRequest> ParseHttpRequest(absl::string_view bytes);

class HttpServer {
 public:
  struct Options {
    std::string
        address;  // numeric "host:port", or "unix:/path": mode 0660, so that a group may ask
    size_t connections = 256;
    absl::Duration patience = absl::Seconds(10);
    absl::Duration idle = absl::Minutes(2);
    absl::Duration idle_stranger = absl::Seconds(5);
  };
  // Called once a request, by any thread, and even after the server is gone: then nobody is told.
  using Told = std::function<void(HttpResponse)>;
  // Called on the server's thread, and must not block. True: who asks has shown that it may, so
  // that its connection is one to keep from now on.
  using Handler = std::function<bool(const HttpRequest&, Told told)>;

  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const Options& options, Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int port() const;     // 0 for a unix socket
  size_t open() const;  // connections, now

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_FRONT_HTTP_SERVER_H_

// SPDX-License-Identifier: Apache-2.0
#include "src/gate/front/http_server.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <list>
#include <optional>
#include <set>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/synchronization/mutex.h"
#include "src/base/status.h"
#include "src/rpc/accept/local_socket.h"

namespace forekey {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using Stream = beast::basic_stream<asio::generic::stream_protocol>;
using Parser = http::request_parser<http::empty_body>;
using Response = http::response<http::string_body>;

constexpr int kAcceptsAtOnce = 32;
constexpr absl::Duration kPause = absl::Milliseconds(250);  // where descriptors ran out

std::chrono::milliseconds Chrono(absl::Duration time) { return absl::ToChronoMilliseconds(time); }

void Bound(Parser& parser) {
  parser.header_limit(kMaxRequestBytes);
  parser.body_limit(0);
}

// Of a header that is whole. The status: what the peer is answered.
absl::StatusOr<HttpRequest> Take(Parser& parser, int* status) {
  *status = 400;
  const auto& message = parser.get();
  const auto length = parser.content_length();
  if (parser.chunked() || (length.has_value() && *length != 0) ||
      message.count(http::field::transfer_encoding) != 0 ||
      message.count(http::field::upgrade) != 0) {
    *status = 413;
    return absl::InvalidArgumentError("requests have no body here");
  }
  HttpRequest request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  for (const auto& field : message) {
    if (request.headers.size() == kMaxHeaders) {
      *status = 431;
      return absl::InvalidArgumentError("too many headers");
    }
    request.headers.emplace_back(absl::AsciiStrToLower(absl::string_view(
                                     field.name_string().data(), field.name_string().size())),
                                 std::string(field.value()));
  }
  return request;
}

class Session;

// The way back to the server's thread for answers that come later, for as long as it runs.
struct WayBack {
  absl::Mutex mutex;
  asio::io_context* context ABSL_GUARDED_BY(mutex) = nullptr;

  template <typename Work>
  void Post(Work work) {
    absl::MutexLock lock(&mutex);
    if (context != nullptr) asio::post(*context, std::move(work));
  }
};

// The connections that are open, those of nobody known in the order in which they came, and those
// whose request waits for its answer. Of one thread, but for the number.
struct Connections {
  std::atomic<size_t> open{0};
  std::list<Session*> strangers;
  std::set<std::shared_ptr<Session>> asking;
  const std::shared_ptr<WayBack> way_back = std::make_shared<WayBack>();
};

// One connection: a request, its answer, the next request.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Stream stream, const HttpServer::Options& options, const HttpServer::Handler& handler,
          Connections& all)
      : stream_(std::move(stream)),
        options_(options),
        handler_(handler),
        all_(all),
        stranger_(all.strangers.insert(all.strangers.end(), this)) {
    all_.open.fetch_add(1);
  }
  ~Session() { Leave(); }

  // Its place is free at once; what it waits for fails.
  void SendAway() {
    Leave();
    stream_.close();
  }

  // Waits for a first byte for as long as connections may idle, and then for the rest of the
  // header.
  void Next() {
    if (buffer_.size() != 0) return Read();
    stream_.expires_after(
        Chrono(stranger_ ? std::min(options_.idle, options_.idle_stranger) : options_.idle));
    stream_.async_read_some(buffer_.prepare(4096),
                            [self = shared_from_this()](error_code error, size_t bytes) {
                              if (error) return;
                              self->buffer_.commit(bytes);
                              self->Read();
                            });
  }

 private:
  void BecomeKnown() {
    if (stranger_) all_.strangers.erase(*stranger_);
    stranger_.reset();
  }
  void Leave() {
    if (std::exchange(gone_, true)) return;
    BecomeKnown();
    all_.open.fetch_sub(1);
  }

  void Read() {
    parser_.emplace();
    Bound(*parser_);
    stream_.expires_after(Chrono(options_.patience));
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](error_code error, size_t) { self->Serve(error); });
  }

  void Serve(error_code error) {
    if (gone_) return;
    int status = 0;
    if (error == http::error::header_limit) {
      status = 431;
    } else if (error == http::error::body_limit) {
      status = 413;
    } else if (error &&
               error.category() == http::make_error_code(http::error::bad_target).category() &&
               error != http::error::end_of_stream && error != http::error::partial_message) {
      status = 400;
    } else if (error) {
      return;  // gone, or too slow: nobody to tell
    }
    if (status == 0) {
      const auto request = Take(*parser_, &status);
      if (request.ok()) return Ask(*request);
    }
    Answer(status, HttpResponse(), /*keep=*/false);
  }

  void Ask(const HttpRequest& request) {
    const bool keep = parser_->get().keep_alive();
    all_.asking.insert(shared_from_this());
    // Whoever has the answer keeps nothing of this alive.
    auto told = [way_back = all_.way_back, waiting = weak_from_this(),
                 keep](HttpResponse response) {
      way_back->Post([waiting, keep, response = std::move(response)] {
        if (const auto session = waiting.lock()) session->Answered(response, keep);
      });
    };
    if (handler_(request, std::move(told)) && !gone_) BecomeKnown();
  }
  void Answered(const HttpResponse& response, bool keep) {
    all_.asking.erase(shared_from_this());
    if (!gone_) Answer(response.status, response, keep);
  }

  void Answer(int status, const HttpResponse& from, bool keep) {
    response_ = Response(static_cast<http::status>(status), 11);
    response_.set(http::field::content_type, from.content_type);
    response_.set(http::field::cache_control, "no-store");
    for (const auto& [name, value] : from.headers) response_.insert(name, value);
    response_.body() = from.body;
    response_.keep_alive(keep);
    // A status that has no body (RFC 9110, section 15.3.5) has no length either.
    if (status == 204) {
      response_.body().clear();
      response_.content_length(boost::none);
    } else {
      response_.prepare_payload();
    }
    stream_.expires_after(Chrono(options_.patience));
    http::async_write(stream_, response_,
                      [self = shared_from_this(), keep](error_code error, size_t) {
                        if (!error && keep) return self->Next();
                        error_code ignored;
                        self->stream_.socket().shutdown(asio::socket_base::shutdown_both, ignored);
                      });
  }

  Stream stream_;
  const HttpServer::Options& options_;
  const HttpServer::Handler& handler_;
  Connections& all_;
  std::optional<std::list<Session*>::iterator> stranger_;
  bool gone_ = false;
  beast::flat_buffer buffer_{kMaxRequestBytes};
  std::optional<Parser> parser_;
  Response response_;
};

}  // namespace

std::vector<absl::string_view> HttpRequest::All(absl::string_view name) const {
  std::vector<absl::string_view> values;
  for (const auto& [key, value] : headers) {
    if (key == name) values.push_back(value);
  }
  return values;
}

std::optional<absl::string_view> HttpRequest::One(absl::string_view name) const {
  const std::vector<absl::string_view> values = All(name);
  if (values.size() != 1) return std::nullopt;
  return values[0];
}

absl::StatusOr<HttpRequest> ParseHttpRequest(absl::string_view bytes) {
  Parser parser;
  Bound(parser);
  error_code error;
  size_t used = 0;
  while (!parser.is_header_done() && used < bytes.size()) {
    const size_t taken =
        parser.put(asio::const_buffer(bytes.data() + used, bytes.size() - used), error);
    used += taken;
    if (error) return absl::InvalidArgumentError(error.message());
    if (taken == 0) break;
  }
  if (!parser.is_header_done()) return absl::InvalidArgumentError("half a request");
  int status = 0;
  return Take(parser, &status);
}

class HttpServer::Impl {
 public:
  Impl(const Options& options, Handler handler)
      : options_(options), handler_(std::move(handler)), listener_(context_), pause_(context_) {}
  ~Impl() {
    {
      absl::MutexLock lock(&all_.way_back->mutex);
      all_.way_back->context = nullptr;
    }
    context_.stop();
    if (thread_.joinable()) thread_.join();
    all_.asking.clear();  // their sockets are the context's
  }

  absl::Status Start() {
    FOREKEY_ASSIGN_OR_RETURN(socket_, LocalSocket::Listen(options_.address, 0660));
    listener_.assign(socket_->TakeFd());
    {
      absl::MutexLock lock(&all_.way_back->mutex);
      all_.way_back->context = &context_;
    }
    Accept();
    thread_ = std::thread([this] { context_.run(); });
    return absl::OkStatus();
  }

  int port() const { return socket_->port(); }
  size_t open() const { return all_.open; }

 private:
  void Accept() {
    listener_.async_wait(asio::posix::stream_descriptor::wait_read, [this](error_code error) {
      if (error) return;
      if (TakeSome()) return Accept();
      pause_.expires_after(Chrono(kPause));
      pause_.async_wait([this](error_code) { Accept(); });
    });
  }

  // False: the system has no room for another one now. Some at a time, so that whoever connects
  // again and again holds up nobody who asks.
  bool TakeSome() {
    for (int i = 0; i < kAcceptsAtOnce; ++i) {
      const int fd =
          accept4(listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
      if (fd < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
      if (all_.open >= options_.connections && !all_.strangers.empty()) {
        all_.strangers.front()->SendAway();
      }
      if (all_.open >= options_.connections) {
        close(fd);
        continue;
      }
      asio::generic::stream_protocol::socket socket(context_);
      error_code error;
      socket.assign(asio::generic::stream_protocol(socket_->family(), 0), fd, error);
      if (error) {
        close(fd);
        continue;
      }
      std::make_shared<Session>(Stream(std::move(socket)), options_, handler_, all_)->Next();
    }
    return true;
  }

  const Options options_;
  const Handler handler_;
  Connections all_;  // outlives the sessions, which the context holds
  asio::io_context context_{1};
  asio::posix::stream_descriptor listener_;
  asio::steady_timer pause_;
  std::unique_ptr<LocalSocket> socket_;
  std::thread thread_;
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const Options& options,
                                                              Handler handler) {
  auto impl = std::make_unique<Impl>(options, std::move(handler));
  FOREKEY_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

int HttpServer::port() const { return impl_->port(); }
size_t HttpServer::open() const { return impl_->open(); }

}  // namespace forekey

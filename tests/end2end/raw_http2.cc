// SPDX-License-Identifier: Apache-2.0
#include "tests/end2end/raw_http2.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/bytes.h"

namespace forekey::testing {
namespace {

constexpr size_t kFrameHeader = 9;
constexpr size_t kMostPayload = 16384;
constexpr absl::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

void AppendLength(std::string& out, size_t length) {
  if (length < 127) {
    out.push_back(static_cast<char>(length));
    return;
  }
  out.push_back(127);
  for (length -= 127; length >= 128; length >>= 7) {
    out.push_back(static_cast<char>(0x80 | (length & 0x7f)));
  }
  out.push_back(static_cast<char>(length));
}

}  // namespace

RawHttp2::RawHttp2(int port, const std::string& source)
    : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), context_(SSL_CTX_new(TLS_method())) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  sockaddr_in from = {}, to = {};
  from.sin_family = to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  const timeval patience = {60, 0};
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  if (inet_pton(AF_INET, source.c_str(), &from.sin_addr) != 1 ||
      bind(fd_, reinterpret_cast<sockaddr*>(&from), sizeof(from)) != 0 ||
      connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0) {
    return;
  }
  static constexpr unsigned char kH2[] = {2, 'h', '2'};
  SSL_CTX_set_alpn_protos(context_.get(), kH2, sizeof(kH2));
  ssl_.reset(SSL_new(context_.get()));
  SSL_set_fd(ssl_.get(), fd_);
  if (SSL_connect(ssl_.get()) != 1) return;
  open_ = true;
  Send(kPreface);
  Frame(kSettings, 0, 0, "");
}

RawHttp2::RawHttp2(int connected, Side side) : fd_(connected), open_(connected >= 0) {
  if (side == Side::kClient) {
    Send(kPreface);
  } else {
    preface_ = kPreface.size();
  }
  Frame(kSettings, 0, 0, "");
}

RawHttp2::~RawHttp2() {
  if (fd_ >= 0) close(fd_);
}

bool RawHttp2::Send(absl::string_view bytes) {
  while (open_ && !bytes.empty()) {
    errno = 0;
    const ssize_t sent = ssl_ == nullptr
                             ? send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL)
                             : SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
    if (sent <= 0) {
      Lose();
      break;
    }
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return open_;
}

void RawHttp2::Lose() {
  was_reset_ = open_ && errno == ECONNRESET;
  open_ = false;
}

std::string RawHttp2::FrameBytes(uint8_t type, uint8_t flags, uint32_t stream,
                                 absl::string_view payload) {
  ByteWriter writer;
  writer.U8(static_cast<uint8_t>(payload.size() >> 16))
      .U16(static_cast<uint16_t>(payload.size()))
      .U8(type)
      .U8(flags)
      .U32(stream)
      .Raw(payload);
  return writer.bytes();
}

bool RawHttp2::Frame(uint8_t type, uint8_t flags, uint32_t stream, absl::string_view payload) {
  return Send(FrameBytes(type, flags, stream, payload));
}

bool RawHttp2::Headers(uint32_t stream, absl::string_view path, const Fields& more) {
  return Frame(kHeaders, kEndHeaders, stream, CallFields(path, more));
}

bool RawHttp2::Reset(uint32_t stream) {
  return Frame(kReset, 0, stream, ByteWriter().U32(8).bytes());  // CANCEL
}

bool RawHttp2::Data(uint32_t stream, absl::string_view bytes, bool last) {
  absl::Time until = absl::Now() + patience_;
  do {
    const int64_t own = initial_window_ + windows_[stream];
    const int64_t room = std::min({window_, own, static_cast<int64_t>(kMostPayload)});
    if (room <= 0 && !bytes.empty()) {
      if (!Read(100) || ended_[stream] || absl::Now() > until) return false;
      continue;
    }
    until = absl::Now() + patience_;
    const absl::string_view now = bytes.substr(0, static_cast<size_t>(std::max<int64_t>(room, 0)));
    bytes.remove_prefix(now.size());
    window_ -= static_cast<int64_t>(now.size());
    windows_[stream] -= static_cast<int64_t>(now.size());
    if (!Frame(kData, last && bytes.empty() ? kEndStream : 0, stream, now)) return false;
  } while (!bytes.empty());
  return open_;
}

bool RawHttp2::Read(int wait_millis) {
  if (!open_) return false;
  if (ssl_ == nullptr || SSL_pending(ssl_.get()) == 0) {
    pollfd waiting = {fd_, POLLIN, 0};
    if (poll(&waiting, 1, wait_millis) <= 0) return open_;
  }
  char buffer[16384];
  errno = 0;
  const ssize_t got = ssl_ == nullptr ? recv(fd_, buffer, sizeof(buffer), 0)
                                      : SSL_read(ssl_.get(), buffer, sizeof(buffer));
  if (got <= 0) {
    Lose();
    return false;
  }
  received_.append(buffer, static_cast<size_t>(got));
  size_t at = std::min(preface_, received_.size());
  preface_ -= at;
  while (received_.size() - at >= kFrameHeader) {
    ByteReader header(absl::string_view(received_).substr(at, kFrameHeader));
    const uint8_t high = header.U8();
    const size_t length = (size_t{high} << 16) | header.U16();
    if (received_.size() - at - kFrameHeader < length) break;
    const uint8_t type = header.U8(), flags = header.U8();
    const uint32_t stream = header.U32();
    Take(type, flags, stream, absl::string_view(received_).substr(at + kFrameHeader, length));
    at += kFrameHeader + length;
  }
  received_.erase(0, at);
  return open_;
}

void RawHttp2::Take(uint8_t type, uint8_t flags, uint32_t stream, absl::string_view payload) {
  ByteReader reader(payload);
  switch (type) {
    case kSettings:
      if ((flags & kAck) != 0) return;
      while (reader.remaining() >= 6) {
        const uint16_t id = reader.U16();
        const uint32_t value = reader.U32();
        if (id == 4) initial_window_ = value;
      }
      Frame(kSettings, kAck, 0, "");
      return;
    case kPing:
      if ((flags & kAck) == 0 && answers_pings_) Frame(kPing, kAck, 0, payload);
      return;
    case kGoAway:
      going_away_ = true;
      return;
    case kWindowUpdate:
      (stream == 0 ? window_ : windows_[stream]) += reader.U32();
      return;
    case kReset:
      ended_[stream] = true;
      return;
    case kHeaders:
      began_[stream] = true;
      [[fallthrough]];
    case kData:
      if ((flags & kEndStream) != 0) ended_[stream] = true;
      return;
    default:
      return;
  }
}

bool RawHttp2::WaitForEnd() {
  const absl::Time until = absl::Now() + patience_;
  while (open_ && absl::Now() < until) Read(1000);
  return !open_;
}

bool RawHttp2::WaitForGoAway() {
  const absl::Time until = absl::Now() + patience_;
  while (open_ && !going_away_ && absl::Now() < until) Read(1000);
  return going_away_;
}

bool RawHttp2::WaitForStreamEnd(uint32_t stream) {
  const absl::Time until = absl::Now() + patience_;
  while (open_ && !ended_[stream] && absl::Now() < until) Read(1000);
  return ended_[stream];
}

bool RawHttp2::WaitForHeaders(uint32_t stream) {
  const absl::Time until = absl::Now() + patience_;
  while (open_ && !began_[stream] && absl::Now() < until) Read(1000);
  return began_[stream];
}

std::string RawHttp2::MessagePrefix(uint32_t claimed, bool compressed) {
  return ByteWriter().U8(compressed ? 1 : 0).U32(claimed).bytes();
}

std::string RawHttp2::Message(absl::string_view bytes, bool compressed) {
  return absl::StrCat(MessagePrefix(static_cast<uint32_t>(bytes.size()), compressed), bytes);
}

std::string RawHttp2::Field(absl::string_view name, absl::string_view value) {
  std::string out(1, '\0');  // a literal that goes into no table
  AppendLength(out, name.size());
  absl::StrAppend(&out, name);
  AppendLength(out, value.size());
  absl::StrAppend(&out, value);
  return out;
}

std::string RawHttp2::CallFields(absl::string_view path, const Fields& more) {
  std::string out =
      absl::StrCat(Field(":method", "POST"), Field(":scheme", "https"), Field(":path", path),
                   Field(":authority", "localhost"), Field("te", "trailers"),
                   Field("content-type", "application/grpc"));
  for (const auto& [name, value] : more) out += Field(name, value);
  return out;
}

}  // namespace forekey::testing

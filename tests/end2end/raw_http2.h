// SPDX-License-Identifier: Apache-2.0
// A peer that speaks HTTP/2 by hand, as no client library would: what attacks from strangers are
// made of. It knows frames, windows and the least of HPACK; what the other side answers is only
// looked at as far as it takes to go on.
#ifndef FOREKEY_TESTS_END2END_RAW_HTTP2_H_
#define FOREKEY_TESTS_END2END_RAW_HTTP2_H_

#include <openssl/ssl.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/crypto/openssl.h"

namespace forekey::testing {

class RawHttp2 {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;
  enum FrameType : uint8_t {
    kData = 0,
    kHeaders = 1,
    kReset = 3,
    kSettings = 4,
    kPing = 6,
    kGoAway = 7,
    kWindowUpdate = 8,
    kContinuation = 9,
  };
  static constexpr uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4;

  // Connects to 127.0.0.1 from `source`, an address of 127.0.0.0/8; trusts any certificate. Sends
  // the preface and its settings.
  explicit RawHttp2(int port, const std::string& source = "127.0.0.1");
  enum class Side { kClient, kServer };
  // Speaks on a connected socket, without TLS, and closes it in the end.
  RawHttp2(int connected, Side side);
  ~RawHttp2();
  RawHttp2(const RawHttp2&) = delete;
  RawHttp2& operator=(const RawHttp2&) = delete;

  // False from when the connection has failed or ended.
  bool open() const { return open_; }
  // It ended with a reset, and not in order.
  bool was_reset() const { return was_reset_; }
  uint32_t NextStream() { return std::exchange(next_stream_, next_stream_ + 2); }

  // All of these give open().
  bool Frame(uint8_t type, uint8_t flags, uint32_t stream, absl::string_view payload);
  // Frames as FrameBytes() makes them, in one piece.
  bool Send(absl::string_view frames);
  static std::string FrameBytes(uint8_t type, uint8_t flags, uint32_t stream,
                                absl::string_view payload);
  // A gRPC call's headers.
  bool Headers(uint32_t stream, absl::string_view path, const Fields& more = {});
  // Waits for the windows of stream and connection.
  bool Data(uint32_t stream, absl::string_view bytes, bool last);
  bool Reset(uint32_t stream);
  // Takes in what came; waits for at most so long for something to come.
  bool Read(int wait_millis);

  // How long the waits below, and those for windows, last at most.
  void set_patience(absl::Duration patience) { patience_ = patience; }
  bool WaitForEnd();
  // For a client: until the server said that it ends.
  bool WaitForGoAway();
  // Answers no PING from now on: a server that ends waits for that before it takes no more calls.
  void IgnorePings() { answers_pings_ = false; }
  bool WaitForStreamEnd(uint32_t stream);
  // For a server: until the other side's headers came.
  bool WaitForHeaders(uint32_t stream);

  // gRPC's length-prefixed message. `claimed`: the length that it says, where that is not its own.
  static std::string Message(absl::string_view bytes, bool compressed = false);
  static std::string MessagePrefix(uint32_t claimed, bool compressed = false);
  // One header field.
  static std::string Field(absl::string_view name, absl::string_view value);
  static std::string CallFields(absl::string_view path, const Fields& more = {});

 private:
  void Lose();
  void Take(uint8_t type, uint8_t flags, uint32_t stream, absl::string_view payload);

  int fd_ = -1;
  std::unique_ptr<SSL_CTX, OpenSslFree<SSL_CTX_free>> context_;
  std::unique_ptr<SSL, OpenSslFree<SSL_free>> ssl_;
  bool open_ = false;
  bool was_reset_ = false;
  bool going_away_ = false;
  bool answers_pings_ = true;
  absl::Duration patience_ = absl::Minutes(1);
  uint32_t next_stream_ = 1;
  std::string received_;
  int64_t window_ = 65535;
  int64_t initial_window_ = 65535;
  std::map<uint32_t, int64_t> windows_;  // beside initial_window_
  std::map<uint32_t, bool> ended_;
  std::map<uint32_t, bool> began_;
  size_t preface_ = 0;  // bytes of it that are still to come
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_END2END_RAW_HTTP2_H_

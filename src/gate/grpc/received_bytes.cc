// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/received_bytes.h"

#include <errno.h>
#include <linux/tcp.h>  // glibc's own tcp_info ends before tcpi_bytes_received
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace forekey {
namespace {

constexpr uint64_t kBytesPerSecond = 1024;

// The receiving end of a connection over `family`'s loopback address, on which one byte came.
absl::StatusOr<uint64_t> CountOfOneByte(int family) {
  const int type = SOCK_STREAM | SOCK_CLOEXEC;
  const int listener = socket(family, type, 0), sender = socket(family, type, 0);
  int receiver = -1;
  absl::Cleanup close_all = [&] {
    for (int fd : {listener, sender, receiver}) {
      if (fd >= 0) close(fd);
    }
  };
  sockaddr_in6 v6 = {};
  v6.sin6_family = AF_INET6;
  v6.sin6_addr = IN6ADDR_LOOPBACK_INIT;
  sockaddr_in v4 = {};
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr* const address =
      family == AF_INET ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
  socklen_t size = family == AF_INET ? sizeof(v4) : sizeof(v6);
  char byte = 0;
  if (listener < 0 || sender < 0 || bind(listener, address, size) != 0 ||
      listen(listener, 1) != 0 || getsockname(listener, address, &size) != 0 ||
      connect(sender, address, size) != 0 ||
      (receiver = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)) < 0 ||
      send(sender, &byte, 1, MSG_NOSIGNAL) != 1 || recv(receiver, &byte, 1, 0) != 1) {
    return absl::ErrnoToStatus(errno, "connect to the loopback interface");
  }
  return BytesReceivedOn(receiver);
}

}  // namespace

absl::StatusOr<uint64_t> BytesReceivedOn(int fd) {
  tcp_info info = {};
  socklen_t size = sizeof(info);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) {
    return absl::ErrnoToStatus(errno, "getsockopt(TCP_INFO)");
  }
  if (size < offsetof(tcp_info, tcpi_bytes_received) + sizeof(info.tcpi_bytes_received)) {
    return absl::UnimplementedError("TCP_INFO has no count of received bytes");
  }
  return info.tcpi_bytes_received;
}

absl::Status CheckBytesAreCounted() {
  absl::StatusOr<uint64_t> counted = CountOfOneByte(AF_INET);
  if (!counted.ok()) counted = CountOfOneByte(AF_INET6);
  if (counted.ok() && *counted >= 1) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "tried to read how much a TCP socket received (TCP_INFO), by a connection over the loopback "
      "interface: ",
      counted.ok() ? "the count stays 0" : counted.status().message(),
      ". The gate bounds by it what strangers make it keep, and does not run without: run it where "
      "the loopback interface is up, on Linux 4.18 or later, outside of sandboxes that have a "
      "network of their own"));
}

Allowance JudgeBytes(const absl::StatusOr<uint64_t>& received, absl::Duration age,
                     size_t stranger_bytes) {
  if (!received.ok()) return Allowance::kExceeded;
  const uint64_t seconds = static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Seconds(age)));
  const uint64_t grown = kBytesPerSecond * seconds;
  if (*received > stranger_bytes + grown) return Allowance::kExceeded;
  return *received > stranger_bytes + std::min<uint64_t>(grown, stranger_bytes)
             ? Allowance::kOld
             : Allowance::kWithin;
}

}  // namespace forekey

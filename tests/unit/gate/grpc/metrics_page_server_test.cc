// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/metrics_page_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"

namespace forekey {
namespace {

TEST(MetricsPageServerTest, WaitsWithoutSpinningWhereDescriptorsRanOut) {
  MetricsPageServer::Options options;
  options.pause = absl::Milliseconds(200);
  auto server = MetricsPageServer::New(
      "127.0.0.1:0", [] { return "numbers"; }, options);
  ASSERT_TRUE(server.ok()) << server.status();
  const int scraper = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(scraper, 0);
  absl::Cleanup close_scraper = [scraper] { close(scraper); };

  // Its loop has gone round: UBSan's first look at the type of what it uses takes a descriptor.
  while ((*server)->looks() == 0) std::this_thread::yield();

  // Every number below the first free one is taken: there is no room for another descriptor.
  const int first_free = fcntl(scraper, F_DUPFD_CLOEXEC, 0);
  ASSERT_GE(first_free, 0);
  close(first_free);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit full = before;
  full.rlim_cur = static_cast<rlim_t>(first_free);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &full), 0);
  absl::Cleanup restore = [&before] { setrlimit(RLIMIT_NOFILE, &before); };

  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>((*server)->port()));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(connect(scraper, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
  ASSERT_EQ(send(scraper, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  // The scraper is there all the time; that must not be what wakes the server each time.
  const uint64_t first = (*server)->looks();
  const absl::Time begun = absl::Now();
  while ((*server)->looks() < first + 10) std::this_thread::yield();
  EXPECT_GE(absl::Now() - begun, options.pause);

  std::move(restore).Invoke();
  std::string answer;
  char buffer[512];
  for (ssize_t got; (got = recv(scraper, buffer, sizeof(buffer), 0)) > 0;) {
    answer.append(buffer, static_cast<size_t>(got));
  }
  EXPECT_THAT(answer, ::testing::EndsWith("\r\n\r\nnumbers")) << "served as soon as there is room";
}

}  // namespace
}  // namespace forekey

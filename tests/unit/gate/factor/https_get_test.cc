// SPDX-License-Identifier: Apache-2.0
// What the gate takes from a provider's server, and what it does not.
#include "src/https/https_get.h"

#include <csignal>

#include "absl/synchronization/notification.h"
#include "tests/support/https_server.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;

class HttpsGetTest : public ::testing::Test {
 protected:
  HttpsGetTest() { signal(SIGPIPE, SIG_IGN); }
  absl::StatusOr<HttpsAnswer> Get(const HttpsServer& server, HttpsGetOptions options = {}) {
    if (options.url.empty()) options.url = server.Url();
    if (options.ca_file.empty()) {
      options.ca_file = folder_.File("ca.pem");
      WriteText(options.ca_file, server.ca_pem());
    }
    return HttpsGet(options, stop_);
  }
  static HttpsServer::Handler Always(std::string answer) {
    return [answer](const std::string&, const HttpsServer::Send& send) { send(answer); };
  }
  static std::string Why(const absl::StatusOr<HttpsAnswer>& got) {
    EXPECT_EQ(got.status().code(), absl::StatusCode::kUnavailable);
    return std::string(got.status().message());
  }
  TempFolder folder_;
  std::atomic<bool> stop_{false};
};

TEST_F(HttpsGetTest, TakesTheBodyOfAnAnswer200) {
  std::string asked;
  HttpsServer server([&](const std::string& request, const HttpsServer::Send& send) {
    asked = request;
    send(HttpAnswer("200 OK", "{\"keys\":[]}"));
  });
  const auto got = Get(server);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->body, "{\"keys\":[]}");
  EXPECT_EQ(got->max_age, std::nullopt);
  EXPECT_THAT(asked, HasSubstr("GET /jwks HTTP/1.1\r\n"));
}

TEST_F(HttpsGetTest, TellsHowLongTheAnswerMayBeKept) {
  HttpsServer server(Always(HttpAnswer("200 OK", "x",
                                       "Cache-Control: public, Max-Age=300\r\n"
                                       "cache-control: must-revalidate, max-age=120\r\n")));
  const auto got = Get(server);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->max_age, absl::Minutes(2)) << "the shorter, of all of them";
  EXPECT_EQ(MaxAgeOf(""), std::nullopt);
  EXPECT_EQ(MaxAgeOf("public, s-maxage=7, immutable"), std::nullopt);
  EXPECT_EQ(MaxAgeOf(" max-age=0 "), absl::ZeroDuration());
  EXPECT_EQ(MaxAgeOf("max-age=60, No-Store"), absl::ZeroDuration());
  EXPECT_EQ(MaxAgeOf("no-cache"), absl::ZeroDuration());
  for (const char* bad :
       {"max-age=", "max-age=-1", "max-age=1e9", "max-age=99999999999", "max-age", "xmax-age=5"}) {
    EXPECT_EQ(MaxAgeOf(bad), std::nullopt) << bad;
  }
}

TEST_F(HttpsGetTest, RefusesOtherStatusesAndFollowsNoRedirect) {
  HttpsServer target(Always(HttpAnswer("200 OK", "stolen")));
  for (const char* status : {"301 Moved", "302 Found", "307 Temporary", "308 Permanent"}) {
    HttpsServer server(
        Always(HttpAnswer(status, "", absl::StrCat("Location: ", target.Url(), "\r\n"))));
    EXPECT_THAT(Why(Get(server)), HasSubstr("redirects are not followed"));
  }
  EXPECT_EQ(target.requests(), 0);
  for (const char* status : {"204 None", "404 Not Found", "500 Broken", "503 Busy"}) {
    HttpsServer server(Always(HttpAnswer(status, "{}")));
    EXPECT_THAT(Why(Get(server)),
                HasSubstr(absl::StrCat("HTTP ", absl::string_view(status).substr(0, 3))));
  }
}

TEST_F(HttpsGetTest, RefusesCertificatesThatAreNotTheNamesOwn) {
  HttpsServer server(Always(HttpAnswer("200 OK", "x")));
  HttpsServer other(Always(HttpAnswer("200 OK", "x")));
  HttpsGetOptions with_other_ca;
  with_other_ca.ca_file = folder_.File("other.pem");
  WriteText(with_other_ca.ca_file, other.ca_pem());
  EXPECT_THAT(Why(Get(server, with_other_ca)), HasSubstr("certificate"));
  HttpsServer elsewhere({.name = "idp.example"}, Always(HttpAnswer("200 OK", "x")));
  EXPECT_THAT(Why(Get(elsewhere)), HasSubstr("name"));
  HttpsServer expired({.not_after = absl::Now() - absl::Hours(1)},
                      Always(HttpAnswer("200 OK", "x")));
  EXPECT_THAT(Why(Get(expired)), HasSubstr("certificate has expired"));
  EXPECT_EQ(server.requests() + elsewhere.requests() + expired.requests(), 0)
      << "nothing was asked of them";
}

TEST_F(HttpsGetTest, RefusesOldTlsAndOtherProtocols) {
  HttpsServer old({.max_tls_version = TLS1_1_VERSION}, Always(HttpAnswer("200 OK", "x")));
  EXPECT_FALSE(Get(old).ok());
  EXPECT_EQ(old.requests(), 0);
  HttpsServer plain({.tls = false}, Always(HttpAnswer("200 OK", "x")));
  EXPECT_THAT(Why(Get(plain)), HasSubstr("rotocol"));
  EXPECT_EQ(plain.requests(), 0);
  HttpsGetOptions file;
  file.url = "file://" + folder_.File("ca.pem");
  EXPECT_THAT(Why(Get(plain, file)), HasSubstr("rotocol"));
}

TEST_F(HttpsGetTest, RefusesHugeAnswersSaidOrUnsaidAndReadsNotOnAndOn) {
  HttpsGetOptions options;
  options.max_size = 10'000;
  HttpsServer said(Always(HttpAnswer("200 OK", std::string(10'001, 'x'))));
  EXPECT_THAT(Why(Get(said, options)), HasSubstr("more than 10000 bytes"));
  HttpsServer fits(Always(HttpAnswer("200 OK", std::string(10'000, 'x'))));
  EXPECT_TRUE(Get(fits, options).ok());
  std::atomic<int> chunks{0};
  HttpsServer endless([&](const std::string&, const HttpsServer::Send& send) {
    if (!send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")) return;
    const std::string chunk = absl::StrCat("1000\r\n", std::string(0x1000, 'x'), "\r\n");
    while (chunks < 100'000 && send(chunk)) ++chunks;
  });
  EXPECT_THAT(Why(Get(endless, options)), HasSubstr("more than 10000 bytes"));
  EXPECT_LT(chunks, 100'000);
  // Headers without end: libcurl's own bound.
  HttpsServer headers([&](const std::string&, const HttpsServer::Send& send) {
    if (!send("HTTP/1.1 200 OK\r\n")) return;
    const std::string header = absl::StrCat("X-Filling: ", std::string(4000, 'x'), "\r\n");
    for (int i = 0; i < 100'000 && send(header); ++i) {
    }
  });
  EXPECT_FALSE(Get(headers, options).ok());
}

TEST_F(HttpsGetTest, GivesUpOnAServerThatTakesTooLong) {
  absl::Notification done;
  HttpsServer silent(
      [&](const std::string&, const HttpsServer::Send&) { done.WaitForNotification(); });
  HttpsGetOptions options;
  options.timeout = absl::Milliseconds(300);
  EXPECT_THAT(Why(Get(silent, options)), HasSubstr("time"));
  done.Notify();
}

TEST_F(HttpsGetTest, EndsWhenItIsToldToStop) {
  absl::Notification asked, done;
  HttpsServer silent([&](const std::string&, const HttpsServer::Send&) {
    asked.Notify();
    done.WaitForNotification();
  });
  std::thread stopper([&] {
    asked.WaitForNotification();
    stop_ = true;
  });
  HttpsGetOptions options;
  options.timeout = absl::Minutes(10);
  EXPECT_THAT(Why(Get(silent, options)), HasSubstr("abort"));
  stopper.join();
  done.Notify();
}

TEST_F(HttpsGetTest, RefusesAnswersThatBreakOff) {
  HttpsServer cut(Always("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"));
  EXPECT_FALSE(Get(cut).ok());
  HttpsServer garbage(Always("\x16\x03\x01 what is this"));
  EXPECT_FALSE(Get(garbage).ok());
  HttpsServer nothing(Always(""));
  EXPECT_FALSE(Get(nothing).ok());
}

}  // namespace
}  // namespace forekey::testing

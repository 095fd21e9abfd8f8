// SPDX-License-Identifier: Apache-2.0
// What fronts may ask, and what becomes of who asks slowly. That real fronts do is
// tests/interop/fronts.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "src/gate/front/authorize.h"
#include "src/gate/front/envoy_check.h"

namespace forekey {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

HttpRequest Request(std::vector<std::pair<std::string, std::string>> headers) {
  HttpRequest request;
  request.method = "GET";
  request.target = "/authorize";
  request.headers = std::move(headers);
  return request;
}

TEST(FrontQuestionTest, TwoValuesOfOneHeaderAreTwoWhetherTheyCameJoinedOrNot) {
  const auto apart = ReadAuthorize(Request({{"x-forekey-path", "/a.B/C"},
                                            {"x-forekey-upstream", "shop"},
                                            {"forekey-prefix-bin", "AA"},
                                            {"forekey-prefix-bin", "AB"}}));
  ASSERT_TRUE(apart.ok());
  EXPECT_THAT(apart->prefixes, ElementsAre("AA", "AB"));
  const auto joined = ReadAuthorize(Request({{"x-forekey-path", "/a.B/C"},
                                             {"x-forekey-upstream", "shop"},
                                             {"forekey-prefix-bin", "AA, AB"}}));
  EXPECT_THAT(joined->prefixes, ElementsAre("AA", "AB"));
  const auto many = ReadAuthorize(Request({{"x-forekey-path", "/a.B/C"},
                                           {"x-forekey-upstream", "shop"},
                                           {"forekey-prefix-bin", std::string(10000, ',')}}));
  EXPECT_EQ(many->prefixes.size(), 2u);
}

TEST(FrontQuestionTest, ATokenIsForAServiceThatHasAName) {
  const auto unnamed = ReadAuthorize(Request({{"x-forekey-path", "/a.B/C"}}));
  EXPECT_THAT(std::string(unnamed.status().message()), HasSubstr("x-forekey-upstream"));
  const auto named =
      ReadAuthorize(Request({{"x-forekey-path", "/a.B/C"}, {"x-forekey-upstream", "shop"}}));
  ASSERT_TRUE(named.ok());
  EXPECT_EQ(named->upstream, "shop");
  EXPECT_EQ(ReadCheck({}).upstream, "");
}

TEST(FrontQuestionTest, WhatCanOnlyBeOnceIsRefusedTwice) {
  for (const char* name : {"x-forekey-path", "x-forekey-peer", "x-forekey-upstream"}) {
    const auto twice =
        ReadAuthorize(Request({{"x-forekey-path", "/a.B/C"}, {name, "/a.B/C"}, {name, "/a.B/C"}}));
    EXPECT_THAT(std::string(twice.status().message()), HasSubstr("more than once")) << name;
  }
  EXPECT_FALSE(ReadAuthorize(Request({})).ok());
}

TEST(FrontQuestionTest, AnAddressIsOneOrNothing) {
  EXPECT_EQ(FrontPeer("192.0.2.1"), "ipv4:192.0.2.1:0");
  EXPECT_EQ(FrontPeer("2001:db8::1"), "ipv6:[2001:db8::1]:0");
  EXPECT_EQ(FrontPeer("192.0.2.1\nforged"), "front");
  // The system's own reader stops at a NUL: nothing behind it may get into the audit log.
  EXPECT_EQ(FrontPeer(absl::string_view("192.0.2.1\0\nforged", 17)), "ipv4:192.0.2.1:0");
  EXPECT_EQ(FrontPeer("2001:DB8:0::1"), "ipv6:[2001:db8::1]:0");
  EXPECT_EQ(FrontPeer(""), "front");
  EXPECT_EQ(GrpcMessage("50%\r\n\xc3\xa4"), "50%25%0D%0A%C3%A4");
}

TEST(FrontQuestionTest, EnvoysTwoWaysOfTellingHeadersAreRead) {
  envoy::service::auth::v3::CheckRequest request;
  auto& http = *request.mutable_attributes()->mutable_request()->mutable_http();
  http.set_path("/a.B/C");
  auto* raw = http.mutable_header_map()->add_headers();
  raw->set_key("Forekey-Prefix-Bin");
  raw->set_raw_value("AA");
  (*http.mutable_headers())["forekey-prefix-bin"] = "AB";
  (*http.mutable_headers())["FOREKEY-ROLES"] = "root";
  EXPECT_THAT(ReadCheck(request).prefixes, ElementsAre("AA", "AB"));
  const auto answer = AnswerCheck(request, FrontAnswer());  // exempt: no caller
  EXPECT_THAT(answer.ok_response().headers_to_remove(),
              UnorderedElementsAre("forekey-prefix-bin", "forekey-roles", "forekey-subject",
                                   "forekey-factors", "forekey-caller"));
  EXPECT_TRUE(answer.ok_response().headers().empty());
}

// Envoy's allowed_headers keeps them from the gate, and not from the service.
TEST(FrontAnswerTest, WhatEnvoySaysNothingOfIsTakenOffToo) {
  FrontAnswer admitted;
  admitted.caller = {{"forekey-subject", "alice"}};
  EXPECT_THAT(AnswerCheck({}, admitted).ok_response().headers_to_remove(),
              UnorderedElementsAre("forekey-prefix-bin", "forekey-roles", "forekey-factors",
                                   "forekey-caller"));
}

TEST(FrontAnswerTest, EnvoysCallersAreToldWhatTheGateSaid) {
  const std::pair<absl::Status, int> kinds[] = {{absl::UnauthenticatedError(""), 401},
                                                {absl::PermissionDeniedError(""), 403},
                                                {absl::ResourceExhaustedError(""), 403},
                                                {absl::UnimplementedError(""), 404},
                                                {absl::UnavailableError(""), 503}};
  for (const auto& [status, code] : kinds) {
    FrontAnswer refused;
    refused.status = status;
    EXPECT_EQ(AnswerCheck({}, refused).denied_response().status().code(), code) << status;
  }
}

TEST(HttpRequestTest, WhatAnnouncesABodyIsNoRequest) {
  EXPECT_TRUE(ParseHttpRequest("GET / HTTP/1.1\r\na: b\r\n\r\n").ok());
  EXPECT_TRUE(ParseHttpRequest("POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n").ok());
  for (const char* head : {"content-length: 1\r\n", "transfer-encoding: chunked\r\n",
                           "transfer-encoding: identity\r\n", "upgrade: h2c\r\n",
                           "content-length: 1\r\ncontent-length: 2\r\n", "content-length: -1\r\n",
                           "a b: c\r\n", "a\x01: c\r\n"}) {
    EXPECT_FALSE(
        ParseHttpRequest(absl::StrCat("POST / HTTP/1.1\r\n", head, "\r\nGET / HTTP/1.1\r\n\r\n"))
            .ok())
        << head;
  }
  std::string many = "GET / HTTP/1.1\r\n";
  for (size_t i = 0; i <= kMaxHeaders; ++i) absl::StrAppend(&many, "a: b\r\n");
  EXPECT_FALSE(ParseHttpRequest(many + "\r\n").ok());
  EXPECT_FALSE(ParseHttpRequest("GET / HTTP/1.1\r\na:" + std::string(kMaxRequestBytes, 'b')).ok());
}

// A client that sends what it is told to, and reads until the server closes.
class Peer {
 public:
  explicit Peer(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) std::abort();
  }
  ~Peer() { close(fd_); }
  void Send(absl::string_view text) { (void)!send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }
  // Until what came holds `text`, or the server closes.
  void Await(const std::string& text) {
    std::string all;
    char buffer[4096];
    for (ssize_t got;
         all.find(text) == std::string::npos && (got = recv(fd_, buffer, sizeof(buffer), 0)) > 0;) {
      all.append(buffer, static_cast<size_t>(got));
    }
  }
  std::string ReadAll() {
    std::string all;
    char buffer[4096];
    for (ssize_t got; (got = recv(fd_, buffer, sizeof(buffer), 0)) > 0;) {
      all.append(buffer, static_cast<size_t>(got));
    }
    return all;
  }

 private:
  const int fd_;
};

// Answers what was asked for; "/known" is of somebody known.
bool Repeat(const HttpRequest& request, const HttpServer::Told& told) {
  HttpResponse response;
  response.body = request.target;
  told(std::move(response));
  return request.target == "/known";
}

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest() {
    folder_ = (std::filesystem::temp_directory_path() / "forekey-XXXXXX").string();
    if (mkdtemp(folder_.data()) == nullptr) std::abort();
    options_.address = "unix:" + path();
    options_.patience = options_.idle = options_.idle_stranger = absl::Hours(1);
  }
  ~HttpServerTest() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }
  std::string path() const { return folder_ + "/front.sock"; }
  void Start(HttpServer::Handler handler = Repeat) {
    server_.reset();
    auto started = HttpServer::Start(options_, std::move(handler));
    if (!started.ok()) std::abort();
    server_ = *std::move(started);
  }

  std::string folder_;
  HttpServer::Options options_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, WhoIsSlowOrIdleHoldsUpNobody) {
  Start();
  EXPECT_FALSE(HttpServer::Start(options_, nullptr).ok()) << "somebody serves there already";
  {
    Peer silent(path()), half(path()), whole(path());
    half.Send("GET /half HTTP/1.1\r\na: ");
    // Two requests at once on one connection, each answered; the third ends it.
    whole.Send(
        "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\nconnection: "
        "close\r\n\r\n");
    const std::string answers = whole.ReadAll();
    EXPECT_THAT(answers, StartsWith("HTTP/1.1 200"));
    for (const char* body : {"/1", "/2", "/3"}) EXPECT_THAT(answers, HasSubstr(body));
  }
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(path()));
}

// Times that are short are only for those who are to be ended: nobody else is in a hurry here.
TEST_F(HttpServerTest, WhoIsSlowOrIdleIsClosed) {
  options_.patience = options_.idle = absl::Milliseconds(100);
  Start();
  Peer silent(path()), half(path());
  half.Send("GET /half HTTP/1.1\r\na: ");
  EXPECT_EQ(half.ReadAll(), "");
  EXPECT_EQ(silent.ReadAll(), "");
}

TEST_F(HttpServerTest, WhereItIsFullTheOldestStrangerGivesWayAndNobodyKnown) {
  options_.connections = 3;
  Start();
  Peer known(path());
  known.Send("GET /known HTTP/1.1\r\n\r\n");
  known.Await("/known");
  Peer silent(path()), half(path());
  half.Send("GET /half HTTP/1.1\r\na: ");
  Peer also_known(path());
  EXPECT_EQ(silent.ReadAll(), "");
  also_known.Send("GET /known HTTP/1.1\r\n\r\n");
  also_known.Await("/known");
  Peer third(path());
  EXPECT_EQ(half.ReadAll(), "");
  third.Send("GET /known HTTP/1.1\r\n\r\n");
  third.Await("/known");
  Peer beyond(path());
  EXPECT_EQ(beyond.ReadAll(), "");
  known.Send("GET /again HTTP/1.1\r\nconnection: close\r\n\r\n");
  EXPECT_THAT(known.ReadAll(), HasSubstr("/again"));
}

TEST_F(HttpServerTest, WhoNeverWasKnownIsNotKeptForLong) {
  Start();
  {
    Peer served(path());
    served.Send("GET /healthz HTTP/1.1\r\n\r\n");
    served.Await("/healthz");
  }
  options_.idle_stranger = absl::Milliseconds(100);
  Start();
  Peer silent(path()), served(path());
  served.Send("GET /healthz HTTP/1.1\r\n\r\n");
  EXPECT_EQ(silent.ReadAll(), "");
  (void)served.ReadAll();  // comes to an end, answered or too slow
}

// Whose answer waits for a registry, say. It is known from when it asks, and keeps its place.
TEST_F(HttpServerTest, AnAnswerThatComesLaterHoldsUpNobodyAndKeepsItsPlace) {
  options_.connections = 2;
  absl::Mutex mutex;
  std::vector<HttpServer::Told> later;
  Start([&](const HttpRequest& request, const HttpServer::Told& told) {
    if (request.target != "/later") return Repeat(request, told);
    absl::MutexLock lock(&mutex);
    later.push_back(told);
    return true;
  });
  Peer waits(path());
  waits.Send("GET /later HTTP/1.1\r\n\r\n");
  const auto one = [&] { return later.size() == 1; };
  {
    absl::MutexLock lock(&mutex);
    mutex.Await(absl::Condition(&one));
  }
  Peer first(path());
  first.Send("GET /first HTTP/1.1\r\n\r\n");
  first.Await("/first");
  Peer second(path());  // in the place of the first, and not of who waits
  EXPECT_EQ(first.ReadAll(), "");
  HttpResponse answer;
  answer.body = "answered";
  later[0](answer);
  waits.Await("answered");
  // On the same connection once more: who is told after the server is gone is told nothing.
  waits.Send("GET /later HTTP/1.1\r\n\r\n");
  const auto two = [&] { return later.size() == 2; };
  {
    absl::MutexLock lock(&mutex);
    mutex.Await(absl::Condition(&two));
  }
  server_.reset();
  later[1](answer);
  EXPECT_EQ(waits.ReadAll(), "");
}

// Envoy's server, with a judge who knows one secret.
class EnvoyServerTest : public ::testing::Test {
 protected:
  EnvoyServerTest() {
    auto started = EnvoyServer::Start(
        "127.0.0.1:0", {[](absl::string_view secret) { return secret == "right"; },
                        [this](const FrontQuestion& question, const FrontJudge::Told& told) {
                          ++asked_;
                          FrontAnswer answer;
                          answer.caller = {{"forekey-subject", question.method}};
                          answers_.Submit([told, answer] { told(answer); });
                        }});
    if (!started.ok()) std::abort();
    server_ = *std::move(started);
    stub_ = std::make_unique<grpc::GenericStub>(grpc::CreateChannel(
        absl::StrCat("127.0.0.1:", server_->port()), grpc::InsecureChannelCredentials()));
  }
  // Of a call that sends `messages` and does not say that they are all.
  grpc::Status Ask(const std::string& secret, const std::string& method,
                   const std::vector<std::string>& messages, std::string* answer = nullptr) {
    grpc::ClientContext context;
    context.AddMetadata("x-forekey-secret", secret);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    grpc::CompletionQueue queue;
    auto stream = stub_->PrepareCall(&context, method, &queue);
    grpc::Status status;
    grpc::ByteBuffer response;
    void* tag = nullptr;
    bool ok = false;
    stream->StartCall(nullptr);
    queue.Next(&tag, &ok);
    for (const std::string& message : messages) {
      const grpc::Slice slice(message);
      if (ok) {
        stream->Write(grpc::ByteBuffer(&slice, 1), nullptr);
        queue.Next(&tag, &ok);
      }
    }
    stream->Read(&response, nullptr);
    queue.Next(&tag, &ok);
    grpc::Slice whole;
    if (ok && answer != nullptr && response.DumpToSingleSlice(&whole).ok()) {
      *answer = std::string(reinterpret_cast<const char*>(whole.begin()), whole.size());
    }
    stream->Finish(&status, nullptr);
    queue.Next(&tag, &ok);
    queue.Shutdown();
    while (queue.Next(&tag, &ok)) {
    }
    return status;
  }

  std::atomic<int> asked_{0};
  std::unique_ptr<EnvoyServer> server_;
  Worker answers_{64};  // from another thread than it was asked on, and gone before the server
  std::unique_ptr<grpc::GenericStub> stub_;
};

TEST(EnvoySocketTest, OneThatSomebodyServesIsNotTaken) {
  std::string folder = (std::filesystem::temp_directory_path() / "forekey-XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string address = "unix:" + folder + "/envoy.sock";
  const EnvoyServer::Judge judge = {[](absl::string_view) { return true; }, nullptr};
  {
    auto first = EnvoyServer::Start(address, judge);
    ASSERT_TRUE(first.ok()) << first.status();
    const auto second = EnvoyServer::Start(address, judge);
    EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
    EXPECT_TRUE(std::filesystem::is_socket(folder + "/envoy.sock"));
  }
  EXPECT_FALSE(std::filesystem::exists(folder + "/envoy.sock"));
  std::filesystem::remove_all(folder);
}

constexpr char kCheckMethod[] = "/envoy.service.auth.v3.Authorization/Check";

TEST_F(EnvoyServerTest, WhoHasNoSecretIsRefusedBeforeItsMessageIsRead) {
  // No message ever comes: a server that waited for it would be waited for, too.
  const grpc::Status status = Ask("guess", kCheckMethod, {});
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << status.error_message();
  EXPECT_EQ(asked_, 0);
}

TEST_F(EnvoyServerTest, AnswersAQuestionAndNothingElse) {
  envoy::service::auth::v3::CheckRequest request;
  request.mutable_attributes()->mutable_request()->mutable_http()->set_path("/a.B/C");
  std::string answer;
  EXPECT_TRUE(Ask("right", kCheckMethod, {request.SerializeAsString()}, &answer).ok());
  envoy::service::auth::v3::CheckResponse response;
  ASSERT_TRUE(response.ParseFromString(answer));
  ASSERT_EQ(response.ok_response().headers_size(), 1);
  EXPECT_EQ(response.ok_response().headers(0).header().value(), "/a.B/C");
  EXPECT_EQ(asked_, 1);
  EXPECT_EQ(Ask("right", kCheckMethod, {"\xff"}).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Ask("right", "/a.B/C", {""}).error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_FALSE(Ask("right", kCheckMethod, {std::string(1 << 20, 'x')}).ok());
  EXPECT_EQ(asked_, 1);
}

}  // namespace
}  // namespace forekey

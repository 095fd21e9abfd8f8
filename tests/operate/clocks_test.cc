// SPDX-License-Identifier: Apache-2.0
// The real programs under clocks that somebody sets, by minutes and by days, back and forth, and
// after a sleep: every loop of the gate, the agent and the client library goes on as before. On a
// loop that waits by the wall clock each step back here would be a pause of ten minutes or of days.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "examples/demo/deployment.h"
#include "src/base/deadline.h"
#include "src/base/file.h"
#include "src/gate/grpc/self_signed.h"
#include "tests/end2end/gated_world.h"
#include "tests/operate/clock/set_clock.h"

namespace forekey::testing {
namespace {

using demo::Deployment;
using demo::Process;

// Generous, and shorter than the smallest step back.
constexpr absl::Duration kPatience = absl::Minutes(5);

bool Eventually(const std::function<bool()>& true_at_last) {
  const Deadline deadline = Deadline::In(kPatience);
  absl::Mutex mutex;
  const bool never = false;
  while (!true_at_last()) {
    if (deadline.Passed()) return false;
    absl::MutexLock lock(&mutex);
    AwaitFor(mutex, absl::Condition(&never), absl::Milliseconds(50));
  }
  return true;
}

// An identity provider that answers nobody: how often it is asked is what matters.
class DeafProvider {
 public:
  DeafProvider() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      for (int fd; (fd = accept(listener_, nullptr, nullptr)) >= 0; close(fd)) ++asked_;
    });
  }
  ~DeafProvider() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  int port() const { return port_; }
  int asked() const { return asked_; }

 private:
  const int listener_;
  int port_ = 0;
  std::atomic<int> asked_{0};
  std::thread thread_;
};

// The certificate that a new connection gets, in DER; empty where there is none.
std::string LeafServed(const std::string& address) {
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  BIO* const bio = BIO_new_ssl_connect(context);
  SSL* ssl = nullptr;
  BIO_get_ssl(bio, &ssl);
  static const unsigned char kH2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl, kH2, sizeof kH2);
  BIO_set_conn_hostname(bio, address.c_str());
  std::string der;
  if (BIO_do_handshake(bio) == 1) {
    X509* const leaf = SSL_get1_peer_certificate(ssl);
    der.resize(static_cast<size_t>(i2d_X509(leaf, nullptr)));
    auto* at = reinterpret_cast<unsigned char*>(der.data());
    i2d_X509(leaf, &at);
    X509_free(leaf);
  }
  BIO_free_all(bio);
  SSL_CTX_free(context);
  return der;
}

class ClocksTest : public ::testing::Test {
 protected:
  ClocksTest() : clock_(folder_.path() + "/clock") {}

  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    world_ = Must(Deployment::Create({.binaries = FOREKEY_BIN,
                                      .server = "forekey-test-counting-server",
                                      .extra_config = absl::StrCat(R"(
[audit]
admitted = "all"
[sessions]
idle = "10s"
absolute = "10s"
[[rule]]
methods = ["/forekey.example.Echo/*"]
any_role = ["reader"]
reauthenticate = true
[[factors.oidc.provider]]
issuer = "https://idp.test"
client_id = "gate-client"
retry = "1s"
jwks_url = "https://localhost:)",
                                                                   provider_.port(), "/jwks\"\n"),
                                      .environment = clock_.environment()}),
                  "deployment");
    Must(world_->StartTpm(), "TPM");
    Must(world_->StartGate(), "gate");
    // Certificates that are good whatever the clocks say here.
    PutCertificate();
    world_->StopGate();
    Must(world_->StartGate(), "gate");
    Must(world_->StartAgent(), "agent");
    const std::string invite = Must(world_->Invite("alice", "reader"), "invite");
    Must(world_->Forekey({"enroll", invite, "--device", world_->tpm_uri()}).status(), "enrolment");
    Must(StartCaller(), "caller");
  }
  absl::Status StartCaller() {
    absl::StatusOr<std::unique_ptr<Process>> started = Process::Start(
        {.arguments = {std::string(FOREKEY_BIN) + "/forekey-test-caller", world_->agent_socket()},
         .environment = clock_.environment(),
         .error_file = "",
         .input = true});
    if (!started.ok()) return started.status();
    caller_ = *std::move(started);
    return caller_->ReadLine().status();  // ready
  }

  // A new one over the gate's own, by a CA that is valid whatever the clock is set to here.
  void PutCertificate() {
    const std::string folder = world_->directory() + "/gate/tls/";
    const absl::Time begin = absl::Now() - absl::Hours(24 * 20);
    if (ca_.key_pem.empty()) {
      ca_ = Must(MakeGateCa("clocks", begin, absl::Hours(24 * 70)), "CA");
      Must(WriteFileAtomically(folder + "ca.pem", ca_.certificate_pem, 0644), "CA");
    }
    const auto made =
        Must(IssueGateCertificate(ca_, {"localhost"}, begin, absl::Hours(24 * 60)), "certificate");
    Must(WriteFileAtomically(folder + "key.pem", made.key_pem, 0600), "key");
    Must(WriteFileAtomically(folder + "certificate.pem", made.certificate_pem, 0600),
         "certificate");
  }

  // How many admitted lines the audit log has with this in them.
  int Lines(const std::string& key, const std::string& value) const {
    int lines = 0;
    for (const nlohmann::json& line : world_->AuditLog()) {
      lines += line.value("admitted", false) && line.value(key, "") == value;
    }
    return lines;
  }
  void ExpectMore(const char* what, const std::function<int()>& count, int more = 1) {
    const int before = count();
    EXPECT_TRUE(Eventually([&] { return count() >= before + more; })) << what;
  }

  void ExpectRulesAreRead() {
    const int before = Lines("method", "ReloadRules");
    std::ofstream(world_->gate_config(), std::ios::app) << "# changed\n";
    EXPECT_TRUE(Eventually([&] { return Lines("method", "ReloadRules") > before; })) << "rules";
  }
  void ExpectTrustIsRead() {
    const int before = Lines("method", "ReloadTrust");
    const std::string vendors = world_->directory() + "/tpm-vendors/";
    const auto other = Must(MakeSelfSignedCertificate({"vendor"}, absl::Now(), absl::Hours(1)), "");
    Must(WriteFileAtomically(absl::StrCat(vendors, "more-", before, ".pem"), other.certificate_pem),
         "trust");
    EXPECT_TRUE(Eventually([&] { return Lines("method", "ReloadTrust") > before; })) << "trust";
  }
  // Served by the watch over the gate's files, accepted in proofs by its maintenance.
  void ExpectCertificateIsServed() {
    const std::string before = LeafServed(world_->address());
    EXPECT_FALSE(before.empty());
    const std::string folder = world_->directory() + "/gate/tls/";
    const std::string key = Must(ReadFile(folder + "key.pem"), "key");
    const std::string certificate = Must(ReadFile(folder + "certificate.pem"), "certificate");
    PutCertificate();
    EXPECT_TRUE(Eventually([&] {
      const std::string now = LeafServed(world_->address());
      return !now.empty() && now != before;
    })) << "the new certificate is not served";
    Must(WriteFileAtomically(folder + "key.pem", key, 0600), "key");
    Must(WriteFileAtomically(folder + "certificate.pem", certificate, 0600), "certificate");
    EXPECT_TRUE(Eventually([&] { return LeafServed(world_->address()) == before; }))
        << "the old certificate is not served again";
  }
  void ExpectEverythingGoesOn() {
    ExpectRulesAreRead();
    ExpectTrustIsRead();
    ExpectMore(
        "fetches of keys", [this] { return provider_.asked(); }, 2);
    ExpectMore("the agent's looks after its session",
               [this] { return Lines("method", "/forekey.v1.Gate/WhoAmI"); });
    ExpectMore("proofs of the live stream",
               [this] { return Lines("method", "/forekey.v1.Gate/ReauthenticateCall"); });
    ExpectCertificateIsServed();
  }

  // The next event that the caller tells of this call.
  nlohmann::json Told(const std::string& id) {
    for (;;) {
      const auto line = caller_->ReadLine(kPatience);
      if (!line.ok()) return {{"error", line.status().ToString()}};
      nlohmann::json told = nlohmann::json::parse(*line);
      if (told.value("id", "") == id) return told;
    }
  }
  void OpenStream() {
    Must(caller_->Write("open stream 3600000\nwrite stream hello\n"), "open");
    ASSERT_EQ(Told("stream").value("event", ""), "answer");
  }
  void ExpectACallIsAnswered(const std::string& id) {
    Must(caller_->Write(absl::StrCat("say ", id, " 120000\n")), "say");
    const nlohmann::json told = Told(id);
    EXPECT_EQ(told.value("event", ""), "answer") << told;
  }

  TempDirectory folder_;
  SetClock clock_;
  DeafProvider provider_;
  SelfSignedCertificate ca_;
  std::unique_ptr<Deployment> world_;
  std::unique_ptr<Process> caller_;
};

TEST_F(ClocksTest, EveryLoopGoesOnWhenTheWallClockIsSetByMinutes) {
  OpenStream();
  for (absl::Duration step : {-absl::Minutes(10), absl::Minutes(10), absl::Minutes(10)}) {
    SCOPED_TRACE(absl::FormatDuration(step));
    clock_.Step(step);
    ExpectEverythingGoesOn();
  }
}

TEST_F(ClocksTest, EveryLoopGoesOnWhenTheWallClockIsSetByDays) {
  OpenStream();
  for (absl::Duration step : {-absl::Hours(72), absl::Hours(144)}) {
    SCOPED_TRACE(absl::FormatDuration(step));
    clock_.Step(step);
    ExpectEverythingGoesOn();
  }
}

TEST_F(ClocksTest, ARevokedStreamEndsThoughTheClockWasSetBack) {
  OpenStream();
  clock_.Step(-absl::Minutes(10));
  Must(world_->ForekeyGate({"revoke", "--subject", "alice"}).status(), "revoke");
  const nlohmann::json told = Told("stream");
  EXPECT_EQ(told.value("event", ""), "end") << told;
  EXPECT_NE(told.value("code", 0), 0) << told;
}

// gRPC's own waits: for a deadline, and between two attempts to connect.
TEST_F(ClocksTest, CallsEndAndConnectionsComeBackThoughTheClockWasSetBackByDays) {
  ExpectACallIsAnswered("before");
  clock_.Step(-absl::Hours(72));
  world_->gate()->Signal(SIGSTOP);
  Must(caller_->Write("say late 3000\n"), "say");
  EXPECT_EQ(Told("late").value("code", 0), 4);  // DEADLINE_EXCEEDED
  world_->gate()->Signal(SIGKILL);
  Must(caller_->Write("say broken 10000\n"), "say");
  EXPECT_NE(Told("broken").value("code", 0), 0);
  world_->StopGate();
  Must(world_->StartGate(), "gate");
  int tries = 0;
  EXPECT_TRUE(Eventually([&] {
    const std::string id = absl::StrCat("again-", ++tries);
    Must(caller_->Write(absl::StrCat("say ", id, " 10000\n")), "say");
    return Told(id).value("event", "") == "answer";
  }));
}

TEST_F(ClocksTest, ASleepEndsWhatIsTooOldAndNothingElse) {
  OpenStream();
  clock_.Sleep(absl::Hours(8));
  const nlohmann::json told = Told("stream");
  EXPECT_EQ(told.value("event", ""), "end") << told;
  EXPECT_EQ(told.value("code", 0), 1) << told;  // CANCELLED: its session was eight hours too old
  ExpectACallIsAnswered("awake");
  ExpectRulesAreRead();
}

}  // namespace
}  // namespace forekey::testing

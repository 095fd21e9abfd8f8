// SPDX-License-Identifier: Apache-2.0
// Where the audit log goes can be full, or not be read by anybody: with fail_closed what needs a
// line is refused, without it the gate goes on and counts; both say so, and afterwards the chain is
// whole.
#include <fcntl.h>
#include <forekey/client.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "examples/demo/deployment.h"
#include "examples/echo_services.h"
#include "src/gate/audit/audit_verify.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gated_world.h"
#include "tests/operate/gate_calm.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kAuditedSay = MethodOf(Kind::kUnary);
constexpr int kMostLines = 2000;  // more than what is full below can take

// A disk of a megabyte, where this process may mount one; else files of this process can't grow.
class SmallDisk {
 public:
  SmallDisk()
      : mounted_(mount("tmpfs", path().c_str(), "tmpfs", MS_NODEV | MS_NOSUID, "size=1m") == 0) {
    std::printf("a full disk is %s\n",
                mounted_ ? "a full tmpfs" : "RLIMIT_FSIZE: no mount is allowed here");
    if (!mounted_) std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &unlimited_);
  }
  ~SmallDisk() {
    MakeRoom();
    if (mounted_) umount2(path().c_str(), MNT_DETACH);
  }
  const std::string& path() const { return folder_.path(); }
  // Until there is no room for another page.
  void Fill(const std::string& file) {
    if (mounted_) {
      const std::string page(4096, 'x');
      const int fd = open((path() + "/filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
      while (write(fd, page.data(), page.size()) > 0) {
      }
      close(fd);
      return;
    }
    rlimit small = unlimited_;
    small.rlim_cur = std::filesystem::file_size(file) + 1000;
    setrlimit(RLIMIT_FSIZE, &small);
  }
  void MakeRoom() {
    if (mounted_)
      unlink((path() + "/filler").c_str());
    else
      setrlimit(RLIMIT_FSIZE, &unlimited_);
  }

 private:
  TempDirectory folder_;
  const bool mounted_;
  rlimit unlimited_ = {};
};

// Whether `fail_closed`.
class AuditSinksTest : public ::testing::TestWithParam<bool> {};

TEST_P(AuditSinksTest, AFullDisk) {
  SmallDisk disk;
  const std::string log = disk.path() + "/audit.jsonl";
  uint64_t failed = 0;
  ::testing::internal::CaptureStderr();
  {
    example::SyncEcho echo;
    GatedWorld::Options options;
    options.audit_file = true;
    options.change = [&](GateConfig& config) {
      config.audit.file = log;
      config.audit.options.fail_closed = GetParam();
    };
    GatedWorld world(options);
    world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
    SoftwareClient alice = world.Enrol("alice", world.NewChannel());
    auto session = Must(alice.OpenSession(), "session");
    const AuditLog& audit = world.core().audit();
    auto say = [&] {
      return Call(alice.channel(), {.prefixes = {session->Prefix(kAuditedSay)}}).status;
    };
    ASSERT_TRUE(say().ok());
    disk.Fill(log);
    for (int i = 0; i < kMostLines && audit.failed_writes() == 0; ++i) {
      const grpc::Status status = say();
      EXPECT_EQ(status.ok(), !GetParam() || audit.failed_writes() == 0) << status.error_message();
    }
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(say().error_code(),
                GetParam() ? grpc::StatusCode::UNAVAILABLE : grpc::StatusCode::OK);
    }
    const size_t sessions = world.core().sessions().size();
    EXPECT_EQ(alice.OpenSession().ok(), !GetParam());
    EXPECT_EQ(world.core().sessions().size(), sessions + (GetParam() ? 0 : 1));
    EXPECT_GE(audit.failed_writes(), 20u);
    disk.MakeRoom();
    EXPECT_TRUE(say().ok()) << "as soon as there is room";
    EXPECT_TRUE(alice.OpenSession().ok());
    failed = audit.failed_writes();
  }
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("the audit log can't be written"));
  const auto verified = VerifyAudit({log}, {});
  ASSERT_TRUE(verified.ok()) << verified.status();
  for (const AuditFinding& finding : verified->findings)
    ADD_FAILURE() << finding.line << ": " << finding.detail;
  EXPECT_EQ(verified->unwritten, failed) << "every line that is not there is told";
}

// ---- A pipe that nobody reads ----

// [audit] file = "stderr", and standard error is a named pipe of a page.
class UnreadPipe {
 public:
  explicit UnreadPipe(bool fail_closed) {
    world_ = Must(demo::Deployment::Create(
                      {.binaries = FOREKEY_BIN,
                       .server = "forekey-test-counting-server",
                       .extra_config = absl::StrCat(
                           "\n[audit]\nfile = \"stderr\"\nadmitted = \"all\"\n"
                           "slow = \"1s\"\nfail_closed = ",
                           fail_closed ? "true" : "false", "\n[connections]\narriving = 8\n")}),
                  "deployment");
    const std::string pipe = world_->directory() + "/gate.log";
    if (mkfifo(pipe.c_str(), 0600) != 0) std::perror("mkfifo"), std::abort();
    fd_ = open(pipe.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    fcntl(fd_, F_SETPIPE_SZ, 16384);
    Must(world_->StartTpm(), "TPM");
    Must(world_->StartGate(), "gate");
    Must(world_->StartAgent(), "agent");
    Must(world_
             ->Forekey({"enroll", Must(world_->Invite("alice", "reader"), "invite"), "--device",
                        world_->tpm_uri()})
             .status(),
         "enrolment");
    channel_ = Must(Channel({.agent_socket = world_->agent_socket()}), "channel");
  }
  ~UnreadPipe() { close(fd_); }
  grpc::Status Say() { return Call(channel_, {}).status; }
  void Read() {
    char buffer[4096];
    for (ssize_t got; (got = read(fd_, buffer, sizeof(buffer))) > 0;)
      text_.append(buffer, static_cast<size_t>(got));
  }
  // The audit lines of what was read, as a file.
  std::string Log() {
    const std::string path = world_->directory() + "/collected";
    std::ofstream file(path);
    for (absl::string_view line : absl::StrSplit(text_, '\n', absl::SkipEmpty())) {
      if (!absl::StartsWith(line, "forekey: ")) file << line << "\n";
    }
    return path;
  }
  demo::Deployment& world() { return *world_; }

 private:
  std::unique_ptr<demo::Deployment> world_;
  int fd_ = -1;
  std::shared_ptr<grpc::Channel> channel_;
  std::string text_;
};

TEST_P(AuditSinksTest, APipeThatNobodyReadsHoldsNobodyUp) {
  UnreadPipe pipe(GetParam());
  ASSERT_TRUE(pipe.Say().ok());
  int refused = 0;
  for (int i = 0; i < 100; ++i) {
    const grpc::Status status = pipe.Say();
    if (!status.ok()) ++refused;
    EXPECT_TRUE(status.ok() || status.error_code() == grpc::StatusCode::UNAVAILABLE)
        << status.error_message();
  }
  EXPECT_EQ(refused > 0, GetParam());
  pipe.Read();
  EXPECT_TRUE(pipe.Say().ok()) << "as soon as it is read";
  pipe.Read();
  const auto verified = VerifyAudit({pipe.Log()}, {});
  ASSERT_TRUE(verified.ok()) << verified.status();
  for (const AuditFinding& finding : verified->findings)
    ADD_FAILURE() << finding.line << ": " << finding.detail;
  EXPECT_GT(verified->unwritten, 0u);
  EXPECT_GE(verified->unwritten, static_cast<uint64_t>(refused))
      << "every line that is not there is told";
}

INSTANTIATE_TEST_SUITE_P(FailClosed, AuditSinksTest, ::testing::Bool());

TEST(AuditHeadsTest, APipeThatNobodyReadsIsCountedAndHoldsNobodyUp) {
  TempDirectory directory;
  const std::string heads = directory.path() + "/heads";
  ASSERT_EQ(mkfifo(heads.c_str(), 0600), 0);
  example::SyncEcho echo;
  GatedWorld::Options options;
  options.audit_file = true;
  options.change = [&](GateConfig& config) {
    config.audit.options.heads_file = heads;
    config.audit.options.heads_interval = absl::Milliseconds(1);
  };
  GatedWorld world(options);
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  EXPECT_TRUE(Eventually([&] { return world.core().audit().failed_writes() > 0; }));
  EXPECT_TRUE(Call(alice.channel(), {.prefixes = {Must(alice.DevicePrefix(kAuditedSay), "prefix")}})
                  .status.ok());
}

}  // namespace
}  // namespace forekey::testing

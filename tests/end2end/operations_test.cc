// SPDX-License-Identifier: Apache-2.0
// What an operator has: metrics, health, backup and restore, an orderly end.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grpcpp/health_check_service_interface.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "examples/demo/process.h"
#include "examples/echo_services.h"
#include "nlohmann/json.hpp"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/cli/gate/gate_commands.h"
#include "src/cli/terminal/time_text.h"
#include "src/store/sqlite_registry.h"
#include "src/wire/invite.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gated_world.h"

extern char** environ;

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kOperatedMethod = MethodOf(Kind::kUnary);

struct OperatorResult {
  int exit_status = -1;
  std::string out, err;
};

OperatorResult Operate(std::vector<std::string> words) {
  OperatorResult result;
  std::ostringstream out, err;
  CLI::App app("", "forekey-gate");
  app.require_subcommand(1);
  AddGateCommands(app, out, err, &result.exit_status);
  std::vector<std::string> reversed(words.rbegin(), words.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    result.exit_status = 2;
    err << error.what();
  }
  result.out = out.str();
  result.err = err.str();
  return result;
}

std::string Scrape(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
  EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  std::string page;
  char buffer[4096];
  for (ssize_t got; (got = read(fd, buffer, sizeof(buffer))) > 0;)
    page.append(buffer, static_cast<size_t>(got));
  close(fd);
  return page;
}

TEST(OperationsTest, MetricsCountDecisionsByReasonAndNameNobody) {
  example::SyncEcho echo;
  GatedWorld::Options options;
  options.change = [](GateConfig& config) { config.metrics.listen = "127.0.0.1:0"; };
  GatedWorld world(options);
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  ASSERT_TRUE(
      Call(alice.channel(), {.prefixes = {Must(alice.DevicePrefix(kOperatedMethod), "prefix")}})
          .status.ok());
  Call(alice.channel(), {.prefixes = {"rubbish"}});
  const std::string page = Scrape(world.gate().metrics_port());
  EXPECT_THAT(page, HasSubstr("forekey_admitted_total 1"));
  EXPECT_THAT(page, HasSubstr("forekey_refused_total{reason=\"prefix-malformed\"} 1"));
  EXPECT_THAT(page, HasSubstr("forekey_decision_seconds_count{proof=\"device\"} 1"));
  EXPECT_THAT(page, HasSubstr("forekey_connections 1"));
  EXPECT_THAT(page, Not(HasSubstr("alice")));
  EXPECT_THAT(page, Not(HasSubstr("Echo")));
}

// Whatever others sent by halves, and however many they are.
TEST(OperationsTest, MetricsAreServedBesideRequestsThatNeverEnd) {
  GatedWorld::Options options;
  options.change = [](GateConfig& config) { config.metrics.listen = "127.0.0.1:0"; };
  GatedWorld world(options);
  world.Start([](grpc::ServerBuilder&) {});
  std::vector<int> held;
  for (int i = 0; i < 200; ++i) {
    held.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(world.gate().metrics_port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(connect(held.back(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    send(held.back(), "GET /metr", 9, MSG_NOSIGNAL);
    if (i % 40 == 0) {
      EXPECT_THAT(Scrape(world.gate().metrics_port()), HasSubstr("forekey_sessions 0")) << i;
    }
  }
  EXPECT_THAT(Scrape(world.gate().metrics_port()), HasSubstr("forekey_sessions 0"));
  for (int fd : held) close(fd);
}

TEST(OperationsTest, MetricsAreForThisMachineAlone) {
  auto config = GateConfig::Parse(
      "audience = \"a\"\n[tls]\ncertificate = \"c\"\nprivate_key = \"k\"\n[state]\ndirectory = "
      "\"s\"\n"
      "[metrics]\nlisten = \"0.0.0.0:9464\"\n",
      "gate.toml");
  EXPECT_THAT(std::string(config.status().message()), HasSubstr("gate.toml:8: metrics.listen"));
}

TEST(OperationsTest, ABackupOfARunningGateCanBeRestoredAndTheOldRegistryIsKept) {
  TempDirectory directory;
  const std::string folder = directory.path() + "/gate", config_file = folder + "/gate.toml",
                    backup = directory.path() + "/backup.sqlite";
  ASSERT_EQ(
      Operate({"init", "--directory", folder, "--audience", "ops.test", "--listen", "127.0.0.1:0"})
          .exit_status,
      0);
  {
    auto gate = Gate::New({.config_file = config_file});
    ASSERT_TRUE(gate.ok()) << gate.status();
    grpc::ServerBuilder builder;
    ASSERT_TRUE((*gate)->Install(builder).ok());
    auto server = builder.BuildAndStart();
    ASSERT_EQ(Operate({"invite", "--subject", "alice", "--config", config_file}).exit_status, 0);
    OperatorResult made = Operate({"backup", "--to", backup, "--config", config_file});
    EXPECT_EQ(made.exit_status, 0) << made.err;
    OperatorResult again = Operate({"backup", "--to", backup, "--config", config_file});
    EXPECT_EQ(again.exit_status, 1) << "nothing is overwritten";
    EXPECT_EQ(Operate({"restore", "--from", backup, "--config", config_file}).exit_status, 1)
        << "not under a running gate";
    struct stat info;
    ASSERT_EQ(stat(backup.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    ASSERT_EQ(Operate({"invite", "--subject", "bob", "--config", config_file}).exit_status, 0);
    server->Shutdown(std::chrono::system_clock::now());
  }
  OperatorResult restored =
      Operate({"restore", "--json", "--from", backup, "--config", config_file});
  ASSERT_EQ(restored.exit_status, 0) << restored.err;
  OperatorResult invites = Operate({"invites", "--json", "--config", config_file});
  EXPECT_THAT(invites.out, HasSubstr("alice"));
  EXPECT_THAT(invites.out, Not(HasSubstr("bob")));
  const std::string kept = nlohmann::json::parse(restored.out)["kept"];
  auto old = SqliteRegistry::Open(kept, {.exclusive = false});
  ASSERT_TRUE(old.ok()) << old.status();
  EXPECT_EQ((*old)->ListInvites()->size(), 2u);

  // Who did what is in the log, which is whole over all these processes.
  OperatorResult shown = Operate({"audit", "show", "--json", "--config", config_file});
  EXPECT_THAT(shown.out, HasSubstr("\"method\":\"BackUp\""));
  EXPECT_THAT(shown.out, HasSubstr("\"event\":\"admin\""));
  OperatorResult verified = Operate({"audit", "verify", "--config", config_file});
  EXPECT_EQ(verified.exit_status, 0) << verified.out << verified.err;
  EXPECT_THAT(verified.out, HasSubstr("whole"));
}

TEST(OperationsTest, ADamagedBackupIsNotRestored) {
  TempDirectory directory;
  const std::string folder = directory.path() + "/gate", config_file = folder + "/gate.toml";
  ASSERT_EQ(
      Operate({"init", "--directory", folder, "--audience", "ops.test", "--listen", "127.0.0.1:0"})
          .exit_status,
      0);
  ASSERT_EQ(
      Operate({"invite", "--subject", "alice", "--config", config_file, "--address", "a.test:1"})
          .exit_status,
      0);
  std::ofstream(directory.path() + "/rubbish") << "rubbish";
  EXPECT_EQ(Operate({"restore", "--from", directory.path() + "/rubbish", "--config", config_file})
                .exit_status,
            1);
  EXPECT_EQ(Operate({"restore", "--from", directory.path() + "/missing", "--config", config_file})
                .exit_status,
            1);
  EXPECT_THAT(Operate({"invites", "--json", "--config", config_file}).out, HasSubstr("alice"));
}

TEST(OperationsTest, AnEditedLogOfOddTypesIsShownAndNotWhole) {
  TempDirectory directory;
  const std::string log = directory.path() + "/audit.jsonl";
  std::ofstream(log)
      << "{\"time\":7,\"admitted\":\"yes\",\"reason\":[1],\"peer\":{}}\n"
      << "{\"time\":\"2027-01-15T08:00:00Z\",\"admitted\":true,\"method\":\"/a.B/C\"}\n";
  const OperatorResult shown = Operate({"audit", "show", log});
  EXPECT_EQ(shown.exit_status, 0) << shown.err;
  absl::Time time;
  std::string ignored;
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, "2027-01-15T08:00:00Z", &time, &ignored));
  EXPECT_EQ(shown.out,
            "7 refused  reason=[1] peer={}\n" + LocalTimeText(time) + " admitted method=/a.B/C\n");
  EXPECT_EQ(Operate({"audit", "verify", log}).exit_status, 1);
}

// ---- Secrets ----

// As somebody would find it: raw, and in the encodings that logs and databases use.
std::vector<std::string> Forms(const std::string& secret) {
  return {secret, absl::BytesToHexString(secret),
          absl::AsciiStrToUpper(absl::BytesToHexString(secret)), absl::WebSafeBase64Escape(secret),
          absl::Base64Escape(secret).substr(0, secret.size() * 4 / 3)};
}

TEST(OperationsTest, NoSecretIsInAnythingThatTheGateWrote) {
  std::vector<std::pair<std::string, std::string>> secrets;
  std::string written, state;
  ::testing::internal::CaptureStderr();
  {
    example::SyncEcho echo;
    GatedWorld::Options options;
    options.audit_file = true;
    options.change = [](GateConfig& config) {
      config.metrics.listen = "127.0.0.1:0";
      config.audit.options.heads_file = config.state.directory + "/heads";
    };
    GatedWorld world(options);
    world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
    SoftwareClient alice = world.Enrol("alice", world.NewChannel());
    auto session = Must(alice.OpenSession(), "session");
    const std::string good = session->Prefix(kOperatedMethod);
    ASSERT_TRUE(Call(alice.channel(), {.prefixes = {good}}).status.ok());
    // Refusals of many kinds: each says something about what it met.
    Call(alice.channel(), {.prefixes = {good}});
    std::string forged = session->Prefix(kOperatedMethod);
    forged.back() = static_cast<char>(forged.back() ^ 1);
    Call(alice.channel(), {.prefixes = {forged}});
    Call(alice.channel(), {.prefixes = {"rubbish", "rubbish"}});
    Call(alice.channel(), {.prefixes = {Must(alice.DevicePrefix("/a.B/C"), "prefix")}});
    v1::CreateInviteRequest request;
    request.set_subject("bob");
    const auto invite = Must(world.core().admin().CreateInvite(request, "test"), "invite");
    Must(world.core().admin().RotateIdentity({}, "test").status(), "rotate");
    v1::BackUpRequest backup;
    backup.set_path(world.directory() + "/state/backup.sqlite");
    Must(world.core().admin().BackUp(backup, "test").status(), "backup");

    secrets.emplace_back("session key",
                         std::string(world.core().sessions().Find(session->id())->key()));
    auto parsed = Invite::Parse(invite.invite());
    ASSERT_TRUE(parsed.ok());
    secrets.emplace_back("invite's seed", std::string(parsed->seed.view()));
    const std::string keys = Must(ReadFile(world.directory() + "/state/identity/keys"), "keys");
    for (absl::string_view word : absl::StrSplit(keys, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
      if (word.size() == 64) secrets.emplace_back("identity", absl::HexStringToBytes(word));
    }
    const std::string pem = Must(ReadFile(world.directory() + "/key.pem"), "key");
    secrets.emplace_back("TLS key", std::vector<std::string>(absl::StrSplit(pem, '\n'))[1]);
    written = Scrape(world.gate().metrics_port());
    state = world.directory() + "/state";
    world.StopServer();
    for (const auto& entry : std::filesystem::recursive_directory_iterator(state)) {
      if (!entry.is_regular_file() || entry.path().filename() == "keys") continue;  // their place
      written += Must(ReadFile(entry.path().string()), "file");
    }
  }
  written += ::testing::internal::GetCapturedStderr();
  ASSERT_EQ(secrets.size(), 5u) << "session, invite, two identities, TLS";
  EXPECT_THAT(written, HasSubstr("\"reason\":\"mac-invalid\"")) << "the audit log was among it";
  EXPECT_THAT(written, HasSubstr("SQLite format 3"));
  for (const auto& [name, secret] : secrets) {
    ASSERT_GE(secret.size(), 16u) << name;
    for (const std::string& form : Forms(secret)) {
      EXPECT_EQ(written.find(form), std::string::npos) << name << " as " << absl::CHexEscape(form);
    }
  }
}

TEST(OperationsTest, AGateWhoseLogIsReadNoMoreGoesOn) {
  TempDirectory directory;
  const std::string folder = directory.path() + "/gate";
  ASSERT_EQ(
      Operate({"init", "--directory", folder, "--audience", "ops.test", "--listen", "127.0.0.1:0"})
          .exit_status,
      0);
  const std::string fifo = directory.path() + "/log";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const int reader = open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  auto gate = Must(
      demo::Process::Start(
          {.arguments = {"/bin/sh", "-c", "exec \"$0\" serve --config \"$1\" 2>\"$2\"",
                         std::string(FOREKEY_BIN) + "/forekey-gate", folder + "/gate.toml", fifo}}),
      "gate");
  EXPECT_THAT(gate->ReadLine().value_or("nothing"), HasSubstr("listening"));
  close(reader);
  gate->Signal(SIGHUP);  // it logs what it did
  gate->Signal(SIGTERM);
  EXPECT_EQ(Must(gate->Wait(), "end").exit_status, 0);
}

// The program itself, under something that does what systemd does.
TEST(OperationsTest, TheProgramNotifiesFeedsTheWatchdogAndEndsInOrder) {
  TempDirectory directory;
  const std::string folder = directory.path() + "/gate", config_file = folder + "/gate.toml",
                    notify = directory.path() + "/notify", log = directory.path() + "/log";
  ASSERT_EQ(
      Operate({"init", "--directory", folder, "--audience", "ops.test", "--listen", "127.0.0.1:0"})
          .exit_status,
      0);
  const int listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  notify.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const timeval patience = {120, 0};
  setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));

  std::vector<std::string> variables = {"NOTIFY_SOCKET=" + notify, "WATCHDOG_USEC=200000"};
  std::vector<char*> environment;
  for (char** one = environ; *one != nullptr; ++one) environment.push_back(*one);
  for (std::string& one : variables) environment.push_back(one.data());
  environment.push_back(nullptr);
  std::string program = std::string(FOREKEY_BIN) + "/forekey-gate";
  std::vector<std::string> words = {program, "serve", "--config", config_file};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(), O_WRONLY | O_CREAT, 0600);
  pid_t pid = 0;
  ASSERT_EQ(
      posix_spawn(&pid, program.c_str(), &actions, nullptr, arguments.data(), environment.data()),
      0);
  posix_spawn_file_actions_destroy(&actions);

  bool ready = false, fed = false, stopping = false;
  char message[512];
  for (int i = 0; i < 1000 && !stopping; ++i) {
    const ssize_t size = recv(listener, message, sizeof(message), 0);
    if (size < 0) break;
    const absl::string_view text(message, static_cast<size_t>(size));
    ready = ready || absl::StrContains(text, "READY=1");
    if (ready && absl::StrContains(text, "WATCHDOG=1") && !fed) {
      fed = true;
      kill(pid, SIGTERM);
    }
    stopping = absl::StrContains(text, "STOPPING=1");
  }
  EXPECT_TRUE(ready);
  EXPECT_TRUE(fed);
  EXPECT_TRUE(stopping);
  if (!stopping) kill(pid, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  close(listener);
  std::ifstream lines(log);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    EXPECT_TRUE(json.is_object() && json.contains("level") && json.contains("message")) << line;
  }
  EXPECT_GE(count, 3);
}

}  // namespace
}  // namespace forekey::testing

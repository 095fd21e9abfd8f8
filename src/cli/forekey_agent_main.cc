// SPDX-License-Identifier: Apache-2.0
// forekey-agent: the signing daemon on the workstation.
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "hw/drivers.h"
#include "nlohmann/json.hpp"
#include "spdlog/sinks/stdout_color_sinks.h"
#include "spdlog/spdlog.h"
#include "src/agent/agent_server.h"
#include "src/agent/pinentry_prompt.h"
#include "src/base/version.h"
#include "src/client/agent_socket.h"

namespace {

constexpr int kExitOk = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr absl::Duration kLongestEnding = absl::Seconds(5);

constexpr char kFooter[] = R"(
Examples:
  forekey-agent                              in the foreground; forekey enroll, in another terminal
  forekey-agent --device tpm:swtpm:path=/run/user/1000/tpm.sock
  FOREKEY_AGENT_SOCKET=/tmp/a/agent.sock forekey devices     talks to an agent run with --socket

Devices are found by themselves; --device names further ones. SIGTERM and SIGINT end the agent; its
sessions end with it. Keys stay in the tokens, what is needed to find them again in the state directory
(see docs/AGENT.md).

Exit status: 0 ended by a signal, 1 failed, 2 could not be started (usage, socket or state directory
in use or open to others).)";

struct Settings {
  std::string state;
  std::string socket;
  std::string log_level = "info";
  std::vector<std::string> devices;
  std::string pinentry;
  bool foreground = false;
  bool json = false;
};

int Fail(int code, absl::string_view message) {
  std::cerr << "forekey-agent: " << message << std::endl;
  return code;
}

// Each program that waits has a connection, and the usual soft limit is 1024.
void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    spdlog::warn("the limit of open files stays as it is: {}", strerror(errno));
  }
}

int Run(Settings settings) {
  // One line of text a line on stderr; stdout is for readiness alone.
  spdlog::set_default_logger(spdlog::stderr_color_mt("forekey-agent"));
  spdlog::set_level(spdlog::level::from_str(settings.log_level));

  // Blocked before the first thread, so that no other thread takes them.
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  signal(SIGPIPE, SIG_IGN);
  RaiseDescriptorLimit();
  // The keys of sessions are in this memory: no core file, and no debugger of the same user's.
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
    return Fail(kExitUsage, "prctl(PR_SET_DUMPABLE) failed");

  if (settings.state.empty()) {
    auto state = forekey::DefaultStateDirectory();
    if (!state.ok()) return Fail(kExitUsage, state.status().message());
    settings.state = *state;
  }
  if (settings.socket.empty()) {
    auto socket = forekey::DefaultAgentSocket();
    if (!socket.ok()) return Fail(kExitUsage, socket.status().message());
    settings.socket = *socket;
  }
  forekey::AgentServer::Options options;
  options.socket = settings.socket;
  options.agent.state_directory = settings.state;
  options.agent.drivers = forekey::AllDrivers(settings.devices);
  options.agent.prompter = forekey::NewPinentryPrompter(settings.pinentry);
  auto server = forekey::AgentServer::Start(std::move(options));
  if (!server.ok()) return Fail(kExitUsage, server.status().message());

  if (settings.json) {
    std::cout << nlohmann::json({{"ready", true},
                                 {"socket", settings.socket},
                                 {"state", settings.state},
                                 {"version", forekey::kForekeyVersion}})
                     .dump()
              << std::endl;
  } else {
    std::cout << "forekey-agent " << forekey::kForekeyVersion << " is ready on " << settings.socket
              << std::endl;
  }
  int taken = 0;
  if (sigwait(&ending, &taken) != 0) return Fail(kExitFailed, "sigwait failed");
  spdlog::info("{}: ending", strsignal(taken));
  // A driver that hangs in its device must not hold up the end: what is on the disk is whole at any
  // time, and the socket went first.
  std::thread([] {
    absl::SleepFor(kLongestEnding);
    spdlog::warn("a device does not answer: ended without it");
    _exit(kExitOk);
  }).detach();
  server->reset();
  return kExitOk;
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  CLI::App app("Forekey's agent: looks after this user's tokens and makes prefixes with them.");
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("forekey-agent ") + forekey::kForekeyVersion);
  app.add_option("--state", settings.state,
                 "State directory, mode 0700 (default: $FOREKEY_STATE_DIR, else "
                 "$XDG_STATE_HOME/forekey, else ~/.local/state/forekey)");
  app.add_option("--socket", settings.socket,
                 "Unix socket to serve on (default: $FOREKEY_AGENT_SOCKET, else "
                 "$XDG_RUNTIME_DIR/forekey/agent.sock, else agent.sock in the state directory)");
  app.add_option("--device", settings.devices,
                 "URI of a device that is not found by itself; may be repeated");
  app.add_option(
      "--pinentry", settings.pinentry,
      "pinentry program that asks for PINs; without it keys sign without one, where the gate "
      "lets them");
  app.add_option("--log-level", settings.log_level, "What is logged to stderr")
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  app.add_flag("--foreground", settings.foreground, "Stay in the foreground (it always does)");
  app.add_flag("--json", settings.json, "Print readiness as one JSON object");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  return Run(std::move(settings));
}

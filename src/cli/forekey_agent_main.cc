// SPDX-License-Identifier: Apache-2.0
// forekey-agent: the signing daemon on the workstation.
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "hw/drivers.h"
#include "nlohmann/json.hpp"
#include "spdlog/sinks/stdout_color_sinks.h"
#include "spdlog/spdlog.h"
#include "src/agent/agent_server.h"
#include "src/agent/pinentry_prompt.h"
#include "src/base/descriptor_limit.h"
#include "src/base/version.h"
#include "src/cli/terminal/command_pages.h"
#include "src/client/agent_socket.h"

namespace {

constexpr int kExitOk = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr absl::Duration kLongestKeptPin = absl::Hours(8);
constexpr absl::Duration kLongestEnding = absl::Seconds(5);

constexpr char kFooter[] = R"(
Examples:
  forekey-agent                              in the foreground; forekey enroll, in another terminal
  forekey-agent --device tpm:swtpm:path=/run/user/1000/tpm.sock
  FOREKEY_AGENT_SOCKET=/tmp/a/agent.sock forekey devices     talks to an agent run with --socket

Where a service manager hands over its listening socket (forekey-agent.socket), the agent serves that one.
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
  std::string pinentry = std::string(forekey::kAnyPinentry);
  std::string keep_pins;
  bool no_desktop_notices = false;
  bool foreground = false;
  bool json = false;
  bool affinity = false;
};

int Fail(int code, absl::string_view message) {
  std::cerr << "forekey-agent: " << message << std::endl;
  return code;
}

// The listening socket that a service manager handed over; -1 where none did.
absl::StatusOr<int> ListeningSocket(const std::string& wanted) {
  const int count = sd_listen_fds(/*unset_environment=*/1);
  if (count == 0) return -1;
  if (count != 1) {
    return absl::InvalidArgumentError(
        count < 0 ? absl::StrCat("sd_listen_fds: ", strerror(-count))
                  : absl::StrCat("the service manager handed over ", count,
                                 " sockets, and the agent serves one: forekey-agent.socket must "
                                 "have one ListenStream"));
  }
  if (!wanted.empty()) {
    return absl::InvalidArgumentError(
        "--socket and a socket of the service manager's: leave --socket away, or say "
        "ListenStream in forekey-agent.socket");
  }
  return SD_LISTEN_FDS_START;
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
  // Each program that waits has a connection.
  if (absl::Status raised = forekey::RaiseDescriptorLimit(); !raised.ok()) {
    spdlog::warn("{}", std::string(raised.message()));
  }
  // The keys of sessions are in this memory: no core file, and no debugger of the same user's.
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
    return Fail(kExitUsage, "prctl(PR_SET_DUMPABLE) failed");

  if (settings.state.empty()) {
    auto state = forekey::DefaultStateDirectory();
    if (!state.ok()) return Fail(kExitUsage, state.status().message());
    settings.state = *state;
  }
  auto handed = ListeningSocket(settings.socket);
  if (!handed.ok()) return Fail(kExitUsage, handed.status().message());
  if (settings.socket.empty() && *handed < 0) {
    auto socket = forekey::DefaultAgentSocket();
    if (!socket.ok()) return Fail(kExitUsage, socket.status().message());
    settings.socket = *socket;
  }
  forekey::AgentServer::Options options;
  options.socket = settings.socket;
  options.listening_fd = *handed;
  options.agent.state_directory = settings.state;
  options.agent.drivers = forekey::AllDrivers(settings.devices);
  options.agent.affinity = settings.affinity;
  options.agent.desktop_notices = !settings.no_desktop_notices;
  if (!settings.keep_pins.empty() &&
      (!absl::ParseDuration(settings.keep_pins, &options.agent.keep_pins) ||
       options.agent.keep_pins < absl::ZeroDuration() ||
       options.agent.keep_pins > kLongestKeptPin)) {
    return Fail(kExitUsage, "--keep-pins takes 30s, 10m, ... up to 8h");
  }
  options.agent.prompter =
      forekey::NewPinentryPrompter(settings.pinentry == "none" ? "" : settings.pinentry);
  auto server = forekey::AgentServer::Start(std::move(options));
  if (!server.ok()) return Fail(kExitUsage, server.status().message());

  settings.socket = (*server)->socket();
  sd_notify(0, absl::StrCat("READY=1\nSTATUS=serving on ", settings.socket).c_str());
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
  sd_notify(0, "STOPPING=1");
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
  CLI::App app("Forekey's agent: looks after this user's tokens and makes prefixes with them.",
               "forekey-agent");
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
  app.add_option("--pinentry", settings.pinentry,
                 "pinentry program that asks for PINs; auto: the system's, where the program that "
                 "waits has a "
                 "display or a terminal; none: keys sign without a PIN, where the gate lets them")
      ->capture_default_str();
  app.add_option("--keep-pins", settings.keep_pins,
                 "Don't ask again for so long for a PIN that was good, as 10m; at most 8h, in "
                 "memory alone, gone with a wrong one or a logout (default: ask each time)");
  app.add_flag("--no-desktop-notices", settings.no_desktop_notices,
               "Don't show on the desktop that a token waits for a touch");
  app.add_flag("--affinity", settings.affinity,
               "Have calls carry an id for balancers that spread calls (docs/BALANCERS.md)");
  app.add_option("--log-level", settings.log_level, "What is logged to stderr")
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  app.add_flag("--foreground", settings.foreground, "Stay in the foreground (it always does)");
  app.add_flag("--json", settings.json, "Print readiness as one JSON object");
  forekey::AddPages(app, std::cout);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  return Run(std::move(settings));
}

// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/gate_serve.h"

#include <forekey/gate.h>
#include <grpc/support/log.h>
#include <signal.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/base_sink.h"
#include "spdlog/spdlog.h"
#include "src/base/deadline.h"
#include "src/base/standard_error.h"
#include "src/base/status.h"
#include "src/cli/gate/gate_fronts.h"
#include "src/gate/caller/caller_keys.h"
#include "src/gate/caller/caller_token.h"
#include "src/gate/grpc/gate_access.h"
#include "src/gate/proxy/upstream_proxy.h"
#include "src/gate/service/gate_core.h"

namespace forekey {
namespace {

constexpr absl::Duration kLookAtKeys = absl::Minutes(1);

// A message may hold what a peer sent: quoted, it can't become another line or another key.
class JsonMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const std::string text(message.payload.data(), message.payload.size());
    const std::string quoted = nlohmann::json(text).dump(-1, ' ', /*ensure_ascii=*/true,
                                                         nlohmann::json::error_handler_t::replace);
    out.append(quoted.data(), quoted.data() + quoted.size());
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<JsonMessage>();
  }
};

void LogOfGrpc(gpr_log_func_args* args) {
  const auto level = args->severity == GPR_LOG_SEVERITY_ERROR  ? spdlog::level::warn
                     : args->severity == GPR_LOG_SEVERITY_INFO ? spdlog::level::info
                                                               : spdlog::level::debug;
  spdlog::log(level, "gRPC: {}", args->message);
}

// Where nobody reads stderr, messages are dropped, and counted in the next one that is taken: gRPC
// logs from threads that serve calls.
class StderrSink final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t text;
    formatter_->format(message, text);
    if (dropped_ != 0) {
      spdlog::details::log_msg lost(message);
      const std::string told = absl::StrCat(dropped_, " messages were lost: nobody read them");
      lost.payload = told;
      spdlog::memory_buf_t line;
      formatter_->format(lost, line);
      if (!Put(line)) return;
      dropped_ = 0;
    }
    Put(text);
  }
  void flush_() override {}

 private:
  bool Put(const spdlog::memory_buf_t& text) {
    size_t written = 0;
    const std::string line =
        absl::StrCat(torn_ ? "\n" : "", absl::string_view(text.data(), text.size()));
    if (WriteStandardError(line, absl::ZeroDuration(), &written).ok()) {
      torn_ = false;
      return true;
    }
    torn_ = torn_ || written > 0;
    ++dropped_;
    return false;
  }
  uint64_t dropped_ = 0;
  bool torn_ = false;
};

// One JSON object a line on stderr: where a service manager collects it.
void StartLog() {
  auto logger = std::make_shared<spdlog::logger>("forekey-gate", std::make_shared<StderrSink>());
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<JsonMessage>('*').set_pattern(
      R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l","program":"%n","message":%*})");
  logger->set_formatter(std::move(formatter));
  spdlog::set_default_logger(std::move(logger));
  gpr_set_log_function(LogOfGrpc);
}

// Waits for a signal, and meanwhile tells the service manager's watchdog that the gate can still
// answer: half the interval that it was given, so that one late wake-up is no death. `every_second`
// is called about so often.
int WaitForSignal(const sigset_t& signals, GateCore& core, absl::FunctionRef<void()> every_second) {
  uint64_t watchdog_micros = 0;
  const bool watched = sd_watchdog_enabled(/*unset_environment=*/0, &watchdog_micros) > 0;
  const uint64_t micros =
      watched ? std::clamp<uint64_t>(watchdog_micros / 2, 1000, 1'000'000) : 1'000'000;
  for (;;) {
    const timespec patience = {static_cast<time_t>(micros / 1'000'000),
                               static_cast<long>(micros % 1'000'000 * 1000)};
    const int signal = sigtimedwait(&signals, nullptr, &patience);
    if (signal > 0) return signal;
    every_second();
    if (!watched) continue;
    if (absl::Status healthy = core.CheckHealth(); healthy.ok()) {
      sd_notify(0, "WATCHDOG=1");
    } else {
      spdlog::error("not healthy: {}", std::string(healthy.message()));
    }
  }
}

// First health says so, then connections and calls end.
void EndGate(Gate& gate, grpc::Server& server, const sigset_t& signals, int signal) {
  sd_notify(0, "STOPPING=1");
  const absl::Duration notice = gate.AnnounceEnd(server);
  if (notice > absl::ZeroDuration()) {
    spdlog::info("{}: not serving, which is told for {}, or until the next signal",
                 strsignal(signal), absl::FormatDuration(notice));
    const timespec patience = absl::ToTimespec(notice);
    sigtimedwait(&signals, nullptr, &patience);
  }
  spdlog::info("{}: no new connections; calls have {} to end", strsignal(signal),
               absl::FormatDuration(CoreOf(gate).config().listen.drain));
  gate.Drain(server);
  spdlog::info("ended");
}

// What stands behind the gate, or asks it. Everything is borrowed.
struct Parts {
  Gate* gate;
  grpc::Server* server;
  UpstreamProxy* proxy;
  CallerKeys* keys;
  GateFronts* fronts;
};

// Until a signal that ends; that one.
int ServeUntilSignal(const Parts& parts, const sigset_t& signals) {
  Deadline next_look_at_keys = Deadline::In(kLookAtKeys);
  const auto look = [&] {
    parts.gate->TellHealth(*parts.server);
    parts.proxy->Look();
    if (!next_look_at_keys.Passed()) return;
    next_look_at_keys = Deadline::In(kLookAtKeys);
    if (absl::Status looked = parts.keys->Look(); !looked.ok()) {
      spdlog::error("caller keys: {}", std::string(looked.message()));
    }
  };
  int signal;
  while ((signal = WaitForSignal(signals, CoreOf(*parts.gate), look)) == SIGHUP) {
    // With the time, as Type=notify-reload of newer systemd wants it.
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    sd_notify(0, absl::StrCat("RELOADING=1\nMONOTONIC_USEC=",
                              int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000)
                     .c_str());
    absl::Status reloaded = parts.gate->Reload();
    reloaded.Update(parts.proxy->Reload());
    reloaded.Update(parts.keys->Look());
    reloaded.Update(parts.fronts->Reload());
    if (!reloaded.ok()) {
      spdlog::error("reload: {}", std::string(reloaded.message()));
    } else {
      spdlog::info("reloaded");
    }
    sd_notify(0, "READY=1");
  }
  return signal;
}

}  // namespace

absl::Status ServeGate(const std::string& config_file, std::ostream& out, std::ostream& err) {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGHUP, SIGINT, SIGTERM}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // Who reads the log may go away: that is an error of the log's, and not the end of the gate.
  signal(SIGPIPE, SIG_IGN);
  StartLog();

  FOREKEY_ASSIGN_OR_RETURN(GateConfig config, GateConfig::Load(config_file));
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<GateCore> made, GateCore::New(std::move(config)));
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<Gate> gate, GateAccess::New(std::move(made)));
  GateCore& core = CoreOf(*gate);
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<CallerKeys> caller_keys,
                           CallerKeys::Open(core.config().state.CallerKeysDirectory(),
                                            core.config().caller.key_rotation, core.clock()));
  CallerTokens tokens(*caller_keys, core.clock(), gate->audience(), core.config().caller.lifetime);
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<UpstreamProxy> proxy,
                           UpstreamProxy::New(gate.get(), &tokens));
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<GateFronts> fronts,
                           GateFronts::Start(&core, &tokens, caller_keys.get()));
  grpc::ServerBuilder builder;
  proxy->Register(builder);
  FOREKEY_RETURN_IF_ERROR(gate->Install(builder, {.server_api = ServerApi::kCallback}));
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    return absl::UnavailableError("gRPC could not start the server: its log has the reason");
  }
  out << "gate " << gate->audience() << " listening on port " << gate->port() << std::endl;
  spdlog::info("gate {} listening on port {}", gate->audience(), gate->port());
  if (!fronts->told().empty()) spdlog::info("{}", fronts->told());
  sd_notify(0, absl::StrCat("READY=1\nSTATUS=listening on port ", gate->port()).c_str());

  const int signal = ServeUntilSignal(
      {gate.get(), server.get(), proxy.get(), caller_keys.get(), fronts.get()}, signals);
  EndGate(*gate, *server, signals, signal);
  return absl::OkStatus();
}

}  // namespace forekey

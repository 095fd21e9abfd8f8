// SPDX-License-Identifier: Apache-2.0
#include "simulators/fido2/fido2_simulator.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "simulators/trust_out.h"
#include "simulators/unix_socket.h"
#include "src/base/file.h"
#include "src/base/status.h"

namespace forekey::fido2sim {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxSocketPath = 100;  // of 108, and ".sim" comes behind
constexpr uint8_t kProcessing = 1, kUpNeeded = 2;

absl::StatusOr<std::string> OwnFolder() {
  std::string path = "/tmp/forekey-sim-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't make a folder like ", path));
  }
  return path;
}

}  // namespace

Fido2Simulator::Fido2Simulator(SimulatorOptions options)
    : options_(std::move(options)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

absl::StatusOr<std::unique_ptr<Fido2Simulator>> Fido2Simulator::Start(SimulatorOptions options) {
  if (options.config.aaguid.size() != 16)
    return absl::InvalidArgumentError("an AAGUID has 16 bytes");
  std::unique_ptr<Fido2Simulator> simulator(new Fido2Simulator(std::move(options)));
  SimulatorOptions& own = simulator->options_;
  State state;
  if (!own.state_directory.empty()) {
    own.state_directory = fs::absolute(own.state_directory).string();
    FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(own.state_directory));
    const std::string lock = own.state_directory + "/lock";
    simulator->state_lock_ = UniqueFd(open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!simulator->state_lock_)
      return absl::ErrnoToStatus(errno, absl::StrCat("can't write ", lock));
    if (flock(simulator->state_lock_.get(), LOCK_EX | LOCK_NB) != 0) {
      return absl::FailedPreconditionError(absl::StrCat("the token in ", own.state_directory,
                                                        " is served already by another process"));
    }
    FOREKEY_ASSIGN_OR_RETURN(state, State::Load(own.state_directory));
  }
  FOREKEY_RETURN_IF_ERROR(simulator->Begin(std::move(state)));
  return simulator;
}

absl::Status Fido2Simulator::Begin(State state) {
  FOREKEY_RETURN_IF_ERROR(state.EnsureVendor(options_.config));
  root_pem_ = state.RootPem();
  authenticator_ =
      std::make_unique<Authenticator>(options_.config, std::move(state), options_.state_directory);
  authenticator_->misbehaviours() = options_.misbehaviours;
  if (!options_.pin.empty() && authenticator_->state().pin_hash.empty()) {
    FOREKEY_RETURN_IF_ERROR(authenticator_->SetPin(options_.pin));
  }
  Wipe(options_.pin);
  FOREKEY_RETURN_IF_ERROR(authenticator_->Save());
  hid_ = std::make_unique<Ctaphid>(options_.config.ctap2, options_.config.u2f);
  socket_path_ = options_.socket_path;
  if (socket_path_.empty() && !options_.state_directory.empty()) {
    socket_path_ = options_.state_directory + "/fido2.sock";
  }
  if (socket_path_.empty() || socket_path_.size() > kMaxSocketPath) {
    FOREKEY_ASSIGN_OR_RETURN(temporary_, OwnFolder());
    socket_path_ = temporary_ + "/fido2.sock";
  }
  socket_path_ = fs::absolute(socket_path_).string();
  control_path_ = options_.control_path.empty() ? socket_path_ + ".sim" : options_.control_path;
  uri_ = absl::StrCat("fido2:sim:path=", socket_path_);
  FOREKEY_ASSIGN_OR_RETURN(control_listener_,
                           ListenOnUnixSocket(control_path_, SOCK_STREAM | SOCK_NONBLOCK));
  FOREKEY_RETURN_IF_ERROR(PlugIn());
  thread_ = std::thread([this] { Loop(); });
  return absl::OkStatus();
}

Fido2Simulator::~Fido2Simulator() {
  if (thread_.joinable()) {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    Wake();
    thread_.join();
  }
  if (listener_) unlink(socket_path_.c_str());
  if (control_listener_) unlink(control_path_.c_str());
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

absl::Status Fido2Simulator::WriteTrust(const std::string& directory) const {
  return AddToTrust(directory, "forekey-sim-fido2-root", root_pem_);
}

// ---- Plugged in and pulled out ----

absl::Status Fido2Simulator::PlugIn() {
  if (plugged_) return absl::OkStatus();
  authenticator_->PowerCycle();
  hid_->Forget();
  latched_ = false;
  if (options_.pty) FOREKEY_RETURN_IF_ERROR(OpenPty());
  FOREKEY_ASSIGN_OR_RETURN(listener_,
                           ListenOnUnixSocket(socket_path_, SOCK_SEQPACKET | SOCK_NONBLOCK));
  plugged_ = true;
  return absl::OkStatus();
}

void Fido2Simulator::PullOut() {
  if (!plugged_) return;
  plugged_ = false;
  commands_left_.reset();
  unlink(socket_path_.c_str());
  listener_.reset();
  for (Client& client : clients_) {
    if (client.kind == Kind::kControl) continue;
    shutdown(client.fd.get(), SHUT_RDWR);
    if (client.kind != Kind::kReports) client.fd.reset();  // hangs the terminal up
    client.closing = true;
  }
  pty_slave_.reset();
  hid_->Forget();
}

absl::Status Fido2Simulator::OpenPty() {
  UniqueFd master(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  char name[64];
  if (!master || grantpt(master.get()) != 0 || unlockpt(master.get()) != 0 ||
      ptsname_r(master.get(), name, sizeof name) != 0) {
    return absl::ErrnoToStatus(errno, "can't open a pseudo-terminal");
  }
  // Kept open, so that a client's close does not hang the master up.
  pty_slave_ = UniqueFd(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  termios settings;
  if (!pty_slave_ || tcgetattr(pty_slave_.get(), &settings) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't open ", name));
  }
  cfmakeraw(&settings);
  if (tcsetattr(pty_slave_.get(), TCSANOW, &settings) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't make raw ", name));
  }
  pty_path_ = name;
  clients_.push_back(Client{Kind::kPty, std::move(master), "", false});
  return absl::OkStatus();
}

// ---- The loop ----

void Fido2Simulator::Wake() {
  uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

bool Fido2Simulator::Stopping() {
  absl::MutexLock lock(&mutex_);
  return stopping_;
}

void Fido2Simulator::InLoop(const std::function<void()>& task) {
  absl::Notification done;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return;
    tasks_.push_back([&] {
      task();
      done.Notify();
    });
  }
  Wake();
  done.WaitForNotification();
}

void Fido2Simulator::RunTasks() {
  std::vector<std::function<void()>> tasks;
  {
    absl::MutexLock lock(&mutex_);
    tasks.swap(tasks_);
  }
  for (auto& task : tasks) task();
}

void Fido2Simulator::Loop() {
  while (!Stopping()) Turn(absl::InfiniteFuture());
  RunTasks();
}

// Also runs inside a command that waits: then connections are only marked, and removed outside.
void Fido2Simulator::Turn(absl::Time until) {
  ++depth_;
  RunTasks();
  if (depth_ == 1) clients_.remove_if([](const Client& client) { return client.closing; });
  std::vector<pollfd> polled = {{wake_.get(), POLLIN, 0},
                                {listener_ ? listener_.get() : -1, POLLIN, 0},
                                {control_listener_.get(), POLLIN, 0}};
  std::vector<Client*> readers;
  for (Client& client : clients_) {
    if (client.closing) continue;
    polled.push_back({client.fd.get(), POLLIN, 0});
    readers.push_back(&client);
  }
  until = std::min(until, hid_->deadline());
  const absl::Duration left = std::max(absl::ZeroDuration(), until - absl::Now());
  const int timeout =
      until == absl::InfiniteFuture()
          ? -1
          : static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, 60000));
  if (poll(polled.data(), polled.size(), timeout) > 0) {
    uint64_t count;
    (void)!read(wake_.get(), &count, sizeof count);
    for (size_t i = 0; i < readers.size(); ++i) {
      if (polled[i + 3].revents != 0 && !readers[i]->closing) Read(*readers[i]);
    }
    if (polled[1].revents != 0 && listener_) Accept(Kind::kReports, listener_.get());
    if (polled[2].revents != 0) Accept(Kind::kControl, control_listener_.get());
  }
  for (const HidMessage& late : hid_->Expire(absl::Now())) {
    for (Client& client : clients_) {
      if (!client.closing && client.kind != Kind::kControl) Send(client, late);
    }
  }
  --depth_;
}

void Fido2Simulator::Accept(Kind kind, int listener) {
  const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd >= 0) clients_.push_back(Client{kind, UniqueFd(fd), "", false});
}

void Fido2Simulator::Read(Client& client) {
  char buffer[kReportSize + 2];
  const bool socket = client.kind == Kind::kReports || client.kind == Kind::kControl;
  const ssize_t got = socket ? recv(client.fd.get(), buffer, sizeof buffer, MSG_DONTWAIT)
                             : read(client.fd.get(), buffer, sizeof buffer);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    client.closing = true;
    return;
  }
  const absl::string_view bytes(buffer, static_cast<size_t>(got));
  if (client.kind == Kind::kReports) {
    if (bytes.size() == kReportSize + 1 && bytes[0] == 0) OnReport(client, bytes.substr(1));
    return;
  }
  absl::StrAppend(&client.input, bytes);
  if (client.kind == Kind::kControl) return ServeControl(client);
  while (!client.closing && client.input.size() > kReportSize) {
    const std::string report = client.input.substr(1, kReportSize);
    client.input.erase(0, kReportSize + 1);
    OnReport(client, report);
  }
}

void Fido2Simulator::SendReport(Client& client, absl::string_view report) {
  if (authenticator_->Does(Misbehaviour::kTruncatedFrames))
    report = report.substr(0, kReportSize / 2);
  if (client.closing) return;
  const ssize_t sent =
      client.kind == Kind::kReports
          ? send(client.fd.get(), report.data(), report.size(), MSG_NOSIGNAL | MSG_DONTWAIT)
          : write(client.fd.get(), report.data(), report.size());
  if (sent != static_cast<ssize_t>(report.size())) client.closing = true;
}

void Fido2Simulator::Send(Client& client, const HidMessage& message) {
  for (const std::string& report : ToReports(message)) SendReport(client, report);
}

// ---- Commands ----

void Fido2Simulator::OnReport(Client& client, absl::string_view report) {
  Ctaphid::Step step = hid_->Receive(report, absl::Now());
  if (step.cancel) cancelled_ = true;
  for (const HidMessage& answer : step.answers) Send(client, answer);
  if (step.request) Execute(client, *std::move(step.request));
}

// Misbehaviours of the transport. True: this command is over.
bool Fido2Simulator::ExecuteBadly(Client& client, const HidMessage& request) {
  if (commands_left_ && (*commands_left_)-- == 0) {
    PullOut();
    return true;
  }
  if (authenticator_->Does(Misbehaviour::kSilent)) return true;
  if (busy_left_ > 0 || authenticator_->Does(Misbehaviour::kChannelBusy)) {
    if (busy_left_ > 0) --busy_left_;
    Send(client, {request.channel, kHidError, std::string(1, static_cast<char>(kHidChannelBusy))});
    return true;
  }
  return false;
}

void Fido2Simulator::Execute(Client& client, HidMessage request) {
  ++commands_;
  if (ExecuteBadly(client, request)) return;
  executing_ = &client;
  channel_ = request.channel;
  cancelled_ = false;
  hid_->Begin(request.channel);
  TouchResult busy = TouchResult::kTouched;
  if (authenticator_->Does(Misbehaviour::kEndlessKeepalive)) {
    busy = Busy(absl::InfiniteFuture(), kProcessing, [] { return false; });
  } else if (options_.config.delay > absl::ZeroDuration() && request.command == kHidCbor) {
    busy = Busy(absl::Now() + options_.config.delay, kProcessing, [] { return false; });
  }
  HidMessage answer{request.channel, request.command, ""};
  if (busy == TouchResult::kCancelled) {
    answer.payload = std::string(1, static_cast<char>(kKeepaliveCancel));
  } else if (request.command == kHidCbor) {
    answer.payload = authenticator_->Cbor(request.payload, *this);
  } else {
    answer.payload = authenticator_->U2f(request.payload, *this);
  }
  executing_ = nullptr;
  hid_->End();
  const bool ceremony = request.command == kHidMsg || request.payload[0] == kMakeCredential ||
                        request.payload[0] == kGetAssertion;
  if (ceremony && plugged_ && authenticator_->Does(Misbehaviour::kGoneInMidCommand)) {
    authenticator_->misbehaviours().erase(Misbehaviour::kGoneInMidCommand);
    PullOut();
  }
  if (client.closing || Stopping()) return;
  if (request.command == kHidCbor && authenticator_->Does(Misbehaviour::kWrongChannel))
    ++answer.channel;
  auto reports = ToReports(answer, authenticator_->Does(Misbehaviour::kWrongSequence));
  if (authenticator_->Does(Misbehaviour::kOversizedLength)) reports[0][5] = reports[0][6] = '\xff';
  for (const std::string& report : reports) SendReport(client, report);
}

TouchResult Fido2Simulator::Busy(absl::Time until, uint8_t keepalive_status,
                                 const std::function<bool()>& done) {
  absl::Time next = absl::Now() + options_.config.keepalive_interval;
  while (true) {
    if (done()) return TouchResult::kTouched;
    if (!plugged_ || Stopping() || executing_->closing) return TouchResult::kGone;
    if (cancelled_) return TouchResult::kCancelled;
    const absl::Time now = absl::Now();
    if (now >= until) return TouchResult::kTimedOut;
    if (now >= next) {
      Send(*executing_,
           {channel_, kHidKeepalive, std::string(1, static_cast<char>(keepalive_status))});
      next = now + options_.config.keepalive_interval;
    }
    Turn(std::min(until, next));
  }
}

TouchResult Fido2Simulator::Wait(absl::Duration timeout) {
  if (authenticator_->Does(Misbehaviour::kDenied)) return TouchResult::kDenied;
  Send(*executing_, {channel_, kHidKeepalive, std::string(1, static_cast<char>(kUpNeeded))});
  if (authenticator_->Does(Misbehaviour::kGoneInMidCommand)) {
    authenticator_->misbehaviours().erase(Misbehaviour::kGoneInMidCommand);
    PullOut();
    return TouchResult::kGone;
  }
  touched_ = false;
  waiting_ = true;
  SetAsked(true);
  const TouchResult result = Busy(absl::Now() + timeout, kUpNeeded, [this] {
    return !authenticator_->Does(Misbehaviour::kNeverTouched) &&
           (touched_ || authenticator_->config().auto_touch);
  });
  waiting_ = false;
  SetAsked(false);
  return result;
}

bool Fido2Simulator::Take() {
  if (authenticator_->Does(Misbehaviour::kNeverTouched) ||
      authenticator_->Does(Misbehaviour::kDenied))
    return false;
  if (authenticator_->config().auto_touch) return true;
  const bool taken = std::exchange(latched_, false);
  SetAsked(!taken);
  return taken;
}

// ---- What tests do ----

void Fido2Simulator::SetAsked(bool asked) {
  absl::MutexLock lock(&mutex_);
  asked_ = asked;
}

bool Fido2Simulator::Touch() {
  bool asked = false;
  InLoop([&] {
    {
      absl::MutexLock lock(&mutex_);
      asked = std::exchange(asked_, false);
    }
    if (!asked) return;
    if (waiting_)
      touched_ = true;
    else
      latched_ = true;  // U2F asks again
  });
  return asked;
}

bool Fido2Simulator::WaitUntilAsked(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&asked_), timeout);
}

bool Fido2Simulator::TouchWhenAsked(absl::Duration timeout) {
  return WaitUntilAsked(timeout) && Touch();
}

void Fido2Simulator::Unplug() {
  InLoop([&] { PullOut(); });
}

absl::Status Fido2Simulator::Replug(UniqueFd stream) {
  absl::Status status = absl::CancelledError("the simulator has ended");
  InLoop([&] {
    PullOut();
    status = PlugIn();
    if (status.ok() && stream)
      clients_.push_back(Client{Kind::kStream, std::move(stream), "", false});
  });
  return status;
}

void Fido2Simulator::UnplugAfter(int commands) {
  InLoop([&] { commands_left_ = commands; });
}

void Fido2Simulator::BeBusy(int commands) {
  InLoop([&] { busy_left_ = commands; });
}

void Fido2Simulator::Misbehave(const Misbehaviours& misbehaviours) {
  InLoop([&] { authenticator_->misbehaviours() = misbehaviours; });
}

void Fido2Simulator::SetAutoTouch(bool on) {
  InLoop([&] { authenticator_->config().auto_touch = on; });
}

absl::Status Fido2Simulator::SetPin(absl::string_view pin) {
  absl::Status status = absl::CancelledError("the simulator has ended");
  InLoop([&] { status = authenticator_->SetPin(pin); });
  return status;
}

void Fido2Simulator::WithAuthenticator(const std::function<void(Authenticator&)>& task) {
  InLoop([&] { task(*authenticator_); });
}

uint64_t Fido2Simulator::commands() {
  uint64_t count = 0;
  InLoop([&] { count = commands_; });
  return count;
}

std::string Fido2Simulator::pty_path() {
  std::string path;
  InLoop([&] { path = pty_path_; });
  return path;
}

}  // namespace forekey::fido2sim

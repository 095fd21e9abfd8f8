// SPDX-License-Identifier: Apache-2.0
#include "simulators/tpm/tpm_proxy.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "simulators/unix_socket.h"
#include "src/base/bytes.h"
#include "src/base/status.h"

namespace forekey {
namespace {

// swtpm's control commands (tpm_ioctl.h) that a TCTI sends. The others change the machine's power
// and state, which belongs to this process.
constexpr uint32_t kControlSetLocality = 5;
constexpr uint32_t kControlCancel = 9;
constexpr uint32_t kControlRefused = 10;  // TPM_BAD_ORDINAL

constexpr absl::string_view kSuffixes[3] = {"", ".ctrl", ".sim"};

// Answers fit the socket's buffer; a client that does not read loses its connection.
bool Send(int fd, absl::string_view bytes) {
  return send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(bytes.size());
}

}  // namespace

TpmProxy::TpmProxy(std::unique_ptr<SwtpmProcess> swtpm, std::string path)
    : path_(std::move(path)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      swtpm_(std::move(swtpm)) {}

absl::StatusOr<std::unique_ptr<TpmProxy>> TpmProxy::Start(std::unique_ptr<SwtpmProcess> swtpm,
                                                          const std::string& path,
                                                          const TpmMisbehaviour& misbehaviour) {
  std::unique_ptr<TpmProxy> proxy(new TpmProxy(std::move(swtpm), path));
  proxy->misbehaviour_ = misbehaviour;
  FOREKEY_RETURN_IF_ERROR(proxy->Listen());
  proxy->thread_ = std::thread([raw = proxy.get()] { raw->Loop(); });
  return proxy;
}

TpmProxy::~TpmProxy() { Stop().IgnoreError(); }

absl::Status TpmProxy::Stop() {
  if (thread_.joinable()) {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    Wake();
    thread_.join();
  }
  clients_.clear();
  Unlisten();
  if (swtpm_ == nullptr) return absl::OkStatus();
  absl::Status stopped = swtpm_->Stop();
  swtpm_.reset();
  return stopped;
}

absl::Status TpmProxy::Listen() {
  for (int i = 0; i < 3; ++i) {
    if (listeners_[i]) continue;
    FOREKEY_ASSIGN_OR_RETURN(listeners_[i], ListenOnUnixSocket(absl::StrCat(path_, kSuffixes[i]),
                                                               SOCK_STREAM | SOCK_NONBLOCK));
  }
  return absl::OkStatus();
}

void TpmProxy::Unlisten() {
  for (int i = 0; i < 3; ++i) {
    if (!listeners_[i]) continue;
    listeners_[i].reset();
    unlink(absl::StrCat(path_, kSuffixes[i]).c_str());
  }
}

void TpmProxy::Wake() {
  uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

void TpmProxy::InLoop(std::function<void()> task) {
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

void TpmProxy::RunTasks() {
  std::vector<std::function<void()>> tasks;
  {
    absl::MutexLock lock(&mutex_);
    tasks.swap(tasks_);
  }
  for (auto& task : tasks) task();
}

void TpmProxy::Loop() {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_ && tasks_.empty()) return;
    }
    RunTasks();
    std::vector<pollfd> polled = {{wake_.get(), POLLIN, 0}};
    for (const UniqueFd& listener : listeners_) polled.push_back({listener.get(), POLLIN, 0});
    for (const Client& client : clients_) polled.push_back({client.fd.get(), POLLIN, 0});
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    uint64_t count;
    (void)!read(wake_.get(), &count, sizeof count);
    size_t index = 4;
    for (Client& client : clients_) {
      if (polled[index++].revents != 0 && !client.closing) Read(client);
    }
    for (int i = 0; i < 3; ++i) {
      if (polled[i + 1].revents != 0 && listeners_[i])
        Accept(static_cast<Kind>(i), listeners_[i].get());
    }
    clients_.remove_if([](const Client& client) { return client.closing; });
  }
}

void TpmProxy::Accept(Kind kind, int listener) {
  int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd >= 0) clients_.push_back(Client{kind, UniqueFd(fd), "", false});
}

void TpmProxy::Read(Client& client) {
  char buffer[kMaxTpmCommandSize];
  ssize_t got = recv(client.fd.get(), buffer, sizeof buffer, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    client.closing = true;
    return;
  }
  client.input.append(buffer, got);
  switch (client.kind) {
    case Kind::kData:
      return ServeData(client);
    case Kind::kControl:
      return ServeControl(client);
    case Kind::kRequests:
      return ServeRequests(client);
  }
}

void TpmProxy::ServeData(Client& client) {
  while (!client.closing && client.input.size() >= 10) {
    ByteReader header(client.input);
    header.U16();
    uint32_t size = header.U32();
    if (size < 10 || size > kMaxTpmCommandSize) {
      client.closing = true;
      return;
    }
    if (client.input.size() < size) return;
    std::optional<std::string> answer = Answer(absl::string_view(client.input).substr(0, size));
    if (!answer) return Disappear();
    client.input.erase(0, size);
    if (!Send(client.fd.get(), *answer)) client.closing = true;
  }
}

void TpmProxy::Delay() {
  const absl::Time began = absl::Now();
  while (absl::Now() < began + misbehaviour_.latency) {
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
    }
    pollfd wake{wake_.get(), POLLIN, 0};
    const absl::Duration left =
        std::max(began + misbehaviour_.latency - absl::Now(), absl::ZeroDuration());
    poll(&wake, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
    uint64_t count;
    (void)!read(wake_.get(), &count, sizeof count);  // first: a task may come while others run
    RunTasks();  // so that a slow TPM can be told to be quick again
  }
}

std::optional<std::string> TpmProxy::Answer(absl::string_view command) {
  if (misbehaviour_.vanish_after && (*misbehaviour_.vanish_after)-- <= 0) {
    misbehaviour_.vanish_after.reset();
    return std::nullopt;
  }
  ++commands_;
  ByteReader reader(command);
  reader.Raw(6);
  uint32_t code = reader.U32();
  delaying_ = misbehaviour_.latency_command.value_or(code) == code;
  if (delaying_) Delay();
  delaying_ = false;
  if (misbehaviour_.fail_count > 0 && misbehaviour_.fail_command.value_or(code) == code) {
    --misbehaviour_.fail_count;
    return TpmResponse(misbehaviour_.fail_code);
  }
  auto response = swtpm_->raw().Transmit(command);
  if (!response.ok()) return std::nullopt;
  if (misbehaviour_.flip_command == code && misbehaviour_.flip_offset < response->size()) {
    (*response)[misbehaviour_.flip_offset] ^= 1;
  }
  if (recording_) {
    recording_->emplace_back(command);
    recording_->push_back(*response);
  }
  return *std::move(response);
}

void TpmProxy::Disappear() {
  Unlisten();
  // The socket for requests stays, so that the TPM can be told to come back.
  if (auto requests =
          ListenOnUnixSocket(absl::StrCat(path_, kSuffixes[2]), SOCK_STREAM | SOCK_NONBLOCK);
      requests.ok()) {
    listeners_[2] = *std::move(requests);
  }
  for (Client& client : clients_) {
    if (client.kind == Kind::kRequests) continue;
    shutdown(client.fd.get(), SHUT_RDWR);
    client.closing = true;
  }
}

absl::Status TpmProxy::Reappear() {
  if (listeners_[0]) return absl::OkStatus();
  FOREKEY_RETURN_IF_ERROR(swtpm_->PowerCycle());
  return Listen();
}

void TpmProxy::ServeControl(Client& client) {
  while (!client.closing && client.input.size() >= 4) {
    ByteReader header(client.input);
    uint32_t code = header.U32();
    size_t size = code == kControlSetLocality ? 5 : 4;
    if (client.input.size() < size) return;
    std::string answer = ByteWriter().U32(kControlRefused).bytes();
    if (code == kControlSetLocality || code == kControlCancel) {
      send(swtpm_->control_fd(), client.input.data(), size, MSG_NOSIGNAL);
      if (recv(swtpm_->control_fd(), answer.data(), 4, MSG_WAITALL) != 4) client.closing = true;
      client.input.erase(0, size);
    } else {
      client.input.clear();  // its length is not known here
    }
    if (!Send(client.fd.get(), answer)) client.closing = true;
  }
}

void TpmProxy::ServeRequests(Client& client) {
  size_t end;
  while (!client.closing && (end = client.input.find('\n')) != std::string::npos) {
    std::string line = client.input.substr(0, end);
    client.input.erase(0, end + 1);
    if (!Send(client.fd.get(), AnswerRequest(line))) client.closing = true;
  }
  if (client.input.size() > 1024) client.closing = true;
}

void TpmProxy::Misbehave(const TpmMisbehaviour& misbehaviour) {
  InLoop([&] { misbehaviour_ = misbehaviour; });
}

void TpmProxy::StartRecording() {
  InLoop([&] { recording_.emplace(); });
}

std::vector<std::string> TpmProxy::StopRecording() {
  std::vector<std::string> recorded;
  InLoop([&] {
    if (recording_) recorded = *std::exchange(recording_, std::nullopt);
  });
  return recorded;
}

void TpmProxy::Vanish() {
  InLoop([&] { Disappear(); });
}

absl::Status TpmProxy::Return() {
  absl::Status status;
  InLoop([&] { status = Reappear(); });
  return status;
}

absl::Status TpmProxy::SetLockedOut(bool locked_out) {
  absl::Status status;
  InLoop([&] { status = swtpm_->raw().SetMaxAuthTries(locked_out ? 0 : 3); });
  return status;
}

absl::StatusOr<TpmProxy::Status> TpmProxy::GetStatus() {
  Status status;
  absl::Status error;
  InLoop([&] {
    status.present = static_cast<bool>(listeners_[0]);
    status.commands = commands_;
    status.delaying = delaying_;
    for (auto [first, list] :
         {std::pair{0x80000000u, &status.transient_objects},
          std::pair{0x02000000u, &status.sessions}, std::pair{0x03000000u, &status.sessions}}) {
      auto handles = swtpm_->raw().Handles(first);
      error.Update(handles.status());
      if (handles.ok()) list->insert(list->end(), handles->begin(), handles->end());
    }
  });
  if (!error.ok()) return error;
  return status;
}

absl::Status TpmProxy::WithTpm(absl::FunctionRef<absl::Status(RawTpm)> commands) {
  absl::Status status = absl::CancelledError("the simulator has ended");
  InLoop([&] { status = commands(swtpm_->raw()); });
  return status;
}

}  // namespace forekey

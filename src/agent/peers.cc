// SPDX-License-Identifier: Apache-2.0
#include "src/agent/peers.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "grpc/grpc_security.h"
#include "src/base/printable.h"

namespace forekey {
namespace {

constexpr size_t kSlots = 48;
constexpr char kProperty[] = "forekey-peer";

// Marks a connection with the number of its slot. What it says of a connection is the same for all
// calls on it, and is about no caller's rights.
class SlotMarker : public grpc::AuthMetadataProcessor {
 public:
  explicit SlotMarker(size_t slot) : slot_(absl::StrCat(slot)) {}
  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata&, grpc::AuthContext* context, OutputMetadata*,
                       OutputMetadata*) override {
    if (context->FindPropertyValues(kProperty).empty()) context->AddProperty(kProperty, slot_);
    return grpc::Status::OK;
  }

 private:
  const std::string slot_;
};

void Give(int fd, grpc::experimental::ExternalConnectionAcceptor* acceptor) {
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
  connection.fd = fd;
  acceptor->HandleNewConnection(&connection);
}

}  // namespace

std::string ProgramOf(int fd) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0) return "";
  char path[PATH_MAX];
  const ssize_t length =
      readlink(absl::StrCat("/proc/", peer.pid, "/exe").c_str(), path, sizeof(path));
  const std::string program =
      length > 0 ? Shown(absl::string_view(path, static_cast<size_t>(length))) : "a program";
  return absl::StrCat(program, " (process ", peer.pid, ")");
}

Peers::~Peers() {
  absl::MutexLock lock(&mutex_);
  for (const Slot& slot : slots_) {
    if (slot.watched >= 0) close(slot.watched);
  }
}

void Peers::AddTo(grpc::ServerBuilder* builder) {
  const auto add = [builder](std::shared_ptr<grpc::ServerCredentials> credentials) {
    return builder->experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        std::move(credentials));
  };
  absl::MutexLock lock(&mutex_);
  for (size_t i = 0; i < kSlots; ++i) {
    auto credentials = grpc::experimental::LocalServerCredentials(UDS);
    credentials->SetAuthMetadataProcessor(std::make_shared<SlotMarker>(i));
    slots_.push_back({add(std::move(credentials)), -1, ""});
  }
  overflow_ = add(grpc::InsecureServerCredentials());
}

// The other end has closed, or there was none.
bool Peers::IsFree(const Slot& slot) {
  if (slot.watched < 0) return true;
  pollfd state = {slot.watched, POLLRDHUP, 0};
  return poll(&state, 1, 0) == 1 && (state.revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0;
}

void Peers::Take(int fd) {
  absl::MutexLock lock(&mutex_);
  for (Slot& slot : slots_) {
    if (!IsFree(slot)) continue;
    if (slot.watched >= 0) close(slot.watched);
    slot.watched = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    slot.program = ProgramOf(fd);
    if (slot.watched < 0) break;
    return Give(fd, slot.acceptor.get());
  }
  Give(fd, overflow_.get());
}

std::string Peers::Program(const grpc::AuthContext& context) const {
  const auto marks = context.FindPropertyValues(kProperty);
  size_t number = 0;
  if (marks.empty() || !absl::SimpleAtoi(std::string(marks[0].data(), marks[0].size()), &number)) {
    return "";
  }
  absl::MutexLock lock(&mutex_);
  return number < slots_.size() ? slots_[number].program : "";
}

}  // namespace forekey

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
constexpr size_t kSlotsOfOneProcess = 8;
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

// 0 where the kernel does not tell.
pid_t PidOf(int fd) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

}  // namespace

std::string ProgramOf(int fd) {
  const pid_t pid = PidOf(fd);
  if (pid <= 0) return "";
  char path[PATH_MAX];
  const ssize_t length = readlink(absl::StrCat("/proc/", pid, "/exe").c_str(), path, sizeof(path));
  const std::string program =
      length > 0 ? Shown(absl::string_view(path, static_cast<size_t>(length))) : "a program";
  return absl::StrCat(program, " (process ", pid, ")");
}

PeerSlots::~PeerSlots() {
  for (const Slot& slot : slots_) {
    if (slot.watched >= 0) close(slot.watched);
  }
}

// The other end has closed, or there was none.
bool PeerSlots::IsFree(const Slot& slot) {
  if (slot.watched < 0) return true;
  pollfd state = {slot.watched, POLLRDHUP, 0};
  return poll(&state, 1, 0) == 1 && (state.revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0;
}

std::optional<size_t> PeerSlots::Take(int fd, pid_t pid, std::string program, PromptPlace place) {
  std::optional<size_t> free;
  size_t same = 0;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (IsFree(slots_[i])) {
      if (!free) free = i;
    } else if (slots_[i].pid == pid && ++same == share_) {
      return std::nullopt;
    }
  }
  if (!free) return std::nullopt;
  Slot& slot = slots_[*free];
  if (slot.watched >= 0) close(slot.watched);
  slot = Slot{fcntl(fd, F_DUPFD_CLOEXEC, 0), pid, {std::move(program), std::move(place)}};
  return slot.watched < 0 ? std::nullopt : free;
}

Peer PeerSlots::Of(size_t slot) const { return slot < slots_.size() ? slots_[slot].peer : Peer(); }

Peers::Peers() : slots_(kSlots, kSlotsOfOneProcess) {}

void Peers::AddTo(grpc::ServerBuilder* builder) {
  const auto add = [builder](std::shared_ptr<grpc::ServerCredentials> credentials) {
    return builder->experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        std::move(credentials));
  };
  for (size_t i = 0; i < kSlots; ++i) {
    auto credentials = grpc::experimental::LocalServerCredentials(UDS);
    credentials->SetAuthMetadataProcessor(std::make_shared<SlotMarker>(i));
    acceptors_.push_back(add(std::move(credentials)));
  }
  overflow_ = add(grpc::InsecureServerCredentials());
}

void Peers::Take(int fd) {
  absl::MutexLock lock(&mutex_);
  const pid_t pid = PidOf(fd);
  const auto slot = slots_.Take(fd, pid, ProgramOf(fd), PlaceOf(pid));
  Give(fd, slot ? acceptors_[*slot].get() : overflow_.get());
}

Peer Peers::Of(const grpc::AuthContext& context) const {
  const auto marks = context.FindPropertyValues(kProperty);
  size_t number = 0;
  if (marks.empty() || !absl::SimpleAtoi(std::string(marks[0].data(), marks[0].size()), &number)) {
    return {};
  }
  absl::MutexLock lock(&mutex_);
  return slots_.Of(number);
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// How connections end: who is refused too often, sends too much, or stays too long.
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "src/base/clock.h"
#include "src/base/reason.h"
#include "src/gate/grpc/connections.h"
#include "src/gate/grpc/live_calls.h"
#include "src/gate/grpc/received_bytes.h"

namespace forekey {
namespace {

// A refusal's answer leaves within this time; then its connection is ended, if gRPC did not do so
// before.
constexpr absl::Duration kAnswerTime = absl::Milliseconds(100);
constexpr absl::Duration kOldLookInterval = absl::Milliseconds(250);
// This look goes over all connections.
constexpr absl::Duration kQuietLookInterval = absl::Seconds(30);

// Made by somebody who does not hold what he claims, or by no client of ours: an honest one is
// never refused for these, whatever happened to the gate meanwhile.
bool IsForged(Reason reason) {
  switch (reason) {
    case Reason::kPrefixRepeated:
    case Reason::kPrefixOversize:
    case Reason::kPrefixMalformed:
    case Reason::kSignatureInvalid:
    case Reason::kMacInvalid:
    case Reason::kInviteSignatureInvalid:
      return true;
    default:
      return false;
  }
}

// The gate's own trouble, and what an enrolled caller may not do: no fault of the connection.
bool IsNoFault(Reason reason) { return PublicCode(reason) != absl::StatusCode::kUnauthenticated; }

// With a reset: what the kernel holds of it goes now, in both directions. A mere end would leave a
// peer that neither reads nor closes what it was sent, and what it sent that was not read, for as
// long as TCP tries.
void Reset(int fd) {
  sockaddr none = {};
  none.sa_family = AF_UNSPEC;
  if (connect(fd, &none, sizeof(none)) == 0) return;
  shutdown(fd, SHUT_RDWR);  // no TCP, or on its way out already
}

// The same once both descriptors are closed: what was sent last goes out in order.
void CloseAtOnce(int fd) {
  const linger at_once = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  shutdown(fd, SHUT_RDWR);
}

bool HasUnread(int fd) {
  int bytes = 0;
  return ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

}  // namespace

void Connections::LookAtBytes(Connection* raw) {
  auto found = connections_.find(raw);
  if (found == connections_.end() || raw->proved() ||
      raw->closing_.load(std::memory_order_relaxed)) {
    return;
  }
  const BootTime now = Clock::System().BootNow();
  const absl::StatusOr<uint64_t> received = BytesReceivedOn(raw->fd_);
  const Allowance allowance = JudgeBytes(received, now - raw->accepted_, limits_.stranger_bytes);
  if (allowance == Allowance::kWithin) return;
  // Who was no faster than he may be comes back for nothing: a prober of health. A count that can't
  // be read is no fault of his, either.
  if (allowance == Allowance::kExceeded && received.ok()) {
    rates_.Charge(raw->host(), limits_.forged_cost, now);
  }
  EndNow(found->second,
         Refuse(Reason::kConnectionLimit,
                received.ok()
                    ? absl::StrCat(*received, " bytes came, allowed are ", limits_.stranger_bytes,
                                   " and some more with time, and nothing was admitted")
                    : absl::StrCat("how many bytes came can't be read: ",
                                   received.status().message())));
}

void Connections::Refused(const std::shared_ptr<Connection>& connection,
                          std::optional<Reason> reason) {
  if (!reason || IsNoFault(*reason)) return;
  const bool forged = IsForged(*reason);
  const uint32_t limit = forged ? limits_.forged_refusals : limits_.refusals;
  const uint32_t count = (forged ? connection->forged_ : connection->refused_)
                             .fetch_add(1, std::memory_order_relaxed) +
                         1;
  if (limit == 0 || count < limit) return;
  EndSoon(connection, forged ? limits_.forged_cost : limits_.refused_cost);
}

void Connections::EndSoon(const std::shared_ptr<Connection>& connection, double cost) {
  if (connection->closing_.exchange(true)) return;
  const BootTime now = Clock::System().BootNow();
  {
    absl::MutexLock lock(&mutex_);
    endings_.push_back({connection, now + kAnswerTime});
  }
  Wake();
  // What was sent before is the last that gRPC reads: it answers, and closes. A flood that went on
  // for as long as its answer takes would cost more than the connection that it loses.
  shutdown(connection->fd_, SHUT_RD);
  rates_.Charge(connection->host(), cost, now);
}

void Connections::EndNow(const std::shared_ptr<Connection>& connection, const absl::Status& why) {
  if (connection->closing_.exchange(true)) return;
  core_->refusals().Tell(why, "", connection->peer()).IgnoreError();
  // Both ends see it; gRPC closes its descriptor, and the poll here reports the end.
  Reset(connection->fd_);
}

void Connections::EndDue(BootTime now) {
  std::vector<Ending> due;
  {
    absl::MutexLock lock(&mutex_);
    auto later = std::partition(endings_.begin(), endings_.end(),
                                [now](const Ending& ending) { return ending.at > now; });
    due.assign(std::make_move_iterator(later), std::make_move_iterator(endings_.end()));
    endings_.erase(later, endings_.end());
  }
  for (const Ending& ending : due) {
    core_->refusals()
        .Tell(Refuse(Reason::kConnectionEnded), "", ending.connection->peer())
        .IgnoreError();
    CloseAtOnce(ending.connection->fd_);
  }
}

void Connections::EndOld(BootTime now) {
  if (now < next_look_) return;
  next_look_ = now + kOldLookInterval;
  const absl::Status why = Refuse(Reason::kConnectionTimeout);
  for (const auto& connection : arriving_.TakeOld(now, limits_.proof)) {
    EndNow(connection, why);
    if (!connection->given_) Forget(connection.get());
  }
  for (const auto& connection : strangers_.TakeOld(now, limits_.proof)) {
    if (connection->exempt_.watches()) {
      MoveTo(watching_, connection, "with calls of exempt methods alone");
    } else {
      EndNow(connection, why);
    }
  }
  for (const auto& connection : watching_.TakeOld(now, limits_.watch_age)) EndNow(connection, why);
}

bool Connections::IsQuiet(Connection& connection, BootTime now) {
  const bool exempt_quiet = connection.exempt_.QuietSince(now - limits_.idle);
  if (!connection.last_active_) return exempt_quiet && connection.room_ == &watching_;
  if (connection.active_.exchange(false, std::memory_order_relaxed)) {
    connection.last_active_ = now;
    return false;
  }
  return now - *connection.last_active_ >= (exempt_quiet ? 1 : 2) * limits_.idle;
}

// gRPC's own filter for this costs 4,500 instructions at every call. It ends a connection with a
// GOAWAY; this can't, so it spares one from which something has come that gRPC did not read yet.
void Connections::EndQuiet(BootTime now) {
  if (now < next_quiet_look_) return;
  next_quiet_look_ = now + std::min(kQuietLookInterval, limits_.idle / 4);
  std::vector<std::shared_ptr<Connection>> quiet;
  for (const auto& [raw, connection] : connections_) {
    if (IsQuiet(*raw, now)) quiet.push_back(connection);
  }
  if (quiet.empty()) return;
  const absl::flat_hash_set<uint64_t> alive = LiveCalls::OfProcess().ConnectionsOf(core_);
  for (const auto& connection : quiet) {
    if (alive.contains(connection->id())) {
      connection->last_active_ = now;
    } else if (!connection->exempt_.QuietSince(now - limits_.idle)) {
      EndNow(connection,
             Refuse(Reason::kConnectionTimeout,
                    "nothing was admitted on it any more, for twice [connections] idle"));
    } else if (!HasUnread(connection->fd_) && !connection->closing_.exchange(true)) {
      CloseAtOnce(connection->fd_);  // the ordinary end of one that nobody uses
    }
  }
}

}  // namespace forekey

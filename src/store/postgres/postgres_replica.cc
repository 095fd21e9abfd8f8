// SPDX-License-Identifier: Apache-2.0
#include "src/store/postgres/postgres_replica.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/base/status_note.h"
#include "src/crypto/random.h"

namespace forekey {
namespace {

constexpr size_t kReplicaIdSize = 16;
constexpr size_t kMovedFamilySize = 16;
constexpr int kChangesAtOnce = 1000;
constexpr int kChangesForAKeeping = 200;
// Changes that are kept though everybody has seen them.
constexpr int kChangesKept = 10'000;
constexpr int kLooksForAPruning = 1000;
// Renewals in a lease; tries in a lease while the database does not answer.
constexpr int kRenewals = 3, kTries = 10;
// One that did not renew for so many leases is gone. More than one, since it is looked at now and
// then only.
constexpr double kGoneAfter = 1.5;

void AwaitReadable(int fd, absl::Duration time) {
  const Deadline deadline = Deadline::In(time);
  for (;;) {
    pollfd polled{fd, POLLIN, 0};
    const int ready = poll(&polled, 1, deadline.LeftMillis());
    if (ready > 0 || (ready == 0 && deadline.Passed()) || (ready < 0 && errno != EINTR)) return;
  }
}

bool Readable(int fd) {
  pollfd polled{fd, POLLIN, 0};
  return poll(&polled, 1, 0) > 0;
}

}  // namespace

PostgresReplica::PostgresReplica(PostgresReplicaOptions options, PostgresRegistry& registry,
                                 LiveCredentials& credentials, AdmissionLease& lease,
                                 const Clock& clock)
    : options_(std::move(options)),
      registry_(registry),
      credentials_(credentials),
      lease_(lease),
      clock_(clock),
      id_(RandomBytes(kReplicaIdSize)) {}

absl::StatusOr<std::unique_ptr<PostgresReplica>> PostgresReplica::Join(
    PostgresReplicaOptions options, PostgresRegistry& registry, LiveCredentials& credentials,
    AdmissionLease& lease, const Clock& clock) {
  std::unique_ptr<PostgresReplica> replica(
      new PostgresReplica(std::move(options), registry, credentials, lease, clock));
  replica->stop_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (replica->stop_ < 0) return absl::ErrnoToStatus(errno, "eventfd");
  FOREKEY_RETURN_IF_ERROR(replica->Begin());
  replica->thread_ = std::thread([raw = replica.get()] { raw->Run(); });
  return replica;
}

PostgresReplica::~PostgresReplica() {
  if (thread_.joinable()) {
    eventfd_write(stop_, 1);
    thread_.join();
  }
  lease_.End();
  if (connection_ != nullptr) {
    (void)connection_->Query("DELETE FROM replicas WHERE id = $1", PostgresValues().Bytes(id_),
                             Patience());
  }
  if (stop_ >= 0) close(stop_);
}

void PostgresReplica::Run() {
  while (!Readable(stop_)) {
    if (connection_ == nullptr) {
      AwaitReadable(stop_, options_.lease / kTries);
    } else if (!connection_->AwaitNotice(Deadline::In(options_.lease / kRenewals), stop_).ok()) {
      connection_.reset();
      continue;
    }
    if (Readable(stop_)) return;
    const absl::Status renewed = Renew();
    if (!renewed.ok()) GiveConnectionUp();
    if (renewed.ok() != in_trouble_ && !gave_up_) continue;
    in_trouble_ = !renewed.ok();
    if (options_.trouble) options_.trouble(std::string(renewed.message()));
    if (gave_up_) return;
  }
}

absl::Status PostgresReplica::Begin() {
  std::vector<std::string> tried;
  for (absl::Status failed;;) {
    if (absl::Status connected = Connect(); !connected.ok()) {
      return failed.ok() ? connected : WithNote(failed, connected.message());
    }
    std::string server = connection_->Server();
    if (std::find(tried.begin(), tried.end(), server) != tried.end()) return failed;
    const absl::Status renewed = Renew();
    if (renewed.ok() && !failed.ok() && options_.trouble) {
      options_.trouble(std::string(failed.message()));
      options_.trouble("");
    }
    if (renewed.ok() || gave_up_) return renewed;
    const absl::Status here = WithNote(renewed, absl::StrCat("so the server ", server));
    failed = failed.ok() ? here : WithNote(failed, here.message());
    tried.push_back(std::move(server));
    GiveConnectionUp();
  }
}

// Its server took the connection, and yet nothing was renewed over it.
void PostgresReplica::GiveConnectionUp() {
  if (connection_ != nullptr) PostgresConnection::TryAnotherFirst(registry_.url());
  connection_.reset();
}

absl::Status PostgresReplica::Connect() {
  if (connection_ != nullptr) return absl::OkStatus();
  FOREKEY_ASSIGN_OR_RETURN(
      auto connection,
      PostgresConnection::Open(registry_.url(), PostgresConnection::Role::kGate, Patience()));
  FOREKEY_RETURN_IF_ERROR(connection->Execute("LISTEN forekey_changes", Patience()));
  connection_ = std::move(connection);
  others_.clear();  // nobody was heard of meanwhile, and they may have come back no sooner
  registry_.Reconnect();
  return absl::OkStatus();
}

absl::Status PostgresReplica::InsertRow() {
  PostgresValues values;
  values.Bytes(id_).Text(options_.name).Int(absl::ToInt64Nanoseconds(options_.lease));
  if (options_.owner) values.Text(options_.owner->audience).Bytes(options_.owner->identity);
  // FOR SHARE: whoever changes the identity just now is waited for, and sees this row otherwise.
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows inserted,
      connection_->Query(
          absl::StrCat(
              "INSERT INTO replicas (id, name, lease, seen) SELECT $1, $2, $3, -1",
              options_.owner ? " FROM gate WHERE audience = $4 AND identity = $5 FOR SHARE" : "",
              " ON CONFLICT (id) DO UPDATE SET seen = -1, renewals = replicas.renewals + "
              "1"),
          values, Patience()));
  if (inserted.Affected() > 0 || !options_.owner) return absl::OkStatus();
  PostgresSession session(*connection_, Patience());
  const absl::Status owned = registry_.CheckStillOwnedBy(*options_.owner, session);
  if (absl::IsFailedPrecondition(owned)) {
    gave_up_ = true;
    lease_.End();
  }
  return owned;
}

// The row comes first, and confirms nothing: whoever changes something from now on waits for this
// replica. What was changed before is in what is read after it.
absl::Status PostgresReplica::Enter() {
  position_ = Position();
  told_ = -1;
  registry_.ForgetMine();
  FOREKEY_RETURN_IF_ERROR(InsertRow());
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows last,
      connection_->Query("SELECT number, token FROM changes ORDER BY number DESC LIMIT 1",
                         PostgresValues(), Patience()));
  if (last.empty()) {
    return Refuse(Reason::kStoreUnavailable, "PostgreSQL: the table of changes is empty");
  }
  const Position begins{last.Int(0, 0), last.Bytes(0, 1)};
  registry_.Know(begins);
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<std::string> revoked,
                           credentials_.FollowAll([this] { return KeepRow(); }));
  if (options_.revoked) {
    for (const std::string& credential : revoked) options_.revoked(credential);
  }
  if (options_.missed) options_.missed();
  position_ = begins;
  return absl::OkStatus();
}

absl::Status PostgresReplica::KeepRow() {
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows kept,
      connection_->Query("UPDATE replicas SET renewals = renewals + 1 WHERE id = $1",
                         PostgresValues().Bytes(id_), Patience()));
  if (kept.Affected() > 0) return absl::OkStatus();
  position_ = Position();
  return Refuse(Reason::kStoreUnavailable, "PostgreSQL: this replica's row was taken away");
}

absl::StatusOr<std::optional<int64_t>> PostgresReplica::SendRenewal() {
  (void)connection_->TakeWarning();
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows renewed,
      connection_->Query(
          "UPDATE replicas SET seen = $2, renewals = renewals + 1, renewed_at = clock_timestamp(), "
          "state = $4 WHERE id = $1 AND EXISTS (SELECT FROM changes WHERE number = $2 AND token = "
          "$3) RETURNING (SELECT max(number) FROM changes)",
          PostgresValues()
              .Bytes(id_)
              .Int(position_.number)
              .Bytes(position_.token)
              .Text(options_.state ? options_.state() : ""),
          Patience()));
  if (connection_->TakeWarning()) {
    return Refuse(Reason::kStoreUnavailable, "PostgreSQL: a renewal was not replicated");
  }
  if (renewed.empty()) return std::nullopt;
  if (std::exchange(told_, position_.number) != position_.number) {
    FOREKEY_RETURN_IF_ERROR(
        connection_
            ->Query("SELECT pg_notify('forekey_confirmed', '')::text", PostgresValues(), Patience())
            .status());
  }
  return renewed.Int(0, 0);
}

absl::Status PostgresReplica::Renew() {
  FOREKEY_RETURN_IF_ERROR(Connect());
  // Once to see what there is, once to confirm it; more where it goes on meanwhile. The next notice
  // or renewal does the rest.
  bool extended = false;
  for (int round = 0; round < 4; ++round) {
    const BootTime sent = clock_.BootNow();
    std::optional<int64_t> last;
    if (position_.number >= 0) {
      FOREKEY_ASSIGN_OR_RETURN(last, SendRenewal());
    }
    if (!last) {
      FOREKEY_RETURN_IF_ERROR(Enter());
      continue;
    }
    // The change after it may have been read from a server that is no more.
    registry_.Know(position_);
    const bool up_to_date = *last == position_.number;
    if (!up_to_date) FOREKEY_RETURN_IF_ERROR(FollowUpTo(*last));
    lease_.Extend(sent + options_.lease);
    extended = true;
    if (up_to_date) break;
  }
  if (!extended) {
    return Refuse(Reason::kStoreUnavailable,
                  "PostgreSQL: this replica's row is gone as soon as it is there");
  }
  LookAfterOthers();
  return absl::OkStatus();
}

absl::Status PostgresReplica::FollowUpTo(int64_t last) {
  while (position_.number < last) {
    FOREKEY_ASSIGN_OR_RETURN(
        const PostgresRows rows,
        connection_->Query("SELECT number, token, kind, key FROM changes WHERE number > $1 ORDER "
                           "BY number LIMIT $2",
                           PostgresValues().Int(position_.number).Int(kChangesAtOnce), Patience()));
    for (int row = 0; row < rows.size(); ++row) {
      if (row % kChangesForAKeeping == kChangesForAKeeping - 1) FOREKEY_RETURN_IF_ERROR(KeepRow());
      if (rows.Int(row, 0) != position_.number + 1) {
        position_ = Position();
        return Refuse(Reason::kStoreUnavailable, "PostgreSQL: a change is missing");
      }
      const Position next{rows.Int(row, 0), rows.Bytes(row, 1)};
      registry_.Know(next);  // what is read to follow it is read where it is
      FOREKEY_RETURN_IF_ERROR(Follow(next, rows.Bytes(row, 2), rows.Bytes(row, 3)));
      position_ = next;
    }
    if (rows.empty()) {
      position_ = Position();
      return Refuse(Reason::kStoreUnavailable, "PostgreSQL: changes are missing");
    }
  }
  return absl::OkStatus();
}

absl::Status PostgresReplica::Follow(const Position& change, const std::string& kind,
                                     const std::string& key) {
  if (kind == kCredentialRevoked) {
    FOREKEY_RETURN_IF_ERROR(credentials_.FollowCredential(key));
    if (options_.revoked) options_.revoked(key);
    return absl::OkStatus();
  }
  if (kind == kSubjectChanged) return credentials_.FollowSubject(key);
  if (kind == kFactorsChanged) {
    return credentials_.FollowFactors(key, [&] { return registry_.TakeMine(change); });
  }
  if (kind == kFamilyMoved) {
    ByteReader reader(key);
    const std::string family(reader.Raw(kMovedFamilySize));
    const uint64_t below = reader.U64();
    const std::string subject(reader.Rest());
    if (options_.moved && reader.Finished()) options_.moved(subject, family, below);
    return absl::OkStatus();
  }
  if (kind == kInvitesCancelled) return absl::OkStatus();
  // A newer release's: what it means is not known, so everything is read again.
  if (options_.missed) options_.missed();
  return credentials_.FollowAll([this] { return KeepRow(); }).status();
}

// Takes away the rows of replicas that are gone, so that nobody waits for them, and changes that
// everybody has seen. A row is taken only as it was seen: one that was renewed meanwhile stays.
void PostgresReplica::LookAfterOthers() {
  const absl::StatusOr<PostgresRows> rows =
      connection_->Query("SELECT id, renewals, lease FROM replicas WHERE id <> $1",
                         PostgresValues().Bytes(id_), Patience());
  if (!rows.ok()) return;
  const BootTime now = clock_.BootNow();
  absl::flat_hash_map<std::string, Heard> heard;
  for (int row = 0; row < rows->size(); ++row) {
    const std::string id = rows->Bytes(row, 0);
    const auto before = others_.find(id);
    const bool same = before != others_.end() && before->second.renewals == rows->Int(row, 1);
    const Heard now_heard{rows->Int(row, 1), same ? before->second.since : now};
    if (now - now_heard.since > absl::Nanoseconds(rows->Int(row, 2)) * kGoneAfter) {
      (void)connection_->Query("DELETE FROM replicas WHERE id = $1 AND renewals = $2",
                               PostgresValues().Bytes(id).Int(now_heard.renewals), Patience());
      continue;
    }
    heard[id] = now_heard;
  }
  others_ = std::move(heard);
  if (++looks_ % kLooksForAPruning != 0) return;
  (void)connection_->Query(
      "DELETE FROM changes WHERE number < LEAST((SELECT min(seen) FROM replicas), (SELECT "
      "max(number) FROM changes) - $1)",
      PostgresValues().Int(kChangesKept), Patience());
}

}  // namespace forekey

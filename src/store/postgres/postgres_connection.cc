// SPDX-License-Identifier: Apache-2.0
#include "src/store/postgres/postgres_connection.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <string.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr int kOldestServer = 150000;

absl::Status PostgresUnavailable(absl::string_view detail) {
  return Refuse(Reason::kStoreUnavailable, absl::StrCat("PostgreSQL: ", detail));
}

// libpq's messages have a line for each address that was tried.
std::string OneLine(absl::string_view message) {
  return absl::StrReplaceAll(absl::StripSuffix(message, "\n"), {{"\n\t", " "}, {"\n", "; "}});
}

std::string BigEndian(uint64_t value) {
  std::string bytes(8, '\0');
  for (int i = 7; i >= 0; --i, value >>= 8) bytes[i] = static_cast<char>(value & 0xff);
  return bytes;
}

// One of the servers that a URL names. Empty: as the URL, or libpq's defaults, have it.
struct PostgresHost {
  std::string host, hostaddr, port;
  std::string Name() const { return host.empty() ? hostaddr : host; }
};

using PostgresHosts = std::vector<PostgresHost>;

// As libpq reads these lists (PostgreSQL 15, section 34.1.1.3). One that it would not take is left
// to it as it is, and so is one with an empty entry: an empty setting does not take the place of
// the URL's list.
PostgresHosts SplitHosts(const PQconninfoOption* options) {
  std::vector<std::string> hosts, addresses, ports;
  for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
    if (option->val == nullptr || *option->val == '\0') continue;
    const absl::string_view keyword = option->keyword;
    if (keyword == "host") hosts = absl::StrSplit(option->val, ',');
    if (keyword == "hostaddr") addresses = absl::StrSplit(option->val, ',');
    if (keyword == "port") ports = absl::StrSplit(option->val, ',');
  }
  const size_t count = std::max(hosts.size(), addresses.size());
  const auto fits = [count](const std::vector<std::string>& list) {
    return list.empty() || list.size() == count;
  };
  const bool one_port = ports.size() <= 1;
  if (count <= 1 || !fits(hosts) || !fits(addresses) || (!one_port && !fits(ports))) return {{}};
  PostgresHosts split(count);
  for (size_t i = 0; i < count; ++i) {
    if (!hosts.empty()) split[i].host = hosts[i];
    if (!addresses.empty()) split[i].hostaddr = addresses[i];
    if (!one_port) split[i].port = ports[i].empty() ? "5432" : ports[i];
    if (split[i].host.empty() != hosts.empty()) return {{}};
    if (split[i].hostaddr.empty() != addresses.empty()) return {{}};
  }
  return split;
}

PostgresHosts HostsOf(PQconninfoOption* options) {
  if (options == nullptr) return {{}};
  PostgresHosts hosts = SplitHosts(options);
  PQconninfoFree(options);
  return hosts;
}

// Which of its servers took the last connection of this process to a URL.
class LastGoodHosts {
 public:
  static LastGoodHosts& OfProcess() {
    static LastGoodHosts* const hosts = new LastGoodHosts;
    return *hosts;
  }
  size_t Find(const std::string& url) {
    absl::MutexLock lock(&mutex_);
    const auto found = places_.find(url);
    return found == places_.end() ? 0 : found->second;
  }
  void Note(const std::string& url, size_t place) {
    absl::MutexLock lock(&mutex_);
    places_[url] = place;
  }
  void MoveOn(const std::string& url) {
    absl::MutexLock lock(&mutex_);
    ++places_[url];
  }

 private:
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, size_t> places_ ABSL_GUARDED_BY(mutex_);
};

// The last of two settings counts. A host that vanished is noticed within seconds, also where
// nothing is being waited for.
PGconn* StartConnection(const std::string& url, const PostgresHost& host) {
  std::vector<const char*> keywords, values;
  const auto add = [&](const char* keyword, const char* value) {
    keywords.push_back(keyword);
    values.push_back(value);
  };
  add("dbname", url.c_str());
  if (!host.host.empty()) add("host", host.host.c_str());
  if (!host.hostaddr.empty()) add("hostaddr", host.hostaddr.c_str());
  if (!host.port.empty()) add("port", host.port.c_str());
  add("target_session_attrs", "read-write");
  add("client_encoding", "UTF8");
  add("keepalives", "1");
  add("keepalives_idle", "5");
  add("keepalives_interval", "1");
  add("keepalives_count", "3");
  add("tcp_user_timeout", "5000");
  add("fallback_application_name", "forekey");
  add(nullptr, nullptr);
  return PQconnectStartParams(keywords.data(), values.data(), /*expand_dbname=*/1);
}

}  // namespace

bool IsPostgresUrl(absl::string_view text) {
  return absl::StartsWith(text, "postgresql://") || absl::StartsWith(text, "postgres://");
}

absl::Status CheckPostgresUrl(const std::string& url) {
  if (!IsPostgresUrl(url)) {
    return absl::InvalidArgumentError("must begin with postgresql://");
  }
  // What libpq says of a URL that it can't read may quote it, and so a password: not told.
  PQconninfoOption* const options = PQconninfoParse(url.c_str(), nullptr);
  if (options == nullptr) {
    return absl::InvalidArgumentError(
        "is no connection URI as PostgreSQL's documentation has it (section 34.1.1.2)");
  }
  const absl::Cleanup free_options = [options] { PQconninfoFree(options); };
  for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
    const absl::string_view keyword = option->keyword;
    if (option->val == nullptr) continue;
    if (keyword == "password" || keyword == "sslpassword") {
      return absl::InvalidArgumentError(absl::StrCat(
          "holds a ", keyword,
          ", which does not belong here: name a file by ?passfile=, a service by ?service=, or set "
          "PGPASSWORD"));
    }
    if (keyword == "target_session_attrs" && absl::string_view(option->val) != "read-write") {
      return absl::InvalidArgumentError(
          "target_session_attrs can only be read-write: a standby may not know of a revocation "
          "yet");
    }
  }
  return absl::OkStatus();
}

PostgresValues& PostgresValues::Add(Type type, std::string bytes) {
  values_.push_back({type, false, std::move(bytes)});
  return *this;
}
PostgresValues& PostgresValues::Null(Type type) {
  values_.push_back({type, true, std::string()});
  return *this;
}
PostgresValues& PostgresValues::Int(int64_t value) {
  return Add(kInt8, BigEndian(static_cast<uint64_t>(value)));
}

void PostgresRows::Clear::operator()(pg_result* result) const { PQclear(result); }
int PostgresRows::size() const { return PQntuples(result_.get()); }
bool PostgresRows::IsNull(int row, int column) const {
  return PQgetisnull(result_.get(), row, column) != 0;
}
std::string PostgresRows::Bytes(int row, int column) const {
  return std::string(PQgetvalue(result_.get(), row, column),
                     static_cast<size_t>(PQgetlength(result_.get(), row, column)));
}
int64_t PostgresRows::Int(int row, int column) const {
  if (PQgetlength(result_.get(), row, column) != 8) return 0;
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) {
    value = value << 8 | static_cast<unsigned char>(PQgetvalue(result_.get(), row, column)[i]);
  }
  return static_cast<int64_t>(value);
}
int64_t PostgresRows::Affected() const {
  int64_t affected = 0;
  (void)absl::SimpleAtoi(PQcmdTuples(result_.get()), &affected);
  return affected;
}

absl::StatusOr<std::unique_ptr<PostgresConnection>> PostgresConnection::Open(
    const std::string& url, Role role, const Deadline& deadline) {
  if (absl::Status good = CheckPostgresUrl(url); !good.ok()) {
    return PostgresUnavailable(absl::StrCat("the registry's URL ", good.message()));
  }
  PostgresHosts hosts = HostsOf(PQconninfoParse(url.c_str(), nullptr));
  if (hosts.size() == 1 && hosts.front().Name().empty()) {
    // PGHOST or a service file may name several: libpq says so once it has begun.
    PGconn* const begun = StartConnection(url, {});
    if (begun == nullptr) return PostgresUnavailable("out of memory");
    hosts = HostsOf(PQconninfo(begun));
    if (hosts.size() == 1) return OpenBegun(begun, role, deadline);
    PQfinish(begun);
  }
  // One after the other, each with its share of the time: libpq would wait for one that is silent
  // until all of it is over. (Its connect_timeout is for those who let libpq itself wait.)
  std::vector<std::string> errors;
  const size_t first = LastGoodHosts::OfProcess().Find(url);
  for (size_t i = 0; i < hosts.size(); ++i) {
    const size_t place = (first + i) % hosts.size();
    const absl::Duration share = deadline.Left() / static_cast<double>(hosts.size() - i);
    auto opened = OpenBegun(StartConnection(url, hosts[place]), role, Deadline::In(share));
    if (opened.ok()) {
      LastGoodHosts::OfProcess().Note(url, place);
      return opened;
    }
    errors.push_back(absl::StrCat(hosts[place].Name(), ": ", opened.status().message()));
  }
  return PostgresUnavailable(absl::StrCat("none of the servers: ", absl::StrJoin(errors, "; ")));
}

void PostgresConnection::TryAnotherFirst(const std::string& url) {
  LastGoodHosts::OfProcess().MoveOn(url);
}

absl::StatusOr<std::unique_ptr<PostgresConnection>> PostgresConnection::OpenBegun(
    pg_conn* begun, Role role, const Deadline& deadline) {
  if (begun == nullptr) return PostgresUnavailable("out of memory");
  std::unique_ptr<PostgresConnection> opened(new PostgresConnection(begun));
  FOREKEY_RETURN_IF_ERROR(opened->Connect(deadline));
  FOREKEY_RETURN_IF_ERROR(opened->Prepare(role, deadline));
  return opened;
}

std::string PostgresConnection::Server() const {
  const char* const host = PQhost(connection_);
  const char* const port = PQport(connection_);
  return absl::StrCat(host == nullptr ? "" : host, ":", port == nullptr ? "" : port);
}

PostgresConnection::~PostgresConnection() { PQfinish(connection_); }

absl::Status PostgresConnection::Connect(const Deadline& deadline) {
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while (PQstatus(connection_) != CONNECTION_BAD && state != PGRES_POLLING_OK) {
    if (state == PGRES_POLLING_FAILED) break;
    FOREKEY_RETURN_IF_ERROR(Wait(state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline));
    state = PQconnectPoll(connection_);
  }
  if (PQstatus(connection_) != CONNECTION_OK) {
    return Break(absl::StrCat("no connection: ", OneLine(PQerrorMessage(connection_))));
  }
  PQsetNoticeReceiver(
      connection_,
      [](void* self, const PGresult* notice) {
        const char* const severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
        if (severity != nullptr && absl::string_view(severity) == "WARNING") {
          static_cast<PostgresConnection*>(self)->warned_ = true;
        }
      },
      this);
  if (PQsetnonblocking(connection_, 1) != 0) return Break("PQsetnonblocking failed");
  if (PQserverVersion(connection_) < kOldestServer) {
    return Break(absl::StrCat("the server has version ", PQserverVersion(connection_) / 10000,
                              ", the registry needs 15 or later"));
  }
  return absl::OkStatus();
}

absl::Status PostgresConnection::Prepare(Role role, const Deadline& deadline) {
  // A gate that is stopped in the middle of a transaction holds its locks only until the server
  // ends it, and one that waits for a lock gives up before its own deadline.
  FOREKEY_RETURN_IF_ERROR(Execute(
      absl::StrCat("SET search_path = forekey, pg_temp;"
                   "SET default_transaction_isolation = 'read committed';"
                   "SET idle_in_transaction_session_timeout = '1s';",
                   role == Role::kGate ? "SET lock_timeout = '4s'; SET statement_timeout = '5s';"
                                       : "SET lock_timeout = '10s'; SET statement_timeout = 0;"
                                         "SET idle_in_transaction_session_timeout = '10min';"),
      deadline));
  FOREKEY_ASSIGN_OR_RETURN(
      const PostgresRows rows,
      Query("SELECT current_setting('fsync'), current_setting('synchronous_commit'), "
            "current_setting('server_encoding'), pg_is_in_recovery()::text",
            PostgresValues(), deadline));
  if (rows.Bytes(0, 0) != "on") {
    return Break("the server has fsync off: what it acknowledges it may forget. Switch it on");
  }
  if (rows.Bytes(0, 2) != "UTF8") {
    return Break(
        absl::StrCat("the database is in ", rows.Bytes(0, 2), ": make one with ENCODING 'UTF8'"));
  }
  if (rows.Bytes(0, 3) != "false") return Break("the server is a standby");
  const std::string commit = rows.Bytes(0, 1);
  if (commit == "off" || commit == "local") {
    FOREKEY_RETURN_IF_ERROR(Execute("SET synchronous_commit = on", deadline));
  }
  return absl::OkStatus();
}

absl::Status PostgresConnection::Break(absl::string_view why) {
  broken_ = true;
  failure_ = Failure::kBroken;
  return PostgresUnavailable(why);
}

absl::Status PostgresConnection::Wait(short events, const Deadline& deadline) {
  for (;;) {
    pollfd polled{PQsocket(connection_), events, 0};
    if (polled.fd < 0) return Break("the connection is gone");
    const int ready = poll(&polled, 1, deadline.LeftMillis());
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return Break(absl::StrCat("poll: ", strerror(errno)));
    if (ready == 0 && deadline.Passed()) return Break("the server did not answer in time");
  }
}

absl::Status PostgresConnection::Flush(const Deadline& deadline) {
  for (;;) {
    const int left = PQflush(connection_);
    if (left == 0) return absl::OkStatus();
    if (left < 0) return Break(OneLine(PQerrorMessage(connection_)));
    FOREKEY_RETURN_IF_ERROR(Wait(POLLIN | POLLOUT, deadline));
    if (PQconsumeInput(connection_) == 0) return Break(OneLine(PQerrorMessage(connection_)));
  }
}

absl::StatusOr<pg_result*> PostgresConnection::NextResult(const Deadline& deadline) {
  while (PQisBusy(connection_) != 0) {
    FOREKEY_RETURN_IF_ERROR(Wait(POLLIN, deadline));
    if (PQconsumeInput(connection_) == 0) return Break(OneLine(PQerrorMessage(connection_)));
  }
  return PQgetResult(connection_);
}

void PostgresConnection::TakeNotices() {
  while (PGnotify* const notice = PQnotifies(connection_)) {
    noticed_ = true;
    PQfreemem(notice);
  }
}

absl::Status PostgresConnection::ErrorOf(const pg_result* result) {
  const char* const state_field = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* const message_field = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  const absl::string_view state = state_field == nullptr ? "" : state_field;
  const std::string message =
      absl::StrCat(message_field == nullptr ? OneLine(PQresultErrorMessage(result)) : message_field,
                   state.empty() ? "" : absl::StrCat(" (SQLSTATE ", state, ")"));
  failure_ = Failure::kOther;
  if (state == "40001" || state == "40P01") failure_ = Failure::kTryAgain;
  if (state == "42501") failure_ = Failure::kForbidden;
  if (state == "22021") return absl::InvalidArgumentError(absl::StrCat("PostgreSQL: ", message));
  // Another server is the primary now.
  if (state == "25006") return Break(message);
  if (PQstatus(connection_) == CONNECTION_BAD || state.empty()) return Break(message);
  return PostgresUnavailable(message);
}

absl::StatusOr<PostgresRows> PostgresConnection::Results(const Deadline& deadline) {
  FOREKEY_RETURN_IF_ERROR(Flush(deadline));
  absl::Status error;
  PostgresRows last(nullptr);
  for (;;) {
    FOREKEY_ASSIGN_OR_RETURN(pg_result* const next, NextResult(deadline));
    if (next == nullptr) break;
    PostgresRows rows(next);
    const ExecStatusType status = PQresultStatus(next);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && error.ok()) {
      error = ErrorOf(next);
    }
    last = std::move(rows);
  }
  TakeNotices();
  // libpq may make an end of the connection known as an error of the statement.
  if (PQstatus(connection_) == CONNECTION_BAD) broken_ = true;
  if (broken_) failure_ = Failure::kBroken;
  if (!error.ok()) return error;
  if (broken_) return Break("the connection is gone");
  return last;
}

absl::StatusOr<std::string> PostgresConnection::StatementFor(absl::string_view sql,
                                                             const PostgresValues& values,
                                                             const Deadline& deadline) {
  auto known = statements_.find(sql);
  if (known != statements_.end()) return known->second;
  std::string name = absl::StrCat("s", statements_.size());
  std::vector<Oid> types;
  for (const PostgresValues::Value& value : values.values_) types.push_back(value.type);
  if (PQsendPrepare(connection_, name.c_str(), std::string(sql).c_str(),
                    static_cast<int>(types.size()), types.data()) == 0) {
    return Break(OneLine(PQerrorMessage(connection_)));
  }
  FOREKEY_RETURN_IF_ERROR(Results(deadline).status());
  statements_.emplace(sql, name);
  return name;
}

absl::StatusOr<PostgresRows> PostgresConnection::Query(absl::string_view sql,
                                                       const PostgresValues& values,
                                                       const Deadline& deadline) {
  failure_ = Failure::kNone;
  if (broken_) return Break("the connection is gone");
  FOREKEY_ASSIGN_OR_RETURN(const std::string name, StatementFor(sql, values, deadline));
  std::vector<const char*> bytes;
  std::vector<int> sizes, formats;
  for (const PostgresValues::Value& value : values.values_) {
    bytes.push_back(value.null ? nullptr : value.bytes.data());
    sizes.push_back(static_cast<int>(value.bytes.size()));
    formats.push_back(1);
  }
  if (PQsendQueryPrepared(connection_, name.c_str(), static_cast<int>(bytes.size()), bytes.data(),
                          sizes.data(), formats.data(), /*resultFormat=*/1) == 0) {
    return Break(OneLine(PQerrorMessage(connection_)));
  }
  return Results(deadline);
}

absl::StatusOr<PostgresRows> PostgresConnection::QueryOnce(const std::string& sql,
                                                           const Deadline& deadline) {
  failure_ = Failure::kNone;
  if (broken_) return Break("the connection is gone");
  if (PQsendQuery(connection_, sql.c_str()) == 0) {
    return Break(OneLine(PQerrorMessage(connection_)));
  }
  return Results(deadline);
}

absl::Status PostgresConnection::Execute(const std::string& sql, const Deadline& deadline) {
  return QueryOnce(sql, deadline).status();
}

absl::StatusOr<bool> PostgresConnection::AwaitNotice(const Deadline& deadline, int wake) {
  for (;;) {
    if (PQconsumeInput(connection_) == 0) return Break(OneLine(PQerrorMessage(connection_)));
    TakeNotices();
    if (std::exchange(noticed_, false)) return true;
    pollfd polled[] = {{PQsocket(connection_), POLLIN, 0}, {wake, POLLIN, 0}};
    if (polled[0].fd < 0) return Break("the connection is gone");
    const int ready = poll(polled, 2, deadline.LeftMillis());
    if (ready < 0 && errno != EINTR) return Break(absl::StrCat("poll: ", strerror(errno)));
    if (ready > 0 && polled[1].revents != 0) return false;
    if (ready == 0 && deadline.Passed()) return false;
  }
}

}  // namespace forekey

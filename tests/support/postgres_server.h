// SPDX-License-Identifier: Apache-2.0
// A PostgreSQL server of a test's own: Debian's binaries, a cluster in a temporary folder, a unix
// socket in it, no TCP. It ends with this object, by its pid; or with the test program, should that
// be killed.
#ifndef FOREKEY_TESTS_SUPPORT_POSTGRES_SERVER_H_
#define FOREKEY_TESTS_SUPPORT_POSTGRES_SERVER_H_

#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace forekey::testing {

class PostgresServer {
 public:
  PostgresServer() {
    std::string name = (Place() / "forekey-pg-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) Fail("mkdtemp");
    folder_ = name;
    if (const passwd* nobody = geteuid() == 0 ? getpwnam("nobody") : nullptr) {
      // initdb and postgres refuse to run as root.
      user_ = nobody->pw_uid;
      group_ = nobody->pw_gid;
      if (chown(folder_.c_str(), user_, group_) != 0) Fail("chown");
    }
    const pid_t initdb = Spawn({"initdb", "-N", "-D", Data(), "-U", "forekey", "-E", "UTF8",
                                "--locale=C", "--auth=trust", "--wal-segsize=1"},
                               -1);
    int status = 0;
    if (waitpid(initdb, &status, 0) != initdb || status != 0) Fail("initdb");
    Start();
  }
  ~PostgresServer() {
    Stop(SIGQUIT);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  // What a gate is configured with. `more`: further settings, "&user=...".
  std::string Url(const std::string& more = "&user=forekey") const {
    return absl::StrCat("postgresql:///postgres?host=", folder_, more);
  }
  const std::string& folder() const { return folder_; }
  pid_t pid() const { return pid_; }

  // After it was stopped. A server that was killed leaves children behind that end on their own:
  // until they did, a new one refuses to start.
  void Start() {
    for (int attempt = 0; attempt < 1000; ++attempt) {
      if (TryStart()) return;
    }
    Fail("postgres does not start");
  }
  void Stop(int signal_number) {
    if (pid_ <= 0) return;
    kill(pid_, signal_number);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
    log_reader_.join();
  }
  // After it was stopped: follows nobody, and takes no writes from now on.
  void StartAsStandby() {
    if (FILE* signal = fopen((Data() + "/standby.signal").c_str(), "w")) fclose(signal);
    Start();
  }
  void Freeze() { SignalAll(SIGSTOP); }
  void Continue() { SignalAll(SIGCONT); }

  // The first column of the first row, as the superuser; aborts on an error.
  std::string Sql(const std::string& sql) {
    PGconn* connection = PQconnectdb(Url().c_str());
    PGresult* result = PQexec(connection, sql.c_str());
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) Fail(PQerrorMessage(connection));
    std::string value = PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "";
    PQclear(result);
    PQfinish(connection);
    return value;
  }
  // Takes the registry away.
  void Reset() { Sql("SET client_min_messages = error; DROP SCHEMA IF EXISTS forekey CASCADE"); }

  // What the server has logged.
  std::string Log() {
    absl::MutexLock lock(&mutex_);
    return log_;
  }

 private:
  [[noreturn]] static void Fail(const std::string& what) {
    fprintf(stderr, "PostgresServer: %s\n", what.c_str());
    abort();
  }
  // In memory where there is room: the server syncs at every commit, as it does for a gate.
  static std::filesystem::path Place() {
    std::error_code error;
    const std::filesystem::space_info memory = std::filesystem::space("/dev/shm", error);
    return !error && memory.available > (uintmax_t{512} << 20)
               ? std::filesystem::path("/dev/shm")
               : std::filesystem::temp_directory_path();
  }
  std::string Data() const { return folder_ + "/data"; }

  // `log`: where its standard output and error go; -1: nowhere.
  pid_t Spawn(std::vector<std::string> command, int log) {
    command[0] = absl::StrCat("/usr/lib/postgresql/15/bin/", command[0]);
    std::vector<char*> arguments;
    for (std::string& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const pid_t parent = getpid(), pid = fork();
    if (pid < 0) Fail("fork");
    if (pid > 0) return pid;
    if (user_ != 0 && (setgroups(0, nullptr) != 0 || setgid(group_) != 0 || setuid(user_) != 0)) {
      _exit(1);
    }
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    if (getppid() != parent || chdir(folder_.c_str()) != 0) _exit(1);
    if (log < 0) log = open("/dev/null", O_RDWR);
    dup2(log, 1);
    dup2(log, 2);
    execv(arguments[0], arguments.data());
    _exit(127);
  }

  bool TryStart() {
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) != 0) Fail("pipe");
    pid_ = Spawn({"postgres", "-D", Data(), "-k", folder_, "-c", "listen_addresses=", "-c",
                  "max_connections=50", "-c", "log_statement=all", "-c", "shared_buffers=8MB", "-c",
                  "min_wal_size=2MB"},
                 pipes[1]);
    close(pipes[1]);
    {
      absl::MutexLock lock(&mutex_);
      log_.clear();
      log_ended_ = false;
    }
    log_reader_ = std::thread([this, fd = pipes[0]] { ReadLog(fd); });
    mutex_.LockWhen(absl::Condition(this, &PostgresServer::ReadyOrEnded));
    const bool ready = IsReady();
    mutex_.Unlock();
    if (ready) return true;
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
    log_reader_.join();
    return false;
  }
  bool IsReady() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return log_.find(kReady) != std::string::npos || log_.find(kReadyStandby) != std::string::npos;
  }
  bool ReadyOrEnded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return log_ended_ || IsReady();
  }
  void ReadLog(int fd) {
    char bytes[4096];
    for (ssize_t size; (size = read(fd, bytes, sizeof(bytes))) > 0;) {
      absl::MutexLock lock(&mutex_);
      log_.append(bytes, static_cast<size_t>(size));
    }
    close(fd);
    absl::MutexLock lock(&mutex_);
    log_ended_ = true;
  }
  // The server and the processes of its connections.
  void SignalAll(int signal_number) {
    std::vector<pid_t> pids = {pid_};
    const std::string children = absl::StrCat("/proc/", pid_, "/task/", pid_, "/children");
    if (FILE* file = fopen(children.c_str(), "r")) {
      int child = 0;
      while (fscanf(file, "%d", &child) == 1) pids.push_back(child);
      fclose(file);
    }
    for (pid_t pid : pids) kill(pid, signal_number);
  }

  static constexpr const char* kReady = "database system is ready to accept connections";
  static constexpr const char* kReadyStandby =
      "database system is ready to accept read-only connections";
  std::string folder_;
  uid_t user_ = 0;
  gid_t group_ = 0;
  pid_t pid_ = -1;
  std::thread log_reader_;
  absl::Mutex mutex_;
  std::string log_ ABSL_GUARDED_BY(mutex_);
  bool log_ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_SUPPORT_POSTGRES_SERVER_H_

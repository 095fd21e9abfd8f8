// SPDX-License-Identifier: Apache-2.0
// A pcscd of one's own, without root: it gets its listening socket as systemd would hand it over,
// and readers of simulated cards by a configuration of its own. Debian's pcscd also looks for USB
// readers: where real ones are plugged in and accessible, it serves those, too.
//
// libpcsclite reads PCSCLITE_CSOCK_NAME once in a process, when it is first used: all pcscds that a
// process talks to, one after the other, must have the same socket. ProcessSocket() is that path.
//
// Not thread-safe, apart from socket().
#ifndef FOREKEY_SIMULATORS_PIV_PCSCD_PROCESS_H_
#define FOREKEY_SIMULATORS_PIV_PCSCD_PROCESS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "simulators/process.h"

namespace forekey::piv {

struct PcscdReader {
  std::string name;         // pcscd adds " 00 00"
  std::string card_socket;  // CardServer's
};

class PcscdProcess {
 public:
  // A path for this process's clients, in a temporary folder; sets PCSCLITE_CSOCK_NAME to it. To be
  // called before threads read the environment.
  static absl::StatusOr<std::string> ProcessSocket();

  // `directory`: for its configuration and log (pcscd.log); `socket`: what clients connect to.
  // NotFound when pcscd, or our reader driver, is not there.
  static absl::StatusOr<std::unique_ptr<PcscdProcess>> Start(
      const std::string& directory, const std::string& socket,
      const std::vector<PcscdReader>& readers);
  ~PcscdProcess();

  const std::string& socket() const { return socket_; }
  pid_t pid() const { return child_.pid(); }
  // By SIGTERM, and after a while by force. Its socket goes with it.
  void Stop();
  // As after a crash or an upgrade: its clients' contexts are lost. Debian's pcscd looks for its
  // configured readers once, when it starts: a reader comes or goes with a restart that has other
  // ones.
  absl::Status Restart() { return Restart(readers_); }
  absl::Status Restart(const std::vector<PcscdReader>& readers);

 private:
  PcscdProcess(std::string directory, std::string socket, std::string driver)
      : directory_(std::move(directory)), socket_(std::move(socket)), driver_(std::move(driver)) {}
  absl::Status Run();

  std::string directory_, socket_, driver_;
  std::vector<PcscdReader> readers_;
  ChildProcess child_;
};

// The reader driver: beside this program, in ../lib/forekey, or where FOREKEY_IFD says.
absl::StatusOr<std::string> FindReaderDriver();

}  // namespace forekey::piv

#endif  // FOREKEY_SIMULATORS_PIV_PCSCD_PROCESS_H_

// SPDX-License-Identifier: Apache-2.0
// A security key in software, plugged in: the engine on a thread of its own, behind
//   - a unix SOCK_SEQPACKET socket: exists while the token is plugged in; each connection is an
//     open of the device, which writes 65-byte reports (report id 0 first) and reads 64-byte
//     reports, as with hidraw. URI "fido2:sim:path=<socket>";
//   - a PTY whose slave (raw mode) stands for /dev/hidrawN: for fido2-tools;
//   - a stream that it is plugged into (a umockdev testbed's end of a device:
//     simulators/fido2_testbed);
//   - a control socket, <socket>.sim: requests of simulators/README.md, one a line.
#ifndef FOREKEY_SIMULATORS_FIDO2_FIDO2_SIMULATOR_H_
#define FOREKEY_SIMULATORS_FIDO2_FIDO2_SIMULATOR_H_

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "simulators/fido2/authenticator.h"
#include "simulators/fido2/config.h"
#include "simulators/fido2/ctaphid.h"
#include "simulators/process.h"

namespace forekey::fido2sim {

struct SimulatorOptions {
  Config config;
  Misbehaviours misbehaviours;
  std::string state_directory;  // made if missing; empty: the token forgets at its end
  std::string socket_path;      // empty: in a folder of its own, removed at the end
  std::string control_path;     // empty: socket_path + ".sim"
  bool pty = false;
  std::string pin;  // set at the start where the token has none
};

class Fido2Simulator : private UserPresence {
 public:
  static absl::StatusOr<std::unique_ptr<Fido2Simulator>> Start(SimulatorOptions options);
  ~Fido2Simulator() override;

  const std::string& uri() const { return uri_; }
  const std::string& socket_path() const { return socket_path_; }
  const std::string& control_path() const { return control_path_; }
  std::string pty_path();                                    // of the slave; empty without --pty
  const std::string& root_pem() const { return root_pem_; }  // the vendor's CA
  absl::Status WriteTrust(const std::string& directory) const;

  // All below are safe from any thread and return when it is done.
  // Touches it now: false when nobody asks for a touch.
  bool Touch();
  // Waits until it asks for a touch (keepalives say so), then touches it.
  bool TouchWhenAsked(absl::Duration timeout = absl::Seconds(30));
  bool WaitUntilAsked(absl::Duration timeout = absl::Seconds(30));
  void Unplug();
  // `stream`: one more way to reach it until it is pulled out: reports of 65 bytes in, 64 out.
  absl::Status Replug(UniqueFd stream = UniqueFd());
  // Pulled out in the middle of the command after that many more.
  void UnplugAfter(int commands);
  // Answers that many commands with CTAPHID_ERROR, channel busy; 0 ends it.
  void BeBusy(int commands);
  void Misbehave(const Misbehaviours& misbehaviours);
  void SetAutoTouch(bool on);
  absl::Status SetPin(absl::string_view pin);
  // Reads or changes anything of the engine, between two commands' steps.
  void WithAuthenticator(const std::function<void(Authenticator&)>& task);
  uint64_t commands();  // CBOR and MSG commands that reached it

 private:
  enum class Kind { kReports, kStream, kPty, kControl };
  struct Client {
    Kind kind;
    UniqueFd fd;
    std::string input;
    bool closing = false;
  };

  explicit Fido2Simulator(SimulatorOptions options);
  absl::Status Begin(State state);
  absl::Status PlugIn();
  void PullOut();
  absl::Status OpenPty();
  void Loop();
  void Turn(absl::Time until);  // one poll
  void RunTasks();
  void InLoop(const std::function<void()>& task);
  void Wake();
  bool Stopping();
  void Accept(Kind kind, int listener);
  void Read(Client& client);
  void OnReport(Client& client, absl::string_view report);
  void Execute(Client& client, HidMessage request);
  bool ExecuteBadly(Client& client, const HidMessage& request);
  // Keeps the command busy until `until` or its end: what ended it.
  TouchResult Busy(absl::Time until, uint8_t keepalive_status, const std::function<bool()>& done);
  void Send(Client& client, const HidMessage& message);
  void SendReport(Client& client, absl::string_view report);
  void ServeControl(Client& client);
  std::string AnswerControl(absl::string_view line);
  void SetAsked(bool asked);
  TouchResult Wait(absl::Duration timeout) override;
  bool Take() override;

  SimulatorOptions options_;
  std::string socket_path_, control_path_, uri_, root_pem_, temporary_;
  UniqueFd state_lock_, wake_;
  absl::Mutex mutex_;
  std::vector<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool asked_ ABSL_GUARDED_BY(mutex_) = false;
  // The rest belongs to the loop's thread.
  std::unique_ptr<Authenticator> authenticator_;
  std::unique_ptr<Ctaphid> hid_;
  UniqueFd listener_, control_listener_, pty_slave_;
  std::string pty_path_;
  std::list<Client> clients_;
  int depth_ = 0;
  bool plugged_ = false;
  uint64_t commands_ = 0;
  std::optional<int> commands_left_;  // until it is pulled out
  int busy_left_ = 0;
  Client* executing_ = nullptr;  // whose command runs
  uint32_t channel_ = 0;
  bool cancelled_ = false, touched_ = false, waiting_ = false, latched_ = false;
  std::thread thread_;
};

}  // namespace forekey::fido2sim

#endif  // FOREKEY_SIMULATORS_FIDO2_FIDO2_SIMULATOR_H_

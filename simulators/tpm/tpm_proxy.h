// SPDX-License-Identifier: Apache-2.0
// Stands between programs and swtpm: speaks the wire of tss2's swtpm TCTI (whole TPM commands and
// responses on a stream socket, control commands on a second one named <path>.ctrl), serves any
// number of programs, one command after the other, as /dev/tpm0 would, and misbehaves on request.
// Like /dev/tpm0 it manages no resources: what a program leaves in the TPM stays there.
//
// A third socket, <path>.sim, takes the requests of simulators/README.md, one a line.
#ifndef FOREKEY_SIMULATORS_TPM_TPM_PROXY_H_
#define FOREKEY_SIMULATORS_TPM_TPM_PROXY_H_

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "simulators/tpm/swtpm_process.h"

namespace forekey {

// Named misbehaviours. All may be changed while it runs.
struct TpmMisbehaviour {
  absl::Duration latency;  // before each answer (to `latency_command` alone, where that is set)
  std::optional<uint32_t> latency_command;
  // The next `fail_count` commands (all, or those with `fail_command`) are answered with
  // `fail_code` and don't reach the TPM. 0x922 (TPM_RC_RETRY) is a busy TPM.
  uint32_t fail_code = 0;
  int fail_count = 0;
  std::optional<uint32_t> fail_command;
  // After that many more commands the next one finds the TPM gone in the middle of it: its
  // connection ends without an answer and the sockets are no longer there.
  std::optional<int> vanish_after;
  // Flips a bit of the byte at `flip_offset` in every answer to `flip_command`: somebody on the
  // bus.
  std::optional<uint32_t> flip_command;
  size_t flip_offset = 0;
};

class TpmProxy {
 public:
  // Takes `swtpm`; listens on `path` and its two companions (at most 100 characters).
  static absl::StatusOr<std::unique_ptr<TpmProxy>> Start(std::unique_ptr<SwtpmProcess> swtpm,
                                                         const std::string& path,
                                                         const TpmMisbehaviour& misbehaviour);
  ~TpmProxy();

  // Ends every connection, removes the sockets and stops swtpm cleanly. Once.
  absl::Status Stop();

  struct Status {
    bool present = true;
    uint64_t commands = 0;  // answered or refused so far
    bool delaying = false;  // a command waits for its latency to be over
    std::vector<uint32_t> transient_objects;
    std::vector<uint32_t> sessions;  // loaded and saved
  };
  // Each waits until the change is made; safe from any thread, not from within each other.
  void Misbehave(const TpmMisbehaviour& misbehaviour);
  absl::Status SetLockedOut(bool locked_out);  // TPM's own dictionary-attack lockout
  void Vanish();
  // Puts the sockets back. It was without power meanwhile: its objects and sessions are gone.
  absl::Status Return();
  absl::StatusOr<Status> GetStatus();
  // What crosses the bus between the two: whole commands and answers, in their order.
  void StartRecording();
  std::vector<std::string> StopRecording();
  // A test's own commands, past every misbehaviour and between those of other programs.
  absl::Status WithTpm(absl::FunctionRef<absl::Status(RawTpm)> commands);

 private:
  enum class Kind { kData, kControl, kRequests };
  struct Client {
    Kind kind;
    UniqueFd fd;
    std::string input;
    bool closing = false;
  };

  TpmProxy(std::unique_ptr<SwtpmProcess> swtpm, std::string path);
  absl::Status Listen();
  absl::Status Reappear();
  void Unlisten();
  void Loop();
  void RunTasks();
  void InLoop(std::function<void()> task);
  void Wake();
  void Accept(Kind kind, int listener);
  void Read(Client& client);
  void ServeData(Client& client);
  void ServeControl(Client& client);
  void ServeRequests(Client& client);
  std::optional<std::string> Answer(absl::string_view command);  // nullopt: vanished
  std::string AnswerRequest(absl::string_view line);
  void Disappear();
  void Delay();

  const std::string path_;
  UniqueFd wake_;
  absl::Mutex mutex_;
  std::vector<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // The rest belongs to the loop's thread.
  std::unique_ptr<SwtpmProcess> swtpm_;
  UniqueFd listeners_[3];
  std::list<Client> clients_;
  TpmMisbehaviour misbehaviour_;
  uint64_t commands_ = 0;
  bool delaying_ = false;
  std::optional<std::vector<std::string>> recording_;
  std::thread thread_;
};

}  // namespace forekey

#endif  // FOREKEY_SIMULATORS_TPM_TPM_PROXY_H_

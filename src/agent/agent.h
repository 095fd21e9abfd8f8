// The agent: what its API (proto/forekey/v1/agent.proto) does, without the socket.
//
// It is no oracle (LAW 8). Threats that are answered here, each with its test in
// tests/unit/agent/agent_test.cc:
//   a caller names a gate of its own, or another audience  -> only enrolled gates, by the record
//   a caller wants a signature over bytes of its choice    -> statements are built here, of typed
//                                                          fields
//   a caller wants a proof for Forekey's own methods       -> refused, except WhoAmI
//   an invite re-pins a gate that is enrolled already      -> another identity or subject is
//                                                          refused
//   a rogue gate answers an enrolment                      -> src/client/enrollment.h
#ifndef FOREKEY_SRC_AGENT_AGENT_H_
#define FOREKEY_SRC_AGENT_AGENT_H_

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "forekey/v1/agent.pb.h"
#include "hw/device_key.h"
#include "src/agent/gate_account.h"
#include "src/agent/state_directory.h"
#include "src/base/clock.h"
#include "src/wire/invite.h"

namespace forekey {

// Safe from any thread; every method blocks. Refusals carry a Reason; see each cause in the
// message.
class Agent {
 public:
  struct Options {
    std::string state_directory;
    std::vector<std::unique_ptr<Driver>> drivers;
    const Clock* clock = &Clock::System();
    std::unique_ptr<Prompt> prompt;  // null: nobody can be asked for a PIN or told to touch
  };
  // Errors: StateDirectory::Open's. Records that can't be read are no error here: they are reported
  // by GetStatus, and their gates refuse to work.
  static absl::StatusOr<std::unique_ptr<Agent>> New(Options options);
  ~Agent();

  forekey::v1::ListDevicesResponse ListDevices();
  absl::StatusOr<forekey::v1::EnrollResponse> Enroll(const forekey::v1::EnrollRequest& request,
                                                     const CallControl& call);
  forekey::v1::GetStatusResponse GetStatus();
  absl::StatusOr<forekey::v1::LoginResponse> Login(const forekey::v1::LoginRequest& request,
                                                   const CallControl& call);
  absl::Status Logout(const forekey::v1::LogoutRequest& request);
  absl::StatusOr<forekey::v1::GetPrefixResponse> GetPrefix(
      const forekey::v1::GetPrefixRequest& request, const CallControl& call);
  absl::StatusOr<forekey::v1::OpenLocalSessionResponse> OpenSession(
      const forekey::v1::OpenLocalSessionRequest& request, const CallControl& call);
  absl::Status ForgetGate(const forekey::v1::ForgetGateRequest& request);
  NoticeBoard& notices() { return notices_; }

 private:
  using AccountPtr = std::shared_ptr<GateAccount>;
  Agent(Options options, std::unique_ptr<StateDirectory> state);

  void Load();
  // `gate`: an audience, or empty for the only one.
  absl::StatusOr<AccountPtr> Find(const std::string& gate);
  absl::StatusOr<Driver*> ChooseDevice(std::string* uri);
  absl::Status CheckInviteAgainstRecord(const Invite& invite);
  absl::Status AddAccount(GateRecord record);
  // What is known of the gate already, or a new record.
  GateRecord RecordFor(const std::string& audience);
  absl::StatusOr<GateRecord> EnrollWith(const Invite& invite,
                                        const forekey::v1::EnrollRequest& request, Driver* driver,
                                        const std::string& uri, const CallControl& call);
  // Makes the record on the disk say how the enrolment ended: `before` is what it was.
  absl::Status Settle(const GateRecord& before, const HeldCredential& credential,
                      const absl::Status& finished, GateRecord* record);
  void KeepSessionsAlive();

  const std::unique_ptr<StateDirectory> state_;
  const std::vector<std::unique_ptr<Driver>> drivers_;
  const Clock* const clock_;
  const std::unique_ptr<Prompt> prompt_;  // both outlive the accounts
  NoticeBoard notices_;

  absl::Mutex enroll_mutex_;  // one enrolment, or forgetting, at a time
  absl::Mutex mutex_;
  std::map<std::string, AccountPtr> accounts_ ABSL_GUARDED_BY(mutex_);
  // Folders that can't be read, and why: nothing is ever written into them.
  std::map<std::string, std::string> problems_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool sessions_changed_ ABSL_GUARDED_BY(mutex_) = false;  // wakes the keeper
  std::thread keeper_;
};

// OK for methods that GetPrefix makes proofs for: well-formed, and not Forekey's own, WhoAmI
// excepted. InvalidArgument, or kMethodNotForAgent.
absl::Status CheckMethodForCallers(absl::string_view method);

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_AGENT_H_

// SPDX-License-Identifier: Apache-2.0
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
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "forekey/v1/agent.pb.h"
#include "hw/device_key.h"
#include "src/agent/agent_call.h"
#include "src/agent/gate_account.h"
#include "src/agent/person_memory.h"
#include "src/agent/prompter.h"
#include "src/agent/state_directory.h"
#include "src/base/clock.h"
#include "src/base/lanes.h"
#include "src/wire/invite.h"

namespace forekey {

// Safe from any thread. Refusals carry a Reason; see each cause in the message.
class Agent {
 public:
  struct Options {
    std::string state_directory;
    std::vector<std::unique_ptr<Driver>> drivers;
    const Clock* clock = &Clock::System();
    std::unique_ptr<Prompter> prompter;  // null: nobody can be asked for a PIN or told to touch
    bool affinity = false;               // calls carry an id for balancers (docs/BALANCERS.md)
    // For how long a PIN that was good is not asked for again; zero: it is asked for each time.
    absl::Duration keep_pins;
    bool desktop_notices = false;  // touches that are waited for are shown on the desktop
  };
  // Errors: StateDirectory::Open's. Records that can't be read are no error here: they are reported
  // by GetStatus, and their gates refuse to work.
  static absl::StatusOr<std::unique_ptr<Agent>> New(Options options);
  ~Agent();

  // One at a time: a token that hangs may keep it for some seconds. ResourceExhausted where many
  // wait already.
  absl::StatusOr<forekey::v1::ListDevicesResponse> ListDevices(const CallControl& call);
  absl::StatusOr<forekey::v1::GetHardwareCertificatesResponse> GetHardwareCertificates(
      const forekey::v1::GetHardwareCertificatesRequest& request, const CallControl& call);
  absl::StatusOr<forekey::v1::EnrollResponse> Enroll(const forekey::v1::EnrollRequest& request,
                                                     const CallControl& call);
  forekey::v1::GetStatusResponse GetStatus();
  absl::Status Logout(const forekey::v1::LogoutRequest& request);
  absl::StatusOr<forekey::v1::ForgetGateResponse> ForgetGate(
      const forekey::v1::ForgetGateRequest& request);
  absl::StatusOr<forekey::v1::SetDefaultResponse> SetDefault(
      const forekey::v1::SetDefaultRequest& request);

  // These may have to wait for a person, and answer later: once, from another thread or from this
  // one. Waiting costs no thread. Of one gate's calls, so many are taken at once at most
  // (kResourceExhausted).
  template <typename Response>
  using Done = GateAccount::Done<Response>;
  void Login(const AgentCallPtr& call, forekey::v1::LoginRequest request,
             Done<forekey::v1::LoginResponse> done);
  void GetPrefix(const AgentCallPtr& call, const forekey::v1::GetPrefixRequest& request,
                 Done<forekey::v1::GetPrefixResponse> done);
  void OpenSession(const AgentCallPtr& call, const forekey::v1::OpenLocalSessionRequest& request,
                   Done<forekey::v1::OpenLocalSessionResponse> done);
  // The same, for callers that may block.
  absl::StatusOr<forekey::v1::LoginResponse> Login(const forekey::v1::LoginRequest& request,
                                                   const CallControl& control);
  absl::StatusOr<forekey::v1::GetPrefixResponse> GetPrefix(
      const forekey::v1::GetPrefixRequest& request, const CallControl& control);
  absl::StatusOr<forekey::v1::OpenLocalSessionResponse> OpenSession(
      const forekey::v1::OpenLocalSessionRequest& request, const CallControl& control);

  // Ends all that waits and what it waits for (prompts, touches, enrolments), at once. Nothing is
  // begun after it.
  void Stop();
  NoticeBoard& notices() { return notices_; }

 private:
  using AccountPtr = std::shared_ptr<GateAccount>;
  Agent(Options options, std::unique_ptr<StateDirectory> state);

  void Load();
  // `gate`: an audience, or empty for the only one.
  absl::StatusOr<AccountPtr> Find(const std::string& gate);
  absl::StatusOr<Driver*> ChooseDevice(std::string* uri);
  // Asks the gate for the identity that it announces, where the invite's is not known here.
  absl::Status CheckInviteAgainstRecord(const Invite& invite, const CallControl& control);
  // What is done by one caller at a time; the others wait for their turn, each in a thread.
  struct Turns {
    int callers = 0;  // the one that has the turn, and who waits
    bool taken = false;
  };
  absl::Status TakeTurn(Turns* turns, const CallControl& control);
  void EndTurn(Turns* turns);
  bool Stopping();
  // `account`: null where the gate is new. Begins anew at most once.
  absl::StatusOr<forekey::v1::EnrollResponse> EnrollWith(const Invite& invite,
                                                         const forekey::v1::EnrollRequest& request,
                                                         const AccountPtr& account,
                                                         const CallControl& control);
  // What enrolments that were interrupted left on tokens, with what to do, for people. Forgets what
  // is not there any more, or was enrolled after all.
  std::vector<std::string> LookForLeftKeys();
  bool IsHeld(absl::string_view spki);
  EnrollOptions MakeEnrollOptions(const forekey::v1::EnrollRequest& request,
                                  const CallControl& control, Prompt* prompt) const;
  struct Enrolling;
  struct EnrollAttempt;
  absl::Status PrepareToEnroll(Enrolling& enrolling);
  // Whether what failed can be tried once more: nobody has given it up, and the token is ready.
  bool BeginAnew(const Enrolling& enrolling);
  absl::StatusOr<forekey::v1::EnrollResponse> TryToEnroll(Enrolling& enrolling,
                                                          EnrollAttempt& attempt);
  absl::Status BeginAttempt(Enrolling& enrolling, EnrollAttempt& attempt);
  absl::Status MakeKey(const Enrolling& enrolling, EnrollAttempt& attempt);
  // Puts the credential on the disk, asks the gate, and makes the disk say how it ended.
  absl::Status Commit(const Enrolling& enrolling, EnrollAttempt& attempt);
  absl::StatusOr<AccountPtr> KeepPending(const Enrolling& enrolling, const EnrollAttempt& attempt);
  absl::Status Settle(const Enrolling& enrolling, const EnrollAttempt& attempt,
                      const AccountPtr& account, const absl::Status& finished);
  absl::StatusOr<AccountPtr> MakeAccount(GateRecord record);
  void RemoveAccount(const AccountPtr& account);
  // Counts the call among those of its gate until it was answered.
  template <typename Response>
  absl::StatusOr<Done<Response>> Admit(const AgentCallPtr& call, const std::string& gate,
                                       Done<Response> done);
  // One OpenSession that was admitted, and its steps.
  struct LocalOpening {
    AgentCallPtr call;
    AccountPtr account;
    forekey::v1::OpenLocalSessionRequest request;
    Done<forekey::v1::OpenLocalSessionResponse> done;
  };
  void OpenOutlasting(const std::shared_ptr<LocalOpening>& opening);
  void OpenChild(const std::shared_ptr<LocalOpening>& opening);
  void KeepSessionsAlive();

  const std::unique_ptr<StateDirectory> state_;
  const std::vector<std::unique_ptr<Driver>> drivers_;
  const Clock* const clock_;
  NoticeBoard notices_;
  PersonMemory person_;
  const std::unique_ptr<DesktopNotices> desktop_;  // null: not asked for
  const std::unique_ptr<Prompter> prompter_;
  const bool affinity_;
  Lanes lanes_;  // all of these outlive the accounts

  absl::Mutex mutex_;
  std::map<std::string, AccountPtr> accounts_ ABSL_GUARDED_BY(mutex_);
  // Folders that can't be read, and why: nothing is ever written into them.
  std::map<std::string, std::string> problems_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> calls_ ABSL_GUARDED_BY(mutex_);  // under way, by gate
  Turns enrolments_;                                          // tokens have little room
  Turns listings_;
  // Of the enrolment under way: not left yet.
  std::optional<StateDirectory::LeftKey> making_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool sessions_changed_ ABSL_GUARDED_BY(mutex_) = false;  // wakes the keeper
  std::thread keeper_;
};

// OK for methods that GetPrefix makes proofs for: well-formed, and not Forekey's own, WhoAmI
// excepted. InvalidArgument, or kMethodNotForAgent.
absl::Status CheckMethodForCallers(absl::string_view method);

// What the API says of a device.
forekey::v1::Device DeviceOf(const DeviceInfo& info);

// When that instant is, by the wall clock.
int64_t WallSecondsAt(BootTime at, const Clock& clock);

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_AGENT_H_

// One enrolled gate in the running agent: its record, its keys, its session.
//
// The agent's own session (the parent) never leaves this process; programs get children of it. It
// is in memory alone. Whoever finds it missing, too old or rejected opens the next one; meanwhile
// the others wait for that one opening instead of asking the token again.
#ifndef FOREKEY_SRC_AGENT_GATE_ACCOUNT_H_
#define FOREKEY_SRC_AGENT_GATE_ACCOUNT_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "hw/device_key.h"
#include "src/agent/gate_record.h"
#include "src/agent/notice_board.h"
#include "src/agent/state_directory.h"
#include "src/base/clock.h"
#include "src/client/gate_client.h"
#include "src/wire/step_up.h"

namespace forekey {

// The caller's patience. When `cancelled` says so, waiting ends and the token is told.
struct CallControl {
  std::function<bool()> cancelled;
  absl::Time deadline = absl::InfiniteFuture();
  bool Cancelled() const { return cancelled && cancelled(); }
};

// Whether some of the words (src/wire/step_up.h) ask the token to verify its user.
bool WantsUserVerification(const StepUp::Words& words);

// Safe from any thread; every method blocks.
class GateAccount {
 public:
  struct Options {
    GateRecord record;
    const StateDirectory* state = nullptr;  // all of these outlive the account
    const std::vector<std::unique_ptr<Driver>>* drivers = nullptr;
    const Clock* clock = nullptr;
    Prompt* prompt = nullptr;  // null: nobody can be asked
    NoticeBoard* notices = nullptr;
  };
  static absl::StatusOr<std::unique_ptr<GateAccount>> New(Options options);

  GateRecord record() const;

  // `with` may hold "oidc", besides: the session proves an ID token, too, for which the user's
  // command is run (src/agent/token_command.h), and so do those that follow. Opens the session if
  // there is none, if `with` names other credentials than those that opened it, or, with `fresh`,
  // in any case. `key_password`, when not empty, replaces the one that is held for the keys. `with`
  // (LoginRequest's) is kept for the sessions that follow, until Logout(). `password`, when not
  // empty, is the subject's at the gate: a session is opened in any case, which has proved it, too.
  // It is used once and not kept.
  absl::StatusOr<ClientSessionPtr> Login(const CallControl& call, bool fresh, Secret key_password,
                                         const std::vector<std::string>& with = {},
                                         Secret password = Secret());
  // Ends the session at the gate (its children end with it) and forgets keys and passwords. The
  // session is forgotten here even when the gate can't be told; that is the error then.
  absl::Status Logout();

  // What the agent's session lacks for `method`, or a child of it. Where a session can have it,
  // opens one that does and returns an empty StepUp; else what hardware must sign the call with. An
  // error says what the person at the keyboard has to do.
  absl::StatusOr<StepUp> MeetRequirements(const CallControl& call, absl::string_view method,
                                          bool child);

  // Opens the session anew if it ends no later than `boot_nanos` (CLOCK_BOOTTIME). Tried once for
  // each session; where that fails, the old one stays, and each later attempt fails at once.
  absl::Status Outlast(const CallControl& call, int64_t boot_nanos);

  // A child for another program, good on connections with that binding (empty: the agent's own).
  absl::StatusOr<ClientSessionPtr> OpenChild(const CallControl& call, std::string channel_binding);

  struct Prefix {
    std::string prefix;
    std::string session_id;  // empty for a device proof
  };
  // `method` was checked by the caller. `rejected_session`: don't use that one any more.
  absl::StatusOr<Prefix> SessionPrefix(const CallControl& call, absl::string_view method,
                                       absl::string_view channel_binding,
                                       absl::string_view rejected_session);
  absl::StatusOr<Prefix> DevicePrefix(const CallControl& call, absl::string_view method,
                                      absl::string_view channel_binding,
                                      const std::vector<std::string>& with = {});
  // Signed by the tokens that one of the alternatives names.
  absl::StatusOr<Prefix> StepUpPrefix(const CallControl& call, absl::string_view method,
                                      absl::string_view channel_binding, const StepUp& step_up);

  // The session that is open now, or null.
  ClientSessionPtr session() const;

  // A parent that idles out takes its children with it, however busy they are. So while children
  // that were handed out may still be in use, this asks WhoAmI once a third of the idle time passed
  // unused. (The children's own idle times are the gate's to enforce.) Returns when to call it
  // again.
  int64_t KeepAlive();

 private:
  GateAccount(Options options, std::unique_ptr<GateConnection> connection)
      : state_(options.state),
        drivers_(options.drivers),
        clock_(options.clock),
        prompt_(options.prompt),
        notices_(options.notices),
        connection_(std::move(connection)),
        record_(std::move(options.record)) {}

  struct Parent {
    ClientSessionPtr session;
    std::string gate_identity;  // that it was opened with
  };
  absl::StatusOr<Parent> EnsureParent(const CallControl& call, absl::string_view rejected);
  // What one session is opened with, besides what is always so.
  struct Opening {
    StepUp::Words words;  // factors that it must prove
    Secret password;
  };
  // The tokens that prove these words' factors; those in use where the words name none.
  absl::StatusOr<std::vector<HeldCredential>> CredentialsFor(const StepUp::Words& words) const;
  // Of the person; an error says how to give it otherwise.
  absl::StatusOr<Secret> AskPassword() const;
  // Whether what is opened next has to prove an ID token.
  bool WantsIdToken(const Opening& opening) const;
  absl::StatusOr<Secret> RunTokenCommand(absl::string_view nonce, const CallControl& call) const;
  absl::Status OpenStronger(const CallControl& call, const StepUp::Words& words,
                            const std::string& instead_of);
  absl::StatusOr<Parent> OpenParent(const CallControl& call, const Opening& opening);
  absl::StatusOr<Parent> OpenWithIdentity(const std::string& identity,
                                          const std::vector<HeldCredential>& credentials,
                                          const CallControl& call, const Opening& opening);
  void Remember(const Parent& parent, const std::vector<HeldCredential>& credentials);
  absl::StatusOr<std::shared_ptr<DeviceKey>> LoadKey(const HeldCredential& credential, bool alone);
  absl::StatusOr<std::vector<Signer>> MakeSigners(const std::vector<HeldCredential>& credentials,
                                                  const CallControl& call,
                                                  bool user_verification = false);
  Signer SignerFor(const HeldCredential& credential, std::shared_ptr<DeviceKey> key,
                   const CallControl& call, bool user_verification);
  // Those that `with` names, "oidc" passed over; none: those of the last Login that named some,
  // else the newest.
  absl::StatusOr<std::vector<HeldCredential>> Choose(std::vector<std::string> with) const;

  const StateDirectory* const state_;
  const std::vector<std::unique_ptr<Driver>>* const drivers_;
  const Clock* const clock_;
  Prompt* const prompt_;
  NoticeBoard* const notices_;
  const std::unique_ptr<GateConnection> connection_;

  mutable absl::Mutex mutex_;
  absl::CondVar opened_;
  GateRecord record_ ABSL_GUARDED_BY(mutex_);
  Parent parent_ ABSL_GUARDED_BY(mutex_);
  bool opening_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t openings_ ABSL_GUARDED_BY(mutex_) = 0;  // finished ones, good or bad
  absl::Status last_opening_ ABSL_GUARDED_BY(mutex_);
  uint64_t logouts_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string outlasted_
      ABSL_GUARDED_BY(mutex_);  // the session that Outlast() tried to replace last
  Opening next_opening_ ABSL_GUARDED_BY(mutex_);  // taken by the one who opens next
  // Children that SessionPrefix uses for callers on other connections, by channel binding.
  std::map<std::string, ClientSessionPtr> prefix_children_ ABSL_GUARDED_BY(mutex_);
  int64_t children_until_ ABSL_GUARDED_BY(mutex_) = 0;  // the last absolute end of a child
  Secret key_password_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> with_
      ABSL_GUARDED_BY(mutex_);  // of the last Login that named credentials
  absl::flat_hash_map<std::string, std::shared_ptr<DeviceKey>> keys_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_GATE_ACCOUNT_H_

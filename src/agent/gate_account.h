// SPDX-License-Identifier: Apache-2.0
// One enrolled gate in the running agent: its record, its keys, its session. There is one object a
// gate, as long as the agent is enrolled there.
//
// The agent's own session (the parent) never leaves this process; programs get children of it. It
// is in memory alone. Openings are the account's: whoever finds the session missing, too weak or
// rejected has one opened, and waits for it without a thread. Who wants the same waits for the same
// opening; when the last one has left, it ends, with its prompts and touches.
#ifndef FOREKEY_SRC_AGENT_GATE_ACCOUNT_H_
#define FOREKEY_SRC_AGENT_GATE_ACCOUNT_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "hw/device_key.h"
#include "src/agent/agent_call.h"
#include "src/agent/gate_record.h"
#include "src/agent/notice_board.h"
#include "src/agent/prompter.h"
#include "src/agent/refused_keys.h"
#include "src/agent/session_checks.h"
#include "src/agent/state_directory.h"
#include "src/base/clock.h"
#include "src/base/lanes.h"
#include "src/base/single_flight.h"
#include "src/client/gate_client.h"
#include "src/wire/step_up.h"

namespace forekey {

// Whether some of the words (src/wire/step_up.h) ask the token to verify its user.
bool WantsUserVerification(const StepUp::Words& words);

// Safe from any thread. What answers through a function never blocks; it answers once, in a thread
// of the lanes or in the caller's.
class GateAccount : public std::enable_shared_from_this<GateAccount> {
 public:
  struct Options {
    GateRecord record;
    const StateDirectory* state = nullptr;  // all of these outlive the account
    const std::vector<std::unique_ptr<Driver>>* drivers = nullptr;
    const Clock* clock = nullptr;
    Lanes* lanes = nullptr;
    Prompter* prompter = nullptr;  // null: nobody can be asked
    NoticeBoard* notices = nullptr;
    bool affinity = false;  // calls carry an id for balancers (docs/BALANCERS.md)
  };
  static absl::StatusOr<std::shared_ptr<GateAccount>> New(Options options);

  const std::string& audience() const { return audience_; }
  // What the calls of its sessions carry for balancers; empty: nothing.
  const std::string& affinity() const { return affinity_; }
  GateRecord record() const;
  // Not OK: forgotten, or the agent ends.
  absl::Status ended() const;
  // The session that is open now, or null.
  ClientSessionPtr session() const;

  template <typename Result>
  using Done = std::function<void(absl::StatusOr<Result>)>;

  // What a person asks for by hand.
  struct LoginWishes {
    bool fresh = false;  // a new session in any case
    // Not empty: replaces the one that is held. It is for the credentials that these wishes choose
    // first, and never goes to another one, whose token would count it as a wrong try.
    Secret key_password;
    // Which credentials sign, and "oidc": as in LoginRequest. Kept for the sessions that follow,
    // until Logout(), once a session was opened with them.
    std::vector<std::string> with;
    // The subject's at the gate: a session is opened in any case, which has proved it. It is used
    // for this one opening, and wiped however that ends.
    Secret password;
  };
  struct LoggedIn {
    ClientSessionPtr session;
    std::vector<std::string> notes;  // for people: another token signed than was expected
  };
  void Login(const AgentCallPtr& call, LoginWishes wishes, Done<LoggedIn> done);
  // Ends what is being opened and the session at the gate (its children end with it), and forgets
  // keys and passwords. No session is opened or used any more even when the gate can't be told;
  // that is the error then, and the next Logout() or Forget() tells the gate first. OK: whatever
  // was open is ended at the gate. Blocks for the calls to the gate alone.
  absl::Status Logout();

  // What the agent's session lacks for `method`, or a child of it. Where a session can have it,
  // opens one that does and answers with an empty StepUp; else what hardware must sign the call
  // with. An error says what the person at the keyboard has to do.
  void MeetRequirements(const AgentCallPtr& call, std::string method, bool child,
                        Done<StepUp> done);

  // Before a first session is opened for a call of `method`: where there is none, and it is known
  // what the gate wants for that method, opens one that has it, or answers what hardware must sign
  // the call with; so one signature does where it took two when that was learnt. Else answers at
  // once, with an empty StepUp.
  void OpenFor(const AgentCallPtr& call, const std::string& method, Done<StepUp> done);

  // Opens the session anew if it ends no later than `ended_at`. Tried once for each session; where
  // that fails, the old one stays, and each later attempt fails at once.
  void Outlast(const AgentCallPtr& call, BootTime ended_at, std::function<void(absl::Status)> done);

  // A child for another program, good on connections with that binding (empty: the agent's own).
  void OpenChild(const AgentCallPtr& call, std::string channel_binding,
                 Done<ClientSessionPtr> done);

  // Opens a session, or a child of the one that is open: the record then has the identity that the
  // gate announces, if it does.
  void LearnIdentity(const AgentCallPtr& call, Done<ClientSessionPtr> done);

  struct Prefix {
    std::string prefix;
    std::string session_id;  // empty for a device proof
  };
  // `method` was checked by the caller. `rejected_session`: don't use that one any more.
  void SessionPrefix(const AgentCallPtr& call, std::string method, std::string channel_binding,
                     std::string rejected_session, Done<Prefix> done);
  void DevicePrefix(const AgentCallPtr& call, std::string method, std::string channel_binding,
                    std::vector<std::string> with, Done<Prefix> done);
  // Signed by the tokens that one of the alternatives names.
  void StepUpPrefix(const AgentCallPtr& call, std::string method, std::string channel_binding,
                    StepUp step_up, Done<Prefix> done);

  // An enrolment, in the order of its steps; each is on the disk when it returns. Fails with
  // kAborted where the gate was forgotten in the meantime.
  //
  // A credential that the gate is about to be asked to enrol, and Driver::Load's reference of it.
  absl::Status AddPending(const HeldCredential& credential, absl::string_view reference);
  // The gate enrolled it, or may have (then it stays pending): from now on the gate is reached at
  // `target`.
  absl::Status Keep(const HeldCredential& credential, bool pending, const GateTarget& target);
  // The gate did not enrol it.
  absl::Status Drop(const HeldCredential& credential);

  // Which credential signs where nothing else is asked for; an empty name: the newest.
  absl::StatusOr<HeldCredential> SetDefault(const std::string& name);
  // Removes one credential's key, and ends the session. FailedPrecondition for the last one.
  absl::StatusOr<HeldCredential> ForgetCredential(const std::string& name);
  // Ends everything, and removes the record and the keys. Nothing of what is under way writes them
  // again.
  absl::Status Forget();
  // Ends everything, at once: the agent ends.
  void Stop();

  // A parent that idles out takes its children with it, however busy they are. So while children
  // that were handed out may still be in use, this asks WhoAmI once a third of the idle time passed
  // unused. (The children's own idle times are the gate's to enforce.) A session that was used
  // since its ticket was made gets another ticket in the same way. Returns when to call it again.
  BootTime KeepAlive();

 private:
  GateAccount(Options options, std::shared_ptr<GateConnection> connection, std::string affinity);
  static absl::StatusOr<std::shared_ptr<GateConnection>> Connect(const GateTarget& target,
                                                                 const Clock* clock,
                                                                 const std::string& affinity);

  // What is asked of a session, besides what is always so.
  struct Asked {
    StepUp::Words words;            // factors that it must prove
    std::vector<std::string> with;  // of Login(); empty: those in use
  };
  static bool Fulfils(const Asked& opened, const Asked& wanted);
  // What one session is opened with. A waiter with wishes of its own never takes a session that was
  // opened with less.
  struct Wishes : Asked {
    std::string instead_of;  // id of a session that is not taken
    bool refused = false;    // ... because the gate no longer takes it
    bool over = false;       // ... as it said itself: a program may be wrong, or no call was sent
    bool anew = false;       // a person wants the token to sign: no other session will do
    bool by_hand = false;  // a person has given what it is opened with: waits for no other opening
    std::string program;   // that asked first, for people
    PromptPlace place;     // ... and where its person sits
  };
  struct Opening : Wishes {
    Secret password;

    // Nothing else will do.
    bool own() const { return anew || !password.empty(); }
    // Joins nobody's.
    bool alone() const { return by_hand || own(); }
    bool plain() const { return words.empty() && with.empty() && password.empty(); }
  };
  struct Parent : Asked {
    ClientSessionPtr session;
    std::string gate_identity;       // that it was opened with
    std::vector<std::string> notes;  // for people: see WithFallback()
    // Where the gate could not be told that it ends: when it is over there without that.
    BootTime over_at = BootTime::InfiniteFuture();
  };
  using ParentDone = Done<Parent>;
  using Flights = SingleFlight<absl::StatusOr<Parent>>;

  void EnsureParent(const AgentCallPtr& call, Opening opening, ParentDone done);
  // Waits for an opening of its own, or for another's; ParentDone in a thread of the lanes.
  void Board(const AgentCallPtr& call, std::shared_ptr<Opening> wanted, bool alone,
             ParentDone done);
  std::string KeyOf(const Opening& opening) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether `opened`, which `flight` brought, is the session now. Gives `ending` what has to be
  // ended at the gate in its place.
  bool Land(const Flights::FlightPtr& flight, const Parent& opened, uint64_t logouts,
            std::vector<Parent>* ending) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Openings for which `wanted` will do end what they ask: who waits for them waits for its own.
  void TakeOver(const Opening& wanted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Flights::Ticket TakeSeat(const Opening& wanted, bool alone, const std::string& key,
                           const Flights::Waiter& waiter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Openings under way for which the session that is there will do: they are no longer under way.
  std::vector<Flights::FlightPtr> TakeServed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the session that is there is what was wished for.
  bool Covered(const Opening& opening) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Fly(const Flights::FlightPtr& flight, const std::shared_ptr<Opening>& wanted);
  // Ends what is under way, and has the session ended later. `why`: what those who wait are told.
  void EndAll(const absl::Status& why);
  // Replaces the key password (by none where it is empty), and forgets the keys that had the old
  // one.
  void SetKeyPassword(Secret password, const Candidates& credentials)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A session that a gate which was restarted would go on with is resumed for that. One that can't
  // be ended now is kept for the next Logout().
  absl::Status EndAtGate(Parent parent);
  // `parent` has the session then that it was resumed as.
  absl::Status TryToEndAtGate(Parent& parent);
  // The next Logout() ends it at the gate: programs may go on with its children until then.
  void EndLater(Parent parent) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Of those that are to be ended later: what is too much, the oldest first.
  std::vector<Parent> TakeTooMany() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // EndAll(), at the gate, too; with what could not be ended before.
  absl::Status EndEverything(const absl::Status& why);
  // A session of which the gate says what can't be: it is ended, and the next call opens another.
  void EndDoubtful(const Parent& parent, const absl::Status& why);
  // The session is no longer used: the next opening resumes it, where it has a ticket. `over`: the
  // gate itself said that it doesn't take it any more.
  void DropParent(bool over) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The session that was dropped, gone on with; nullopt where there is none, or the gate refuses.
  // Until that is known it is there for a Logout(), which ends it.
  std::optional<absl::StatusOr<Parent>> ResumeParent();

  // The tokens that prove these words' factors; those in use where the words name none.
  absl::StatusOr<std::vector<Candidates>> CredentialsFor(
      const StepUp::Words& words, const std::vector<std::string>& with) const;
  // Whether some of the tokens do not rest, in each place.
  absl::Status SomeMayBeAsked(const std::vector<Candidates>& places) const;
  // Asks the person for the password at the gate. An error says how else to give it.
  absl::StatusOr<Secret> AskPassword(const CallControl& control) const;
  // Whether what is opened next has to prove an ID token.
  bool WantsIdToken(const Opening& opening) const;
  absl::StatusOr<Secret> RunTokenCommand(absl::string_view nonce, const CallControl& control) const;
  struct Work;
  absl::StatusOr<Parent> OpenParent(const CallControl& control, Opening opening);
  absl::StatusOr<Parent> OpenWith(const Candidates& credentials, const CallControl& control,
                                  const Opening& opening);
  absl::StatusOr<Parent> OpenWithIdentity(const std::string& identity,
                                          const Candidates& credentials, const Work& work,
                                          const Opening& opening);
  void Remember(const Parent& parent, const Candidates& credentials);
  // What a session that was opened with that identity announced.
  bool LearnNext(const std::string& identity, const ClientSession& session)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The CAs that a session announced are trusted for the gate's TLS from now on, besides the old.
  bool LearnTlsAnchors(const ClientSession& session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Save() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // `rejected`: a session that is not taken, and that was found `over`.
  void OpenChildOf(const AgentCallPtr& call, std::string channel_binding, std::string rejected,
                   bool over, int attempts, Done<ClientSessionPtr> done);
  void GiveChildPrefix(const AgentCallPtr& call, const std::string& method,
                       const std::string& binding, const std::string& rejected, Done<Prefix> done);
  // What the gate wanted for a method, and how it was met: with a session of these words, or signed
  // by hardware. Not known for longer than a day: rules change.
  struct Demand {
    StepUp::Words words;
    StepUp by_hardware = StepUp();
    BootTime until;
  };
  void LearnDemand(const std::string& method, Demand demand);
  // Nullopt where none is known, or a session is there already.
  std::optional<Demand> DemandOfFirst(const std::string& method);
  struct Meeting;
  void GoOnMeeting(const std::shared_ptr<Meeting>& meeting);
  void AskWhatIsLacking(const std::shared_ptr<Meeting>& meeting, const Parent& parent);
  void TryAlternative(const std::shared_ptr<Meeting>& meeting);
  absl::StatusOr<Prefix> SignCall(const AgentCallPtr& call, const std::string& method,
                                  const std::string& channel_binding,
                                  std::vector<Candidates> candidates, bool user_verification);
  // Tells of a token that signs in the place of another: in the log, and who watches.
  void TellNotes(const std::vector<std::string>& notes) const;

  // What signing is done for: outlives the signers.
  struct Work {
    CallControl control;
    std::unique_ptr<Prompt> prompt;
    bool user_verification = false;
    // A token that signs for it asked a person for something.
    std::unique_ptr<std::atomic<bool>> asked = std::make_unique<std::atomic<bool>>(false);
  };
  Work MakeWork(CallControl control, std::string purpose, bool user_verification) const;
  // A key, and the `key_generation_` that it was loaded under.
  struct LoadedKey {
    std::shared_ptr<DeviceKey> key;
    uint64_t generation = 0;
  };
  absl::StatusOr<LoadedKey> LoadKey(const HeldCredential& credential);
  absl::StatusOr<std::vector<Signer>> MakeSigners(const std::vector<HeldCredential>& credentials,
                                                  const Work* work);
  // What was loaded under that `generation` could not sign.
  void KeyFailed(const HeldCredential& credential, uint64_t generation, const absl::Status& failed);
  // Whether it is known that a person has to touch the token, or to type its PIN.
  bool NeedsPerson(const HeldCredential& credential) const;
  // Null where the token is used without a turn. Not OK: its person is left alone for now.
  absl::StatusOr<std::unique_ptr<KeyTurn>> TurnOf(const HeldCredential& credential,
                                                  const CallControl& control) const;
  Signer SignerFor(const HeldCredential& credential, LoadedKey loaded, bool alone,
                   const Work* work);
  // A failure of that credential's token, with what a person has to name for it.
  absl::Status TokenFailure(const HeldCredential& credential, bool alone,
                            absl::Status failure) const;
  // ChooseCandidates(); no name: those of the last Login that named some.
  absl::StatusOr<std::vector<Candidates>> Choose(std::vector<std::string> with) const;

  std::shared_ptr<GateConnection> connection() const;
  void Post(absl::string_view lane, int width, std::function<void()> task);

  const std::string audience_;
  const std::string affinity_;
  const StateDirectory* const state_;
  const std::vector<std::unique_ptr<Driver>>* const drivers_;
  const Clock* const clock_;
  Lanes* const lanes_;
  Prompter* const prompter_;
  NoticeBoard* const notices_;
  Flights flights_;
  RefusedKeys refused_keys_;

  // Held while the gate is told: who logs out meanwhile is not told before that is over.
  absl::Mutex ending_ ABSL_ACQUIRED_BEFORE(mutex_);
  mutable absl::Mutex mutex_;
  std::shared_ptr<GateConnection> connection_ ABSL_GUARDED_BY(mutex_);
  GateRecord record_ ABSL_GUARDED_BY(mutex_);
  // What sessions taught the record could not be written: the next session tries again.
  bool unsaved_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status ended_ ABSL_GUARDED_BY(mutex_);  // see ended()
  Parent parent_ ABSL_GUARDED_BY(mutex_);
  Parent resumable_ ABSL_GUARDED_BY(mutex_);  // see DropParent(); none while there is a parent_
  // What is over here, and may not be at the gate: it was replaced by another (a step-up, a fresh
  // login); or the gate did not answer, or could not write it down. The oldest first.
  std::vector<Parent> unended_ ABSL_GUARDED_BY(mutex_);
  uint64_t logouts_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t own_openings_ ABSL_GUARDED_BY(mutex_) = 0;  // that nobody else may join
  struct UnderWay {
    Asked asked;
    bool own = false;      // Opening::own()
    bool by_hand = false;  // Opening::by_hand
    // Another, by hand, will do for it, and it ends.
    std::shared_ptr<std::atomic<bool>> taken_over = std::make_shared<std::atomic<bool>>(false);
  };
  std::map<Flights::FlightPtr, UnderWay> under_way_ ABSL_GUARDED_BY(mutex_);
  // Openings that have not begun: their secrets are wiped by Logout().
  std::set<std::shared_ptr<Opening>> waiting_ ABSL_GUARDED_BY(mutex_);
  // The session that Outlast() failed to replace last.
  std::string outlasted_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Demand> demands_ ABSL_GUARDED_BY(mutex_);  // by method
  // Children that SessionPrefix uses for callers on other connections, by channel binding.
  std::map<std::string, ClientSessionPtr> prefix_children_ ABSL_GUARDED_BY(mutex_);
  BootTime children_until_ ABSL_GUARDED_BY(mutex_);  // the last absolute end of a child
  Secret key_password_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> key_password_for_ ABSL_GUARDED_BY(mutex_);  // ids of credentials
  // Counts the times that the key password was replaced or forgotten: what was loaded before has
  // no place in `keys_`.
  uint64_t key_generation_ ABSL_GUARDED_BY(mutex_) = 0;
  // The names that the last Login gave for the credentials that sign.
  std::vector<std::string> with_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, std::shared_ptr<DeviceKey>> keys_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_GATE_ACCOUNT_H_

// SPDX-License-Identifier: Apache-2.0
// A simulated card in its reader: the applet behind the unix socket that the reader driver connects
// to. Presence, power, latency and touch are decided here.
//
// Safe from any thread.
#ifndef FOREKEY_SIMULATORS_PIV_CARD_SERVER_H_
#define FOREKEY_SIMULATORS_PIV_CARD_SERVER_H_

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "simulators/piv/piv_applet.h"
#include "simulators/process.h"

namespace forekey::piv {

class CardServer {
 public:
  struct Options {
    std::string socket_path;
    std::string state_directory;  // where each change is saved; empty: nowhere
    std::string atr;
    // A finger is always there; otherwise each touch that is due waits for Touch().
    bool auto_touch = true;
    absl::Duration touch_timeout = absl::Seconds(15);
    // Called, from a thread of the server's, when the misbehaviour `reset_after` is due.
    std::function<void()> reset_by_other = [] {};
  };
  struct Counts {
    uint64_t commands = 0, power_ups = 0, resets = 0, signatures = 0;
  };

  static absl::StatusOr<std::unique_ptr<CardServer>> Start(PivState state, Options options);
  ~CardServer();

  // The card out of its slot and into it. In the middle of a command: that command has no answer.
  void Remove();
  void Insert();
  bool present();

  // True when the card was waiting for it; a touch that nobody waits for does nothing.
  bool Touch();
  // Waits until the card waits for a touch.
  bool WaitUntilTouchIsDue(absl::Duration timeout);
  void SetAutoTouch(bool on);

  // The card in somebody's hands: state and misbehaviours may be read and changed. Waits for a
  // command under way. Nothing is saved.
  void WithApplet(absl::FunctionRef<void(PivApplet&)> use);
  Counts counts();

 private:
  struct Connection {
    UniqueFd fd;
    std::thread thread;
    bool done = false;
  };
  CardServer(PivState state, Options options);

  void AcceptLoop();
  void Serve(int fd);
  std::string Answer(absl::string_view request, uint64_t* seen)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string Transmit(absl::string_view command) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Lets time pass; ends early when the card goes.
  void Spend(absl::Duration time) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool WaitForTouch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetPresence(bool present);

  const Options options_;
  UniqueFd listener_;
  absl::Mutex mutex_;
  PivApplet applet_;  // used under mutex_, or by the one thread that has set busy_
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool card_present_ ABSL_GUARDED_BY(mutex_) = true;
  bool powered_ ABSL_GUARDED_BY(mutex_) = false;
  // The card left, and who watches the slot has not asked since: it is told so once, though the
  // card may be back, as real readers do. Otherwise pcscd would never know that its clients' card
  // has gone.
  bool removal_unseen_ ABSL_GUARDED_BY(mutex_) = false;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
  bool auto_touch_ ABSL_GUARDED_BY(mutex_);
  bool touch_due_ ABSL_GUARDED_BY(mutex_) = false;
  bool touched_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t changes_ ABSL_GUARDED_BY(mutex_) = 1;  // of presence
  Counts counts_ ABSL_GUARDED_BY(mutex_);
  std::list<Connection> connections_ ABSL_GUARDED_BY(mutex_);
  std::thread accept_thread_;
};

}  // namespace forekey::piv

#endif  // FOREKEY_SIMULATORS_PIV_CARD_SERVER_H_

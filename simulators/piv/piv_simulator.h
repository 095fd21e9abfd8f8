// SPDX-License-Identifier: Apache-2.0
// A PIV card for tests, in a reader, behind the real pcscd. Never linked into a product binary.
//
//   PivSimulatorConfig config;                        // config.card: what it is
//   auto simulator = PivSimulator::Start(config);     // its own pcscd, card and state
//   driver.Enroll((*simulator)->uri(), ...);          // "piv:serial=12345678"
//   (*simulator)->Remove();                           // and so on
//   (*simulator)->Misbehave({.touch_never = true});   // what it does wrong now
//
// One at a time in a process that is itself a client of it, as libpcsclite knows one socket a
// process (see PcscdProcess); two cards at once: two CardServers behind one PcscdProcess.
//
// Safe from any thread, apart from Start and the end.
#ifndef FOREKEY_SIMULATORS_PIV_PIV_SIMULATOR_H_
#define FOREKEY_SIMULATORS_PIV_PIV_SIMULATOR_H_

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "simulators/piv/card_server.h"
#include "simulators/piv/pcscd_process.h"
#include "simulators/piv/piv_card.h"

namespace forekey::piv {

struct PivSimulatorConfig {
  PivConfig card;
  // Where the card lives, to be used again later: what it is was decided when it was made, `card`
  // counts only then. Empty: a temporary folder.
  std::string state_directory;
  std::string reader_name;   // empty: one that begins with "Yubico Yubikey", as their tools demand;
                             // a plain one else
  std::string pcscd_socket;  // empty: PcscdProcess::ProcessSocket()
  bool auto_touch = true;
  absl::Duration touch_timeout = absl::Seconds(15);
  PivMisbehaviour misbehaviour;
  std::vector<std::string> misbehaviours;  // by name, as AddMisbehaviour takes them
};

class PivSimulator {
 public:
  static absl::StatusOr<std::unique_ptr<PivSimulator>> Start(const PivSimulatorConfig& config = {});
  ~PivSimulator();

  const std::string& socket() const { return socket_; }  // PCSCLITE_CSOCK_NAME
  const std::string& reader() const { return reader_; }  // as SCardListReaders names it
  // For clients of that socket: "piv:serial=12345678"; "piv:", the only card, where it has no
  // number.
  const std::string& uri() const { return uri_; }
  const std::string& state_directory() const { return state_; }
  // The root's certificate, and in its folder "intermediates" those between it and the card's, PEM.
  const std::string& trust_directory() const { return trust_; }

  CardServer& card() { return *card_; }
  PcscdProcess& pcscd() { return *pcscd_; }

  void Misbehave(const PivMisbehaviour& misbehaviour);
  // The card leaves its slot and comes back.
  void Remove() { card_->Remove(); }
  void Insert() { card_->Insert(); }
  // The reader goes with its card, and comes back: each with a pcscd that starts anew (see
  // PcscdProcess).
  absl::Status Unplug();
  absl::Status PlugIn();
  bool Touch() { return card_->Touch(); }
  // Another PC/SC client connects (shared) and resets the card; waits while somebody has a
  // transaction.
  absl::Status ResetByOther();
  absl::Status RestartPcscd();
  // pcscd answers before it has powered the card up, and programs then call the reader empty: waits
  // until it sees what is in it.
  absl::Status AwaitReader();

 private:
  PivSimulator() = default;
  absl::Status Begin(const PivSimulatorConfig& config);
  void ResetSoon();

  std::string temporary_, state_, trust_, socket_, reader_, uri_;
  UniqueFd lock_;
  std::unique_ptr<CardServer> card_;
  std::unique_ptr<PcscdProcess> pcscd_;
  absl::Mutex mutex_;
  absl::Mutex pcscd_mutex_;  // one restart after the other
  std::vector<PcscdReader> readers_;
  std::vector<std::thread> resets_ ABSL_GUARDED_BY(mutex_);
};

// Writes the certificates of a card that whoever trusts it needs: DIR/piv-root.pem and, where there
// are any, DIR/intermediates/1.pem and so on (towards the card).
absl::Status WriteTrust(const PivState& state, const std::string& directory);

}  // namespace forekey::piv

#endif  // FOREKEY_SIMULATORS_PIV_PIV_SIMULATOR_H_

// SPDX-License-Identifier: Apache-2.0
// What a gate does once a second besides judging calls: it drops expired sessions, and reads
// changed certificates, rules and trust.
#ifndef FOREKEY_SRC_GATE_SERVICE_MAINTENANCE_H_
#define FOREKEY_SRC_GATE_SERVICE_MAINTENANCE_H_

#include <functional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "src/base/clock.h"
#include "src/gate/audit/audit.h"
#include "src/gate/call/certificates.h"
#include "src/gate/call/ticket_keys.h"
#include "src/gate/service/rules_watch.h"
#include "src/gate/service/trust_watch.h"
#include "src/gate/session/announced_cas.h"
#include "src/store/session_table.h"

namespace forekey {

// Everything is borrowed and must outlive it.
struct MaintenanceNeeds {
  const Clock* clock = nullptr;
  SessionTable* sessions = nullptr;
  AuditLog* audit = nullptr;
  AcceptedCertificates* certificates = nullptr;
  AnnouncedCas* cas = nullptr;
  RulesWatch* rules = nullptr;
  TrustWatch* trust = nullptr;
  TicketKeys* tickets = nullptr;  // null: no session is resumed
};

class Maintenance {
 public:
  explicit Maintenance(MaintenanceNeeds needs) : needs_(needs) {}
  ~Maintenance();

  // Does all of it once. Safe from any thread.
  void Once();
  // Has `read` read the listener's key and certificate again, too, before the certificates that are
  // accepted; what it fails with is told once. Null: nothing more. When this returns, the one
  // before is not running and will not be called.
  void ReadListenerToo(std::function<absl::Status()> read);
  // Has a thread of its own do so every second, until this is destroyed.
  void Start();

 private:
  void Run();
  void ReloadListener();
  void ReloadCertificates();

  const MaintenanceNeeds needs_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Mutex listener_mutex_;
  std::function<absl::Status()> read_listener_ ABSL_GUARDED_BY(listener_mutex_);
  absl::Status listener_error_ ABSL_GUARDED_BY(listener_mutex_);  // that was told last
  absl::Mutex certificates_mutex_;
  std::string certificate_error_ ABSL_GUARDED_BY(certificates_mutex_);  // that was told last
  std::thread thread_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SERVICE_MAINTENANCE_H_

#include "src/gate/service/maintenance.h"

#include "absl/strings/str_cat.h"

namespace forekey {
namespace {

constexpr absl::Duration kInterval = absl::Seconds(1);

}  // namespace

Maintenance::~Maintenance() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void Maintenance::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Maintenance::Run() {
  absl::MutexLock lock(&mutex_);
  while (!mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kInterval)) {
    mutex_.Unlock();
    Once();
    mutex_.Lock();
  }
}

void Maintenance::Once() {
  needs_.sessions->Sweep(needs_.clock->BootNanos());
  needs_.audit->Maintain();
  needs_.rules->Look();
  needs_.trust->Look();
  ReloadCertificates();
}

void Maintenance::ReloadCertificates() {
  const absl::Status reloaded = needs_.certificates->Reload();
  absl::MutexLock lock(&certificates_mutex_);
  if (reloaded.message() == certificate_error_) return;
  // Told once for each new error, and when it is over: the last good set stays meanwhile.
  certificate_error_ = std::string(reloaded.message());
  Decision decision = needs_.audit->NewDecision(AuditEvent::kGate);
  decision.admitted = reloaded.ok();
  decision.detail = reloaded.ok() ? "the TLS certificates were read again"
                                  : absl::StrCat(
                                        "TLS certificates can't be read again; those read last "
                                        "stay accepted: ",
                                        certificate_error_);
  (void)needs_.audit->Admit(decision);
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
#include "src/gate/service/maintenance.h"

#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/deadline.h"

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
  while (!AwaitFor(mutex_, absl::Condition(&stopping_), kInterval)) {
    mutex_.Unlock();
    Once();
    mutex_.Lock();
  }
}

void Maintenance::Once() {
  needs_.sessions->Sweep(needs_.clock->BootNow());
  needs_.audit->Maintain();
  if (needs_.tickets != nullptr) (void)needs_.tickets->Maintain();  // the next second tries again
  needs_.rules->Look();
  needs_.trust->Look();
  ReloadListener();
  ReloadCertificates();
}

void Maintenance::ReadListenerToo(std::function<absl::Status()> read) {
  absl::MutexLock lock(&listener_mutex_);
  read_listener_ = std::move(read);
}

void Maintenance::ReloadListener() {
  absl::MutexLock lock(&listener_mutex_);
  if (!read_listener_) return;
  const absl::Status read = read_listener_();
  // Once a change, not once a second.
  if (!read.ok() && read != listener_error_) {
    std::fprintf(stderr, "forekey: the old TLS certificate stays: %s\n",
                 std::string(read.message()).c_str());
  }
  listener_error_ = read;
}

void Maintenance::ReloadCertificates() {
  absl::Status reloaded = needs_.certificates->Reload();
  reloaded.Update(needs_.cas->Reload());
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

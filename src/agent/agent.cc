// SPDX-License-Identifier: Apache-2.0
#include "src/agent/agent.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "spdlog/spdlog.h"
#include "src/base/deadline.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/base/version.h"
#include "src/wire/statement.h"

namespace forekey {

absl::StatusOr<std::unique_ptr<Agent>> Agent::New(Options options) {
  FOREKEY_ASSIGN_OR_RETURN(auto state, StateDirectory::Open(options.state_directory));
  std::unique_ptr<Agent> agent(new Agent(std::move(options), std::move(state)));
  agent->Load();
  agent->keeper_ = std::thread([raw = agent.get()] { raw->KeepSessionsAlive(); });
  return agent;
}

Agent::Agent(Options options, std::unique_ptr<StateDirectory> state)
    : state_(std::move(state)),
      drivers_(std::move(options.drivers)),
      clock_(options.clock),
      person_(clock_, options.keep_pins),
      desktop_(options.desktop_notices ? std::make_unique<DesktopNotices>() : nullptr),
      prompter_(
          ConsideratePrompter(std::move(options.prompter), &person_, &notices_, desktop_.get())),
      affinity_(options.affinity) {}

Agent::~Agent() {
  Stop();
  lanes_.Stop();
  if (keeper_.joinable()) keeper_.join();
}

void Agent::Stop() {
  std::vector<AccountPtr> accounts;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    for (const auto& [audience, account] : accounts_) accounts.push_back(account);
  }
  for (const AccountPtr& account : accounts) account->Stop();
}

bool Agent::Stopping() {
  absl::MutexLock lock(&mutex_);
  return stopping_;
}

void Agent::Load() {
  auto loaded = state_->LoadAll();
  if (!loaded.ok()) {
    absl::MutexLock lock(&mutex_);
    problems_[state_->path()] = std::string(loaded.status().message());
    return;
  }
  for (StateDirectory::Loaded& gate : *loaded) {
    absl::Status status =
        gate.record.ok() ? MakeAccount(*std::move(gate.record)).status() : gate.record.status();
    if (status.ok()) continue;
    spdlog::error("a gate's record can't be used and is left as it is: {}",
                  std::string(status.message()));
    absl::MutexLock lock(&mutex_);
    problems_[gate.folder] = std::string(status.message());
  }
}

absl::StatusOr<Agent::AccountPtr> Agent::MakeAccount(GateRecord record) {
  const std::string audience = record.target.audience;
  GateAccount::Options options;
  options.record = std::move(record);
  options.state = state_.get();
  options.drivers = &drivers_;
  options.clock = clock_;
  options.lanes = &lanes_;
  options.prompter = prompter_.get();
  options.notices = &notices_;
  options.affinity = affinity_;
  FOREKEY_ASSIGN_OR_RETURN(AccountPtr account, GateAccount::New(std::move(options)));
  absl::MutexLock lock(&mutex_);
  if (stopping_) return absl::CancelledError("the agent ends");
  accounts_[audience] = account;
  return account;
}

void Agent::RemoveAccount(const AccountPtr& account) {
  absl::MutexLock lock(&mutex_);
  std::erase_if(accounts_, [&](const auto& entry) { return entry.second == account; });
}

absl::StatusOr<Agent::AccountPtr> Agent::Find(const std::string& gate) {
  absl::MutexLock lock(&mutex_);
  if (gate.empty() && accounts_.size() == 1) return accounts_.begin()->second;
  auto found = accounts_.find(gate);
  if (found != accounts_.end()) return found->second;
  std::string names = absl::StrJoin(accounts_, ", ", [](std::string* out, const auto& entry) {
    absl::StrAppend(out, entry.first);
  });
  if (gate.empty() && !accounts_.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("several gates are enrolled (", names, "): say which one"));
  }
  if (!gate.empty()) {
    auto problem = problems_.find(state_->FolderOf(gate));
    if (problem != problems_.end()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the record of ", gate, " can't be used: ", problem->second, "; it was left as it is"));
    }
  }
  return Refuse(Reason::kGateNotEnrolled,
                accounts_.empty()
                    ? std::string("no gate is enrolled: ask the gate's administrator for an invite "
                                  "and run: forekey enroll")
                    : absl::StrCat("this agent was never enrolled at ", gate,
                                   "; it is enrolled at: ", names));
}

v1::Device DeviceOf(const DeviceInfo& info) {
  v1::Device device;
  device.set_uri(info.uri);
  device.set_kind(info.kind);
  device.set_description(info.description);
  device.set_maker(info.maker);
  device.set_model(info.model);
  device.set_firmware(info.firmware);
  return device;
}

absl::StatusOr<v1::ListDevicesResponse> Agent::ListDevices(const CallControl& call) {
  FOREKEY_RETURN_IF_ERROR(TakeTurn(&listings_, call));
  const absl::Cleanup end = [this] { EndTurn(&listings_); };
  v1::ListDevicesResponse response;
  std::vector<std::string> problems;
  for (const auto& driver : drivers_) {
    for (const DeviceInfo& info : driver->List(&problems)) {
      *response.add_devices() = DeviceOf(info);
    }
  }
  for (std::string& left : LookForLeftKeys()) problems.push_back(std::move(left));
  for (const std::string& problem : problems) response.add_problems(problem);
  return response;
}

v1::GetStatusResponse Agent::GetStatus() {
  v1::GetStatusResponse response;
  response.set_version(kForekeyVersion);
  std::vector<AccountPtr> accounts;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [audience, account] : accounts_) accounts.push_back(account);
    for (const auto& [folder, problem] : problems_) response.add_problems(problem);
  }
  for (const AccountPtr& account : accounts) {
    GateRecord record = account->record();
    v1::EnrolledGate* gate = response.add_gates();
    gate->set_audience(record.target.audience);
    gate->set_address(record.target.address);
    gate->set_ca_pem(record.target.ca_pem);
    gate->set_tls_server_name(record.target.tls_server_name);
    gate->set_subject(record.subject);
    gate->set_default_credential(absl::BytesToHexString(record.default_credential));
    for (const HeldCredential& known : record.credentials) {
      v1::CredentialInfo* credential = gate->add_credentials();
      credential->set_id(absl::BytesToHexString(known.id));
      credential->set_kind(known.kind);
      credential->set_label(known.label);
      if (known.pending) credential->set_device("not confirmed by the gate yet");
    }
    if (ClientSessionPtr session = account->session(); session != nullptr) {
      gate->set_session_open(true);
      gate->set_session_expires_unix_s(WallSecondsAt(session->expires_at(), *clock_));
    }
  }
  return response;
}

absl::Status Agent::Logout(const v1::LogoutRequest& request) {
  FOREKEY_ASSIGN_OR_RETURN(AccountPtr account, Find(request.gate()));
  person_.ForgetPins();
  absl::Status out = account->Logout();
  // Also what was typed while it was under way.
  person_.ForgetPins();
  return out;
}

absl::StatusOr<v1::ForgetGateResponse> Agent::ForgetGate(const v1::ForgetGateRequest& request) {
  if (request.gate().empty()) {
    return absl::InvalidArgumentError("say which gate to forget");
  }
  FOREKEY_ASSIGN_OR_RETURN(AccountPtr account, Find(request.gate()));
  v1::ForgetGateResponse response;
  if (!request.credential().empty()) {
    FOREKEY_ASSIGN_OR_RETURN(const HeldCredential forgotten,
                             account->ForgetCredential(request.credential()));
    response.set_credential_id(absl::BytesToHexString(forgotten.id));
    return response;
  }
  FOREKEY_RETURN_IF_ERROR(account->Forget());
  RemoveAccount(account);
  return response;
}

absl::StatusOr<v1::SetDefaultResponse> Agent::SetDefault(const v1::SetDefaultRequest& request) {
  FOREKEY_ASSIGN_OR_RETURN(AccountPtr account, Find(request.gate()));
  FOREKEY_ASSIGN_OR_RETURN(const HeldCredential chosen, account->SetDefault(request.credential()));
  v1::SetDefaultResponse response;
  response.set_credential_id(absl::BytesToHexString(chosen.id));
  response.set_label(chosen.label);
  return response;
}

void Agent::KeepSessionsAlive() {
  constexpr absl::Duration kLongest = absl::Minutes(1);
  absl::Duration wait = kLongest;
  while (true) {
    std::vector<AccountPtr> accounts;
    {
      absl::MutexLock lock(&mutex_);
      auto woken = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return stopping_ || sessions_changed_;
      };
      AwaitFor(mutex_, absl::Condition(&woken), wait);
      if (stopping_) return;
      sessions_changed_ = false;
      for (const auto& [audience, account] : accounts_) accounts.push_back(account);
    }
    BootTime next = person_.DropEndedPins();
    for (const AccountPtr& account : accounts) next = std::min(next, account->KeepAlive());
    // At least a second, so that a gate with a tiny idle time is no busy loop here.
    wait = std::clamp(next - clock_->BootNow(), absl::Seconds(1), kLongest);
  }
}

}  // namespace forekey

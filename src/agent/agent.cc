#include "src/agent/agent.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "spdlog/spdlog.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/base/version.h"
#include "src/wire/statement.h"

namespace forekey {

namespace {

constexpr absl::string_view kOwnPackage = "/forekey.v1.";

absl::Status CheckSize(absl::string_view name, absl::string_view bytes, size_t size) {
  if (bytes.empty() || bytes.size() == size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " has ", bytes.size(), " bytes instead of ", size));
}

// What to do, where the person at the keyboard has to act.
absl::Status WithAdvice(const absl::Status& status, const std::string& gate) {
  auto error = DeviceErrorOf(status);
  if (error != DeviceError::kPinRequired && error != DeviceError::kWrongPin) return status;
  absl::Status advised(status.code(), absl::StrCat(status.message(), " (run: forekey login --gate ",
                                                   gate, " --ask-key-password)"));
  status.ForEachPayload([&advised](absl::string_view url, const absl::Cord& payload) {
    advised.SetPayload(url, payload);
  });
  return advised;
}

int64_t WallSecondsOf(int64_t boot_nanos, const Clock& clock) {
  return absl::ToUnixSeconds(clock.WallNow() + absl::Nanoseconds(boot_nanos - clock.BootNanos()));
}

}  // namespace

absl::Status CheckMethodForCallers(absl::string_view method) {
  if (!IsWellFormedMethod(method)) {
    return absl::InvalidArgumentError("the method is not /package.Service/Method");
  }
  if (absl::StartsWith(method, kOwnPackage) && method != kWhoAmIMethod) {
    return Refuse(Reason::kMethodNotForAgent,
                  absl::StrCat(method, " is Forekey's own: the agent calls it by itself"));
  }
  return absl::OkStatus();
}

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
      prompt_(std::move(options.prompt)) {}

Agent::~Agent() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (keeper_.joinable()) keeper_.join();
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
        gate.record.ok() ? AddAccount(*std::move(gate.record)) : gate.record.status();
    if (status.ok()) continue;
    spdlog::error("a gate's record can't be used and is left as it is: {}",
                  std::string(status.message()));
    absl::MutexLock lock(&mutex_);
    problems_[gate.folder] = std::string(status.message());
  }
}

absl::Status Agent::AddAccount(GateRecord record) {
  std::string audience = record.target.audience;
  GateAccount::Options options{std::move(record), state_.get(), &drivers_, clock_,
                               prompt_.get(),     &notices_};
  FOREKEY_ASSIGN_OR_RETURN(AccountPtr account, GateAccount::New(std::move(options)));
  absl::MutexLock lock(&mutex_);
  accounts_[audience] = std::move(account);
  return absl::OkStatus();
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

v1::ListDevicesResponse Agent::ListDevices() {
  v1::ListDevicesResponse response;
  std::vector<std::string> problems;
  for (const auto& driver : drivers_) {
    for (const DeviceInfo& info : driver->List(&problems)) {
      v1::Device* device = response.add_devices();
      device->set_uri(info.uri);
      device->set_kind(info.kind);
      device->set_description(info.description);
    }
  }
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
    for (const HeldCredential& known : record.credentials) {
      v1::CredentialInfo* credential = gate->add_credentials();
      credential->set_id(absl::BytesToHexString(known.id));
      credential->set_kind(known.kind);
      credential->set_label(known.label);
      if (known.pending) credential->set_device("not confirmed by the gate yet");
    }
    if (ClientSessionPtr session = account->session(); session != nullptr) {
      gate->set_session_open(true);
      gate->set_session_expires_unix_s(WallSecondsOf(session->expires_boot_nanos(), *clock_));
    }
  }
  return response;
}

absl::StatusOr<v1::LoginResponse> Agent::Login(const v1::LoginRequest& request,
                                               const CallControl& call) {
  FOREKEY_ASSIGN_OR_RETURN(AccountPtr account, Find(request.gate()));
  std::string gate = account->record().target.audience;
  auto session = account->Login(call, request.fresh(), Secret::CopyOf(request.key_password()),
                                {request.with().begin(), request.with().end()},
                                Secret::CopyOf(request.password()));
  if (!session.ok()) return WithAdvice(session.status(), gate);
  v1::LoginResponse response;
  response.set_gate(gate);
  response.set_subject((*session)->subject());
  response.set_session_expires_unix_s(WallSecondsOf((*session)->expires_boot_nanos(), *clock_));
  return response;
}

absl::Status Agent::Logout(const v1::LogoutRequest& request) {
  FOREKEY_ASSIGN_OR_RETURN(AccountPtr account, Find(request.gate()));
  return account->Logout();
}

absl::StatusOr<v1::GetPrefixResponse> Agent::GetPrefix(const v1::GetPrefixRequest& request,
                                                       const CallControl& call) {
  FOREKEY_RETURN_IF_ERROR(CheckMethodForCallers(request.method()));
  FOREKEY_RETURN_IF_ERROR(
      CheckSize("channel_binding", request.channel_binding(), kChannelBindingSize));
  FOREKEY_RETURN_IF_ERROR(
      CheckSize("rejected_session", request.rejected_session(), kSessionIdSize));
  if (request.with_size() > 0 && !request.device()) {
    return absl::InvalidArgumentError("with is for prefixes that hardware signs (device)");
  }
  FOREKEY_ASSIGN_OR_RETURN(AccountPtr account, Find(request.gate()));
  StepUp step_up;
  if (!request.step_up().empty()) {
    FOREKEY_ASSIGN_OR_RETURN(step_up, StepUp::Parse(request.step_up()));
    if (!request.device() || request.with_size() > 0) {
      return absl::InvalidArgumentError("step_up goes with device, and not with with");
    }
  }
  auto prefix =
      !step_up.empty()
          ? account->StepUpPrefix(call, request.method(), request.channel_binding(), step_up)
      : request.device() ? account->DevicePrefix(call, request.method(), request.channel_binding(),
                                                 {request.with().begin(), request.with().end()})
                         : account->SessionPrefix(call, request.method(), request.channel_binding(),
                                                  request.rejected_session());
  if (!prefix.ok()) return WithAdvice(prefix.status(), account->record().target.audience);
  v1::GetPrefixResponse response;
  response.set_prefix(std::move(prefix->prefix));
  response.set_session_id(std::move(prefix->session_id));
  return response;
}

absl::StatusOr<v1::OpenLocalSessionResponse> Agent::OpenSession(
    const v1::OpenLocalSessionRequest& request, const CallControl& call) {
  FOREKEY_RETURN_IF_ERROR(
      CheckSize("channel_binding", request.channel_binding(), kChannelBindingSize));
  FOREKEY_ASSIGN_OR_RETURN(AccountPtr account, Find(request.gate()));
  if (!request.method().empty()) {
    FOREKEY_RETURN_IF_ERROR(CheckMethodForCallers(request.method()));
    auto lacking = account->MeetRequirements(call, request.method(), /*child=*/true);
    if (!lacking.ok()) return WithAdvice(lacking.status(), account->record().target.audience);
    if (!lacking->empty()) {
      v1::OpenLocalSessionResponse response;
      response.set_step_up(lacking->Serialize());
      return response;
    }
  }
  if (request.outlast_boot_nanos() != 0) {
    absl::Status renewed = account->Outlast(call, request.outlast_boot_nanos());
    if (!renewed.ok()) return WithAdvice(renewed, account->record().target.audience);
  }
  // A child that was rejected says nothing of its parent: opening the next child does.
  auto child = account->OpenChild(call, request.channel_binding());
  if (!child.ok()) return WithAdvice(child.status(), account->record().target.audience);
  {
    absl::MutexLock lock(&mutex_);
    sessions_changed_ = true;
  }
  v1::OpenLocalSessionResponse response;
  response.set_session_id((*child)->id());
  response.set_key(std::string((*child)->key().view()));
  response.set_idle_s((*child)->idle_s());
  response.set_absolute_s((*child)->absolute_s());
  response.set_opened_boot_nanos((*child)->opened_boot_nanos());
  response.set_subject((*child)->subject());
  return response;
}

absl::Status Agent::ForgetGate(const v1::ForgetGateRequest& request) {
  if (request.gate().empty()) {
    return absl::InvalidArgumentError("say which gate to forget");
  }
  absl::MutexLock enrolling(&enroll_mutex_);
  FOREKEY_ASSIGN_OR_RETURN(AccountPtr account, Find(request.gate()));
  if (absl::Status ended = account->Logout(); !ended.ok()) {
    spdlog::warn("gate {}: forgotten, but its session could not be ended: {}", request.gate(),
                 std::string(ended.message()));
  }
  FOREKEY_RETURN_IF_ERROR(state_->RemoveGate(account->record()));
  absl::MutexLock lock(&mutex_);
  accounts_.erase(request.gate());
  return absl::OkStatus();
}

void Agent::KeepSessionsAlive() {
  constexpr int64_t kLongest = 60'000'000'000;
  int64_t wait = kLongest;
  while (true) {
    std::vector<AccountPtr> accounts;
    {
      absl::MutexLock lock(&mutex_);
      auto woken = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return stopping_ || sessions_changed_;
      };
      mutex_.AwaitWithTimeout(absl::Condition(&woken), absl::Nanoseconds(wait));
      if (stopping_) return;
      sessions_changed_ = false;
      for (const auto& [audience, account] : accounts_) accounts.push_back(account);
    }
    int64_t next = std::numeric_limits<int64_t>::max();
    for (const AccountPtr& account : accounts) next = std::min(next, account->KeepAlive());
    // At least a second, so that a gate with a tiny idle time is no busy loop here.
    wait = std::clamp<int64_t>(next - clock_->BootNanos(), 1'000'000'000, kLongest);
  }
}

}  // namespace forekey

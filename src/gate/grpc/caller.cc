// SPDX-License-Identifier: Apache-2.0
#include "forekey/caller.h"

#include <grpcpp/server_context.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "src/gate/grpc/caller_info.h"
#include "src/gate/grpc/caller_of_no_call.h"
#include "src/gate/grpc/live_calls.h"
#include "src/wire/token_kind.h"

namespace forekey {
namespace {

constexpr absl::string_view kNoCaller =
    "no caller: the method is exempt, the call came through a port that is not the gate's, or the "
    "server has no gate";

std::atomic<CallerOfNoCall> caller_of_no_call{nullptr};

// A session, or a device's call, by names that both have.
const LiveSubject& SubjectOf(const Session& session) { return session.subject(); }
const LiveSubject& SubjectOf(const DeviceCall& call) { return call.credentials.front()->subject(); }

using Credentials = absl::Span<const std::shared_ptr<const LiveCredential>>;
Credentials CredentialsOf(const Session& session) { return session.credentials(); }
Credentials CredentialsOf(const DeviceCall& call) { return call.credentials; }

using Factors = absl::Span<const ProvedFactor>;
Factors FactorsOf(const Session& session) { return session.factors(); }
Factors FactorsOf(const DeviceCall& call) { return call.factors; }

bool HasName(Factors factors, absl::string_view name) {
  return std::any_of(factors.begin(), factors.end(),
                     [name](const ProvedFactor& one) { return one.name == name; });
}

std::vector<CallerCredential> Describe(Credentials credentials) {
  std::vector<CallerCredential> described;
  for (const auto& credential : credentials) {
    const CredentialRecord& record = credential->record();
    described.push_back({.id = absl::BytesToHexString(record.id),
                         .kind = std::string(TokenKindName(record.kind)),
                         .label = record.label});
  }
  return described;
}

std::vector<CallerFactor> Describe(Factors factors) {
  std::vector<CallerFactor> described;
  for (const ProvedFactor& factor : factors) {
    described.push_back({.name = factor.name.str(), .proved_at = factor.proved_at});
  }
  return described;
}

}  // namespace

void SetCallerOfNoCall(CallerOfNoCall who) { caller_of_no_call = who; }

VerifiedCaller CallerMaker::Of(const VerifiedCall& verified) {
  using Kind = VerifiedCaller::Kind;
  return verified.session() != nullptr ? VerifiedCaller(Kind::kSession, verified.shared_session())
                                       : VerifiedCaller(Kind::kDevice, verified.shared_proof());
}

VerifiedCaller CallerMaker::Of(std::shared_ptr<const CallerInfo> given) {
  return VerifiedCaller(VerifiedCaller::Kind::kGiven, std::move(given));
}

template <typename OfGiven, typename OfVerified>
decltype(auto) VerifiedCaller::Ask(const OfGiven& of_given, const OfVerified& of_verified) const {
  const void* const from = from_.get();
  if (kind_ == Kind::kGiven) return of_given(*static_cast<const CallerInfo*>(from));
  if (kind_ == Kind::kDevice) return of_verified(*static_cast<const DeviceCall*>(from));
  return of_verified(*static_cast<const Session*>(from));
}

const std::string& VerifiedCaller::subject() const {
  return Ask([](const CallerInfo& given) -> const std::string& { return given.subject; },
             [](const auto& verified) -> const std::string& { return SubjectOf(verified).name(); });
}

bool VerifiedCaller::HasRole(absl::string_view role) const {
  return Ask([&](const CallerInfo& given) { return given.HasRole(role); },
             [&](const auto& verified) {
               const auto roles = SubjectOf(verified).roles();
               return std::find(roles->begin(), roles->end(), role) != roles->end();
             });
}

bool VerifiedCaller::HasFactor(absl::string_view factor) const {
  return Ask([&](const CallerInfo& given) { return given.HasFactor(factor); },
             [&](const auto& verified) { return HasName(FactorsOf(verified), factor); });
}

std::vector<std::string> VerifiedCaller::roles() const {
  return Ask([](const CallerInfo& given) { return given.roles; },
             [](const auto& verified) { return *SubjectOf(verified).roles(); });
}

std::vector<CallerCredential> VerifiedCaller::credentials() const {
  return Ask([](const CallerInfo& given) { return given.credentials; },
             [](const auto& verified) { return Describe(CredentialsOf(verified)); });
}

std::vector<CallerFactor> VerifiedCaller::factors() const {
  return Ask([](const CallerInfo& given) { return given.factors; },
             [](const auto& verified) { return Describe(FactorsOf(verified)); });
}

std::string VerifiedCaller::session_id() const {
  if (kind_ == Kind::kGiven) return static_cast<const CallerInfo*>(from_.get())->session_id;
  if (kind_ == Kind::kDevice) return "";
  return absl::BytesToHexString(static_cast<const Session*>(from_.get())->id());
}

bool VerifiedCaller::child_session() const {
  if (kind_ == Kind::kGiven) return static_cast<const CallerInfo*>(from_.get())->child_session;
  return kind_ == Kind::kSession && static_cast<const Session*>(from_.get())->parent() != nullptr;
}

CallerInfo VerifiedCaller::Info() const {
  return {.subject = subject(),
          .roles = roles(),
          .credentials = credentials(),
          .factors = factors(),
          .session_id = session_id(),
          .child_session = child_session()};
}

CallerInfo CallerInfoOf(const VerifiedCall& verified) { return CallerMaker::Of(verified).Info(); }

absl::StatusOr<VerifiedCaller> Caller(const grpc::ServerContextBase* context) {
  if (context == nullptr) return absl::UnauthenticatedError("no caller: no context");
  // c_call() only gives the pointer; it is not const for no reason.
  grpc_call* call = const_cast<grpc::ServerContextBase*>(context)->c_call();
  if (call == nullptr) {
    const CallerOfNoCall who = caller_of_no_call;
    return who == nullptr ? absl::UnauthenticatedError(kNoCaller) : who(context);
  }
  std::optional<VerifiedCaller> caller;
  LiveCalls::OfProcess().Look(
      call, [&](const VerifiedCall& verified) { caller = CallerMaker::Of(verified); });
  if (!caller) return absl::UnauthenticatedError(kNoCaller);
  return *std::move(caller);
}

bool CallerInfo::HasRole(absl::string_view role) const {
  return std::find(roles.begin(), roles.end(), role) != roles.end();
}

bool CallerInfo::HasFactor(absl::string_view factor) const {
  return std::any_of(factors.begin(), factors.end(),
                     [factor](const CallerFactor& one) { return one.name == factor; });
}

}  // namespace forekey

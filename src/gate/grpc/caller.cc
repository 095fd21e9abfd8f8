// SPDX-License-Identifier: Apache-2.0
#include "forekey/caller.h"

#include <grpcpp/server_context.h>

#include <algorithm>
#include <atomic>

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

}  // namespace

void SetCallerOfNoCall(CallerOfNoCall who) { caller_of_no_call = who; }

CallerInfo CallerInfoOf(const VerifiedCall& verified) {
  CallerInfo info;
  info.subject = verified.subject().name();
  info.roles = *verified.subject().roles();
  for (const auto& credential : verified.credentials()) {
    const CredentialRecord& record = credential->record();
    info.credentials.push_back({.id = absl::BytesToHexString(record.id),
                                .kind = std::string(TokenKindName(record.kind)),
                                .label = record.label});
  }
  for (const ProvedFactor& factor : verified.factors()) {
    info.factors.push_back({.name = factor.name.str(), .proved_at = factor.proved_at});
  }
  if (const Session* session = verified.session(); session != nullptr) {
    info.session_id = absl::BytesToHexString(session->id());
    info.child_session = session->parent() != nullptr;
  }
  return info;
}

absl::StatusOr<CallerInfo> Caller(const grpc::ServerContextBase* context) {
  if (context == nullptr) return absl::UnauthenticatedError("no caller: no context");
  // c_call() only gives the pointer; it is not const for no reason.
  grpc_call* call = const_cast<grpc::ServerContextBase*>(context)->c_call();
  if (call == nullptr) {
    const CallerOfNoCall who = caller_of_no_call;
    return who == nullptr ? absl::UnauthenticatedError(kNoCaller) : who(context);
  }
  absl::StatusOr<CallerInfo> info = absl::UnauthenticatedError(kNoCaller);
  LiveCalls::OfProcess().Look(call,
                              [&](const VerifiedCall& caller) { info = CallerInfoOf(caller); });
  return info;
}

bool CallerInfo::HasRole(absl::string_view role) const {
  return std::find(roles.begin(), roles.end(), role) != roles.end();
}

bool CallerInfo::HasFactor(absl::string_view factor) const {
  return std::any_of(factors.begin(), factors.end(),
                     [factor](const CallerFactor& one) { return one.name == factor; });
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// What handlers and services are told of a caller, from what the gate verified.
#ifndef FOREKEY_SRC_GATE_GRPC_CALLER_INFO_H_
#define FOREKEY_SRC_GATE_GRPC_CALLER_INFO_H_

#include <memory>

#include "forekey/caller.h"
#include "src/gate/call/call_verifier.h"

namespace forekey {

// The one place where a VerifiedCaller is made.
struct CallerMaker {
  static VerifiedCaller Of(const VerifiedCall& verified);
  static VerifiedCaller Of(std::shared_ptr<const CallerInfo> given);
};

CallerInfo CallerInfoOf(const VerifiedCall& verified);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_CALLER_INFO_H_

// SPDX-License-Identifier: Apache-2.0
// A call of the agent whose answer is waited for later.
#ifndef FOREKEY_TESTS_UNIT_AGENT_PENDING_H_
#define FOREKEY_TESTS_UNIT_AGENT_PENDING_H_

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "src/agent/agent_call.h"
#include "src/agent/gate_account.h"

namespace forekey::testing {

template <typename Response>
struct Pending {
  AgentCallPtr call = std::make_shared<AgentCall>();
  absl::Notification there;
  absl::StatusOr<Response> response = absl::UnknownError("not answered");

  GateAccount::Done<Response> Done() {
    return [this](absl::StatusOr<Response> answer) {
      response = std::move(answer);
      there.Notify();
    };
  }
  const absl::Status& Wait() {
    there.WaitForNotification();
    return response.status();
  }
};
using PendingSession = Pending<v1::OpenLocalSessionResponse>;
using PendingLogin = Pending<v1::LoginResponse>;

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_UNIT_AGENT_PENDING_H_

// SPDX-License-Identifier: Apache-2.0
#include "forekey/refusal.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "forekey/v1/agent.pb.h"
#include "src/base/reason.h"
#include "src/client/agent_socket.h"
#include "src/client/refusal_details.h"
#include "src/wire/step_up.h"

namespace forekey {
namespace {

using Kind = Refusal::Kind;

// Details of a failure that no agent answered with.
constexpr absl::string_view kNoAgent = "none";
constexpr absl::string_view kReference = ", reference ";
constexpr size_t kReferenceDigits = 16;

// Of a message that a gate's refusal is, or that tells one; empty where there is none.
std::string ReferenceIn(absl::string_view message) {
  const size_t at = message.find(kReference);
  if (at == absl::string_view::npos) return "";
  const absl::string_view digits = message.substr(at + kReference.size(), kReferenceDigits);
  const bool hex = digits.size() == kReferenceDigits &&
                   std::all_of(digits.begin(), digits.end(), [](unsigned char c) {
                     return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
                   });
  return hex ? std::string(digits) : "";
}

Kind KindOf(v1::DeviceTrouble trouble) {
  switch (trouble) {
    case v1::DEVICE_TROUBLE_GONE:
    case v1::DEVICE_TROUBLE_NO_CREDENTIALS:
      return Kind::kTokenMissing;
    case v1::DEVICE_TROUBLE_BUSY:
      return Kind::kTokenBusy;
    case v1::DEVICE_TROUBLE_PIN_REQUIRED:
      return Kind::kPersonNeeded;
    case v1::DEVICE_TROUBLE_WRONG_PIN:
    case v1::DEVICE_TROUBLE_TOUCH_TIMEOUT:
    case v1::DEVICE_TROUBLE_CANCELLED:
    case v1::DEVICE_TROUBLE_DENIED:
      return Kind::kPersonDeclined;
    default:
      return Kind::kTokenUnusable;
  }
}

Kind KindOf(v1::GateTrouble trouble) {
  switch (trouble) {
    case v1::GATE_TROUBLE_NO_ADDRESS:
    case v1::GATE_TROUBLE_NO_CONNECTION:
    case v1::GATE_TROUBLE_NO_ANSWER:
      return Kind::kGateUnreachable;
    default:
      return Kind::kGateUntrusted;
  }
}

bool MayPass(absl::StatusCode code) {
  return code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kResourceExhausted ||
         code == absl::StatusCode::kDeadlineExceeded || code == absl::StatusCode::kAborted;
}

Refusal FromDetails(const v1::AgentErrorDetails& details, absl::StatusCode code,
                    absl::string_view message) {
  Refusal refusal;
  refusal.reason = details.reason();
  refusal.lacking = details.lacking();
  refusal.reference =
      details.reference().empty() ? ReferenceIn(message) : std::string(details.reference());
  if (details.agent_version() == kNoAgent) {
    refusal.kind = Kind::kAgentNotRunning;
    refusal.retry_can_help = MayPass(code);
  } else if (details.device_trouble() != v1::DEVICE_TROUBLE_UNSPECIFIED) {
    refusal.kind = KindOf(details.device_trouble());
    refusal.retry_can_help = refusal.kind == Kind::kTokenBusy;
  } else if (details.gate_trouble() != v1::GATE_TROUBLE_UNSPECIFIED) {
    refusal.kind = KindOf(details.gate_trouble());
    refusal.retry_can_help = refusal.kind == Kind::kGateUnreachable;
  } else if (details.reason() == ReasonName(Reason::kGateNotEnrolled)) {
    refusal.kind = Kind::kNotEnrolled;
  } else if (!refusal.reference.empty() || !refusal.lacking.empty()) {
    refusal.kind = Kind::kGateRefused;
    refusal.retry_can_help = refusal.lacking.empty() && MayPass(code);
  } else {
    refusal.retry_can_help = MayPass(code);
  }
  return refusal;
}

// One that the gate gave this very call.
std::optional<Refusal> FromMessage(absl::StatusCode code, absl::string_view message) {
  const std::string reference = ReferenceIn(message);
  const StepUp step_up = StepUp::FromMessage(message);
  if (reference.empty() || (step_up.empty() && message != RefusalMessage(reference, ""))) {
    return std::nullopt;
  }
  Refusal refusal;
  refusal.kind = Kind::kGateRefused;
  refusal.reference = reference;
  refusal.lacking = step_up.Serialize();
  refusal.retry_can_help = step_up.empty() && MayPass(code);
  return refusal;
}

}  // namespace

absl::string_view RefusalKindName(Refusal::Kind kind) {
  switch (kind) {
    case Kind::kAgentNotRunning:
      return "agent-not-running";
    case Kind::kNotEnrolled:
      return "not-enrolled";
    case Kind::kGateUnreachable:
      return "gate-unreachable";
    case Kind::kGateUntrusted:
      return "gate-untrusted";
    case Kind::kGateRefused:
      return "gate-refused";
    case Kind::kTokenMissing:
      return "token-missing";
    case Kind::kTokenUnusable:
      return "token-unusable";
    case Kind::kTokenBusy:
      return "token-busy";
    case Kind::kPersonNeeded:
      return "person-needed";
    case Kind::kPersonDeclined:
      return "person-declined";
    case Kind::kOther:
      return "other";
  }
  return "other";
}

std::optional<Refusal> RefusalOf(const grpc::Status& status) {
  if (status.ok()) return std::nullopt;
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  v1::AgentErrorDetails details;
  if (details.ParseFromString(status.error_details()) && !details.agent_version().empty()) {
    return FromDetails(details, code, status.error_message());
  }
  return FromMessage(code, status.error_message());
}

std::optional<Refusal> RefusalOf(const absl::Status& status) {
  if (status.ok()) return std::nullopt;
  if (const auto details = AgentErrorDetailsOf(status)) {
    return FromDetails(*details, status.code(), status.message());
  }
  if (ReasonOf(status) == Reason::kGateNotEnrolled) {
    Refusal refusal;
    refusal.kind = Kind::kNotEnrolled;
    refusal.reason = std::string(ReasonName(Reason::kGateNotEnrolled));
    return refusal;
  }
  v1::AgentErrorDetails details;
  if (absl::IsUnavailable(status)) {
    details.set_agent_version(std::string(kNoAgent));
    return FromDetails(details, status.code(), status.message());
  }
  return FromMessage(status.code(), status.message());
}

grpc::Status CallFailure(const absl::Status& why) {
  v1::AgentErrorDetails details;
  if (const auto told = AgentErrorDetailsOf(why)) {
    details = *told;
  } else if (absl::IsUnavailable(why)) {
    details.set_agent_version(std::string(kNoAgent));
  }
  absl::StatusCode code = why.code();
  if (code == absl::StatusCode::kUnavailable && !details.agent_version().empty() &&
      !FromDetails(details, code, why.message()).retry_can_help) {
    code = absl::StatusCode::kFailedPrecondition;
  }
  return grpc::Status(static_cast<grpc::StatusCode>(code), std::string(why.message()),
                      details.SerializeAsString());
}

}  // namespace forekey

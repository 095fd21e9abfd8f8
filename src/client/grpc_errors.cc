#include "src/client/grpc_errors.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/printable.h"

namespace forekey {
namespace {

constexpr size_t kMaxSaid = 1024;

std::string WhatToDo(const grpc::Status& status) {
  const std::string& said = status.error_message();
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      if (absl::StrContains(said, "Peer name")) {
        return "the gate's TLS certificate is for another host name: use the name that is in the "
               "certificate as the gate's address";
      }
      if (absl::StrContains(said, "certificate verify failed")) {
        return "the gate's TLS certificate is not signed by the CA that was recorded at enrolment: "
               "compare the CA with the administrator's, and mind this machine's clock; if the "
               "gate "
               "has a new CA, enrol again";
      }
      if (absl::StrContains(said, "handshaker shutdown")) {
        return "the TLS handshake did not end in time: check the network, or try again";
      }
      if (absl::StrContains(said, "handshake") || absl::StrContains(said, "SSL")) {
        return "something answers there that does not speak TLS as a gate does: check the port";
      }
      return "check that the gate is running and that the address, the port and the network in "
             "between are right";
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return "the gate did not answer in time: check the network, or try again";
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
      return "the gate refused; its audit log has the exact reason under the reference number";
    case grpc::StatusCode::UNIMPLEMENTED:
      return "a gRPC server answers there, but it is not a Forekey gate: check the port";
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return "try again later";
    default:
      return "";
  }
}

}  // namespace

absl::Status GateError(const grpc::Status& status, absl::string_view tried,
                       absl::string_view address) {
  if (status.ok()) return absl::OkStatus();
  std::string advice = WhatToDo(status);
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      absl::StrCat("tried to ", tried, " at ", address, ": ",
                                   Printable(status.error_message(), kMaxSaid),
                                   advice.empty() ? "" : absl::StrCat(" (", advice, ")")));
}

}  // namespace forekey

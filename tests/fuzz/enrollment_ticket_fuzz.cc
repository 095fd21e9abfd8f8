// SPDX-License-Identifier: Apache-2.0
// deps: forekey_gate_service
// Enrolment tickets: what parses serializes to the same bytes, and no bytes open as sealed ones.
#include <cstdint>
#include <cstdlib>

#include "src/base/bytes.h"
#include "src/gate/enroll/enrollment_ticket.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto& sealer = *new forekey::TicketSealer("fuzz");
  const absl::string_view bytes = forekey::View(data, size);
  auto ticket = forekey::EnrollmentTicket::Parse(bytes);
  if (ticket.ok() && ticket->Serialize().view() != bytes) std::abort();
  if (sealer.Open(bytes, forekey::BootTime()).ok()) std::abort();
  return 0;
}

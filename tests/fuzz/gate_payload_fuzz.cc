// SPDX-License-Identifier: Apache-2.0
// deps: forekey_gate_service
// Payloads of requests to the gate itself: what parses has no field that the gate does not know.
#include <cstdint>
#include <cstdlib>

#include "forekey/v1/gate.pb.h"
#include "src/base/bytes.h"
#include "src/gate/session/payload.h"

namespace {

template <typename Message>
void Parse(absl::string_view bytes) {
  const absl::StatusOr<Message> message = forekey::ParsePayload<Message>(bytes, 4096);
  if (!message.ok()) return;
  Message known = *message;
  known.DiscardUnknownFields();
  if (known.SerializeAsString() != message->SerializeAsString() || bytes.size() > 4096)
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes = forekey::View(data, size);
  Parse<forekey::v1::OpenSessionPayload>(bytes);
  Parse<forekey::v1::OpenChildSessionPayload>(bytes);
  Parse<forekey::v1::ResumeSessionPayload>(bytes);
  Parse<forekey::v1::EnrollmentOpening>(bytes);
  Parse<forekey::v1::EnrollmentProof>(bytes);
  return 0;
}

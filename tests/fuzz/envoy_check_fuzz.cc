// SPDX-License-Identifier: Apache-2.0
// deps: forekey_gate_front
// Whatever Envoy asks, nothing of the caller's under "forekey-" passes beside what the gate sets,
// and the answer serializes.
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "src/gate/front/envoy_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  envoy::service::auth::v3::CheckRequest request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) return 0;
  const forekey::FrontQuestion question = forekey::ReadCheck(request);
  if (question.prefixes.size() > 2) std::abort();
  forekey::FrontAnswer answer;
  answer.caller = {{"forekey-subject", "alice"}, {"forekey-caller", "a.b.c"}};
  const auto response = forekey::AnswerCheck(request, answer);
  std::set<std::string> handled;
  for (const auto& option : response.ok_response().headers()) {
    handled.insert(option.header().key());
  }
  for (const std::string& name : response.ok_response().headers_to_remove()) {
    if (!handled.insert(name).second) std::abort();
  }
  for (const auto& [key, value] : request.attributes().request().http().headers()) {
    const std::string name = absl::AsciiStrToLower(key);
    if (absl::StartsWith(name, "forekey-") && !handled.contains(name)) std::abort();
  }
  if (response.SerializeAsString().empty()) std::abort();
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// deps: forekey_gate_front
// What fronts' HTTP endpoint takes is bounded, whatever it is; its answers to callers stay headers.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "src/base/bytes.h"
#include "src/gate/front/authorize.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto request = forekey::ParseHttpRequest(forekey::View(data, size));
  if (!request.ok()) return 0;
  if (request->headers.size() > forekey::kMaxHeaders) std::abort();
  const auto question = forekey::ReadAuthorize(*request);
  if (!question.ok()) return 0;
  if (question->prefixes.size() > 2 || question->upstream.empty()) std::abort();
  for (const std::string& text :
       {forekey::GrpcMessage(question->method), forekey::FrontPeer(question->peer)}) {
    for (const unsigned char c : text) {
      if (c < 0x20 || c > 0x7e) std::abort();
    }
  }
  return 0;
}

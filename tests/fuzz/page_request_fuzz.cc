// SPDX-License-Identifier: Apache-2.0
// deps: forekey_gate
// What a scraper's request gets is decided by its first bytes, and stays so when more come.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "src/base/bytes.h"
#include "src/gate/grpc/metrics_page_server.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes = forekey::View(data, size);
  const int status = forekey::JudgePageRequest(bytes);
  if (size <= 4096 && bytes.find("\r\n\r\n") != absl::string_view::npos) {
    if (status == 0 || forekey::JudgePageRequest(std::string(bytes) + "x") != status) std::abort();
  }
  if (status == 200 && bytes.substr(0, 12) != "GET /metrics") std::abort();
  return 0;
}

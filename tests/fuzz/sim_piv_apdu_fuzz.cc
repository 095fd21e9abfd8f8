// SPDX-License-Identifier: Apache-2.0
// deps: forekey_sim_piv
// The simulated card's command parser and applet: bytes off a socket that any local program may
// write to. The input is a row of commands, each behind two bytes of length.
#include "simulators/piv/apdu.h"
#include "simulators/piv/piv_applet.h"
#include "src/base/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace forekey;  // NOLINT
  static const piv::PivState* const factory = [] {
    piv::PivConfig config;
    config.attestation = false;
    return new piv::PivState(*piv::ManufacturePiv(config));
  }();
  (void)piv::ParseTlvs(View(data, size));
  (void)piv::CommandApdu::Parse(View(data, size));
  piv::PivApplet applet(factory->Clone());
  ByteReader reader(View(data, size));
  while (reader.ok() && reader.remaining() > 0) {
    const auto command = reader.Len2();
    if (applet.Process(command).size() < 2) __builtin_trap();
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// deps: forekey_wire
// A list that is taken says the same when its lines are written again, shows a terminal nothing
// that it would not print, and gives an answer about any token: one that is not known is never
// better off than one whose version is.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/printable.h"
#include "src/wire/firmware_list.h"

namespace {

using forekey::FirmwareEntry;
using forekey::FirmwareList;
using forekey::TokenFirmware;

void Ask(const FirmwareList& list, const FirmwareEntry& entry) {
  TokenFirmware token;
  token.kind = entry.kind;
  token.maker = entry.maker;
  token.model = entry.model;
  token.keys = entry.keys;
  if (!list.Find(token)) std::abort();  // nobody knows the version, and this line asks for it
  for (const uint64_t version : {uint64_t{0}, entry.from, entry.to, UINT64_MAX}) {
    token.version = version;
    const auto found = list.Find(token);
    const bool weak =
        entry.rule == FirmwareEntry::Rule::kWeak && version >= entry.from && version <= entry.to;
    const bool old = entry.rule == FirmwareEntry::Rule::kLeast && version < entry.from;
    if ((weak || old) && !found) std::abort();
    if (weak && found->problem != forekey::FirmwareFinding::Problem::kWeak) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto list = FirmwareList::Parse(forekey::View(data, size));
  if (!list.ok()) return 0;
  std::string again = "forekey-firmware-list 1\n";
  for (const FirmwareEntry& entry : list->entries()) {
    if (entry.line.find('\n') != std::string::npos || entry.from > entry.to) std::abort();
    absl::StrAppend(&again, entry.line, "\n");
    Ask(*list, entry);
  }
  const auto second = FirmwareList::Parse(again);
  if (!second.ok() || second->entries().size() != list->entries().size()) std::abort();
  for (size_t i = 0; i < second->entries().size(); ++i) {
    const FirmwareEntry &a = list->entries()[i], &b = second->entries()[i];
    if (a.kind != b.kind || a.maker != b.maker || a.model != b.model || a.rule != b.rule ||
        a.from != b.from || a.to != b.to || a.keys != b.keys || a.why != b.why) {
      std::abort();
    }
  }
  return 0;
}

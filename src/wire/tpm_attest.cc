// SPDX-License-Identifier: Apache-2.0
#include "src/wire/tpm_attest.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/wire/tpm_constants.h"

namespace forekey {
namespace {

constexpr size_t kMaxSize = 1024;
// Part 2 §10.5.3: TPM2B_NAME and TPM2B_DATA hold at most a TPMT_HA or a handle: 2 + 64 bytes.
constexpr size_t kMaxName = 66;

absl::Status Malformed(absl::string_view detail) {
  return Refuse(Reason::kEvidenceMalformed, absl::StrCat("TPMS_ATTEST: ", detail));
}

}  // namespace

absl::StatusOr<TpmAttest> TpmAttest::ParseCertify(absl::string_view bytes, bool any_safe) {
  if (bytes.size() > kMaxSize) return Malformed("larger than 1 KiB");
  // A TPMS_ATTEST begins with ff 54, which as a size is more than kMaxSize.
  bytes = tpm::Unwrap2b(bytes);
  ByteReader reader(bytes);
  TpmAttest attest;
  attest.bytes = std::string(bytes);
  const uint32_t magic = reader.U32();
  const uint16_t type = reader.U16();
  if (!reader.ok()) return Malformed("truncated");
  if (ByteReader(bytes.substr(2)).U32() == tpm::kGeneratedValue) {
    return Malformed("the size before it is not its own");
  }
  if (magic != tpm::kGeneratedValue) {
    return Refuse(Reason::kAttestMagic, absl::StrFormat("magic is 0x%08x", magic));
  }
  if (type != tpm::kAttestCertify) {
    return Refuse(Reason::kAttestType, absl::StrFormat("type is 0x%04x", type));
  }
  attest.qualified_signer = std::string(reader.Len2());
  attest.extra_data = std::string(reader.Len2());
  attest.clock_ms = reader.U64();
  attest.reset_count = reader.U32();
  attest.restart_count = reader.U32();
  const uint8_t safe = reader.U8();
  attest.safe = safe == 1;
  attest.firmware_version = reader.U64();
  attest.name = std::string(reader.Len2());
  attest.qualified_name = std::string(reader.Len2());
  if (!reader.ok()) return Malformed("truncated");
  if (!reader.Finished()) return Malformed("something is left over");
  if (safe > 1 && !any_safe) return Malformed("clockInfo.safe is neither YES nor NO");
  if (attest.qualified_signer.size() > kMaxName || attest.extra_data.size() > kMaxName ||
      attest.name.size() > kMaxName || attest.qualified_name.size() > kMaxName) {
    return Malformed("a name or extraData is longer than a TPM makes it");
  }
  return attest;
}

}  // namespace forekey

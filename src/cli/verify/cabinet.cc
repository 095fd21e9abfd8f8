// SPDX-License-Identifier: Apache-2.0
#include "src/cli/verify/cabinet.h"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr char kSignature[] = "MSCF";
constexpr size_t kMaxCabinetFiles = 10'000;
constexpr size_t kMaxCabinetFolders = 1024;
constexpr size_t kMaxCabinetContent = 64 << 20;
constexpr size_t kBlockSize = 32768;     // what a block has at most, uncompressed (section 2.4)
constexpr size_t kMaxCabinetName = 256;  // section 2.3

// CFHEADER.flags
constexpr uint16_t kPrevious = 1, kNext = 2, kReserve = 4;
// CFFILE.iFolder beyond these: the file continues in another cabinet.
constexpr uint16_t kContinued = 0xFFFD;

absl::Status DamagedCabinet(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("a damaged cabinet: ", what));
}

// Little endian, out of untrusted bytes. After the first read past the end all are zero.
class CabinetReader {
 public:
  explicit CabinetReader(absl::string_view bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  void MoveTo(size_t offset) {
    ok_ = ok_ && offset <= bytes_.size();
    at_ = ok_ ? offset : bytes_.size();
  }
  absl::string_view Raw(size_t size) {
    if (!ok_ || size > bytes_.size() - at_) {
      ok_ = false;
      return {};
    }
    const absl::string_view taken = bytes_.substr(at_, size);
    at_ += size;
    return taken;
  }
  uint32_t Number(size_t size) {
    uint32_t value = 0;
    int shift = 0;
    for (char c : Raw(size)) {
      value |= static_cast<uint32_t>(static_cast<uint8_t>(c)) << shift;
      shift += 8;
    }
    return value;
  }
  // Up to a NUL byte, which is taken, too.
  absl::string_view Name() {
    const size_t end = ok_ ? bytes_.find('\0', at_) : absl::string_view::npos;
    if (end == absl::string_view::npos || end - at_ > kMaxCabinetName) {
      ok_ = false;
      return {};
    }
    const absl::string_view name = Raw(end - at_);
    Raw(1);
    return name;
  }

 private:
  absl::string_view bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

struct Folder {
  uint32_t offset = 0;
  uint16_t blocks = 0, compression = 0;
};

struct CabinetEntry {
  uint32_t size = 0, offset = 0;
  uint16_t folder = 0;
  std::string name;
};

struct Cabinet {
  uint8_t reserved_in_block = 0;
  std::vector<Folder> folders;
  std::vector<CabinetEntry> files;
};

absl::StatusOr<Cabinet> ReadDirectory(absl::string_view bytes) {
  Cabinet cabinet;
  CabinetReader reader(bytes);
  if (reader.Raw(4) != kSignature) return absl::InvalidArgumentError("this is no cabinet");
  reader.Raw(12);  // reserved, cbCabinet, reserved
  const uint32_t files_at = reader.Number(4);
  reader.Raw(4);
  reader.Raw(2);  // versionMinor, versionMajor
  const uint16_t folders = static_cast<uint16_t>(reader.Number(2));
  const uint16_t files = static_cast<uint16_t>(reader.Number(2));
  const uint16_t flags = static_cast<uint16_t>(reader.Number(2));
  reader.Raw(4);  // setID, iCabinet
  if ((flags & (kPrevious | kNext)) != 0) {
    return absl::UnimplementedError("a cabinet that continues in others");
  }
  uint8_t reserved_in_folder = 0;
  if ((flags & kReserve) != 0) {
    const size_t reserved = reader.Number(2);
    reserved_in_folder = static_cast<uint8_t>(reader.Number(1));
    cabinet.reserved_in_block = static_cast<uint8_t>(reader.Number(1));
    reader.Raw(reserved);
  }
  if (folders > kMaxCabinetFolders)
    return absl::ResourceExhaustedError("a cabinet of more than 1,024 folders");
  for (int i = 0; i < folders && reader.ok(); ++i) {
    Folder folder;
    folder.offset = reader.Number(4);
    folder.blocks = static_cast<uint16_t>(reader.Number(2));
    folder.compression = static_cast<uint16_t>(reader.Number(2) & 0x000F);
    reader.Raw(reserved_in_folder);
    cabinet.folders.push_back(folder);
  }
  if (files > kMaxCabinetFiles)
    return absl::ResourceExhaustedError("a cabinet of more than 10,000 files");
  reader.MoveTo(files_at);
  for (int i = 0; i < files && reader.ok(); ++i) {
    CabinetEntry file;
    file.size = reader.Number(4);
    file.offset = reader.Number(4);
    file.folder = static_cast<uint16_t>(reader.Number(2));
    reader.Raw(6);  // date, time, attributes
    file.name = std::string(reader.Name());
    std::replace(file.name.begin(), file.name.end(), '\\', '/');
    if (file.folder >= kContinued) {
      return absl::UnimplementedError("a cabinet that continues in others");
    }
    if (reader.ok() && file.folder >= cabinet.folders.size())
      return DamagedCabinet("a file of no folder");
    cabinet.files.push_back(std::move(file));
  }
  if (!reader.ok()) return DamagedCabinet("its directory is cut short");
  return cabinet;
}

// One block of MSZIP: "CK", and raw deflate (RFC 1951) with the block before as its dictionary.
absl::StatusOr<std::string> Inflate(absl::string_view block, absl::string_view before,
                                    size_t size) {
  if (block.substr(0, 2) != "CK") return DamagedCabinet("a block that is not MSZIP's");
  block.remove_prefix(2);
  z_stream stream = {};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return absl::ResourceExhaustedError("zlib");
  std::string out(size, '\0');
  stream.next_in = const_cast<Bytef*>(U8(block));
  stream.avail_in = static_cast<uInt>(block.size());
  stream.next_out = U8(out);
  stream.avail_out = static_cast<uInt>(out.size());
  int result = Z_OK;
  if (!before.empty()) {
    result = inflateSetDictionary(&stream, U8(before), static_cast<uInt>(before.size()));
  }
  if (result == Z_OK) result = inflate(&stream, Z_FINISH);
  const bool whole = result == Z_STREAM_END && stream.avail_out == 0;
  inflateEnd(&stream);
  if (!whole) return DamagedCabinet("a block that does not unpack to its size");
  return out;
}

// What may still be read and unpacked of the whole cabinet. Folders that share their data would
// have it unpacked again and again; in an honest cabinet no byte belongs to two.
struct Allowance {
  size_t packed, content;
};

absl::StatusOr<std::string> ReadFolder(absl::string_view bytes, const Cabinet& cabinet,
                                       const Folder& folder, Allowance& left) {
  if (folder.compression > 1) {
    return absl::UnimplementedError(
        absl::StrCat("a cabinet compressed by ", folder.compression == 2 ? "Quantum" : "LZX",
                     ": unpack it (cabextract), and import the folder"));
  }
  std::string content;
  CabinetReader reader(bytes);
  reader.MoveTo(folder.offset);
  std::string block;
  for (int i = 0; i < folder.blocks; ++i) {
    reader.Raw(4);  // csum: nothing is believed because of it
    const size_t packed = reader.Number(2), size = reader.Number(2);
    reader.Raw(cabinet.reserved_in_block);
    const absl::string_view data = reader.Raw(packed);
    if (!reader.ok()) return DamagedCabinet("its data is cut short");
    if (size > kBlockSize || size == 0) return DamagedCabinet("a block of an impossible size");
    if (size < kBlockSize && i + 1 < folder.blocks) {
      return DamagedCabinet("a short block that is not its folder's last");
    }
    if (packed > left.packed) return DamagedCabinet("folders that share their data");
    if (size > left.content) return absl::ResourceExhaustedError("a cabinet of more than 64 MiB");
    left.packed -= packed;
    left.content -= size;
    if (folder.compression == 0) {
      if (packed != size) return DamagedCabinet("a stored block of two sizes");
      block = std::string(data);
    } else {
      FOREKEY_ASSIGN_OR_RETURN(block, Inflate(data, block, size));
    }
    content += block;
  }
  return content;
}

}  // namespace

bool IsCabinet(absl::string_view bytes) { return bytes.substr(0, 4) == kSignature; }

absl::StatusOr<std::vector<CabinetFile>> ReadCabinet(absl::string_view bytes) {
  FOREKEY_ASSIGN_OR_RETURN(const Cabinet cabinet, ReadDirectory(bytes));
  std::vector<std::string> folders;
  Allowance left{bytes.size(), kMaxCabinetContent};
  for (const Folder& folder : cabinet.folders) {
    FOREKEY_ASSIGN_OR_RETURN(std::string content, ReadFolder(bytes, cabinet, folder, left));
    folders.push_back(std::move(content));
  }
  std::vector<CabinetFile> files;
  size_t copied = 0;
  for (const CabinetEntry& file : cabinet.files) {
    const std::string& content = folders[file.folder];
    if (file.offset > content.size() || file.size > content.size() - file.offset) {
      return DamagedCabinet("a file beyond its folder");
    }
    // Files may share bytes: a small cabinet must not become gigabytes.
    copied += file.size;
    if (copied > kMaxCabinetContent)
      return absl::ResourceExhaustedError("a cabinet of more than 64 MiB");
    files.push_back({file.name, content.substr(file.offset, file.size)});
  }
  return files;
}

}  // namespace forekey

// SPDX-License-Identifier: Apache-2.0
// Reads typed values out of a TOML document, collects every error with its line, and reports keys
// that nobody asked for.
#ifndef FOREKEY_SRC_GATE_SETTINGS_CONFIG_READER_H_
#define FOREKEY_SRC_GATE_SETTINGS_CONFIG_READER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace forekey {

// "90s", "15m", "12h", "30d": a whole number and one unit.
std::optional<absl::Duration> ParseConfigDuration(absl::string_view text);
// "64KiB", "256MiB", "2GiB".
std::optional<int64_t> ParseConfigBytes(absl::string_view text);

class ConfigTable;

class ConfigReader {
 public:
  ConfigReader(absl::string_view toml, absl::string_view name);
  ~ConfigReader();

  // False after a syntax error, which is then the only error.
  bool parsed() const;
  // The document's own table.
  ConfigTable Root();
  // OK, or InvalidArgument with all errors, by line. Asks every table for keys that were not read.
  absl::Status Finish();
  // The same for a reader that will use these top-level tables and keys alone: errors elsewhere go
  // into `elsewhere`.
  absl::Status FinishOnly(absl::Span<const absl::string_view> used, absl::Status* elsewhere);
  // Every value of the document as text, by its full name; without what is read again while a gate
  // runs: [rules], [[rule]] and [[upstream]].
  std::map<std::string, std::string> Settings() const;

 private:
  friend class ConfigTable;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A view of one table of a reader, which it must not outlive. Every reading method leaves `out` as
// it is (the default) where the key is absent, and reports a value of another type or out of
// bounds.
class ConfigTable {
 public:
  bool Has(absl::string_view key) const;
  int LineOf(absl::string_view key) const;  // of the table itself where the key is absent
  void Error(absl::string_view key, absl::string_view what);

  void String(absl::string_view key, std::string* out);
  // A file or folder: a relative one is taken from `base`, where that is not empty.
  void Path(absl::string_view key, absl::string_view base, std::string* out);
  void Strings(absl::string_view key, std::vector<std::string>* out);
  // An array of arrays of strings.
  void StringLists(absl::string_view key, std::vector<std::vector<std::string>>* out);
  void Bool(absl::string_view key, bool* out);
  void Number(absl::string_view key, int64_t least, int64_t most, size_t* out);
  void Number(absl::string_view key, int64_t least, int64_t most, double* out);
  void Number(absl::string_view key, int64_t least, int64_t most, uint32_t* out);
  void Duration(absl::string_view key, absl::Duration least, absl::Duration most,
                absl::Duration* out);
  void Bytes(absl::string_view key, int64_t least, int64_t most, size_t* out);
  // An empty table where there is none.
  ConfigTable Table(absl::string_view key);
  // The tables of an array of tables, [[key]].
  std::vector<ConfigTable> Tables(absl::string_view key);

 private:
  friend class ConfigReader;
  ConfigTable(ConfigReader::Impl* reader, const void* table, std::string name)
      : reader_(reader), table_(table), name_(std::move(name)) {}
  std::optional<int64_t> Integer(absl::string_view key, int64_t least, int64_t most);
  std::string NameOf(absl::string_view key) const;

  ConfigReader::Impl* reader_;
  const void* table_;  // a toml::table, or null
  std::string name_;   // "sessions", for messages
};

// simulator_trust and insecure_simulators of an [attestation.*] table: neither goes without the
// other, because whoever has a simulator's root can enrol software as hardware.
void ReadSimulatorTrust(ConfigTable& table, absl::string_view base, std::string* folder,
                        bool* insecure);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SETTINGS_CONFIG_READER_H_

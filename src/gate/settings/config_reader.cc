// SPDX-License-Identifier: Apache-2.0
#include "src/gate/settings/config_reader.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

// toml++ 3.3 asserts, and with NDEBUG even *assumes*, that a key begins with a key's character,
// which some broken files disprove; behind the assertion stands an error that says so. So its
// assertions are taken out, and its assumptions with them.
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(expr) static_assert(true)
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include "toml++/toml.h"
#pragma pop_macro("NDEBUG")

namespace forekey {
namespace {

std::string_view Std(absl::string_view text) { return std::string_view(text.data(), text.size()); }
absl::string_view Absl(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}

const toml::table& TableOf(const void* table) { return *static_cast<const toml::table*>(table); }

int LineOfNode(const toml::node& node) { return static_cast<int>(node.source().begin.line); }

}  // namespace

std::optional<absl::Duration> ParseConfigDuration(absl::string_view text) {
  static const auto& units = *new std::map<char, absl::Duration>{{'s', absl::Seconds(1)},
                                                                 {'m', absl::Minutes(1)},
                                                                 {'h', absl::Hours(1)},
                                                                 {'d', absl::Hours(24)}};
  if (text.size() < 2 || text.size() > 10) return std::nullopt;
  const absl::string_view digits = text.substr(0, text.size() - 1);
  auto unit = units.find(text.back());
  int64_t count = 0;
  if (unit == units.end() || !std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(digits, &count)) {
    return std::nullopt;
  }
  return count * unit->second;
}

std::optional<int64_t> ParseConfigBytes(absl::string_view text) {
  int64_t unit = 1024;
  for (absl::string_view suffix : {"KiB", "MiB", "GiB"}) {
    absl::string_view digits = text;
    int64_t count = 0;
    if (absl::ConsumeSuffix(&digits, suffix)) {
      if (digits.empty() || digits.size() > 9 ||
          !std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) ||
          !absl::SimpleAtoi(digits, &count)) {
        return std::nullopt;
      }
      return count * unit;
    }
    unit *= 1024;
  }
  return std::nullopt;
}

struct ConfigReader::Impl {
  std::string name;
  toml::table root;
  bool parsed = false;
  struct Mistake {
    std::string place;  // the top-level table or key that it is in; empty: the file as a whole
    std::string what;
  };
  std::multimap<int, Mistake> errors;
  std::map<const void*, std::set<std::string>> read;  // keys asked for, by table

  // `name`: the full name of the table or key.
  void Error(int line, absl::string_view name, absl::string_view what) {
    errors.emplace(line, Mistake{std::string(name.substr(0, name.find('.'))), std::string(what)});
  }

  // InvalidArgument with those that `wanted` picks, by line; OK where there are none.
  absl::Status Tell(absl::FunctionRef<bool(const std::string& place)> wanted) const {
    std::vector<std::string> lines;
    for (const auto& [line, mistake] : errors) {
      if (!wanted(mistake.place)) continue;
      lines.push_back(line > 0 ? absl::StrCat(name, ":", line, ": ", mistake.what)
                               : absl::StrCat(name, ": ", mistake.what));
    }
    return lines.empty() ? absl::OkStatus()
                         : absl::InvalidArgumentError(absl::StrJoin(lines, "\n"));
  }

  void FindUnread(const toml::table& table, const std::string& prefix) {
    const std::set<std::string>& known = read[&table];
    for (const auto& [key, node] : table) {
      const std::string full =
          prefix.empty() ? std::string(key.str()) : absl::StrCat(prefix, ".", Absl(key.str()));
      if (!known.contains(std::string(key.str()))) {
        Error(static_cast<int>(key.source().begin.line), full, absl::StrCat("unknown key ", full));
      } else if (const toml::table* inner = node.as_table()) {
        FindUnread(*inner, full);
      } else if (const toml::array* array = node.as_array()) {
        for (const toml::node& element : *array) {
          if (const toml::table* entry = element.as_table()) FindUnread(*entry, full);
        }
      }
    }
  }
};

ConfigReader::ConfigReader(absl::string_view toml, absl::string_view name)
    : impl_(std::make_unique<Impl>()) {
  impl_->name = std::string(name);
  toml::parse_result result = toml::parse(Std(toml), Std(name));
  if (result.succeeded()) {
    impl_->root = std::move(result).table();
    impl_->parsed = true;
  } else {
    const toml::parse_error& error = result.error();
    impl_->Error(static_cast<int>(error.source().begin.line), "", Absl(error.description()));
  }
}

ConfigReader::~ConfigReader() = default;

ConfigTable ConfigReader::Root() { return ConfigTable(impl_.get(), &impl_->root, ""); }

bool ConfigReader::parsed() const { return impl_->parsed; }

absl::Status ConfigReader::Finish() {
  if (impl_->parsed) impl_->FindUnread(impl_->root, "");
  return impl_->Tell([](const std::string&) { return true; });
}

absl::Status ConfigReader::FinishOnly(absl::Span<const absl::string_view> used,
                                      absl::Status* elsewhere) {
  if (impl_->parsed) impl_->FindUnread(impl_->root, "");
  const auto is_used = [used](const std::string& place) {
    return place.empty() || std::find(used.begin(), used.end(), place) != used.end();
  };
  *elsewhere = impl_->Tell([&](const std::string& place) { return !is_used(place); });
  return impl_->Tell(is_used);
}

namespace {

std::string TextOf(const toml::node& node) {
  if (const auto* value = node.as_string()) return absl::StrCat("\"", value->get(), "\"");
  if (const auto* value = node.as_integer()) return absl::StrCat(value->get());
  if (const auto* value = node.as_boolean()) return value->get() ? "true" : "false";
  if (const auto* value = node.as_floating_point()) return absl::StrCat(value->get());
  std::string text;
  if (const auto* array = node.as_array()) {
    for (const toml::node& element : *array) absl::StrAppend(&text, TextOf(element), ",");
    return absl::StrCat("[", text, "]");
  }
  if (const auto* table = node.as_table()) {
    for (const auto& [key, inner] : *table) {
      absl::StrAppend(&text, Absl(key.str()), "=", TextOf(inner), ",");
    }
    return absl::StrCat("{", text, "}");
  }
  return "a date or time";
}

void AddSettings(const toml::table& table, const std::string& prefix,
                 std::map<std::string, std::string>& settings) {
  for (const auto& [key, node] : table) {
    const std::string full = absl::StrCat(prefix, Absl(key.str()));
    if (full == "rules" || full == "rule" || full == "upstream") continue;
    if (const auto* inner = node.as_table()) {
      AddSettings(*inner, full + ".", settings);
    } else {
      settings[full] = TextOf(node);
    }
  }
}

}  // namespace

std::map<std::string, std::string> ConfigReader::Settings() const {
  std::map<std::string, std::string> settings;
  AddSettings(impl_->root, "", settings);
  return settings;
}

std::string ConfigTable::NameOf(absl::string_view key) const {
  return name_.empty() ? std::string(key) : absl::StrCat(name_, ".", key);
}

bool ConfigTable::Has(absl::string_view key) const {
  return table_ != nullptr && TableOf(table_).contains(Std(key));
}

int ConfigTable::LineOf(absl::string_view key) const {
  if (table_ == nullptr) return 0;
  const toml::node* node = TableOf(table_).get(Std(key));
  return LineOfNode(node != nullptr ? *node : static_cast<const toml::node&>(TableOf(table_)));
}

void ConfigTable::Error(absl::string_view key, absl::string_view what) {
  reader_->Error(LineOf(key), NameOf(key), absl::StrCat(NameOf(key), ": ", what));
}

namespace {

// The node of this key, marked as read; null where there is none.
const toml::node* Take(std::map<const void*, std::set<std::string>>& read, const void* table,
                       absl::string_view key) {
  if (table == nullptr) return nullptr;
  read[table].insert(std::string(key));
  return TableOf(table).get(Std(key));
}

}  // namespace

void ConfigTable::String(absl::string_view key, std::string* out) {
  const toml::node* node = Take(reader_->read, table_, key);
  if (node == nullptr) return;
  if (const auto* value = node->as_string()) {
    *out = value->get();
  } else {
    Error(key, "must be a string");
  }
}

void ConfigTable::Path(absl::string_view key, absl::string_view base, std::string* out) {
  String(key, out);
  if (!out->empty() && (*out)[0] != '/' && !base.empty()) *out = absl::StrCat(base, "/", *out);
}

void ConfigTable::Strings(absl::string_view key, std::vector<std::string>* out) {
  const toml::node* node = Take(reader_->read, table_, key);
  if (node == nullptr) return;
  const toml::array* array = node->as_array();
  if (array == nullptr) return Error(key, "must be an array of strings");
  out->clear();
  for (const toml::node& element : *array) {
    const auto* value = element.as_string();
    if (value == nullptr) return Error(key, "must be an array of strings");
    out->push_back(value->get());
  }
}

void ConfigTable::StringLists(absl::string_view key, std::vector<std::vector<std::string>>* out) {
  const toml::node* node = Take(reader_->read, table_, key);
  if (node == nullptr) return;
  const toml::array* array = node->as_array();
  bool good = array != nullptr;
  out->clear();
  for (size_t i = 0; good && i < array->size(); ++i) {
    const toml::array* inner = array->get(i)->as_array();
    good = inner != nullptr;
    std::vector<std::string>& list = out->emplace_back();
    for (size_t j = 0; good && j < inner->size(); ++j) {
      const auto* value = inner->get(j)->as_string();
      good = value != nullptr;
      if (good) list.push_back(value->get());
    }
  }
  if (good) return;
  out->clear();  // one error is enough
  Error(key, "must be an array of arrays of strings, such as [[\"tpm\", \"password\"], [\"piv\"]]");
}

void ConfigTable::Bool(absl::string_view key, bool* out) {
  const toml::node* node = Take(reader_->read, table_, key);
  if (node == nullptr) return;
  if (const auto* value = node->as_boolean()) {
    *out = value->get();
  } else {
    Error(key, "must be true or false");
  }
}

std::optional<int64_t> ConfigTable::Integer(absl::string_view key, int64_t least, int64_t most) {
  const toml::node* node = Take(reader_->read, table_, key);
  if (node == nullptr) return std::nullopt;
  const auto* value = node->as_integer();
  if (value == nullptr || value->get() < least || value->get() > most) {
    Error(key, absl::StrCat("must be a whole number from ", least, " to ", most));
    return std::nullopt;
  }
  return value->get();
}

void ConfigTable::Number(absl::string_view key, int64_t least, int64_t most, size_t* out) {
  if (auto value = Integer(key, least, most)) *out = static_cast<size_t>(*value);
}

void ConfigTable::Number(absl::string_view key, int64_t least, int64_t most, double* out) {
  if (auto value = Integer(key, least, most)) *out = static_cast<double>(*value);
}

void ConfigTable::Number(absl::string_view key, int64_t least, int64_t most, uint32_t* out) {
  if (auto value = Integer(key, least, most)) *out = static_cast<uint32_t>(*value);
}

void ConfigTable::Duration(absl::string_view key, absl::Duration least, absl::Duration most,
                           absl::Duration* out) {
  std::string text;
  const bool is_there = Has(key);
  String(key, &text);
  if (!is_there || (text.empty() && TableOf(table_).get(Std(key))->as_string() == nullptr)) return;
  std::optional<absl::Duration> value = ParseConfigDuration(text);
  if (!value) return Error(key, "must be a duration such as \"90s\", \"15m\", \"12h\" or \"30d\"");
  if (*value < least || *value > most) {
    return Error(key, absl::StrCat("must be from ", absl::FormatDuration(least), " to ",
                                   absl::FormatDuration(most)));
  }
  *out = *value;
}

void ConfigTable::Bytes(absl::string_view key, int64_t least, int64_t most, size_t* out) {
  std::string text;
  const bool is_there = Has(key);
  String(key, &text);
  if (!is_there || (text.empty() && TableOf(table_).get(Std(key))->as_string() == nullptr)) return;
  const std::optional<int64_t> value = ParseConfigBytes(text);
  if (!value) return Error(key, "must be a size such as \"64KiB\", \"256MiB\" or \"2GiB\"");
  if (*value < least || *value > most) {
    return Error(key, absl::StrCat("must be from ", least / 1024, "KiB to ", most / 1024, "KiB"));
  }
  *out = static_cast<size_t>(*value);
}

ConfigTable ConfigTable::Table(absl::string_view key) {
  const toml::node* node = Take(reader_->read, table_, key);
  if (node != nullptr && node->as_table() == nullptr) Error(key, "must be a table");
  return ConfigTable(reader_, node == nullptr ? nullptr : node->as_table(), NameOf(key));
}

std::vector<ConfigTable> ConfigTable::Tables(absl::string_view key) {
  std::vector<ConfigTable> tables;
  const toml::node* node = Take(reader_->read, table_, key);
  if (node == nullptr) return tables;
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    Error(key, absl::StrCat("must be written as [[", NameOf(key), "]]"));
    return tables;
  }
  for (const toml::node& element : *array) {
    if (element.as_table() == nullptr) {
      Error(key, absl::StrCat("must be written as [[", NameOf(key), "]]"));
      return {};
    }
    tables.push_back(ConfigTable(reader_, element.as_table(), NameOf(key)));
  }
  return tables;
}

void ReadSimulatorTrust(ConfigTable& table, absl::string_view base, std::string* folder,
                        bool* insecure) {
  table.Path("simulator_trust", base, folder);
  table.Bool("insecure_simulators", insecure);
  if (!folder->empty() && !*insecure) {
    table.Error("simulator_trust",
                "needs insecure_simulators = true: whoever has a simulator's "
                "root could enrol software as hardware");
  }
  if (*insecure && folder->empty()) {
    table.Error("insecure_simulators", "is true, but simulator_trust names no folder");
  }
}

}  // namespace forekey

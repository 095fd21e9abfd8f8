// SPDX-License-Identifier: Apache-2.0
#include "src/store/registry_copy.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"

namespace forekey {
namespace {

using Type = CopyTable::Type;

// One string for one row, and never one for two.
std::string DigestOf(const CopyRow& row) {
  std::string bytes;
  for (const CopyValue& value : row) {
    if (!value) {
      absl::StrAppend(&bytes, "n;");
    } else if (const int64_t* number = std::get_if<int64_t>(&*value)) {
      absl::StrAppend(&bytes, "i", *number, ";");
    } else {
      const std::string& text = std::get<std::string>(*value);
      absl::StrAppend(&bytes, "s", text.size(), ":", text);
    }
  }
  return Sha256(bytes);
}

absl::StatusOr<std::vector<std::string>> DigestsOf(RegistryCopyEnd& end, const CopyTable& table) {
  std::vector<std::string> digests;
  FOREKEY_RETURN_IF_ERROR(end.ReadRows(table, [&](const CopyRow& row) {
    digests.push_back(DigestOf(row));
    return absl::OkStatus();
  }));
  return digests;
}

std::string ColumnNames(const CopyTable& table) {
  return absl::StrJoin(table.columns, ", ", [](std::string* out, const CopyTable::Column& column) {
    absl::StrAppend(out, column.name);
  });
}

}  // namespace

absl::Span<const CopyTable> CopyTables() {
  static const std::vector<CopyTable>* const tables = new std::vector<CopyTable>{
      {"subjects",
       {{"id", Type::kInteger},
        {"name", Type::kText},
        {"disabled", Type::kInteger},
        {"created_at", Type::kInteger},
        {"sessions_epoch", Type::kInteger},
        {"factors_epoch", Type::kInteger},
        {"tickets_after", Type::kInteger}},
       "id"},
      {"subject_roles",
       {{"subject_id", Type::kInteger}, {"role", Type::kText}},
       "subject_id, role"},
      {"credentials",
       {{"id", Type::kBytes},
        {"subject_id", Type::kInteger},
        {"spki_sha256", Type::kBytes},
        {"kind", Type::kInteger},
        {"algorithm", Type::kInteger},
        {"sign_count", Type::kInteger},
        {"enrolled_at", Type::kInteger},
        {"revoked_at", Type::kInteger},
        {"revocation_note", Type::kText},
        {"spki", Type::kBytes},
        {"label", Type::kText},
        {"device_id", Type::kBytes},
        {"factors", Type::kText},
        {"rp_id", Type::kText},
        {"origin", Type::kText},
        {"proved_json", Type::kText},
        {"evidence", Type::kBytes}},
       "id"},
      {"invites",
       {{"id", Type::kBytes},
        {"public_key", Type::kBytes},
        {"subject", Type::kText},
        {"roles", Type::kText},
        {"kinds", Type::kText},
        {"pinned_device", Type::kBytes},
        {"replaces_credential", Type::kBytes},
        {"created_at", Type::kInteger},
        {"expires_at", Type::kInteger},
        {"used_at", Type::kInteger}},
       "id"},
      {"passwords",
       {{"subject_id", Type::kInteger}, {"hash", Type::kText}, {"set_at", Type::kInteger}},
       "subject_id"},
      {"oidc_identities",
       {{"subject_id", Type::kInteger},
        {"issuer", Type::kText},
        {"claim", Type::kText},
        {"identity", Type::kText},
        {"set_at", Type::kInteger}},
       "subject_id, issuer"},
      {"used_id_tokens", {{"id", Type::kBytes}, {"good_until", Type::kInteger}}, "id"},
      {"factor_tries",
       {{"credential_id", Type::kBytes},
        {"factor", Type::kText},
        {"used", Type::kInteger},
        {"since", Type::kInteger}},
       "credential_id, factor"},
      {"session_families",
       {{"family", Type::kBytes},
        {"serial", Type::kInteger},
        {"ended", Type::kInteger},
        {"good_until", Type::kInteger},
        {"subject_id", Type::kInteger}},
       "family"},
      {"ticket_state",
       {{"only_one", Type::kInteger}, {"version", Type::kInteger}, {"sealed", Type::kBytes}},
       "only_one"},
  };
  return *tables;
}

std::string CopySelect(const CopyTable& table) {
  return absl::StrCat("SELECT ", ColumnNames(table), " FROM ", table.name, " ORDER BY ",
                      table.order);
}

std::string CopyInsert(const CopyTable& table, char sign) {
  std::vector<std::string> values;
  for (size_t i = 1; i <= table.columns.size(); ++i) {
    values.push_back(absl::StrCat(std::string(1, sign), i));
  }
  return absl::StrCat("INSERT INTO ", table.name, " (", ColumnNames(table), ") VALUES (",
                      absl::StrJoin(values, ", "), ")");
}

absl::StatusOr<std::vector<CopiedTable>> CopyRegistry(RegistryCopyEnd& from, RegistryCopyEnd& to) {
  for (const CopyTable& table : CopyTables()) {
    FOREKEY_RETURN_IF_ERROR(to.ReadRows(table, [&](const CopyRow&) {
      return absl::FailedPreconditionError(
          absl::StrCat("the registry to copy to is not empty: there are rows in ", table.name));
    }));
  }
  for (const CopyTable& table : CopyTables()) {
    FOREKEY_RETURN_IF_ERROR(
        from.ReadRows(table, [&](const CopyRow& row) { return to.WriteRow(table, row); }));
  }
  std::vector<CopiedTable> copied;
  for (const CopyTable& table : CopyTables()) {
    FOREKEY_ASSIGN_OR_RETURN(const std::vector<std::string> here, DigestsOf(from, table));
    FOREKEY_ASSIGN_OR_RETURN(const std::vector<std::string> there, DigestsOf(to, table));
    for (size_t row = 0; row < std::max(here.size(), there.size()); ++row) {
      if (row < here.size() && row < there.size() && here[row] == there[row]) continue;
      return absl::DataLossError(absl::StrCat("row ", row + 1, " of ", table.name,
                                              " is another one in the copy: nothing was copied"));
    }
    copied.push_back({table.name, here.size()});
  }
  FOREKEY_RETURN_IF_ERROR(to.Commit());
  return copied;
}

}  // namespace forekey

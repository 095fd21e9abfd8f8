// SPDX-License-Identifier: Apache-2.0
// The stores of registries, for one suite that runs over each.
#ifndef FOREKEY_TESTS_CONTRACT_REGISTRY_STORES_H_
#define FOREKEY_TESTS_CONTRACT_REGISTRY_STORES_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "src/store/postgres/postgres_registry.h"
#include "src/store/sqlite_registry.h"
#include "tests/support/postgres_server.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/store/store_fixtures.h"

namespace forekey::testing {

// Where one test's registry lies.
class RegistryStore {
 public:
  virtual ~RegistryStore() = default;
  virtual absl::StatusOr<std::unique_ptr<Registry>> Open() = 0;
  // Behind the registry's back.
  virtual void Sql(const std::string& sql) = 0;
};

class SqliteStore final : public RegistryStore {
 public:
  absl::StatusOr<std::unique_ptr<Registry>> Open() override {
    return OpenSqliteRegistry(folder_.File("registry.db"));
  }
  void Sql(const std::string& sql) override { RawSql(folder_.File("registry.db"), sql); }

 private:
  TempFolder folder_;
};

// One server for the test program. It is started by who needs it first, and ends with the program.
inline PostgresServer& TestPostgres() {
  static PostgresServer server;
  return server;
}

class PostgresStore final : public RegistryStore {
 public:
  PostgresStore() { TestPostgres().Reset(); }
  absl::StatusOr<std::unique_ptr<Registry>> Open() override {
    auto opened = PostgresRegistry::Open(TestPostgres().Url(), {.callers_time = true});
    if (!opened.ok()) return opened.status();
    return std::unique_ptr<Registry>(*std::move(opened));
  }
  void Sql(const std::string& sql) override {
    TestPostgres().Sql(absl::StrCat("SET search_path = forekey; ", sql));
  }
};

// Over the name of a store.
class RegistryContract : public ::testing::TestWithParam<const char*> {
 protected:
  RegistryContract() {
    if (GetParam() == std::string("Sqlite")) {
      store_ = std::make_unique<SqliteStore>();
    } else {
      store_ = std::make_unique<PostgresStore>();
    }
    Reopen();
  }
  void Reopen() {
    registry_ = nullptr;
    auto opened = store_->Open();
    ASSERT_THAT(opened, IsOk());
    registry_ = *std::move(opened);
  }

  std::unique_ptr<RegistryStore> store_;
  std::unique_ptr<Registry> registry_;
};

#define FOREKEY_OVER_EVERY_STORE(suite)                                          \
  INSTANTIATE_TEST_SUITE_P(Over, suite, ::testing::Values("Sqlite", "Postgres"), \
                           [](const auto& store) { return std::string(store.param); })

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_CONTRACT_REGISTRY_STORES_H_

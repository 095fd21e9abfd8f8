// SPDX-License-Identifier: Apache-2.0
// A gate with a registry, a TLS certificate and enrolled software keys, in a folder of its own:
// what every end-to-end test begins with. (The attestation is what enrolment tests are about; here
// the credentials are put into the registry directly.)
#ifndef FOREKEY_TESTS_END2END_GATED_WORLD_H_
#define FOREKEY_TESTS_END2END_GATED_WORLD_H_

#include <forekey/gate.h>
#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "src/gate/audit/audit.h"
#include "src/gate/grpc/gate_access.h"
#include "src/gate/service/gate_core.h"
#include "src/store/registry.h"
#include "tests/end2end/software_client.h"
#include "tests/support/fake_clock.h"
#include "tests/support/memory_audit_sink.h"

namespace forekey::testing {

class TempDirectory {
 public:
  TempDirectory();
  ~TempDirectory();  // with everything in it
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Ends the test program where something that is not under test fails.
void Must(const absl::Status& status, absl::string_view what);
template <typename T>
T Must(absl::StatusOr<T> value, absl::string_view what) {
  Must(value.status(), what);
  return *std::move(value);
}

class GatedWorld {
 public:
  struct Options {
    std::vector<std::string> exempt;
    std::function<void(GateConfig&)> change;  // of the config, before the gate is made
    const Clock* clock = &Clock::System();
    bool audit_file = false;  // true: the real file, in state/; audit() has nothing then
    // Not empty: what the gate has for its registry, as if it were elsewhere; registry() is the one
    // that is given.
    std::function<std::shared_ptr<Registry>(std::shared_ptr<Registry>)> elsewhere;
    // Not empty: gives the registry that the gate shares with others; registry() is that one.
    std::function<std::shared_ptr<PostgresRegistry>()> shared;
    // Called with each line of audit(), before the gate goes on.
    std::function<void(const Decision&)> on_audit;
  };
  GatedWorld() : GatedWorld(Options()) {}
  explicit GatedWorld(Options options);
  // The server goes before the gate.
  ~GatedWorld();

  Gate& gate() { return *gate_; }
  MemoryAuditSink& audit() { return *audit_; }
  Registry& registry() { return *registry_; }
  const std::string& directory() const { return directory_.path(); }
  GateCore& core() const { return CoreOf(*gate_); }
  const GateConfig& config() const { return core().config(); }

  // Installs the gate and starts the server that `fill` has given its services to.
  void Start(const std::function<void(grpc::ServerBuilder&)>& fill, InstallOptions options = {});
  grpc::Server& server() { return *server_; }
  void StopServer();

  // Writes another certificate over the gate's own.
  void ReplaceCertificate();
  // Of the certificate that lies there now.
  std::string channel_binding() const;

  // A connection of its own, which trusts the certificate that lies there now.
  std::shared_ptr<grpc::Channel> NewChannel(const std::string& service_config = "") const;
  GateFacts Facts() const;
  // Enrols a software key for `subject` and gives a client of it, on `channel`.
  SoftwareClient Enrol(const std::string& subject, std::shared_ptr<grpc::Channel> channel,
                       std::vector<std::string> roles = {});

  // The audit line that a refused call's status names; ends the test where there is none.
  Decision AuditOf(const grpc::Status& status);

 private:
  TempDirectory directory_;
  MemoryAuditSink* audit_ = nullptr;
  std::shared_ptr<Registry> registry_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_END2END_GATED_WORLD_H_

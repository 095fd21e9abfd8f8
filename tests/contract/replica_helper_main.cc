// SPDX-License-Identifier: Apache-2.0
// A replica in a process of its own, which a test can stop: URL, lease in ms, name, a credential's
// id in hex. For each byte on its standard input it says in one line whether its lease holds, and
// whether the credential is good here.
#include <stdio.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "src/base/clock.h"
#include "src/store/postgres/postgres_replica.h"

namespace {

using namespace forekey;  // NOLINT: a program of one page

int Fail(const absl::Status& status) {
  fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  int64_t lease_ms = 0;
  if (argc != 5 || !absl::SimpleAtoi(argv[2], &lease_ms)) return 2;
  auto opened = PostgresRegistry::Open(argv[1]);
  if (!opened.ok()) return Fail(opened.status());
  const std::shared_ptr<PostgresRegistry> registry = *std::move(opened);
  LiveCredentials credentials(registry);
  AdmissionLease lease;
  PostgresReplicaOptions options;
  options.name = argv[3];
  options.lease = absl::Milliseconds(lease_ms);
  auto replica =
      PostgresReplica::Join(std::move(options), *registry, credentials, lease, Clock::System());
  if (!replica.ok()) return Fail(replica.status());
  const auto credential = credentials.Find(absl::HexStringToBytes(argv[4]));
  if (!credential.ok()) return Fail(credential.status());
  for (char byte; read(0, &byte, 1) == 1;) {
    // As a call does: the lease first, then the credential.
    const bool holds = lease.Holds(Clock::System().BootNow());
    const bool good = !(*credential)->revoked();
    dprintf(1, "%s %s\n", holds ? "holds" : "ended", good ? "good" : "revoked");
  }
  return 0;
}

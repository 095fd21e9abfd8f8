// SPDX-License-Identifier: Apache-2.0
// forekey-bench-cluster [PART...]: three replicas in this program, over a PostgreSQL that it starts
// (unix socket, in memory where there is room, syncing at each commit). Parts; without one, all:
//   operations   statements that the database gets for a call, an opening, a resumption, ...
//   latency      of a resumption against an opening
//   revocation   until it is held everywhere
//   openings     a second, of six clients at three replicas
//   proof        a session's proof at a clustered gate against one of a single gate
//   enrolment    1,000 invites, each raced by a device at each of three replicas
// Exit status 1 where something that must hold does not.
#include <time.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "bench/cluster/cluster_replica.h"
#include "src/base/clock.h"
#include "tests/support/postgres_server.h"

namespace forekey::bench {
namespace {

using testing::ClientSession;
using testing::kMethod;
using testing::PostgresServer;
using testing::Token;

bool all_good = true;
void Must(bool holds, const std::string& what) {
  if (holds) return;
  all_good = false;
  std::cout << "NOT SO: " << what << "\n";
}

void MustBeOk(const absl::Status& status, const std::string& what) {
  Must(status.ok(), absl::StrCat(what, ": ", status.ToString()));
}

void Row(const std::string& what, const std::string& value) {
  std::cout << absl::StrFormat("%-66s %s\n", what, value) << std::flush;
}

class Cluster {
 public:
  explicit Cluster(bool log_statements = false, int replicas = 3) {
    if (!log_statements) server_.Sql("ALTER ROLE forekey SET log_statement = 'none'");
    for (int i = 0; i < replicas; ++i) {
      replicas_.push_back(
          std::make_unique<Replica>(Replica::Options{.name = absl::StrCat("gate-", i + 1),
                                                     .database = server_.Url(),
                                                     .first = i == 0 ? nullptr : replicas_[0].get(),
                                                     .maker = &maker_}));
    }
  }
  PostgresServer& server() { return server_; }
  Replica& operator[](size_t i) { return *replicas_[i % replicas_.size()]; }
  size_t size() const { return replicas_.size(); }
  const KeyMaker& maker() const { return maker_; }

 private:
  PostgresServer server_;
  KeyMaker maker_;
  std::vector<std::unique_ptr<Replica>> replicas_;
};

// Percentiles of a body's wall time.
struct Times {
  std::vector<double> micros;
  void Take(const std::function<void()>& body) {
    const absl::Time begin = absl::Now();
    body();
    micros.push_back(absl::ToDoubleMicroseconds(absl::Now() - begin));
  }
  double At(double share) {
    std::sort(micros.begin(), micros.end());
    return micros.empty() ? 0 : micros[static_cast<size_t>(share * (micros.size() - 1))];
  }
  std::string Text() {
    return absl::StrFormat("p50 %.2f ms, p99 %.2f ms", At(0.5) / 1000, At(0.99) / 1000);
  }
};

// ---- operations ----

std::vector<std::string> Statements(PostgresServer& server, bool with_leases) {
  std::vector<std::string> found;
  for (absl::string_view line : absl::StrSplit(server.Log(), '\n')) {
    const size_t at = line.find("LOG:  ");
    if (at == line.npos) continue;
    absl::string_view text = line.substr(at + 6);
    if (!absl::StartsWith(text, "statement: ") && !absl::StartsWith(text, "execute ")) continue;
    text = text.substr(text.find(": ") + 2);
    const bool lease = absl::StrContains(text, "UPDATE replicas SET seen") ||
                       absl::StrContains(text, "renewals, lease FROM replicas");
    if (with_leases || !lease) found.emplace_back(text);
  }
  return found;
}

void CountStatements(Cluster& cluster, const std::string& what, int times,
                     const std::function<void(int)>& body, bool with_leases = false,
                     double at_most = -1) {
  // The server's log arrives a little later than its answers.
  const auto settled = [&] {
    size_t size = Statements(cluster.server(), with_leases).size();
    for (int same = 0; same < 10; ++same) {
      absl::SleepFor(absl::Milliseconds(10));
      const size_t now = Statements(cluster.server(), with_leases).size();
      if (now != size) same = 0;
      size = now;
    }
    return size;
  };
  const size_t before = settled();
  for (int i = 0; i < times; ++i) body(i);
  settled();
  const std::vector<std::string> all = Statements(cluster.server(), with_leases);
  std::map<std::string, int> verbs;
  for (size_t i = before; i < all.size(); ++i) {
    ++verbs[std::string(all[i].substr(0, all[i].find_first_of(" ;(")))];
  }
  std::vector<std::string> words;
  for (const auto& [verb, count] : verbs) {
    words.push_back(absl::StrFormat("%s %.2g", verb, static_cast<double>(count) / times));
  }
  const double each = static_cast<double>(all.size() - before) / times;
  Row(absl::StrCat("statements for ", what),
      absl::StrFormat("%.2f%s%s", each, words.empty() ? "" : ": ", absl::StrJoin(words, ", ")));
  Must(at_most < 0 || each <= at_most, absl::StrCat(what, " asks the database"));
}

void OperationsOf(int replicas) {
  Cluster cluster(/*log_statements=*/true, replicas);
  Row(absl::StrCat("-- replicas, which all follow what one changes: ", replicas), "");
  const Token tpm = cluster[0].AddTpm("ada"), key = cluster[0].AddFido2("bob");
  ClientSession session = cluster[0].OpenTpm(tpm);
  CountStatements(
      cluster, "an admitted call, of 1,000", 1000,
      [&](int) { Must(cluster[0].Admitted(session.NextProof(kMethod)), "a call is admitted"); },
      /*with_leases=*/false, /*at_most=*/0);
  std::vector<ClientSession> opened(20);
  CountStatements(cluster, "an opening, TPM", 20,
                  [&](int i) { opened[i] = cluster[0].OpenTpm(tpm); });
  CountStatements(cluster, "an opening, security key with a counter", 20, [&](int i) {
    Must(cluster[0].OpenFido2(key, i + 10), "a security key opens a session");
  });
  CountStatements(cluster, "a resumption, at another replica", 20, [&](int i) {
    auto resumed = cluster[1].Resume(opened[i]);
    MustBeOk(resumed.status(), "a resumption");
    if (resumed.ok()) opened[i] = *resumed;
  });
  CountStatements(cluster, "a logout", 20,
                  [&](int i) { MustBeOk(cluster[1].End(opened[i]), "a logout"); });
  std::vector<Token> revoked;
  for (int i = 0; i < 20; ++i) revoked.push_back(cluster[0].AddTpm(absl::StrCat("eve", i)));
  CountStatements(
      cluster, "a revocation, with the leases that confirm it", 20,
      [&](int i) { MustBeOk(cluster[0].RevokeEverywhere(revoked[i]), "a revocation"); },
      /*with_leases=*/true);
}

void Operations() {
  OperationsOf(1);
  OperationsOf(3);
}

// ---- latency, revocation, openings ----

void Latency() {
  Cluster cluster;
  const Token token = cluster[0].AddTpm("ada");
  Times opening, resuming;
  for (int i = 0; i < 400; ++i) {
    ClientSession session;
    opening.Take([&] { session = cluster[i].OpenTpm(token); });
    resuming.Take([&] { MustBeOk(cluster[i + 1].Resume(session).status(), "a resumption"); });
  }
  Row("an opening (software signs), client's half included", opening.Text());
  Row("a resumption at another replica, client's half included", resuming.Text());
  Row("resumption over opening, p50", absl::StrFormat("%.2f", resuming.At(0.5) / opening.At(0.5)));
}

void Revocation() {
  Cluster cluster;
  std::vector<Token> tokens;
  for (int i = 0; i < 300; ++i) {
    tokens.push_back(cluster[0].AddTpm(absl::StrCat("eve", i)));
    (void)cluster[i].OpenTpm(tokens.back());
  }
  Times times;
  for (size_t i = 0; i < tokens.size(); ++i) {
    times.Take([&] { MustBeOk(cluster[i + 1].RevokeEverywhere(tokens[i]), "a revocation"); });
  }
  Row("a revocation until it is held everywhere, three replicas", times.Text());
}

// `body(client, i)` by two clients at each replica, for some seconds: how often a second.
double Rate(Cluster& cluster, const std::function<void(size_t client, int i)>& body) {
  std::atomic<int> done{0};
  const absl::Time begin = absl::Now(), end = begin + absl::Seconds(5);
  std::vector<std::thread> clients;
  for (size_t client = 0; client < 2 * cluster.size(); ++client) {
    clients.emplace_back([&, client] {
      for (int i = 0; absl::Now() < end; ++i, ++done) body(client, i);
    });
  }
  for (std::thread& client : clients) client.join();
  return done / absl::ToDoubleSeconds(absl::Now() - begin);
}

void Openings() {
  Cluster cluster;
  std::vector<Token> tpms, keys;
  for (size_t i = 0; i < 2 * cluster.size(); ++i) {
    tpms.push_back(cluster[i].AddTpm(absl::StrCat("ada", i)));
    keys.push_back(cluster[i].AddFido2(absl::StrCat("bob", i)));
  }
  Row("openings a second, TPM, their six clients on this machine, too",
      absl::StrFormat("%.0f", Rate(cluster, [&](size_t client, int) {
                        (void)cluster[client].OpenTpm(tpms[client]);
                      })));
  Row("the same, security keys with counters",
      absl::StrFormat("%.0f", Rate(cluster, [&](size_t client, int i) {
                        Must(cluster[client].OpenFido2(keys[client], i + 1), "it opens");
                      })));
}

// ---- proof ----

double ThreadMicros() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

class Prover {
 public:
  explicit Prover(Replica& replica)
      : replica_(replica),
        session_(replica.OpenTpm(replica.AddTpm("ada"))),
        opened_(Clock::System().BootNow()) {}
  // CPU of judging a proof, in microseconds: the median of rounds drowns noise.
  double Judge(int proofs) {
    const auto age =
        static_cast<uint32_t>((Clock::System().BootNow() - opened_) / absl::Seconds(1));
    std::vector<std::string> made;
    for (int i = 0; i < proofs; ++i) made.push_back(session_.NextProof(kMethod, age));
    int admitted = 0;
    const double begin = ThreadMicros();
    for (const std::string& one : made) admitted += replica_.Admitted(one) ? 1 : 0;
    const double took = ThreadMicros() - begin;
    Must(admitted == proofs, "each proof is admitted");
    return took / proofs;
  }

 private:
  Replica& replica_;
  ClientSession session_;
  const BootTime opened_;
};

void Proof() {
  Cluster cluster;
  Replica single({.name = "single", .resumption = false});
  Prover clustered(cluster[1]), alone(single);
  std::vector<double> ratios, costs;
  for (int round = 0; round < 201; ++round) {
    double both[2];
    // Who begins changes, so that neither gains by it.
    for (int half = 0; half < 2; ++half) {
      const int which = (half + round) % 2;
      both[which] = (which == 0 ? alone : clustered).Judge(1000);
    }
    costs.push_back(both[0]);
    ratios.push_back(both[1] / both[0]);
  }
  std::sort(costs.begin(), costs.end());
  std::sort(ratios.begin(), ratios.end());
  Row("a session's proof at a single gate, CPU",
      absl::StrFormat("%.3f us", costs[costs.size() / 2]));
  Row("the same at a clustered gate over that, median of 201 rounds",
      absl::StrFormat("%.3f (at most 1.03)", ratios[ratios.size() / 2]));
  Must(ratios[ratios.size() / 2] <= 1.03, "a clustered gate judges as fast as a single one");
}

// ---- enrolment ----

// A gate checks a hundred invites' signatures a second. Who is told to come later does.
absl::Status EnrollPatiently(Replica& replica, const std::string& invite, const KeyMaker& maker) {
  for (;;) {
    absl::Status enrolled = replica.EnrollByInvite(invite, maker);
    if (!absl::IsUnavailable(enrolled)) return enrolled;
    absl::SleepFor(absl::Milliseconds(10));
  }
}

void Enrolment() {
  constexpr int kDevices = 1000;
  Cluster cluster;
  std::vector<std::string> invites;
  for (int i = 0; i < kDevices; ++i) {
    auto invite = cluster[0].MakeInvite(absl::StrCat("person", i));
    Must(invite.ok(), "an invite is made");
    invites.push_back(invite.value_or(""));
  }
  std::vector<std::atomic<int>> winners(kDevices);
  std::atomic<int> refused{0};
  const absl::Time begin = absl::Now();
  std::vector<std::thread> devices;
  for (size_t replica = 0; replica < cluster.size(); ++replica) {
    devices.emplace_back([&, replica] {
      for (int i = 0; i < kDevices; ++i) {
        const absl::Status enrolled =
            EnrollPatiently(cluster[replica], invites[i], cluster.maker());
        ++(enrolled.ok() ? winners[i] : refused);
      }
    });
  }
  for (std::thread& device : devices) device.join();
  const double took = absl::ToDoubleSeconds(absl::Now() - begin);
  int once = 0;
  for (const std::atomic<int>& count : winners) once += count == 1 ? 1 : 0;
  Row(absl::StrCat("invites, raced by a device at each of three replicas: ", kDevices),
      absl::StrFormat("%d with one winner, %d refusals, %.1f s, %.0f enrolments a second", once,
                      refused.load(), took, kDevices / took));
  Must(once == kDevices && refused == 2 * kDevices, "each invite has one winner");
  const auto count = [&](const std::string& what) { return cluster.server().Sql(what); };
  Must(count("SELECT count(*) FROM forekey.credentials") == absl::StrCat(kDevices) &&
           count("SELECT count(*) FROM forekey.invites WHERE used_at IS NULL") == "0",
       "the registry has one credential for each invite");
}

int Run(std::set<std::string> parts) {
  const std::vector<std::pair<std::string, void (*)()>> all = {
      {"operations", Operations}, {"latency", Latency}, {"revocation", Revocation},
      {"openings", Openings},     {"proof", Proof},     {"enrolment", Enrolment}};
  for (const auto& [name, part] : all) {
    if (parts.empty() || parts.count(name) != 0) part();
  }
  for (const auto& [name, part] : all) parts.erase(name);
  Must(parts.empty(), absl::StrCat("a part is called ", absl::StrJoin(parts, ", ")));
  Must(!::testing::UnitTest::GetInstance()->ad_hoc_test_result().Failed(), "the client's half");
  return all_good ? 0 : 1;
}

}  // namespace
}  // namespace forekey::bench

int main(int argc, char** argv) {
  return forekey::bench::Run(std::set<std::string>(argv + 1, argv + argc));
}

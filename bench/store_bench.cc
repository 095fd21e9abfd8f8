// SPDX-License-Identifier: Apache-2.0
// deps: forekey_store
//
// The store room: a session's look-up and acceptance, memory per session and per remembered nonce,
// and the registry with many credentials. FOREKEY_BENCH_ENTRIES (200000) sessions and nonces;
// FOREKEY_BENCH_CREDENTIALS (20000; 1000000 is the full size) rows, FOREKEY_BENCH_EVIDENCE (2048)
// bytes of evidence each.
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "src/crypto/digest.h"
#include "src/crypto/random.h"
#include "src/store/live_credentials.h"
#include "src/store/replay.h"
#include "src/store/session_table.h"
#include "src/store/sqlite_registry.h"

// Counts allocations, to show that the hot path makes none.
static std::atomic<uint64_t> allocation_count{0};
// Not inlined: gcc takes the two halves of a pair for mismatched where it sees into one alone.
[[gnu::noinline]] void* operator new(size_t size) {
  allocation_count.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = malloc(size)) return memory;
  abort();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { free(memory); }

namespace forekey {
namespace {

constexpr absl::Duration kSecond = absl::Seconds(1);
constexpr BootTime kBoot = BootTime::FromNanos(1'000'000'000'000);

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* text = getenv(name);
  int64_t value;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}
int64_t Entries() { return FromEnvironment("FOREKEY_BENCH_ENTRIES", 200000); }

// Bytes in use, the large blocks that malloc maps by themselves included.
size_t HeapInUse() {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

std::string Id(absl::string_view kind, int64_t i) { return Sha256(absl::StrCat(kind, i)); }

std::shared_ptr<const LiveCredential> Credential(const PublicKey& key, int64_t i) {
  CredentialRecord record;
  record.id = Id("credential", i);
  record.subject = absl::StrCat("subject", i);
  SubjectRecord subject;
  subject.name = record.subject;
  return std::make_shared<const LiveCredential>(record, key,
                                                std::make_shared<LiveSubject>(subject));
}

Session::Parts Parts(std::shared_ptr<const LiveCredential> credential, int64_t i) {
  static const std::string* const key = new std::string(RandomBytes(32));
  static const std::string* const binding = new std::string(RandomBytes(32));
  Session::Parts parts;
  parts.id = Id("session", i).substr(0, 16);
  parts.key = *key;
  parts.channel_binding = *binding;
  parts.credentials.push_back(std::move(credential));
  parts.factors = {{"tpm", absl::Now(), kBoot}};
  parts.opened_at = kBoot;
  parts.idle = parts.absolute = 100000 * kSecond;
  return parts;
}

// A table with one session a subject, which is the most that the index can cost.
struct World {
  explicit World(int64_t count) : table({.total = static_cast<size_t>(count) + 1}) {
    const PublicKey key = SoftwareKey::Generate(Algorithm::kEs256).public_key();
    std::vector<std::shared_ptr<const LiveCredential>> credentials;
    for (int64_t i = 0; i < count; ++i) credentials.push_back(Credential(key, i));
    ids.reserve(count);
    const size_t before = HeapInUse();
    for (int64_t i = 0; i < count; ++i) {
      if (!table.Insert(Parts(credentials[i], i), kBoot).ok()) abort();
    }
    bytes_a_session = static_cast<double>(HeapInUse() - before) / count;
    for (int64_t i = 0; i < count; ++i) ids.push_back(Id("session", i).substr(0, 16));
  }
  SessionTable table;
  std::vector<std::string> ids;
  double bytes_a_session;
};

World& TheWorld() {
  static World* const world = new World(Entries());
  return *world;
}

// What a call costs in this room: found, alive, sequence taken. range(0): among how many sessions
// the calls are spread (all of them: every look-up misses the processor's caches).
void BM_SessionFindAndAccept(benchmark::State& state) {
  World& world = TheWorld();
  const size_t spread = state.range(0) == 0 ? world.ids.size() : state.range(0);
  static std::atomic<uint64_t> sequence{1};
  std::mt19937_64 random(state.thread_index());
  // Side by side, as ids come from a request that was just read.
  std::vector<std::array<char, 16>> order(1 << 16);
  for (auto& id : order) memcpy(id.data(), world.ids[random() % spread].data(), id.size());
  const uint64_t allocations = allocation_count;
  uint64_t i = 0;
  for (auto _ : state) {
    const std::array<char, 16>& id = order[i++ & 0xffff];
    auto session = world.table.Find(absl::string_view(id.data(), id.size()));
    absl::Status status = session->CheckAlive(kBoot);
    if (status.ok())
      status = session->AcceptSequence(sequence.fetch_add(1, std::memory_order_relaxed), kBoot);
    if (!status.ok()) state.SkipWithError("refused");
  }
  if (state.threads() == 1) {
    state.counters["allocations"] =
        static_cast<double>(allocation_count - allocations) / state.iterations();
  }
}
BENCHMARK(BM_SessionFindAndAccept)->Arg(1)->Arg(100)->Arg(0);
BENCHMARK(BM_SessionFindAndAccept)->Arg(0)->Threads(2)->UseRealTime();

void BM_SessionFindUnknown(benchmark::State& state) {
  World& world = TheWorld();
  std::vector<std::string> ids;
  for (int i = 0; i < 4096; ++i) ids.push_back(RandomBytes(16));
  uint64_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(world.table.Find(ids[i++ & 4095]));
}
BENCHMARK(BM_SessionFindUnknown);

void BM_SessionOpenAndEnd(benchmark::State& state) {
  World& world = TheWorld();
  auto credential = Credential(SoftwareKey::Generate(Algorithm::kEs256).public_key(), -1);
  const Session::Parts parts = Parts(credential, -1);
  for (auto _ : state) {
    if (!world.table.Insert(parts, kBoot).ok()) state.SkipWithError("refused");
    world.table.End(parts.id);
  }
}
BENCHMARK(BM_SessionOpenAndEnd);

void BM_SessionMemory(benchmark::State& state) {
  World& world = TheWorld();
  for (auto _ : state) benchmark::DoNotOptimize(world.table.size());
  state.counters["sessions"] = world.table.size();
  state.counters["bytes_a_session"] = world.bytes_a_session;
  state.counters["sizeof_Session"] = sizeof(Session);
}
BENCHMARK(BM_SessionMemory)->Iterations(1);

void BM_SessionSweepNothing(benchmark::State& state) {
  World& world = TheWorld();
  for (auto _ : state) benchmark::DoNotOptimize(world.table.Sweep(kBoot));
}
BENCHMARK(BM_SessionSweepNothing)->Unit(benchmark::kMillisecond);

void BM_ReplayMemory(benchmark::State& state) {
  const int64_t count = Entries();
  std::vector<std::string> nonces;
  for (int64_t i = 0; i < count; ++i) nonces.push_back(Id("nonce", i).substr(0, 16));
  for (auto _ : state) {
    const size_t before = HeapInUse();
    auto store = NewMemoryReplayStore(count);
    for (const std::string& nonce : nonces) {
      if (!store->Consume(nonce, kBoot, kBoot + 120 * kSecond).ok()) abort();
    }
    state.counters["bytes_a_nonce"] = static_cast<double>(HeapInUse() - before) / count;
  }
  state.counters["nonces"] = count;
}
BENCHMARK(BM_ReplayMemory)->Iterations(1);

// A stream of 1000 nonces a second that live 120 s, so that the store is at its steady size.
void BM_ReplayConsume(benchmark::State& state) {
  auto store = NewMemoryReplayStore(200000);
  const std::string base = RandomBytes(16);
  uint64_t i = 0;
  BootTime now = kBoot;
  std::mt19937_64 random(1);
  std::string nonce = base;
  for (auto _ : state) {
    const uint64_t words[2] = {random(), random() + i++};
    nonce.assign(reinterpret_cast<const char*>(words), sizeof(words));
    now += kSecond / 1000;
    if (!store->Consume(nonce, now, now + 120 * kSecond).ok()) state.SkipWithError("refused");
  }
}
BENCHMARK(BM_ReplayConsume);

// A registry file with many rows, written behind the registry's back: enrolling them one by one
// would measure fsync.
class BigRegistry {
 public:
  BigRegistry() : count_(FromEnvironment("FOREKEY_BENCH_CREDENTIALS", 20000)) {
    std::string name = (std::filesystem::temp_directory_path() / "forekey-bench-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) abort();
    folder_ = name;
    const std::string path = folder_ + "/registry.db";
    if (!SqliteRegistry::Open(path).ok()) abort();
    Fill(path);
    file_bytes_ = std::filesystem::file_size(path);
    registry_ = *SqliteRegistry::Open(path);
  }
  ~BigRegistry() {
    registry_.reset();
    std::filesystem::remove_all(folder_);
  }
  SqliteRegistry& registry() { return *registry_; }
  int64_t count() const { return count_; }
  double bytes_a_credential() const { return static_cast<double>(file_bytes_) / count_; }
  std::string path() const { return folder_ + "/registry.db"; }
  void Close() { registry_.reset(); }
  void Reopen() { registry_ = *SqliteRegistry::Open(path()); }

 private:
  void Fill(const std::string& path) {
    sqlite3* db;
    sqlite3_open(path.c_str(), &db);
    sqlite3_exec(
        db, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-262144; BEGIN",
        nullptr, nullptr, nullptr);
    sqlite3_stmt *subject, *credential;
    sqlite3_prepare_v2(db, "INSERT INTO subjects (id, name, created_at) VALUES (?1, ?2, 0)", -1,
                       &subject, nullptr);
    sqlite3_prepare_v2(
        db,
        "INSERT INTO credentials (id, subject_id, spki_sha256, kind, algorithm, sign_count, "
        "enrolled_at, revocation_note, spki, label, device_id, factors, rp_id, origin, "
        "proved_json, evidence) VALUES (?1, ?2, ?3, 1, -7, 0, 0, '', ?4, 'laptop', ?3, 'tpm', "
        "'', '', ?5, ?6)",
        -1, &credential, nullptr);
    const std::string evidence = RandomBytes(FromEnvironment("FOREKEY_BENCH_EVIDENCE", 2048));
    const std::string proved = "{\"model\":\"" + std::string(250, 'x') + "\"}";
    const std::string spki = SoftwareKey::Generate(Algorithm::kEs256).public_key().spki();
    for (int64_t i = 0; i < count_; ++i) {
      const std::string name = absl::StrCat("subject", i), id = Id("credential", i),
                        hash = Id("spki", i);
      sqlite3_bind_int64(subject, 1, i + 1);
      sqlite3_bind_text(subject, 2, name.data(), name.size(), SQLITE_STATIC);
      sqlite3_bind_blob(credential, 1, id.data(), id.size(), SQLITE_STATIC);
      sqlite3_bind_int64(credential, 2, i + 1);
      sqlite3_bind_blob(credential, 3, hash.data(), hash.size(), SQLITE_STATIC);
      sqlite3_bind_blob(credential, 4, spki.data(), spki.size(), SQLITE_STATIC);
      sqlite3_bind_text(credential, 5, proved.data(), proved.size(), SQLITE_STATIC);
      sqlite3_bind_blob(credential, 6, evidence.data(), evidence.size(), SQLITE_STATIC);
      for (sqlite3_stmt* statement : {subject, credential}) {
        if (sqlite3_step(statement) != SQLITE_DONE) abort();
        sqlite3_reset(statement);
      }
    }
    sqlite3_finalize(subject);
    sqlite3_finalize(credential);
    if (sqlite3_exec(db, "COMMIT", nullptr, nullptr, nullptr) != SQLITE_OK) abort();
    sqlite3_close(db);
  }

  const int64_t count_;
  std::string folder_;
  uint64_t file_bytes_ = 0;
  std::unique_ptr<SqliteRegistry> registry_;
};

// Destroyed at exit, because it has a folder to remove.
BigRegistry& TheRegistry() {
  static BigRegistry registry;
  return registry;
}

void BM_RegistryFind(benchmark::State& state) {
  BigRegistry& big = TheRegistry();
  std::mt19937_64 random(7);
  std::vector<std::string> ids;
  for (int i = 0; i < 20000; ++i) ids.push_back(Id("credential", random() % big.count()));
  uint64_t i = 0;
  for (auto _ : state) {
    if (!big.registry().FindCredential(ids[i++ % ids.size()]).ok())
      state.SkipWithError("not found");
  }
  state.counters["credentials"] = big.count();
  state.counters["file_bytes_a_credential"] = big.bytes_a_credential();
}
BENCHMARK(BM_RegistryFind)->Unit(benchmark::kMicrosecond);

void BM_RegistryOpen(benchmark::State& state) {
  BigRegistry& big = TheRegistry();
  for (auto _ : state) {
    big.Close();
    big.Reopen();
  }
}
BENCHMARK(BM_RegistryOpen)->Unit(benchmark::kMicrosecond);

// One durable change: dominated by the disk's fsync.
void BM_RegistryRevoke(benchmark::State& state) {
  BigRegistry& big = TheRegistry();
  static int64_t next = 0;
  for (auto _ : state) {
    if (!big.registry()
             .RevokeCredential(Id("credential", next++ % big.count()), "", absl::Now())
             .ok()) {
      state.SkipWithError("refused");
    }
  }
}
BENCHMARK(BM_RegistryRevoke)->Unit(benchmark::kMicrosecond)->Iterations(200);

}  // namespace
}  // namespace forekey

int main(int argc, char** argv) {
  // As the gate's programs do: Debian's Abseil looks for lock cycles at every lock otherwise.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}

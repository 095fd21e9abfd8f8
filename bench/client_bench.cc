// SPDX-License-Identifier: Apache-2.0
// deps: forekey_client
// What the client pays for each call: making a session proof, beside the bare HMAC.
#include <string>

#include "benchmark/benchmark.h"
#include "src/client/channel_binding.h"
#include "src/client/client_session.h"
#include "src/crypto/digest.h"
#include "src/crypto/random.h"

namespace forekey {
namespace {

constexpr char kMethod[] = "/example.v1.Inventory/ListWidgets";

ClientSession MakeSession() {
  ClientSession::Parts parts;
  parts.id = RandomBytes(16);
  parts.key = Secret(RandomBytes(32));
  parts.channel_binding = RandomBytes(32);
  parts.opened_at = Clock::System().BootNow();
  parts.idle_s = 600;
  parts.absolute_s = 3600;
  return ClientSession(std::move(parts), &Clock::System());
}

void BM_BareHmac(benchmark::State& state) {
  HmacSha256 key(RandomBytes(32));
  std::string message = RandomBytes(112);  // about what a call's MAC covers
  absl::string_view part = message;
  for (auto _ : state) {
    benchmark::DoNotOptimize(key.Mac(absl::MakeConstSpan(&part, 1)));
  }
}
BENCHMARK(BM_BareHmac);

void BM_MakeSessionPrefix(benchmark::State& state) {
  ClientSession session = MakeSession();
  for (auto _ : state) {
    benchmark::DoNotOptimize(session.MakePrefix(kMethod));
  }
}
BENCHMARK(BM_MakeSessionPrefix);

void BM_ChannelBindingFromCache(benchmark::State& state) {
  // PEM of the size that a P-256 leaf has; only the first look-up decodes it.
  const std::string pem = "-----BEGIN CERTIFICATE-----\n" + std::string(63, 'A') + "A\n" +
                          "-----END CERTIFICATE-----\n";
  ChannelBindingCache cache;
  for (auto _ : state) {
    benchmark::DoNotOptimize(cache.Get(pem));
  }
}
BENCHMARK(BM_ChannelBindingFromCache);

}  // namespace
}  // namespace forekey

BENCHMARK_MAIN();

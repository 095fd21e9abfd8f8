// SPDX-License-Identifier: Apache-2.0
// What strangers send beside calls: it costs them their connection, and the gate next to nothing.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "examples/echo_services.h"
#include "src/base/reason.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gated_world.h"
#include "tests/end2end/raw_http2.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;

constexpr char kGetChallenge[] = "/forekey.v1.Gate/GetChallenge";
constexpr size_t kMebi = 1 << 20;

GatedWorld::Options Configured(std::function<void(GateConfig&)> change) {
  GatedWorld::Options options;
  options.change = std::move(change);
  return options;
}

// AddressSanitizer keeps what was freed for a while, 256 MiB of it by default.
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kHeldAside = size_t{512} << 20;
#else
constexpr size_t kHeldAside = 0;
#endif

// The most that this process ever held since ForgetPeak().
size_t PeakMemory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) != 0) continue;
    const std::vector<std::string> parts = absl::StrSplit(line, ' ', absl::SkipEmpty());
    size_t kib = 0;
    if (parts.size() >= 2 && absl::SimpleAtoi(absl::StripAsciiWhitespace(parts[1]), &kib)) {
      return kib * 1024;
    }
  }
  ADD_FAILURE() << "/proc/self/status has no VmHWM";
  return 0;
}
void ForgetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }
// By how much the peak grew. The kernel counts pages a thread at a time: it may be a bit less than
// before.
size_t Grown(size_t before) { return std::max(PeakMemory(), before) - before; }

// So many zeros, in gzip.
std::string Bomb(size_t size) {
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(size / 900 + 4096, '\0'), zeros(kMebi, '\0');
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  for (size_t done = 0; done < size; done += zeros.size()) {
    stream.next_in = reinterpret_cast<Bytef*>(zeros.data());
    stream.avail_in = static_cast<uInt>(zeros.size());
    deflate(&stream, done + zeros.size() < size ? Z_NO_FLUSH : Z_FINISH);
  }
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST(GzipBombTest, AStrangersBombIsRefusedAndNothingIsInflated) {
  example::SyncEcho echo;
  // What is sent here is not what stops it.
  GatedWorld world(
      Configured([](GateConfig& config) { config.connections.stranger_bytes = 16 * kMebi; }));
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  const std::string bomb = Bomb(512 * kMebi);
  ASSERT_LT(bomb.size(), kMebi);
  RawHttp2 peer(world.gate().port());
  ForgetPeak();
  const size_t before = PeakMemory();
  const uint32_t stream = peer.NextStream();
  ASSERT_TRUE(peer.Headers(stream, kGetChallenge, {{"grpc-encoding", "gzip"}}));
  peer.Data(stream, RawHttp2::Message(bomb, /*compressed=*/true), /*last=*/true);
  EXPECT_TRUE(peer.WaitForStreamEnd(stream));
  EXPECT_LT(Grown(before), 64 * kMebi + kHeldAside);
}

TEST(GzipBombTest, AnApplicationThatAsksForDecompressionDoesNotGetIt) {
  example::SyncEcho echo;
  GatedWorld world(
      Configured([](GateConfig& config) { config.connections.stranger_bytes = 16 * kMebi; }));
  world.Start([&](grpc::ServerBuilder& builder) {
    builder.RegisterService(&echo);
    builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 1);
    builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, true);
  });
  RawHttp2 peer(world.gate().port());
  ForgetPeak();
  const size_t before = PeakMemory();
  const uint32_t stream = peer.NextStream();
  ASSERT_TRUE(peer.Headers(stream, kGetChallenge, {{"grpc-encoding", "gzip"}}));
  peer.Data(stream, RawHttp2::Message(Bomb(512 * kMebi), /*compressed=*/true), /*last=*/true);
  EXPECT_TRUE(peer.WaitForStreamEnd(stream));
  EXPECT_LT(Grown(before), 64 * kMebi + kHeldAside);
}

TEST(GzipBombTest, AnHonestClientThatCompressesIsToldSo) {
  example::SyncEcho echo;
  GatedWorld world;
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  auto stub = example::Echo::NewStub(alice.channel());
  grpc::ClientContext context;
  context.AddMetadata("forekey-prefix-bin",
                      Must(alice.DevicePrefix(MethodOf(Kind::kUnary)), "prefix"));
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  example::EchoRequest request;
  example::EchoResponse response;
  request.set_text(std::string(100'000, 'x'));
  const grpc::Status status = stub->Say(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_THAT(status.error_message(), HasSubstr("compressed requests are refused"));
}

// A line of the audit log with this reason and these words; waits for it.
Decision AwaitLine(GatedWorld& world, Reason reason, absl::string_view words = "") {
  const absl::Time until = absl::Now() + absl::Minutes(1);
  absl::Mutex mutex;
  while (absl::Now() < until) {
    for (const Decision& decision : world.audit().decisions()) {
      if (decision.reason == reason && absl::StrContains(decision.detail, words)) return decision;
    }
    absl::MutexLock lock(&mutex);
    const bool never = false;
    mutex.AwaitWithTimeout(absl::Condition(&never), absl::Milliseconds(5));
  }
  ADD_FAILURE() << "no line with reason " << ReasonName(reason) << " and " << words;
  return {};
}

const std::string kForACall = RawHttp2::Message(absl::string_view("\x08\x01", 2));

// Asks for a challenge, and waits for the answer.
bool AsksForAChallenge(RawHttp2& peer) {
  const uint32_t stream = peer.NextStream();
  return peer.Headers(stream, kGetChallenge) && peer.Data(stream, kForACall, /*last=*/true) &&
         peer.WaitForStreamEnd(stream);
}

// The field of a device proof. gRPC takes no padding in what it decodes.
RawHttp2::Fields ProofOf(SoftwareClient& client, Kind kind) {
  std::string value = absl::Base64Escape(Must(client.DevicePrefix(MethodOf(kind)), "prefix"));
  while (absl::EndsWith(value, "=")) value.pop_back();
  return {{"forekey-prefix-bin", value}};
}

// Has a call admitted, and waits for its answer.
void Says(RawHttp2& peer, GatedWorld& world, SoftwareClient& client) {
  const uint32_t stream = peer.NextStream();
  peer.Headers(stream, MethodOf(Kind::kUnary), ProofOf(client, Kind::kUnary));
  peer.Data(stream, RawHttp2::Message(""), /*last=*/true);
  EXPECT_TRUE(peer.WaitForStreamEnd(stream));
  for (const Decision& decision : world.audit().decisions()) {
    EXPECT_TRUE(decision.admitted) << decision.detail;
  }
}

class StrangersTest : public ::testing::Test {
 protected:
  void Start(std::function<void(GateConfig&)> change = [](GateConfig&) {}) {
    world_ = std::make_unique<GatedWorld>(Configured(std::move(change)));
    world_->Start([this](grpc::ServerBuilder& builder) { builder.RegisterService(&echo_); });
  }
  GatedWorld& world() { return *world_; }
  int port() { return world_->gate().port(); }

  example::CallbackEcho echo_;
  std::unique_ptr<GatedWorld> world_;
};

// ---- Streams of exempt methods ----

TEST_F(StrangersTest, WhoOpensAndResetsExemptCallsLosesTheConnection) {
  Start();
  RawHttp2 peer(port());
  for (int i = 0; i < 5000 && peer.open(); ++i) {
    const uint32_t stream = peer.NextStream();
    peer.Headers(stream, kGetChallenge);
    peer.Reset(stream);
    peer.Read(0);
  }
  EXPECT_TRUE(peer.WaitForEnd());
  EXPECT_EQ(AwaitLine(world(), Reason::kRateLimited).method, kGetChallenge);
  EXPECT_EQ(AwaitLine(world(), Reason::kConnectionEnded).peer,
            AwaitLine(world(), Reason::kRateLimited).peer);
}

TEST_F(StrangersTest, ExemptCallsOfAnAddressHaveOneBucketForAllItsConnections) {
  Start([](GateConfig& config) {
    config.connections.address_exempt_per_second = 1e-6;
    config.connections.address_exempt_burst = 10;
  });
  for (int i = 0; i < 10; ++i) {
    RawHttp2 peer(port());
    EXPECT_TRUE(AsksForAChallenge(peer));
  }
  RawHttp2 one_more(port()), another(port(), "127.0.0.2");
  AsksForAChallenge(one_more);
  EXPECT_THAT(AwaitLine(world(), Reason::kRateLimited).detail, HasSubstr("of this address"));
  const size_t lines = world().audit().decisions().size();
  EXPECT_TRUE(AsksForAChallenge(another));
  EXPECT_EQ(world().audit().decisions().size(), lines) << "another address is not refused";
}

TEST_F(StrangersTest, StrangersOfAnAddressTakeNothingFromWhoWasAdmittedBehindIt) {
  Start([](GateConfig& config) {
    config.connections.address_exempt_per_second = 1e-6;
    config.connections.address_exempt_burst = 5;
  });
  SoftwareClient alice = world().Enrol("alice", world().NewChannel());
  RawHttp2 admitted(port(), "127.0.0.2");
  Says(admitted, world(), alice);
  RawHttp2 strangers(port(), "127.0.0.2");
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(AsksForAChallenge(strangers)) << i;
  EXPECT_THAT(AwaitLine(world(), Reason::kRateLimited).detail, HasSubstr("of this address"));
  const size_t lines = world().audit().decisions().size();
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(AsksForAChallenge(admitted)) << i;
  EXPECT_EQ(world().audit().decisions().size(), lines) << "none of them is refused";
  EXPECT_TRUE(strangers.open()) << "nor does a stranger lose a connection for its neighbours";
}

TEST_F(StrangersTest, OnlySoManyExemptCallsOfAStrangerAreUnfinished) {
  Start();
  RawHttp2 peer(port());
  for (int i = 0; i < 64 && peer.open(); ++i) {
    peer.Headers(peer.NextStream(), kGetChallenge);
    peer.Read(0);
  }
  EXPECT_TRUE(peer.WaitForEnd());
  EXPECT_THAT(AwaitLine(world(), Reason::kRateLimited).detail, HasSubstr("at once"));
  AwaitLine(world(), Reason::kConnectionEnded);
}

TEST_F(StrangersTest, ExemptCallsThatFinishDoNotCount) {
  Start();
  RawHttp2 peer(port());
  for (int i = 0; i < 60; ++i) EXPECT_TRUE(AsksForAChallenge(peer));
  EXPECT_TRUE(world().audit().decisions().empty());
}

// ---- Bytes ----

TEST_F(StrangersTest, AMessageThatIsNeverFinishedEndsItsConnection) {
  Start();
  RawHttp2 peer(port());
  ForgetPeak();
  const size_t before = PeakMemory();
  const uint32_t stream = peer.NextStream();
  peer.Headers(stream, kGetChallenge);
  peer.Data(stream, RawHttp2::MessagePrefix(~uint32_t{0}), /*last=*/false);
  const std::string megabyte(kMebi, 'x');
  for (int i = 0; i < 256 && peer.open(); ++i) peer.Data(stream, megabyte, /*last=*/false);
  EXPECT_TRUE(peer.WaitForEnd());
  EXPECT_TRUE(peer.was_reset()) << "what the kernel held of it goes at once, and so does who waits";
  EXPECT_THAT(AwaitLine(world(), Reason::kConnectionLimit).detail, HasSubstr("bytes came"));
  EXPECT_LT(Grown(before), 64 * kMebi + kHeldAside);
}

TEST_F(StrangersTest, HeaderFieldsThatNeverEndEndTheirConnection) {
  Start();
  RawHttp2 peer(port());
  const uint32_t stream = peer.NextStream();
  // A literal that says it is half a gigabyte long.
  peer.Frame(
      RawHttp2::kHeaders, 0, stream,
      RawHttp2::CallFields(kGetChallenge) + std::string("\x00\x01x\x7f\x80\x80\x80\x80\x02", 9));
  const std::string more(16384, 'y');
  for (int i = 0; i < 4096 && peer.open(); ++i) {
    peer.Frame(RawHttp2::kContinuation, 0, stream, more);
  }
  EXPECT_TRUE(peer.WaitForEnd());
}

TEST_F(StrangersTest, FloodsOfControlFramesEndTheirConnection) {
  Start();
  for (uint8_t type : {RawHttp2::kPing, RawHttp2::kSettings}) {
    RawHttp2 peer(port());
    const std::string payload(type == RawHttp2::kPing ? 8 : 0, 'p');
    for (int i = 0; i < 1'000'000 && peer.open(); ++i) {
      peer.Frame(type, 0, 0, payload);
      if (i % 64 == 0) peer.Read(0);
    }
    EXPECT_TRUE(peer.WaitForEnd()) << static_cast<int>(type);
  }
}

// Who was admitted is no stranger; what is left is the bound for all.
TEST_F(StrangersTest, AnUnfinishedMessageOfWhoWasAdmittedIsBoundedByTheMemoryOfAll) {
  Start([](GateConfig& config) { config.connections.memory = 64 * kMebi; });
  SoftwareClient alice = world().Enrol("alice", world().NewChannel());
  const std::string method = MethodOf(Kind::kBidi);
  const std::string prefix = Must(alice.DevicePrefix(method), "prefix");
  RawHttp2 peer(port());
  ForgetPeak();
  const size_t before = PeakMemory();
  const uint32_t stream = peer.NextStream();
  peer.Headers(stream, method, {{"forekey-prefix-bin", absl::Base64Escape(prefix)}});
  peer.Data(stream, RawHttp2::MessagePrefix(~uint32_t{0}), /*last=*/false);
  const std::string megabyte(kMebi, 'x');
  int sent = 0;
  while (sent < 1024 && peer.Data(stream, megabyte, /*last=*/false)) ++sent;
  EXPECT_LT(sent, 1024) << "gRPC gives the stream up";
  EXPECT_LT(Grown(before), 256 * kMebi + kHeldAside);
  EXPECT_TRUE(Call(alice.channel(),
                   {.prefixes = {Must(alice.DevicePrefix(MethodOf(Kind::kUnary)), "prefix")}})
                  .status.ok());
}

// ---- Places ----

// TCP, and not a word.
class SilentPeer {
 public:
  SilentPeer(int port, const std::string& source)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in from = {}, to = {};
    from.sin_family = to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(inet_pton(AF_INET, source.c_str(), &from.sin_addr), 1);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&from), sizeof(from)), 0);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  }
  ~SilentPeer() { close(fd_); }
  SilentPeer(const SilentPeer&) = delete;
  SilentPeer& operator=(const SilentPeer&) = delete;

 private:
  const int fd_;
};

TEST_F(StrangersTest, OneAddressTakesOnlyItsShareOfThePlacesBeforeTheFirstCall) {
  Start([](GateConfig& config) {
    config.connections.arriving = 8;
    config.connections.address_share = 25;
  });
  std::vector<std::unique_ptr<SilentPeer>> silent;
  for (int i = 0; i < 100; ++i) silent.push_back(std::make_unique<SilentPeer>(port(), "127.0.0.3"));
  const Decision line = AwaitLine(world(), Reason::kConnectionLimit, "before their first call");
  EXPECT_THAT(line.peer, HasSubstr("127.0.0.3"));
  RawHttp2 other(port(), "127.0.0.2"), same(port(), "127.0.0.3");
  EXPECT_TRUE(AsksForAChallenge(other));
  EXPECT_TRUE(AsksForAChallenge(same)) << "who comes sends the oldest of his address away";
}

TEST_F(StrangersTest, ManyAddressesThatSayNothingDoNotStopWhoComesNext) {
  Start([](GateConfig& config) {
    config.connections.arriving = 8;
    config.connections.address_share = 25;
  });
  std::vector<std::unique_ptr<SilentPeer>> silent;
  for (int i = 0; i < 100; ++i) {
    silent.push_back(std::make_unique<SilentPeer>(port(), absl::StrCat("127.0.1.", i + 1)));
  }
  RawHttp2 peer(port(), "127.0.0.2");
  EXPECT_TRUE(AsksForAChallenge(peer));
}

TEST_F(StrangersTest, TheConnectionOfEachCallIsKnownHoweverManyThereAre) {
  Start([](GateConfig& config) {
    config.connections.arriving = 1;
    config.connections.forged_refusals = 1;
  });
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  std::set<std::string> peers;
  for (int i = 0; i < 10; ++i) {
    channels.push_back(world().NewChannel());
    const Decision refused = world().AuditOf(Call(channels.back(), {}).status);
    EXPECT_THAT(refused.peer, HasSubstr("127.0.0.1:"));
    peers.insert(refused.peer);
  }
  EXPECT_EQ(peers.size(), channels.size());
  const Decision forged = world().AuditOf(Call(channels.front(), {.prefixes = {"rubbish"}}).status);
  EXPECT_EQ(AwaitLine(world(), Reason::kConnectionEnded).peer, forged.peer);
  const Decision again = world().AuditOf(Call(channels.back(), {}).status);
  EXPECT_TRUE(peers.contains(again.peer)) << "the others go on";
}

TEST_F(StrangersTest, StrangersSendTheOldestOfTheirOwnAddressAway) {
  Start([](GateConfig& config) {
    config.connections.strangers = 8;
    config.connections.address_share = 25;
  });
  SoftwareClient alice = world().Enrol("alice", world().NewChannel());
  const auto calls = [&] {
    return Call(alice.channel(),
                {.prefixes = {Must(alice.DevicePrefix(MethodOf(Kind::kUnary)), "prefix")}})
        .status;
  };
  EXPECT_TRUE(calls().ok());
  RawHttp2 other(port(), "127.0.0.2");
  EXPECT_TRUE(AsksForAChallenge(other));
  std::vector<std::unique_ptr<RawHttp2>> same;
  for (int i = 0; i < 5; ++i) {
    same.push_back(std::make_unique<RawHttp2>(port(), "127.0.0.3"));
    EXPECT_TRUE(AsksForAChallenge(*same.back()));
  }
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(same[i]->WaitForEnd()) << i;
  EXPECT_THAT(AwaitLine(world(), Reason::kConnectionLimit, "nothing was admitted").peer,
              HasSubstr("127.0.0.3"));
  EXPECT_TRUE(AsksForAChallenge(*same.back()));
  EXPECT_TRUE(AsksForAChallenge(other)) << "another address keeps its own";
  EXPECT_TRUE(calls().ok()) << "who was admitted is no stranger";
}

// ---- Age ----

TEST_F(StrangersTest, ExemptCallsDoNotKeepAConnection) {
  Start([](GateConfig& config) { config.connections.proof = absl::Seconds(1); });
  RawHttp2 peer(port());
  EXPECT_TRUE(AsksForAChallenge(peer));
  peer.Headers(peer.NextStream(), kGetChallenge);
  EXPECT_TRUE(peer.WaitForEnd());
  AwaitLine(world(), Reason::kConnectionTimeout);
}

// Also where it is held open: by then its credential may be revoked, and nothing bounds what it
// holds.
TEST_F(StrangersTest, ExemptCallsDoNotKeepAConnectionOnWhichNothingIsAdmittedAnyMore) {
  Start([](GateConfig& config) { config.connections.idle = absl::Seconds(1); });
  SoftwareClient alice = world().Enrol("alice", world().NewChannel());
  RawHttp2 lives(port(), "127.0.0.2"), quiet(port(), "127.0.0.3");
  const uint32_t live = lives.NextStream();
  lives.Headers(live, MethodOf(Kind::kBidi), ProofOf(alice, Kind::kBidi));
  Says(quiet, world(), alice);
  for (RawHttp2* peer : {&lives, &quiet}) {
    const uint32_t stream = peer->NextStream();
    peer->Headers(stream, kGetChallenge);
    peer->Data(stream, RawHttp2::MessagePrefix(~uint32_t{0}), /*last=*/false);
  }
  EXPECT_TRUE(quiet.WaitForEnd());
  EXPECT_THAT(AwaitLine(world(), Reason::kConnectionTimeout, "nothing was admitted").peer,
              HasSubstr("127.0.0.3"));
  EXPECT_TRUE(AsksForAChallenge(lives)) << "it is older, and has an admitted call that lives";
}

// The ordinary end of a connection that nobody uses: no line of the audit log, and nobody pays.
TEST_F(StrangersTest, AConnectionWithoutCallsIsClosedInSilence) {
  Start([](GateConfig& config) { config.connections.idle = absl::Seconds(1); });
  SoftwareClient alice = world().Enrol("alice", world().NewChannel());
  RawHttp2 lives(port(), "127.0.0.2"), quiet(port(), "127.0.0.3");
  const uint32_t live = lives.NextStream();
  lives.Headers(live, MethodOf(Kind::kBidi), ProofOf(alice, Kind::kBidi));
  Says(quiet, world(), alice);
  EXPECT_TRUE(quiet.WaitForEnd());
  EXPECT_TRUE(AsksForAChallenge(lives)) << "its one call is as old, and lives";
  for (const Decision& decision : world().audit().decisions()) {
    EXPECT_NE(decision.reason, Reason::kConnectionTimeout) << decision.peer;
  }
}

TEST_F(StrangersTest, WatchesOfHealthGoOnAndHaveALimitOfTheirOwn) {
  constexpr char kWatch[] = "/grpc.health.v1.Health/Watch";
  Start([&](GateConfig& config) {
    config.health.service = true;
    config.rules.exempt = {kWatch};
    config.connections.proof = absl::Seconds(1);
    config.connections.watches = 1;
  });
  const auto watch = [&](RawHttp2& peer) {
    const uint32_t stream = peer.NextStream();
    peer.Headers(stream, kWatch);
    peer.Data(stream, RawHttp2::Message(""), /*last=*/true);
  };
  RawHttp2 silent(port(), "127.0.0.4"), first(port(), "127.0.0.2");
  AsksForAChallenge(silent);
  watch(first);
  EXPECT_TRUE(silent.WaitForEnd()) << "older than `first`, and no watch";
  RawHttp2 second(port(), "127.0.0.3");
  watch(second);
  EXPECT_TRUE(first.WaitForEnd()) << "one at most, and the oldest has to go";
  EXPECT_THAT(AwaitLine(world(), Reason::kConnectionLimit, "exempt methods alone").peer,
              HasSubstr("127.0.0.2"));
  second.Read(0);
  EXPECT_TRUE(second.open());
}

}  // namespace
}  // namespace forekey::testing

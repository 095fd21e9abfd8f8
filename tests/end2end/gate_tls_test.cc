// SPDX-License-Identifier: Apache-2.0
// Certificates replaced while the gate runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "examples/echo_services.h"
#include "src/base/clock.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "tests/end2end/echo_calls.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

const std::string kSay = MethodOf(Kind::kUnary);

TEST(GateTlsTest, NewConnectionsSeeTheNewCertificateAndOldOnesGoOnForADay) {
  FakeClock clock(absl::Now());
  example::SyncEcho echo;
  GatedWorld world({.clock = &clock});
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  SoftwareClient before = world.Enrol("before", world.NewChannel());
  ASSERT_TRUE(Call(before.channel(), {.prefixes = {Must(before.DevicePrefix(kSay), "prefix")}})
                  .status.ok());
  const std::string old_binding = world.channel_binding();

  world.ReplaceCertificate();
  ASSERT_TRUE(world.gate().Reload().ok());
  ASSERT_NE(world.channel_binding(), old_binding);

  // The new channel trusts the new certificate alone.
  SoftwareClient after = world.Enrol("after", world.NewChannel());
  EchoResult fresh =
      Call(after.channel(), {.prefixes = {Must(after.DevicePrefix(kSay), "prefix")}});
  EXPECT_TRUE(fresh.status.ok()) << fresh.status.error_message();
  // The old connection lives, and what it saw is accepted for a day.
  EchoResult old =
      Call(before.channel(), {.prefixes = {Must(before.DevicePrefix(kSay), "prefix")}});
  EXPECT_TRUE(old.status.ok()) << old.status.error_message();

  clock.Advance(absl::Hours(25));
  EchoResult late =
      Call(before.channel(), {.prefixes = {Must(before.DevicePrefix(kSay), "prefix")}});
  EXPECT_EQ(late.status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(world.AuditOf(late.status).reason, Reason::kChannelBindingUnknown);
  EXPECT_TRUE(
      Call(after.channel(), {.prefixes = {Must(after.DevicePrefix(kSay), "prefix")}}).status.ok());
}

TEST(GateTlsTest, AHalfReplacedPairChangesNothing) {
  example::SyncEcho echo;
  GatedWorld world;
  world.Start([&](grpc::ServerBuilder& builder) { builder.RegisterService(&echo); });
  const std::string old_certificate = *ReadFile(world.directory() + "/cert.pem");
  world.ReplaceCertificate();
  const std::string new_certificate = *ReadFile(world.directory() + "/cert.pem");
  ASSERT_TRUE(WriteFileAtomically(world.directory() + "/cert.pem", old_certificate).ok());

  // Now the key is new and the certificate old.
  const absl::Status reloaded = world.gate().Reload();
  EXPECT_THAT(std::string(reloaded.message()), ::testing::HasSubstr("is not the key of"));
  EXPECT_EQ(Call(world.NewChannel(), {}).status.error_code(), grpc::StatusCode::UNAUTHENTICATED)
      << "connections with the old certificate must go on";

  ASSERT_TRUE(WriteFileAtomically(world.directory() + "/cert.pem", new_certificate).ok());
  ASSERT_TRUE(world.gate().Reload().ok());
  SoftwareClient alice = world.Enrol("alice", world.NewChannel());
  EXPECT_TRUE(
      Call(alice.channel(), {.prefixes = {Must(alice.DevicePrefix(kSay), "prefix")}}).status.ok());
}

TEST(GateTlsTest, AUnreadableKeySaysSoAndTheOldOneGoesOn) {
  GatedWorld world;
  world.Start([](grpc::ServerBuilder&) {});
  auto channel = world.NewChannel();
  ASSERT_EQ(unlink((world.directory() + "/key.pem").c_str()), 0);
  EXPECT_THAT(std::string(world.gate().Reload().message()), ::testing::HasSubstr("key.pem"));
  EXPECT_EQ(Call(channel, {}).status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

}  // namespace
}  // namespace forekey::testing

// SPDX-License-Identifier: Apache-2.0
// The per-call path allocates nothing where its headers say so.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "src/crypto/digest.h"
#include "src/wire/prefix.h"
#include "src/wire/statement.h"
#include "tests/unit/wire/counting_new.h"

namespace forekey {
namespace {

template <typename Function>
int AllocationsOf(Function function) {
  const int before = testing::AllocationsOfThisThread();
  function();
  return testing::AllocationsOfThisThread() - before;
}

TEST(AllocationTest, CountsAtAll) {
  EXPECT_EQ(AllocationsOf([] { delete new std::string(100, 'x'); }), 2);
}

TEST(AllocationTest, ASessionProofIsReadAndCheckedWithoutAny) {
  const std::string id(16, 'I'), binding(32, 'B'), digest(32, 'D');
  const HmacSha256 key("key");
  CallMacInput input{.session_id = id,
                     .sequence = 7,
                     .age_s = 9,
                     .method = "/a.B/C",
                     .channel_binding = binding,
                     .request_digest = digest};
  const std::string mac = ComputeCallMac(key, input);
  const std::string bytes = SerializePrefix(SessionProofView{
      .session_id = id, .sequence = 7, .age_s = 9, .mac = mac, .request_digest = digest});
  bool matched = false;
  EXPECT_EQ(AllocationsOf([&] {
              auto prefix = Prefix::Parse(bytes);
              if (!prefix.ok() || !IsWellFormedMethod(input.method)) return;
              matched = CallMacMatches(key, input, prefix->session()->mac);
            }),
            0);
  EXPECT_TRUE(matched);
}

TEST(AllocationTest, ADeviceProofIsReadWithoutAny) {
  DeviceProofView proof;
  const std::string challenge(64, 'C'), binding(32, 'B');
  const std::vector<std::string> ids = {std::string(32, '1'), std::string(32, '2'),
                                        std::string(32, '3')};
  proof.challenge = challenge;
  proof.channel_binding = binding;
  for (const std::string& id : ids) {
    proof.assertions.push_back({.credential_id = id, .signature = "signature"});
  }
  const std::string bytes = SerializePrefix(proof);
  bool read = false;
  EXPECT_EQ(AllocationsOf([&] { read = Prefix::Parse(bytes).ok(); }), 0);
  EXPECT_TRUE(read);
}

}  // namespace
}  // namespace forekey

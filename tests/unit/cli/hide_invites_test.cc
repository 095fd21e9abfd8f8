// SPDX-License-Identifier: Apache-2.0
#include "src/cli/client/hide_invites.h"

#include <gtest/gtest.h>

#include <string>

namespace forekey {
namespace {

TEST(HideInvitesTest, NoInviteStaysInTheProcessList) {
  std::string program = "forekey", enroll = "enroll", link = "forekey-invite:c2VjcmV0",
              file = "@invite.txt";
  char* argv[] = {program.data(), enroll.data(), link.data(), file.data(), nullptr};
  HideInvites(4, argv);
  EXPECT_EQ(link, "forekey-invite:********");
  EXPECT_EQ(enroll, "enroll");
  EXPECT_EQ(file, "@invite.txt");
}

}  // namespace
}  // namespace forekey

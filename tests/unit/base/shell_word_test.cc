// SPDX-License-Identifier: Apache-2.0
#include "src/base/shell_word.h"

#include <gtest/gtest.h>

namespace forekey {
namespace {

TEST(ShellWordTest, WhatAShellWouldReadStaysOneWord) {
  EXPECT_EQ(ShellWord("gate.example:443"), "gate.example:443");
  EXPECT_EQ(ShellWord("/etc/forekey/trust"), "/etc/forekey/trust");
  EXPECT_EQ(ShellWord(""), "''");
  EXPECT_EQ(ShellWord("a;reboot"), "'a;reboot'");
  EXPECT_EQ(ShellWord("$(reboot)"), "'$(reboot)'");
  EXPECT_EQ(ShellWord("it's"), "'it'\\''s'");
}

}  // namespace
}  // namespace forekey

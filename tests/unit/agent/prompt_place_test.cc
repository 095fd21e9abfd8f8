// SPDX-License-Identifier: Apache-2.0
#include "src/agent/prompt_place.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace forekey {
namespace {

std::string Environment(std::initializer_list<const char*> entries) {
  std::string all;
  for (const char* entry : entries) all.append(entry).push_back('\0');
  return all;
}

TEST(PromptPlaceTest, ComesFromTheEnvironmentAndTheTerminal) {
  const PromptPlace place =
      PlaceFrom(Environment({"HOME=/home/ada", "DISPLAY=:0", "XAUTHORITY=/run/x",
                             "WAYLAND_DISPLAY=wayland-0", "TERM=xterm", "DISPLAY=:1"}),
                "/dev/pts/3");
  EXPECT_EQ(place.display, ":0") << "the first counts, as for getenv()";
  EXPECT_EQ(place.xauthority, "/run/x");
  EXPECT_EQ(place.wayland_display, "wayland-0");
  EXPECT_EQ(place.tty, "/dev/pts/3");
  EXPECT_EQ(place.term, "xterm");
}

TEST(PromptPlaceTest, WhatIsNotUsableIsPassedOver) {
  const std::string lengthy = "DISPLAY=" + std::string(1000, 'x');
  EXPECT_TRUE(
      PlaceFrom(Environment({lengthy.c_str(), "XAUTHORITY=/run/x", "TERM=xterm"}), "").empty());
  EXPECT_TRUE(PlaceFrom(Environment({"DISPLAY=:0\nOPTION evil", "NODISPLAY=:0"}), "").empty());
  EXPECT_TRUE(PlaceFrom("DISPLAY", "").empty());
  EXPECT_TRUE(PlaceFrom("", "").empty());
  EXPECT_EQ(PlaceFrom(Environment({"TERM=xterm"}), "").term, "") << "it is of no terminal";
}

TEST(PromptPlaceTest, ATerminalWithoutACursorIsNoneToAskAt) {
  EXPECT_TRUE(PlaceFrom(Environment({"TERM=dumb"}), "/dev/pts/3").empty());
  const PromptPlace in_emacs = PlaceFrom(Environment({"TERM=dumb", "DISPLAY=:0"}), "/dev/pts/3");
  EXPECT_EQ(in_emacs.display, ":0");
  EXPECT_EQ(in_emacs.tty, "");
}

TEST(PromptPlaceTest, ItsCharactersAreThoseOfTheStrongestVariable) {
  EXPECT_EQ(PlaceFrom(Environment({"LANG=a", "LC_CTYPE=b", "LC_ALL=c"}), "").characters, "c");
  EXPECT_EQ(PlaceFrom(Environment({"LANG=a", "LC_CTYPE=b", "LC_ALL="}), "").characters, "b");
  EXPECT_EQ(PlaceFrom(Environment({"LANG=a"}), "").characters, "a");
  for (const char* none : {"", "C", "POSIX", "xx_NO.such"}) {
    EXPECT_EQ(CharactersAt({.characters = none}), "C.UTF-8") << none;
  }
  EXPECT_EQ(CharactersAt({.characters = "C.utf8"}), "C.utf8") << "this machine has it";
}

TEST(PromptPlaceTest, IsReadFromARunningProcess) {
  int ready[2], stay[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(stay), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ready[1], STDOUT_FILENO);
    dup2(stay[0], STDIN_FILENO);
    for (int fd : {ready[0], ready[1], stay[0], stay[1]}) close(fd);
    execle("/bin/sh", "sh", "-c", "echo there; read answer", nullptr,
           std::initializer_list<const char*>{"DISPLAY=:42", nullptr}.begin());
    _exit(1);
  }
  close(ready[1]);
  close(stay[0]);
  char line[16];
  ASSERT_GT(read(ready[0], line, sizeof(line)), 0);
  EXPECT_EQ(PlaceOf(child).display, ":42");
  close(stay[1]);
  close(ready[0]);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(PlaceOf(child).empty()) << "it is gone";
  EXPECT_TRUE(PlaceOf(0).empty());
}

}  // namespace
}  // namespace forekey

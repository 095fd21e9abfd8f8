// SPDX-License-Identifier: Apache-2.0
#include "src/agent/child_program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"

namespace forekey {
namespace {

std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

int StartChild(ChildProgram program, pid_t* pid) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  const absl::Cleanup destroy = [&] {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  };
  if (program.in >= 0) {
    posix_spawn_file_actions_adddup2(&files, program.in, STDIN_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  if (program.out >= 0) posix_spawn_file_actions_adddup2(&files, program.out, STDOUT_FILENO);
  if (program.err >= 0) posix_spawn_file_actions_adddup2(&files, program.err, STDERR_FILENO);
  posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);

  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (program.own_group) flags |= POSIX_SPAWN_SETPGROUP;  // of the number 0: its own
  posix_spawnattr_setflags(&attributes, flags);
  return posix_spawnp(pid, program.arguments.front().c_str(), &files, &attributes,
                      Pointers(program.arguments).data(), Pointers(program.environment).data());
}

}  // namespace forekey

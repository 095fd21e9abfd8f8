// SPDX-License-Identifier: Apache-2.0
// A program that the agent starts: a pinentry, an ID token command.
#ifndef FOREKEY_SRC_AGENT_CHILD_PROGRAM_H_
#define FOREKEY_SRC_AGENT_CHILD_PROGRAM_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace forekey {

struct ChildProgram {
  std::vector<std::string> arguments;  // the first: a path, or a name to look for in PATH
  std::vector<std::string> environment;
  int in = -1, out = -1,
      err = -1;            // become its standard ones; -1: /dev/null, this one's, this one's
  bool own_group = false;  // it leads a process group
};

// 0, or an errno. It has its standard descriptors and no others (libraries open devices without
// O_CLOEXEC, and what a program leaves behind would keep them); and no signal is blocked or ignored
// that the agent blocks or ignores, and a program expects to have.
int StartChild(ChildProgram program, pid_t* pid);

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_CHILD_PROGRAM_H_

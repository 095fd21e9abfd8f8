// SPDX-License-Identifier: Apache-2.0
// An invite is a secret, and what a process was started with is everybody's to read on its machine.
#ifndef FOREKEY_SRC_CLI_CLIENT_HIDE_INVITES_H_
#define FOREKEY_SRC_CLI_CLIENT_HIDE_INVITES_H_

namespace forekey {

// Overwrites what stands behind "forekey-invite:" in each argument: what reads the process list
// from then on does not see it. Whoever needs the arguments copies them before.
void HideInvites(int argc, char** argv);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_CLIENT_HIDE_INVITES_H_

// SPDX-License-Identifier: Apache-2.0
// Notes the heads of the audit log's chain in a file that lies elsewhere ([audit] heads_file). That
// may be a mount whose server is gone, where open(2) and write(2) come back late or never: so a
// thread of its own writes, and nobody waits for it for longer than `patience`.
#ifndef FOREKEY_SRC_GATE_AUDIT_HEADS_FILE_H_
#define FOREKEY_SRC_GATE_AUDIT_HEADS_FILE_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/gate/audit/audit_chain.h"

namespace forekey {

// Safe from any thread.
class HeadsFile {
 public:
  HeadsFile(std::string path, absl::Duration patience, AppendToFile append);
  // A thread that is held up is left to itself: it ends when the file answers, or the process ends.
  ~HeadsFile();
  HeadsFile(const HeadsFile&) = delete;
  HeadsFile& operator=(const HeadsFile&) = delete;

  // OK: it was written, or was the last one that was. Unavailable: the file does not answer; as
  // long as it does not, the next ones fail at once.
  absl::Status Note(const AuditHead& head);

 private:
  struct State;  // shared with the thread, which may outlive this
  static void Run(State& state);

  const absl::Duration patience_;
  const std::shared_ptr<State> state_;
  std::thread writer_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_AUDIT_HEADS_FILE_H_

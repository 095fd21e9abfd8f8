// SPDX-License-Identifier: Apache-2.0
// When files that are in use are read again: once they are others than those in use and have
// stayed the same from one look to the next. A reading that came to nothing (a full disk, a file
// that can't be opened yet) is tried again, after one look, two, four and so on, until what is in
// use is what is there.
#ifndef FOREKEY_SRC_BASE_REREAD_H_
#define FOREKEY_SRC_BASE_REREAD_H_

#include <string>

#include "absl/strings/string_view.h"

namespace forekey {

// Signatures are those of FileSignature(), or made of several. Not safe from several threads.
class Reread {
 public:
  // Between two tries of the same files, in looks.
  static constexpr int kMostLooks = 32;

  // What is in use now was read when the files looked like this. The signature is taken before
  // they are read, so that a later change is seen as one.
  void Use(std::string signature);
  // Called once a second or so, with what the files look like now. True: read them.
  bool Due(const std::string& now);
  // The reading that Due() asked for came to nothing. True where people have not been told yet:
  // other files, or another message.
  bool Failed(absl::string_view message);

 private:
  std::string in_use_;
  std::string seen_;     // at the last look
  std::string tried_;    // at the last look that was true
  std::string message_;  // that `tried_` failed with
  int pause_ = 0;        // after the last try, in looks
  int looks_left_ = 0;   // until the next one
};

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_REREAD_H_

// SPDX-License-Identifier: Apache-2.0
// Answers programs in front of services (nginx, HAProxy, Caddy, Envoy) that ask about each call
// before they route it. A front is known by a secret; who has no secret is told nothing and uses up
// no proof.
//
// Nobody waits for a registry on a thread that others need: a question that may have to ask one (a
// proof by a device, and not by a session, over a registry in PostgreSQL) is judged by threads of
// the judge's own, and one address fills only a part of what waits for them. Who comes by a front
// that names no address shares a part with all others of whom none is known, and there it is one
// credential that fills only so much, as far as it was admitted lately: whoever asks may claim any.
// So those that were not share what is theirs, and who knows many that were can still fill that
// part. What is refused before the registry is asked takes no place.
//
// What the gate can't do by a front: end calls that live, end connections, see who connects unless
// the front says so. docs/FRONTS.md tells it to operators.
#ifndef FOREKEY_SRC_GATE_FRONT_FRONT_JUDGE_H_
#define FOREKEY_SRC_GATE_FRONT_FRONT_JUDGE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/base/reason.h"
#include "src/base/secret.h"
#include "src/gate/caller/caller_token.h"
#include "src/gate/grpc/worker.h"
#include "src/gate/limits/host_places.h"
#include "src/gate/limits/lately_seen.h"
#include "src/gate/service/gate_core.h"

namespace forekey {

inline constexpr absl::string_view kFrontSecretHeader = "x-forekey-secret";
inline constexpr size_t kLeastFrontSecret = 16;

struct FrontQuestion {
  std::string method;                 // the raw :path, query and all
  std::vector<std::string> prefixes;  // each value of forekey-prefix-bin as it came: base64
  std::string peer;                   // a numeric address, or empty
  std::string upstream;               // the token's audience; none: nobody is admitted
};

struct FrontAnswer {
  absl::Status status;  // public: what the caller is told
  HeaderList caller;    // of an admitted call; empty for an exempt method
  bool exempt = false;
};

// The values of one header, which fronts also join by commas, as prefixes.
void AddPrefixes(absl::string_view value, std::vector<std::string>& prefixes);
// "ipv4:192.0.2.1:0", as gRPC writes it; "front" for what is no numeric address.
std::string FrontPeer(absl::string_view address);
// As grpc-message has it: what is not printable, and '%', percent-encoded.
std::string GrpcMessage(absl::string_view text);

// A file that nobody else may read; spaces around its text are not part of it. Errors say what to
// do.
absl::StatusOr<Secret> ReadFrontSecret(const std::string& path);

// Safe from any thread.
class FrontJudge {
 public:
  using Told = std::function<void(FrontAnswer)>;
  // Questions that wait or are judged later: so many at once, so many of one address that the front
  // names. Where it names none, so many in all: of them so many by one credential that was admitted
  // lately, and so many by all others.
  static constexpr size_t kMostLater = 512, kMostLaterOfOneAddress = 128;
  static constexpr size_t kMostLaterUnnamed = 256;
  static constexpr size_t kMostLaterByOneCredential = 32, kMostLaterByStrangers = 128;

  // Reads the secret. Both are borrowed.
  static absl::StatusOr<std::unique_ptr<FrontJudge>> New(GateCore* core, CallerTokens* tokens);
  ~FrontJudge() { Stop(); }

  bool Knows(absl::string_view secret) const;
  // `told` is called once: before this returns where nothing can wait, else by a thread of this.
  void Ask(FrontQuestion question, const Told& told);
  // Reads the secret again. On an error the old one stays.
  absl::Status Reload();
  // Returns when all who wait were told; who would have to wait is refused from here on. To be
  // called before what `told` needs goes away.
  void Stop();

 private:
  struct Asked;
  FrontJudge(GateCore* core, CallerTokens* tokens);
  FrontAnswer Judge(const Asked& asked);
  FrontAnswer JudgeInTime(const Asked& asked);
  FrontAnswer Refused(const Asked& asked, Reason reason, absl::string_view why);
  // Whether it may come to the registry; then whose it says it is, too.
  bool MayWait(Asked& asked) const;
  // Null: there is none. It is given back where the last pointer to it goes.
  std::shared_ptr<void> TakePlace(const Asked& asked);
  // False: there is no place.
  bool JudgeLater(const std::shared_ptr<Asked>& asked, const Told& told);

  GateCore& core_;
  CallerTokens& tokens_;
  const bool registry_may_wait_;
  mutable absl::Mutex mutex_;
  Secret secret_ ABSL_GUARDED_BY(mutex_);
  // Null where no question can wait. Who comes unnamed waits in a queue of its own: strangers stand
  // in front of nobody whom a front names.
  std::unique_ptr<Worker> later_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Worker> later_unnamed_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  HostPlaces places_{kMostLater, kMostLaterOfOneAddress};
  // Where the front names no address: all together, and its parts.
  HostPlaces unnamed_{kMostLaterUnnamed, kMostLaterUnnamed};
  HostPlaces by_credential_{kMostLaterUnnamed, kMostLaterByOneCredential};
  HostPlaces by_strangers_{kMostLaterByStrangers, kMostLaterByStrangers};
  LatelySeen admitted_;  // credentials
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_FRONT_FRONT_JUDGE_H_

// SPDX-License-Identifier: Apache-2.0
#include "src/gate/front/front_judge.h"

#include <arpa/inet.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/gate/grpc/caller_info.h"
#include "src/gate/limits/host_buckets.h"
#include "src/wire/prefix.h"

namespace forekey {
namespace {

constexpr absl::string_view kOwnMethods = "/forekey.v1.";
// Of one more than one the gate needs to know no more than that.
constexpr size_t kMostPrefixes = 2;

// As it is written where a caller's address is not known.
constexpr char kUnnamedPeer[] = "front";
constexpr size_t kJudgingThreads = 8;
// Who waited for longer than this is refused unheard: the registry is too slow for all who ask, and
// a front has given up by then.
constexpr absl::Duration kLongestWait = absl::Seconds(5);

// gRPC leaves out the padding. What does not decode is a prefix that does not read.
std::string Decode(absl::string_view text) {
  std::string bytes;
  if (!absl::Base64Unescape(text, &bytes)) bytes.clear();
  return bytes;
}

}  // namespace

void AddPrefixes(absl::string_view value, std::vector<std::string>& prefixes) {
  for (absl::string_view one : absl::StrSplit(value, ',')) {
    if (prefixes.size() == kMostPrefixes) return;
    prefixes.emplace_back(absl::StripAsciiWhitespace(one));
  }
}

std::string FrontPeer(absl::string_view address) {
  const std::string text(address);
  in_addr v4;
  in6_addr v6;
  char host[INET6_ADDRSTRLEN];
  // Written anew: what was read may end before `text` does, at a NUL.
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1 &&
      inet_ntop(AF_INET, &v4, host, sizeof(host)) != nullptr) {
    return absl::StrCat("ipv4:", host, ":0");
  }
  if (inet_pton(AF_INET6, text.c_str(), &v6) == 1 &&
      inet_ntop(AF_INET6, &v6, host, sizeof(host)) != nullptr) {
    return absl::StrCat("ipv6:[", host, "]:0");
  }
  return kUnnamedPeer;
}

std::string GrpcMessage(absl::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string safe;
  for (const unsigned char c : text) {
    if (c >= 0x20 && c < 0x7f && c != '%') {
      safe += static_cast<char>(c);
    } else {
      safe += {'%', kHex[c >> 4], kHex[c & 15]};
    }
  }
  return safe;
}

// A question, in the form in which calls are judged.
struct FrontJudge::Asked {
  explicit Asked(FrontQuestion question)
      : method(std::move(question.method)),
        upstream(std::move(question.upstream)),
        peer(FrontPeer(question.peer)) {
    for (const std::string& text : question.prefixes) decoded.push_back(Decode(text));
    prefixes.assign(decoded.begin(), decoded.end());
  }
  Asked(const Asked&) = delete;
  Asked& operator=(const Asked&) = delete;
  CallInput input() const { return {prefixes, method, peer}; }

  const std::string method, upstream, peer;
  std::vector<std::string> decoded;
  std::vector<absl::string_view> prefixes;
  // Of one that is judged later:
  BootTime came;
  std::string credential;  // as the proof says, its first; empty where the front names an address
  std::shared_ptr<void> place;
};

FrontJudge::FrontJudge(GateCore* core, CallerTokens* tokens)
    : core_(*core), tokens_(*tokens), registry_may_wait_(core->RegistryMayWait()) {
  absl::MutexLock lock(&mutex_);
  if (!registry_may_wait_) return;
  later_ = std::make_unique<Worker>(kMostLater, kJudgingThreads);
  later_unnamed_ = std::make_unique<Worker>(kMostLaterUnnamed, kJudgingThreads);
}

absl::StatusOr<std::unique_ptr<FrontJudge>> FrontJudge::New(GateCore* core, CallerTokens* tokens) {
  std::unique_ptr<FrontJudge> made(new FrontJudge(core, tokens));
  FOREKEY_RETURN_IF_ERROR(made->Reload());
  return made;
}

absl::StatusOr<Secret> ReadFrontSecret(const std::string& path) {
  FOREKEY_ASSIGN_OR_RETURN(const std::string text, ReadPrivateFile(path));
  Secret read(std::string(absl::StripAsciiWhitespace(text)));
  if (read.view().size() < kLeastFrontSecret) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": a front's secret has at least ",
                                                   kLeastFrontSecret,
                                                   " characters: openssl rand -hex 32 makes one"));
  }
  return read;
}

absl::Status FrontJudge::Reload() {
  FOREKEY_ASSIGN_OR_RETURN(Secret read, ReadFrontSecret(core_.config().fronts.secret));
  absl::MutexLock lock(&mutex_);
  secret_ = std::move(read);
  return absl::OkStatus();
}

bool FrontJudge::Knows(absl::string_view secret) const {
  absl::MutexLock lock(&mutex_);
  return ConstantTimeEqual(secret, secret_.view());
}

void FrontJudge::Ask(FrontQuestion question, const Told& told) {
  FrontAnswer answer;
  if (absl::StartsWith(question.method, kOwnMethods)) {
    answer.status = absl::UnimplementedError(
        "the gate's own methods go to the gate itself: the front's configuration sends them here");
    return told(std::move(answer));
  }
  // What every service takes as its own, no service should.
  if (question.upstream.empty()) {
    answer.status = absl::InternalError(
        "forekey: the front's configuration does not name the service, for the token's aud");
    return told(std::move(answer));
  }
  const auto asked = std::make_shared<Asked>(std::move(question));
  if (!MayWait(*asked)) return told(Judge(*asked));
  if (JudgeLater(asked, told)) return;
  told(Refused(*asked, Reason::kRateLimited,
               "too many device proofs wait already, in all or of this address (or credential, "
               "where the front names no address)"));
}

bool FrontJudge::MayWait(Asked& asked) const {
  if (!registry_may_wait_ || asked.prefixes.size() != 1 || Prefix::IsOfSession(asked.prefixes[0]) ||
      core_.calls().IsExempt(asked.method)) {
    return false;
  }
  const absl::StatusOr<Prefix> read = Prefix::Parse(asked.prefixes[0]);
  if (!read.ok() || read->device() == nullptr || !core_.IsOfNow(*read->device())) return false;
  if (asked.peer == kUnnamedPeer) {
    asked.credential = std::string(read->device()->assertions[0].credential_id);
  }
  return true;
}

std::shared_ptr<void> FrontJudge::TakePlace(const Asked& asked) {
  struct Place {
    ~Place() {
      for (HostPlaces* places : taken) places->Leave(whose);
    }
    std::string whose;
    std::vector<HostPlaces*> taken;
  };
  const auto place = std::make_shared<Place>();
  std::vector<HostPlaces*> wanted;
  if (asked.peer != kUnnamedPeer) {
    place->whose = HostKey(asked.peer);
    wanted = {&places_};
  } else if (admitted_.Has(asked.credential)) {
    place->whose = asked.credential;
    wanted = {&by_credential_, &unnamed_};
  } else {
    wanted = {&by_strangers_, &unnamed_};
  }
  for (HostPlaces* places : wanted) {
    if (!places->Enter(place->whose)) return nullptr;
    place->taken.push_back(places);
  }
  return place;
}

bool FrontJudge::JudgeLater(const std::shared_ptr<Asked>& asked, const Told& told) {
  asked->place = TakePlace(*asked);
  if (asked->place == nullptr) return false;
  asked->came = core_.clock().BootNow();
  absl::MutexLock lock(&mutex_);
  Worker* const queue = asked->peer == kUnnamedPeer ? later_unnamed_.get() : later_.get();
  const bool taken = queue != nullptr && queue->Submit([this, asked, told] {
    FrontAnswer answer = JudgeInTime(*asked);
    asked->place.reset();  // before it is told, since who is told may come again at once
    if (answer.status.ok() && !asked->credential.empty()) admitted_.Add(asked->credential);
    told(std::move(answer));
  });
  if (!taken) asked->place.reset();
  return taken;
}

FrontAnswer FrontJudge::JudgeInTime(const Asked& asked) {
  const absl::Duration waited = core_.clock().BootNow() - asked.came;
  bool heard = waited <= kLongestWait;
  {
    absl::MutexLock lock(&mutex_);
    heard = heard && !stopping_;
  }
  if (heard) return Judge(asked);
  return Refused(asked, Reason::kStoreUnavailable,
                 absl::StrCat("the proof waited for ", absl::FormatDuration(waited),
                              " to be judged: the registry is too slow for all who ask, or the "
                              "gate ends"));
}

FrontAnswer FrontJudge::Refused(const Asked& asked, Reason reason, absl::string_view why) {
  FrontAnswer answer;
  answer.status = core_.refusals().Tell(Refuse(reason, why), asked.method, asked.peer);
  return answer;
}

FrontAnswer FrontJudge::Judge(const Asked& asked) {
  const Judgement judgement = core_.calls().Judge(asked.input());
  FrontAnswer answer;
  answer.status = judgement.status;
  answer.exempt = judgement.exempt;
  if (!judgement.status.ok() || judgement.exempt) return answer;
  if (!judgement.call.has_value()) {
    answer.status = absl::InternalError("forekey: no verdict");
    return answer;
  }
  answer.caller = tokens_.Describe(CallerInfoOf(*judgement.call), asked.method, asked.upstream);
  return answer;
}

void FrontJudge::Stop() {
  std::unique_ptr<Worker> last, last_unnamed;
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
  last = std::move(later_);
  last_unnamed = std::move(later_unnamed_);
  // They run what is queued, which refuses, after the lock is gone.
}

}  // namespace forekey

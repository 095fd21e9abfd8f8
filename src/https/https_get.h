// SPDX-License-Identifier: Apache-2.0
// One document of another server, over HTTPS, bounded in every way: what the gate asks an identity
// provider for its keys with, and what `forekey trust fetch` gets lists of CAs by. Blocks: never on
// a thread that serves calls.
#ifndef FOREKEY_SRC_HTTPS_HTTPS_GET_H_
#define FOREKEY_SRC_HTTPS_HTTPS_GET_H_

#include <atomic>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace forekey {

struct HttpsGetOptions {
  std::string url;                             // https://...
  std::string ca_file;                         // PEM; empty: the system's trust anchors
  absl::Duration timeout = absl::Seconds(10);  // of all of it: name, TLS, answer
  size_t max_size = 256 * 1024;                // of the answer's body, in bytes
  // Redirects that are followed, to https alone; 0: none is. For those who know the address that
  // is published, and not the one behind it.
  int redirects = 0;
};

struct HttpsAnswer {
  std::string body;
  std::optional<absl::Duration> max_age;  // MaxAgeOf() its Cache-Control
};

// RFC 9111, section 5.2.2: how long an answer with this Cache-Control may be kept; zero where it
// may not be used without asking again, nullopt where it does not say.
std::optional<absl::Duration> MaxAgeOf(absl::string_view cache_control);

// An answer 200. Unavailable, with what was tried and what came back, for all else: another status
// (redirects included, beyond those that are followed), a certificate that does not verify or is
// not for the name, TLS before 1.2, another protocol, an answer that is too large or too slow.
// Proxies of the environment are not used, nothing is kept between calls. `stop`: when it becomes
// true the call ends within a second.
absl::StatusOr<HttpsAnswer> HttpsGet(const HttpsGetOptions& options, const std::atomic<bool>& stop);

}  // namespace forekey

#endif  // FOREKEY_SRC_HTTPS_HTTPS_GET_H_

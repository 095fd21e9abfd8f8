// SPDX-License-Identifier: Apache-2.0
// A host's addresses, from a name service that may take its time: getaddrinfo(3) can't be
// cancelled.
#ifndef FOREKEY_SRC_CLIENT_NAME_LOOKUP_H_
#define FOREKEY_SRC_CLIENT_NAME_LOOKUP_H_

#include <netdb.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "src/base/deadline.h"

namespace forekey {

struct FreeAddresses {
  void operator()(addrinfo* addresses) const { freeaddrinfo(addresses); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

// As getaddrinfo(3).
using Resolver = std::function<int(const char*, const char*, const addrinfo*, addrinfo**)>;

// The addresses of stream sockets at `host` and `port`, until `deadline`. NotFound, with what the
// name service said; DeadlineExceeded: a thread waits on for its answer. Of those there are at most
// four in a process; further names are not asked for then, which is DeadlineExceeded at once.
absl::StatusOr<Addresses> LookUpName(const std::string& host, const std::string& port,
                                     const Deadline& deadline, Resolver resolver = getaddrinfo);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_NAME_LOOKUP_H_

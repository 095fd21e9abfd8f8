// SPDX-License-Identifier: Apache-2.0
// A TLS identity for a test's server.
#ifndef FOREKEY_TESTS_UNIT_CLIENT_FAKES_TLS_H_
#define FOREKEY_TESTS_UNIT_CLIENT_FAKES_TLS_H_

#include <string>

#include "absl/time/time.h"

namespace forekey::testing {

struct TlsIdentity {
  std::string certificate_pem;  // signs itself: leaf and trust anchor in one
  std::string certificate_der;
  std::string key_pem;
};

// For "localhost" and 127.0.0.1, or for `dns_name` alone.
// Valid from and until so long from now.
TlsIdentity MakeTlsIdentity(const std::string& dns_name = "", absl::Duration from = -absl::Hours(1),
                            absl::Duration until = absl::Hours(24));

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_UNIT_CLIENT_FAKES_TLS_H_

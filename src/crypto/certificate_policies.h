// SPDX-License-Identifier: Apache-2.0
// Certificate policies along a path: RFC 5280 §6.1.2 to §6.1.5, with every policy acceptable to the
// user and all initial indicators off. For certificate_path.cc.
//
// The valid policy tree is kept as its lowest level, which is all that tells whether it is empty.
// Qualifiers are not looked at.
#ifndef FOREKEY_SRC_CRYPTO_CERTIFICATE_POLICIES_H_
#define FOREKEY_SRC_CRYPTO_CERTIFICATE_POLICIES_H_

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace forekey {

class Certificate;

struct PathPolicies {
  // The policies that hold from the anchor to the leaf, dotted, without anyPolicy. A policy that
  // the leaf has by anyPolicy alone is here, too, where a CA above it names it.
  std::set<std::string> named;
  // A CA below the anchor maps policies, so that a policy in `named` may be one that the anchor
  // knows by another name, or does not know.
  bool mapped = false;
};

// `path`: leaf first, without the anchor; one certificate at least. policyConstraints,
// inhibitAnyPolicy and policyMappings count whether they are critical or not. Refuses with
// kCertificatePolicy where a policy is required and none holds, or anyPolicy is mapped; where one
// of the three extensions does not parse with kCertificateCriticalExtension (a critical one) or
// kCertificatePolicy. A certificatePolicies that does not parse names no policy.
absl::StatusOr<PathPolicies> FindPathPolicies(absl::Span<const Certificate* const> path);

}  // namespace forekey

#endif  // FOREKEY_SRC_CRYPTO_CERTIFICATE_POLICIES_H_

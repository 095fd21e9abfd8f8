// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/certificate_policies.h"

#include <openssl/err.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"

namespace forekey {
namespace {

using PolicyConstraintsPtr =
    std::unique_ptr<POLICY_CONSTRAINTS, OpenSslFree<POLICY_CONSTRAINTS_free>>;
using Asn1IntegerPtr = std::unique_ptr<ASN1_INTEGER, OpenSslFree<ASN1_INTEGER_free>>;

struct PolicyMappingsFree {
  void operator()(POLICY_MAPPINGS* mappings) const {
    sk_POLICY_MAPPING_pop_free(mappings, POLICY_MAPPING_free);
  }
};
using PolicyMappingsPtr = std::unique_ptr<POLICY_MAPPINGS, PolicyMappingsFree>;

constexpr absl::string_view kPolicyMappingsOid = "2.5.29.33";
constexpr absl::string_view kPolicyConstraintsOid = "2.5.29.36";
constexpr absl::string_view kInhibitAnyPolicyOid = "2.5.29.54";
constexpr absl::string_view kAnyPolicyOid = "2.5.29.32.0";

// One certificate's word on policies. Counts are of certificates to be skipped; absent: no word.
struct PolicyWord {
  std::optional<uint64_t> require_explicit, inhibit_mapping, inhibit_any;
  std::vector<std::pair<std::string, std::string>> mappings;  // issuer's policy, subject's
};

std::string PolicyOid(const ASN1_OBJECT* object) {
  char text[128];
  const int size = OBJ_obj2txt(text, sizeof(text), object, 1);
  return size > 0 && size < static_cast<int>(sizeof(text)) ? text : "";
}

absl::Status MalformedPolicies(const Certificate& certificate, absl::string_view oid) {
  return Refuse(certificate.ExtensionIsCritical(oid) ? Reason::kCertificateCriticalExtension
                                                     : Reason::kCertificatePolicy,
                absl::StrCat("malformed ", oid, " in \"", certificate.SubjectText(), "\""));
}

// False: not SkipCerts ::= INTEGER (0..MAX). A number beyond 64 bits skips every path.
bool ReadSkip(const ASN1_INTEGER* value, std::optional<uint64_t>* skip) {
  if (value == nullptr) return true;
  if (ASN1_STRING_type(value) == V_ASN1_NEG_INTEGER) return false;
  uint64_t number = std::numeric_limits<uint64_t>::max();
  if (ASN1_INTEGER_get_uint64(&number, value) != 1) number = std::numeric_limits<uint64_t>::max();
  ERR_clear_error();
  *skip = number;
  return true;
}

absl::StatusOr<PolicyWord> ReadPolicyWord(const Certificate& certificate) {
  PolicyWord word;
  const auto extension = [&certificate](int nid) {
    void* value = X509_get_ext_d2i(certificate.x509(), nid, nullptr, nullptr);
    ERR_clear_error();
    return value;
  };
  if (certificate.Extension(kPolicyConstraintsOid)) {
    const PolicyConstraintsPtr constraints(
        static_cast<POLICY_CONSTRAINTS*>(extension(NID_policy_constraints)));
    if (constraints == nullptr ||
        !ReadSkip(constraints->requireExplicitPolicy, &word.require_explicit) ||
        !ReadSkip(constraints->inhibitPolicyMapping, &word.inhibit_mapping)) {
      return MalformedPolicies(certificate, kPolicyConstraintsOid);
    }
  }
  if (certificate.Extension(kInhibitAnyPolicyOid)) {
    const Asn1IntegerPtr skip(static_cast<ASN1_INTEGER*>(extension(NID_inhibit_any_policy)));
    if (skip == nullptr || !ReadSkip(skip.get(), &word.inhibit_any)) {
      return MalformedPolicies(certificate, kInhibitAnyPolicyOid);
    }
  }
  if (certificate.Extension(kPolicyMappingsOid)) {
    const PolicyMappingsPtr mappings(static_cast<POLICY_MAPPINGS*>(extension(NID_policy_mappings)));
    if (mappings == nullptr || sk_POLICY_MAPPING_num(mappings.get()) == 0) {
      return MalformedPolicies(certificate, kPolicyMappingsOid);
    }
    for (int i = 0; i < sk_POLICY_MAPPING_num(mappings.get()); ++i) {
      const POLICY_MAPPING* mapping = sk_POLICY_MAPPING_value(mappings.get(), i);
      word.mappings.emplace_back(PolicyOid(mapping->issuerDomainPolicy),
                                 PolicyOid(mapping->subjectDomainPolicy));
    }
  }
  return word;
}

// §6.1.2 to §6.1.5, one certificate after the other from below the anchor to the leaf. The names of
// the state variables are the RFC's.
class PolicyWalk {
 public:
  explicit PolicyWalk(size_t n)
      : explicit_policy_(n + 1), policy_mapping_(n + 1), inhibit_any_policy_(n + 1) {}

  // §6.1.3 (d) to (f).
  absl::Status Enter(const Certificate& certificate, bool is_leaf) {
    const bool any_counts = inhibit_any_policy_ > 0 || (!is_leaf && certificate.IsSelfIssued());
    std::set<std::string> valid;
    bool any = false;
    for (const std::string& policy : certificate.Policies()) {
      if (policy != kAnyPolicyOid) {
        if (any_ || expected_.count(policy) != 0) valid.insert(policy);
      } else if (any_counts) {
        any = true;
      }
    }
    if (any) valid.insert(expected_.begin(), expected_.end());
    any_ = any_ && any;
    expected_ = std::move(valid);
    return CheckExplicit(certificate);
  }

  // §6.1.4 (a), (b), (h) to (j), for a CA.
  absl::Status Leave(const Certificate& ca, const PolicyWord& word) {
    FOREKEY_RETURN_IF_ERROR(Map(ca, word));
    if (!ca.IsSelfIssued()) {
      for (uint64_t* counter : {&explicit_policy_, &policy_mapping_, &inhibit_any_policy_}) {
        if (*counter > 0) --*counter;
      }
    }
    Lower(word.require_explicit, &explicit_policy_);
    Lower(word.inhibit_mapping, &policy_mapping_);
    Lower(word.inhibit_any, &inhibit_any_policy_);
    return absl::OkStatus();
  }

  // §6.1.5 (a), (b) and (g), for the leaf.
  absl::StatusOr<PathPolicies> Finish(const Certificate& leaf, const PolicyWord& word) {
    if (explicit_policy_ > 0) --explicit_policy_;
    if (word.require_explicit == 0) explicit_policy_ = 0;
    FOREKEY_RETURN_IF_ERROR(CheckExplicit(leaf));
    return PathPolicies{std::move(expected_), mapped_};
  }

 private:
  static void Lower(const std::optional<uint64_t>& to, uint64_t* counter) {
    if (to) *counter = std::min(*counter, *to);
  }

  absl::Status CheckExplicit(const Certificate& certificate) const {
    if (explicit_policy_ > 0 || any_ || !expected_.empty()) return absl::OkStatus();
    return Refuse(Reason::kCertificatePolicy,
                  absl::StrCat("a CA requires a policy, and none holds from the anchor to \"",
                               certificate.SubjectText(), "\""));
  }

  absl::Status Map(const Certificate& ca, const PolicyWord& word) {
    if (word.mappings.empty()) return absl::OkStatus();
    mapped_ = true;
    std::set<std::string> next = expected_;
    for (const auto& [issuers, subjects] : word.mappings) {
      if (issuers == kAnyPolicyOid || subjects == kAnyPolicyOid) {
        return Refuse(Reason::kCertificatePolicy,
                      absl::StrCat("\"", ca.SubjectText(), "\" maps anyPolicy"));
      }
      next.erase(issuers);
    }
    for (const auto& [issuers, subjects] : word.mappings) {
      if (policy_mapping_ > 0 && (any_ || expected_.count(issuers) != 0)) next.insert(subjects);
    }
    expected_ = std::move(next);
    return absl::OkStatus();
  }

  uint64_t explicit_policy_, policy_mapping_, inhibit_any_policy_;
  // The lowest level of the valid_policy_tree: whether it has a node for anyPolicy, and the
  // expected policies of the others. It is NULL when neither is there.
  bool any_ = true;
  std::set<std::string> expected_;
  bool mapped_ = false;
};

}  // namespace

absl::StatusOr<PathPolicies> FindPathPolicies(absl::Span<const Certificate* const> path) {
  PolicyWalk walk(path.size());
  for (size_t i = path.size(); i-- > 1;) {
    FOREKEY_ASSIGN_OR_RETURN(const PolicyWord word, ReadPolicyWord(*path[i]));
    FOREKEY_RETURN_IF_ERROR(walk.Enter(*path[i], /*is_leaf=*/false));
    FOREKEY_RETURN_IF_ERROR(walk.Leave(*path[i], word));
  }
  const Certificate& leaf = *path.front();
  FOREKEY_ASSIGN_OR_RETURN(const PolicyWord word, ReadPolicyWord(leaf));
  FOREKEY_RETURN_IF_ERROR(walk.Enter(leaf, /*is_leaf=*/true));
  return walk.Finish(leaf, word);
}

}  // namespace forekey

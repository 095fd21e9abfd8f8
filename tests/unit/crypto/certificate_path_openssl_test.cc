// SPDX-License-Identifier: Apache-2.0
// Law guarded: VerifyPath and OpenSSL's X509_verify_cert agree on random chains, but for the kinds
// of difference that are named here with their reasons. A difference without a name is a failure.
//
// FOREKEY_PATH_CHAINS=N tries N chains (one takes about a millisecond), FOREKEY_PATH_SEED=S begins
// at another seed. A failure prints the seed of its chain.
#include <gtest/gtest.h>
#include <openssl/x509_vfy.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/crypto/certificate.h"
#include "tests/support/certificate_maker.h"
#include "tests/unit/crypto/random_chain.h"

namespace forekey::testing {
namespace {

constexpr char kPathPurpose[] = "1.3.6.1.5.5.7.3.2";  // clientAuth: one that OpenSSL knows

using StorePtr = std::unique_ptr<X509_STORE, OpenSslFree<X509_STORE_free>>;
using StoreCtxPtr = std::unique_ptr<X509_STORE_CTX, OpenSslFree<X509_STORE_CTX_free>>;

// OpenSSL 3.0 leaks the policyConstraints of a certificate that has no policies
// (ossl_policy_cache_set, which returns too early): what it leaves behind in here is not looked at.
bool Verify(X509_STORE_CTX* context) {
#if defined(__SANITIZE_ADDRESS__)
  const __lsan::ScopedDisabler openssl;
#endif
  return X509_verify_cert(context) == 1;
}

// As OpenSSL parses it by itself: with its key.
X509Ptr Parsed(const Certificate& certificate) {
  const uint8_t* at = U8(absl::string_view(certificate.der()));
  return X509Ptr(d2i_X509(nullptr, &at, static_cast<long>(certificate.der().size())));
}

// X509_V_OK, or why not. `policy`: one that must hold, or -1.
int OpenSslVerdict(const std::vector<Certificate>& certificates, bool purpose, int policy) {
  const StorePtr store(X509_STORE_new());
  std::vector<X509Ptr> parsed;
  for (const Certificate& certificate : certificates) parsed.push_back(Parsed(certificate));
  X509_STORE_add_cert(store.get(), parsed.front().get());
  STACK_OF(X509)* between = sk_X509_new_null();
  for (size_t i = 1; i + 1 < parsed.size(); ++i) sk_X509_push(between, parsed[i].get());
  const StoreCtxPtr context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), parsed.back().get(), between);
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(param, kPathTime);
  X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_POLICY_CHECK);
  if (purpose) X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_CLIENT);
  // Without a word OpenSSL takes no policy for acceptable, and fails where a CA requires one.
  const std::string acceptable = policy < 0 ? "2.5.29.32.0" : absl::StrCat("1.2.", policy);
  X509_VERIFY_PARAM_add0_policy(param, OBJ_txt2obj(acceptable.c_str(), 1));
  if (policy >= 0) X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_EXPLICIT_POLICY);
  const bool good = Verify(context.get());
  const int error = X509_STORE_CTX_get_error(context.get());
  sk_X509_free(between);
  return good ? X509_V_OK : error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : error;
}

bool IsForAnythingBut(const Link& link, const char* purpose) {
  return link.eku == "anyExtendedKeyUsage" && std::string(purpose) != link.eku;
}

// Where OpenSSL accepts and Forekey refuses, with this reason.
struct Stricter {
  const char* name;
  const char* why;
  Reason reason;
  bool (*is)(const Chain&);
};
const Stricter kStricter[] = {
    {"ca without basicConstraints", "OpenSSL takes keyCertSign for cA; RFC 5280 6.1.4 (k) does not",
     Reason::kCertificateNotCa,
     [](const Chain& c) { return c.AnyCa([](const Link& l) { return l.no_constraints; }); }},
    {"critical nameConstraints", "not processed here, so that they refuse",
     Reason::kCertificateCriticalExtension,
     [](const Chain& c) { return c.AnyCa([](const Link& l) { return l.critical_names; }); }},
    {"critical policies of a leaf", "extensions of CAs: critical in a leaf they are not understood",
     Reason::kCertificateCriticalExtension,
     [](const Chain& c) { return c.links.back().critical_policies_of_leaf; }},
    {"sha-1", "no signature but an anchor's own may use it", Reason::kCertificateAlgorithm,
     [](const Chain& c) { return c.Any([](const Link& l) { return l.sha1; }); }},
    {"brainpool", "curves that no vendor uses", Reason::kCertificateAlgorithm,
     [](const Chain& c) { return c.AnyCa([](const Link& l) { return l.brainpool; }); }},
    {"anyPolicy mapped by a ca without policies",
     "RFC 5280 6.1.4 (a) refuses; OpenSSL looks at no mapping where there are no policies",
     Reason::kCertificatePolicy,
     [](const Chain& c) {
       return c.AnyCa([](const Link& l) { return l.maps_any && l.policies.empty(); });
     }},
    {"length", "six certificates unless the caller says otherwise", Reason::kCertificateNotCa,
     [](const Chain& c) { return c.links.size() > 6; }},
};

// Where Forekey accepts and OpenSSL refuses, with this error.
struct Laxer {
  const char* name;
  const char* why;
  std::vector<int> errors;
  bool (*is)(const Chain&);
};
const Laxer kLaxer[] = {
    {"any purpose",
     "anyExtendedKeyUsage is for every purpose (RFC 5280 4.2.1.12); OpenSSL 3.0 asks "
     "for the one by name",
     {X509_V_ERR_INVALID_PURPOSE},
     [](const Chain& c) {
       return c.purpose && c.Any([](const Link& l) { return IsForAnythingBut(l, kPathPurpose); });
     }},
    {"purpose of the anchor",
     "an anchor is a name, a key and a path length",
     {X509_V_ERR_INVALID_PURPOSE},
     [](const Chain& c) { return c.purpose && !c.links.front().eku.empty(); }},
    {"expired anchor",
     "EKs outlive their vendors' roots",
     {X509_V_ERR_CERT_HAS_EXPIRED},
     [](const Chain& c) { return c.links.front().expired; }},
    {"nameConstraints that are not critical",
     "not processed here; RFC 5280 has them critical",
     {X509_V_ERR_PERMITTED_VIOLATION, X509_V_ERR_EXCLUDED_VIOLATION},
     [](const Chain& c) {
       return c.AnyCa([](const Link& l) { return l.names && !l.critical_names; });
     }},
};

uint64_t NumberFromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  uint64_t number = 0;
  return text != nullptr && absl::SimpleAtoi(text, &number) ? number : otherwise;
}

class CertificatePathOpenSslTest : public ::testing::Test {
 protected:
  // The name of the difference; empty for none; nullopt for one without a name.
  static std::optional<std::string> NameOf(const Chain& chain, const absl::Status& ours,
                                           int theirs) {
    if (ours.ok() == (theirs == X509_V_OK)) return "";
    for (const Stricter& one : kStricter) {
      if (!ours.ok() && ReasonOf(ours) == one.reason && one.is(chain)) return one.name;
    }
    for (const Laxer& one : kLaxer) {
      const bool error =
          std::find(one.errors.begin(), one.errors.end(), theirs) != one.errors.end();
      if (ours.ok() && error && one.is(chain)) return one.name;
    }
    return std::nullopt;
  }

  // A policy that holds here holds for OpenSSL.
  void ComparePolicies(const Chain& chain, const std::vector<Certificate>& certificates,
                       const VerifiedPath& path, int policy) {
    const bool ours =
        !path.policies().mapped && path.policies().named.count(absl::StrCat("1.2.", policy)) != 0;
    const int theirs = OpenSslVerdict(certificates, chain.purpose, policy);
    if (theirs == X509_V_OK) {
      // By mappings a policy may hold there; and anyPolicy all along the path names none here.
      const std::vector<int>& leaf = chain.links.back().policies;
      const bool by_any = std::find(leaf.begin(), leaf.end(), kAny) != leaf.end();
      EXPECT_TRUE(ours || path.policies().mapped || by_any) << policy << " " << chain.Text();
      ++seen_[ours ? "policy holds" : "policy by mapping or anyPolicy alone"];
    } else if (theirs == X509_V_ERR_NO_EXPLICIT_POLICY) {
      EXPECT_FALSE(ours) << policy << " " << chain.Text();
      ++seen_["policy does not hold"];
    }
  }

  void TryChain(uint64_t seed) {
    ChainMaker maker(seed);
    const Chain chain = maker.Make();
    std::vector<Certificate> certificates;
    for (const Link& link : chain.links) certificates.push_back(testing::Make(link.spec));
    std::vector<Certificate> intermediates(certificates.begin() + 1, certificates.end() - 1);
    std::shuffle(intermediates.begin(), intermediates.end(), maker.random());
    TrustAnchors anchors;
    anchors.Add(certificates.front());
    PathOptions options;
    options.time = absl::FromTimeT(kPathTime);
    options.understood_critical = {"2.5.29.17", "2.5.29.37"};
    if (chain.purpose) options.purpose = kPathPurpose;
    const auto path = VerifyPath(certificates.back(), intermediates, anchors, options);
    absl::Status ours = path.status();
    if (ours.ok() && chain.purpose && !certificates.back().MayBeFor(kPathPurpose)) {
      ours = Refuse(Reason::kCertificatePurpose);  // the caller's part
    }
    const int theirs = OpenSslVerdict(certificates, chain.purpose, /*policy=*/-1);
    const auto name = NameOf(chain, ours, theirs);
    ++seen_[name && name->empty() ? (ours.ok() ? "both accept" : "both refuse")
                                  : name.value_or("unnamed")];
    EXPECT_TRUE(name) << "seed " << seed << ": " << ours
                      << "; OpenSSL: " << X509_verify_cert_error_string(theirs) << "\n"
                      << chain.Text();
    if (ours.ok() && theirs == X509_V_OK) {
      SCOPED_TRACE(absl::StrCat("seed ", seed));
      ComparePolicies(chain, certificates, *path, 1 + static_cast<int>(seed % 3));
    }
  }

  std::map<std::string, int> seen_;
};

TEST_F(CertificatePathOpenSslTest, AgreesWithOpenSslButForNamedDifferences) {
  const uint64_t first = NumberFromEnvironment("FOREKEY_PATH_SEED", 1);
  const uint64_t count = NumberFromEnvironment("FOREKEY_PATH_CHAINS", 1500);
  for (uint64_t seed = first; seed < first + count; ++seed) {
    TryChain(seed);
    if (HasFailure()) break;  // one is enough to read
  }
  std::printf("seeds %llu to %llu:\n", static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(first + count - 1));
  for (const auto& [name, times] : seen_) std::printf("  %6d %s\n", times, name.c_str());
  if (HasFailure()) return;
  EXPECT_GT(seen_["both accept"], 0);
  EXPECT_GT(seen_["both refuse"], 0);
  EXPECT_GT(seen_["policy does not hold"], 0);
}

}  // namespace
}  // namespace forekey::testing

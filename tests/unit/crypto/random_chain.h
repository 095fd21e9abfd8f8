// SPDX-License-Identifier: Apache-2.0
// Chains of certificates drawn at random, of what CAs say and of what they had better not say.
#ifndef FOREKEY_TESTS_UNIT_CRYPTO_RANDOM_CHAIN_H_
#define FOREKEY_TESTS_UNIT_CRYPTO_RANDOM_CHAIN_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/support/certificate_maker.h"

namespace forekey::testing {

constexpr time_t kPathTime = 1'800'000'000;
constexpr int kAny = 0;  // anyPolicy, among policies 1.2.N

inline std::string PathTlv(uint8_t tag, const std::string& value) {
  return absl::StrCat(std::string(1, static_cast<char>(tag)),
                      std::string(1, static_cast<char>(value.size())), value);
}

inline std::string PolicyOid(int policy) {
  return policy == kAny ? std::string("\x06\x04\x55\x1d\x20\x00", 6)
                        : PathTlv(0x06, std::string("\x2a") + static_cast<char>(policy));
}

// One certificate of a chain, as it was drawn.
struct Link {
  CertificateSpec spec;
  std::string eku;  // openssl.cnf's, without "critical,"
  bool no_constraints = false, expired = false, sha1 = false, brainpool = false;
  bool critical_names = false, names = false, maps_any = false, critical_policies_of_leaf = false;
  std::vector<int> policies;
};

struct Chain {
  bool purpose = false;
  std::vector<Link> links;  // the anchor first, the leaf last
  bool Any(const std::function<bool(const Link&)>& is) const {
    return std::any_of(links.begin() + 1, links.end(), is);
  }
  bool AnyCa(const std::function<bool(const Link&)>& is) const {
    return std::any_of(links.begin() + 1, links.end() - 1, is);
  }
  std::string Text() const;
};

inline std::string Chain::Text() const {
  std::string text = purpose ? "for clients" : "for anything";
  for (const Link& link : links) {
    absl::StrAppend(&text, "\n  ", link.spec.issuer, " -> ", link.spec.subject,
                    " bc=", link.spec.basic_constraints, " ku=", link.spec.key_usage,
                    " eku=", link.spec.extended_key_usage,
                    " policies=", absl::StrJoin(link.policies, ","), link.expired ? " expired" : "",
                    link.sha1 ? " SHA-1" : "", link.brainpool ? " brainpool" : "");
    for (const ExtensionSpec& extension : link.spec.extensions) {
      absl::StrAppend(&text, " ", extension.oid, extension.critical ? "!" : "", "=");
      for (unsigned char c : extension.der) absl::StrAppend(&text, absl::Hex(c, absl::kZeroPad2));
    }
  }
  return text;
}

class ChainMaker {
 public:
  explicit ChainMaker(uint64_t seed) : random_(seed) {}

  Chain Make() {
    Chain chain;
    chain.purpose = OneIn(2);
    const int cas = Below(OneIn(12) ? 7 : 4);
    Link anchor;
    anchor.spec.subject = anchor.spec.issuer = "anchor";
    Key(0, 0, &anchor);
    anchor.spec.basic_constraints = "critical,CA:TRUE";
    if (OneIn(15)) anchor.eku = "serverAuth";
    if (OneIn(20)) Expire(&anchor);
    anchor.spec.extended_key_usage = anchor.eku;
    chain.links.push_back(anchor);
    int key = 0;
    for (int i = 0; i <= cas; ++i) {
      const bool leaf = i == cas;
      Link link;
      const std::string& above = chain.links.back().spec.subject;
      link.spec.issuer = above;
      // A CA that has renewed its key has its own name above it.
      link.spec.subject = leaf ? "leaf" : OneIn(5) && i > 0 ? above : absl::StrCat("CA ", i);
      const int own = i + 1 == 3 && OneIn(10) ? kBrainpoolKey : i + 1;
      Key(own, key, &link);
      Draw(leaf, &link);
      key = own;
      chain.links.push_back(std::move(link));
    }
    return chain;
  }

  std::mt19937_64& random() { return random_; }

 private:
  static constexpr int kBrainpoolKey = 9;

  int Below(int n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }
  bool OneIn(int n) { return Below(n) == 0; }

  static const std::shared_ptr<EVP_PKEY>& Pool(int index) {
    static const auto& keys = *new std::vector<std::shared_ptr<EVP_PKEY>>([] {
      std::vector<std::shared_ptr<EVP_PKEY>> made;
      for (int i = 0; i < kBrainpoolKey; ++i) made.push_back(NewEcKey());
      made.push_back(NewEcKey("brainpoolP256r1"));
      return made;
    }());
    return keys[index];
  }

  // With the identifiers by which OpenSSL, which does not go back, finds issuers of one name.
  void Key(int own, int issuer, Link* link) {
    link->brainpool = own == kBrainpoolKey;
    link->spec.key = Pool(own);
    link->spec.signer = Pool(issuer);
    link->spec.serial = 1 + own;
    const auto id = [](int key) { return std::string(1, static_cast<char>('a' + key)); };
    link->spec.extensions = {{"2.5.29.14", false, PathTlv(0x04, id(own))},
                             {"2.5.29.35", false, PathTlv(0x30, PathTlv(0x80, id(issuer)))}};
  }

  static void Expire(Link* link) {
    link->expired = true;
    link->spec.not_after = absl::FromTimeT(kPathTime - 1);
  }

  void Draw(bool leaf, Link* link) {
    CertificateSpec& spec = link->spec;
    spec.key_usage = leaf ? "digitalSignature" : "critical,keyCertSign";
    if (!leaf) {
      spec.basic_constraints = "critical,CA:TRUE";
      if (OneIn(6)) absl::StrAppend(&spec.basic_constraints, ",pathlen:", Below(3));
      if (OneIn(40)) spec.basic_constraints = "CA:FALSE";
      if (OneIn(40)) spec.basic_constraints.clear();
      link->no_constraints = spec.basic_constraints.empty();
      if (OneIn(30)) spec.key_usage = "critical,digitalSignature";
      if (OneIn(30)) spec.key_usage.clear();
    }
    if (OneIn(4)) {
      static const char* const kUsages[] = {"clientAuth", "serverAuth", "serverAuth,clientAuth",
                                            "anyExtendedKeyUsage", "emailProtection"};
      link->eku = kUsages[Below(5)];
      spec.extended_key_usage = absl::StrCat(OneIn(2) ? "critical," : "", link->eku);
    }
    if (OneIn(40)) Expire(link);
    if (OneIn(40)) link->sha1 = true;
    if (link->sha1) spec.md = EVP_sha1();
    if (OneIn(60)) spec.signer = Pool(8);  // not its issuer's
    if (OneIn(60)) spec.extensions.push_back({"1.2.3.4", OneIn(2), std::string("\x05\x00", 2)});
    DrawNames(leaf, link);
    DrawPolicies(leaf, link);
  }

  void DrawNames(bool leaf, Link* link) {
    const std::string host = OneIn(2) ? "a.example" : "b.example";
    if (leaf && OneIn(2)) {
      link->spec.extensions.push_back({"2.5.29.17", OneIn(2), PathTlv(0x30, PathTlv(0x82, host))});
    } else if (!leaf && OneIn(12)) {
      link->names = true;
      link->critical_names = OneIn(2);
      // permittedSubtrees or excludedSubtrees of one DNS name.
      const std::string tree = PathTlv(0x30, PathTlv(0x82, host));
      link->spec.extensions.push_back({"2.5.29.30", link->critical_names,
                                       PathTlv(0x30, PathTlv(OneIn(2) ? 0xa0 : 0xa1, tree))});
    }
  }

  void DrawPolicies(bool leaf, Link* link) {
    auto& extensions = link->spec.extensions;
    const auto number = [this](uint8_t tag) {
      return PathTlv(tag, std::string(1, static_cast<char>(Below(3))));
    };
    std::string all;
    for (int policy : {1, 2, 3, kAny}) {
      if (!OneIn(2)) continue;
      link->policies.push_back(policy);
      all += PathTlv(0x30, PolicyOid(policy));
    }
    if (OneIn(10)) link->policies.clear();
    if (!link->policies.empty()) extensions.push_back({"2.5.29.32", OneIn(4), PathTlv(0x30, all)});
    const auto critical = [&] {
      const bool yes = OneIn(leaf ? 8 : 2);
      link->critical_policies_of_leaf |= yes && leaf;
      return yes;
    };
    if (OneIn(leaf ? 12 : 4)) {
      const int kind = Below(3);
      const std::string constraints =
          absl::StrCat(kind != 1 ? number(0x80) : "", kind != 0 ? number(0x81) : "");
      extensions.push_back({"2.5.29.36", critical(), PathTlv(0x30, constraints)});
    }
    if (OneIn(leaf ? 30 : 5)) extensions.push_back({"2.5.29.54", critical(), number(0x02)});
    if (leaf || !OneIn(5)) return;
    std::string mappings;
    for (int i = 0; i <= Below(2); ++i) {
      const int from = OneIn(15) ? kAny : 1 + Below(3), to = OneIn(15) ? kAny : 1 + Below(3);
      link->maps_any |= from == kAny || to == kAny;
      mappings += PathTlv(0x30, PolicyOid(from) + PolicyOid(to));
    }
    extensions.push_back({"2.5.29.33", critical(), PathTlv(0x30, mappings)});
  }

  std::mt19937_64 random_;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_UNIT_CRYPTO_RANDOM_CHAIN_H_

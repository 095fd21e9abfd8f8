// SPDX-License-Identifier: Apache-2.0
#include "src/gate/config/config_upstreams.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/policy/method_pattern.h"

namespace forekey {
namespace {

constexpr size_t kLongestName = 64;
constexpr size_t kLongestSocketPath = 107;  // sun_path

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= kLongestName &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

bool IsUpstreamAddress(absl::string_view text) {
  if (absl::ConsumePrefix(&text, "unix:")) {
    return absl::StartsWith(text, "/") && text.size() <= kLongestSocketPath;
  }
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  if (colon == absl::string_view::npos || colon == 0 || text.size() > 255) return false;
  const absl::string_view host = text.substr(0, colon), digits = text.substr(colon + 1);
  const bool bracketed = host.front() == '[' && host.back() == ']';
  for (unsigned char c : host) {
    if (!absl::ascii_isalnum(c) && c != '.' && c != '-' && c != '_' && !bracketed) return false;
  }
  return !digits.empty() && absl::ascii_isdigit(digits[0]) && absl::SimpleAtoi(digits, &port) &&
         port > 0 && port <= 65535;
}

bool StaysOnThisMachine(absl::string_view address) {
  return absl::StartsWith(address, "unix:") || absl::StartsWith(address, "127.") ||
         absl::StartsWith(address, "[::1]:") || absl::StartsWith(address, "localhost:");
}

void ReadTls(ConfigTable& table, absl::string_view base, UpstreamOptions& upstream) {
  bool plaintext = false;
  table.Bool("tls", &upstream.tls);
  table.Bool("plaintext", &plaintext);
  table.Path("ca", base, &upstream.ca);
  table.Path("certificate", base, &upstream.certificate);
  table.Path("private_key", base, &upstream.private_key);
  table.String("server_name", &upstream.server_name);
  if (!upstream.ca.empty()) upstream.tls = true;
  if (upstream.certificate.empty() != upstream.private_key.empty()) {
    table.Error("certificate", "goes with private_key: neither is good without the other");
  }
  if (!upstream.tls) {
    for (const char* key : {"certificate", "private_key", "server_name"}) {
      if (table.Has(key)) table.Error(key, "needs tls = true or a ca: there is no TLS without");
    }
    const bool leaves =
        !std::all_of(upstream.addresses.begin(), upstream.addresses.end(),
                     [](const std::string& one) { return StaysOnThisMachine(one); });
    if (leaves && !plaintext) {
      table.Error(
          "addresses",
          "leave this machine without TLS: set ca (or tls = true), or plaintext = true where "
          "the network is trusted");
    }
  } else if (plaintext) {
    table.Error("plaintext", "contradicts tls and ca");
  }
}

UpstreamOptions ReadUpstream(ConfigTable& table, absl::string_view base) {
  UpstreamOptions upstream;
  std::string balance = "round_robin";
  table.String("name", &upstream.name);
  table.Strings("methods", &upstream.methods);
  table.Strings("addresses", &upstream.addresses);
  table.String("balance", &balance);
  table.Bool("health", &upstream.health);
  table.Number("connections", 1, 64, &upstream.connections);
  table.Duration("keepalive", absl::Seconds(10), absl::Hours(24), &upstream.keepalive);
  if (!IsName(upstream.name)) {
    table.Error("name", "must be 1 to 64 letters, digits, dots, dashes and underscores");
  }
  if (upstream.methods.empty()) table.Error("methods", "must name at least one method");
  if (upstream.addresses.empty()) table.Error("addresses", "must name at least one address");
  for (const std::string& address : upstream.addresses) {
    if (!IsUpstreamAddress(address)) {
      table.Error("addresses",
                  absl::StrCat("\"", address, "\": must be host:port, [v6]:port or unix:/path"));
    }
  }
  if (balance == "least_requests") {
    upstream.balance = UpstreamOptions::Balance::kLeastRequests;
  } else if (balance != "round_robin") {
    table.Error("balance", "must be \"round_robin\" or \"least_requests\"");
  }
  ReadTls(table, base, upstream);
  return upstream;
}

struct OwnedPattern {
  MethodPattern pattern;
  size_t upstream;  // its index
};

// Of patterns that cross, neither is more specific: where they are two upstreams', a third one must
// say whose that is which they share.
void CheckCrossings(std::vector<ConfigTable>& tables, const std::vector<UpstreamOptions>& upstreams,
                    const std::vector<OwnedPattern>& all) {
  for (size_t later = 0; later < all.size(); ++later) {
    for (size_t earlier = 0; earlier < later; ++earlier) {
      const OwnedPattern &a = all[later], &b = all[earlier];
      if (a.upstream == b.upstream) continue;
      const auto shared = MethodPattern::Crossing(a.pattern, b.pattern);
      if (!shared.has_value() || std::any_of(all.begin(), all.end(), [&](const OwnedPattern& one) {
            return one.pattern == *shared;
          })) {
        continue;
      }
      tables[a.upstream].Error(
          "methods", absl::StrCat("\"", a.pattern.ToString(), "\" and \"", b.pattern.ToString(),
                                  "\" of upstream ", upstreams[b.upstream].name, " share \"",
                                  shared->ToString(), "\": say whose that is by naming it, too"));
    }
  }
}

void ReadPatterns(ConfigTable& table, const std::vector<UpstreamOptions>& upstreams, size_t index,
                  std::vector<OwnedPattern>& all) {
  for (const std::string& text : upstreams[index].methods) {
    auto pattern = MethodPattern::Parse(text);
    if (!pattern.ok()) {
      table.Error("methods", pattern.status().message());
      continue;
    }
    for (const OwnedPattern& other : all) {
      if (!(other.pattern == *pattern)) continue;
      table.Error("methods", absl::StrCat("\"", text, "\" is upstream ",
                                          upstreams[other.upstream].name, "'s already"));
    }
    all.push_back({*std::move(pattern), index});
  }
}

}  // namespace

void ReadUpstreams(ConfigTable& root, absl::string_view base,
                   std::vector<UpstreamOptions>& upstreams) {
  std::vector<ConfigTable> tables = root.Tables("upstream");
  std::vector<OwnedPattern> all;
  for (ConfigTable& table : tables) {
    UpstreamOptions upstream = ReadUpstream(table, base);
    for (const UpstreamOptions& other : upstreams) {
      if (other.name == upstream.name) table.Error("name", "is another upstream's already");
    }
    upstreams.push_back(std::move(upstream));
    ReadPatterns(table, upstreams, upstreams.size() - 1, all);
  }
  CheckCrossings(tables, upstreams, all);
}

}  // namespace forekey

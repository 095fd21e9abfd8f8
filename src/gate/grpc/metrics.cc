// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/metrics.h"

#include <prometheus/client_metric.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"
#include "src/gate/grpc/live_calls.h"
#include "src/gate/grpc/metrics_page_server.h"

namespace forekey {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr size_t kMaxCertificate = 1 << 20;

class Collector final : public prometheus::Collectable {
 public:
  Collector(const GateCore* core, const Connections* connections)
      : core_(core), connections_(connections) {}

  std::vector<MetricFamily> Collect() const override {
    const GateCounters& counters = core_->counters();
    std::vector<MetricFamily> families;
    families.push_back(One("forekey_admitted_total", "Calls that were admitted",
                           MetricType::Counter, counters.admitted()));
    families.push_back(One("forekey_exempt_total", "Calls of exempt methods", MetricType::Counter,
                           counters.exempt.load(std::memory_order_relaxed)));
    families.push_back(Refused(counters));
    families.push_back(Latency(counters));
    families.push_back(
        One("forekey_sessions", "Live sessions", MetricType::Gauge, core_->sessions().size()));
    families.push_back(One("forekey_sessions_limit", "Sessions at most", MetricType::Gauge,
                           core_->config().sessions.limits.total));
    families.push_back(One("forekey_live_calls",
                           "Admitted calls that are being served, of this process",
                           MetricType::Gauge, LiveCalls::OfProcess().size()));
    families.push_back(
        One("forekey_connections", "Open connections", MetricType::Gauge, connections_->open()));
    families.push_back(One("forekey_connections_limit", "Open connections at most",
                           MetricType::Gauge, core_->config().connections.total));
    families.push_back(One("forekey_connections_strangers",
                           "Open connections on which nothing was admitted yet", MetricType::Gauge,
                           connections_->strangers()));
    families.push_back(One("forekey_audit_failed_writes_total",
                           "Audit lines that could not be written", MetricType::Counter,
                           core_->audit().failed_writes()));
    families.push_back(One("forekey_audit_suppressed_total",
                           "Refusals that were counted without a line", MetricType::Counter,
                           core_->audit().suppressed()));
    families.push_back(CertificateEnds(core_->config().tls));
    if (core_->config().sessions.resumption) {
      families.push_back(One("forekey_resumed_total", "Sessions that went on here",
                             MetricType::Counter,
                             counters.resumed.load(std::memory_order_relaxed)));
    }
    if (const auto replica = core_->replica(); replica) {
      families.push_back(ReplicaInfo(replica->name));
      families.push_back(LeaseLeft(replica->lease_left));
      families.push_back(One("forekey_elsewhere_total",
                             "Refusals of what another replica may know: sessions, challenges and "
                             "enrolments that were begun there, where a balancer missed it",
                             MetricType::Counter, Elsewhere(counters)));
    }
    return families;
  }

 private:
  static MetricFamily Family(const char* name, const char* help, MetricType type) {
    MetricFamily family;
    family.name = name;
    family.help = help;
    family.type = type;
    return family;
  }

  static MetricFamily One(const char* name, const char* help, MetricType type, uint64_t value) {
    MetricFamily family = Family(name, help, type);
    ClientMetric metric;
    (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) =
        static_cast<double>(value);
    family.metric.push_back(std::move(metric));
    return family;
  }

  static void Label(ClientMetric& metric, const char* name, absl::string_view value) {
    ClientMetric::Label label;
    label.name = name;
    label.value = std::string(value);
    metric.label.push_back(std::move(label));
  }

  static MetricFamily ReplicaInfo(const std::string& name) {
    MetricFamily family =
        Family("forekey_replica_info", "What this replica is called; always 1", MetricType::Gauge);
    ClientMetric metric;
    Label(metric, "replica", name);
    metric.gauge.value = 1;
    family.metric.push_back(std::move(metric));
    return family;
  }

  static MetricFamily LeaseLeft(absl::Duration left) {
    MetricFamily family = Family(
        "forekey_lease_left_seconds",
        "For how long calls may be admitted without hearing from the registry; 0: not at all",
        MetricType::Gauge);
    ClientMetric metric;
    metric.gauge.value = absl::ToDoubleSeconds(left);
    family.metric.push_back(std::move(metric));
    return family;
  }

  static uint64_t Elsewhere(const GateCounters& counters) {
    uint64_t count = 0;
    for (const Reason reason :
         {Reason::kSessionUnknown, Reason::kChallengeForged, Reason::kEnrollmentTicketInvalid}) {
      count += counters.refused_for[static_cast<size_t>(reason)].load(std::memory_order_relaxed);
    }
    return count;
  }

  // As the files are now, which is what the gate presents a second later.
  static MetricFamily CertificateEnds(const GateConfig::Tls& tls) {
    MetricFamily family = Family("forekey_certificate_end_seconds",
                                 "When certificates end, in seconds since 1970", MetricType::Gauge);
    for (const auto& [name, path] :
         {std::pair("tls", &tls.certificate), std::pair("ca", &tls.ca)}) {
      const auto certificate = Certificate::Parse(ReadFile(*path, kMaxCertificate).value_or(""));
      if (!certificate.ok()) continue;
      ClientMetric metric;
      Label(metric, "certificate", name);
      metric.gauge.value = static_cast<double>(absl::ToUnixSeconds(certificate->not_after()));
      family.metric.push_back(std::move(metric));
    }
    return family;
  }

  static MetricFamily Refused(const GateCounters& counters) {
    MetricFamily family =
        Family("forekey_refused_total", "Refusals, by the audit log's reason", MetricType::Counter);
    for (size_t i = 0; i <= kReasonCount; ++i) {
      const uint64_t count = counters.refused_for[i].load(std::memory_order_relaxed);
      if (count == 0) continue;  // a hundred reasons, most of which never come
      ClientMetric metric;
      Label(metric, "reason", i < kReasonCount ? ReasonName(static_cast<Reason>(i)) : "failure");
      metric.counter.value = static_cast<double>(count);
      family.metric.push_back(std::move(metric));
    }
    return family;
  }

  static MetricFamily Latency(const GateCounters& counters) {
    MetricFamily family =
        Family("forekey_decision_seconds",
               "How long decisions took; of calls of sessions one in eight is timed",
               MetricType::Histogram);
    const std::pair<const char*, const LatencyHistogram*> kinds[] = {
        {"session", &counters.session_latency},
        {"device", &counters.device_latency},
        {"refused", &counters.refused_latency}};
    for (const auto& [kind, histogram] : kinds) {
      ClientMetric metric;
      Label(metric, "proof", kind);
      uint64_t cumulative = 0;
      for (size_t i = 0; i <= LatencyHistogram::kBounds.size(); ++i) {
        cumulative += histogram->count(i);
        ClientMetric::Bucket bucket;
        bucket.cumulative_count = cumulative;
        bucket.upper_bound = i < LatencyHistogram::kBounds.size()
                                 ? static_cast<double>(LatencyHistogram::kBounds[i]) / 1e9
                                 : std::numeric_limits<double>::infinity();
        metric.histogram.bucket.push_back(bucket);
      }
      metric.histogram.sample_count = cumulative;
      metric.histogram.sample_sum = static_cast<double>(histogram->sum_nanos()) / 1e9;
      family.metric.push_back(std::move(metric));
    }
    return family;
  }

  const GateCore* const core_;
  const Connections* const connections_;
};

class ServedMetrics final : public Metrics {
 public:
  explicit ServedMetrics(std::unique_ptr<MetricsPageServer> server) : server_(std::move(server)) {}
  int port() const override { return server_->port(); }

 private:
  const std::unique_ptr<MetricsPageServer> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Metrics>> Metrics::New(const GateCore* core,
                                                      const Connections* connections,
                                                      const std::string& address) {
  auto collector = std::make_shared<const Collector>(core, connections);
  auto page = [collector] { return prometheus::TextSerializer().Serialize(collector->Collect()); };
  absl::StatusOr<std::unique_ptr<MetricsPageServer>> server =
      MetricsPageServer::New(address, std::move(page), {});
  if (!server.ok()) {
    return absl::UnavailableError(absl::StrCat("[metrics] listen: ", server.status().message()));
  }
  return std::make_unique<ServedMetrics>(*std::move(server));
}

}  // namespace forekey

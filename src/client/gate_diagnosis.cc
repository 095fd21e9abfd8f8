// SPDX-License-Identifier: Apache-2.0
#include "src/client/gate_diagnosis.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/clock.h"
#include "src/base/deadline.h"
#include "src/client/name_lookup.h"

namespace forekey {
namespace {

using forekey::v1::GateTrouble;

constexpr absl::string_view kTroubleUrl = "forekey/gate-trouble";
constexpr char kSystemAnchorsFile[] = "/etc/ssl/certs/ca-certificates.crt";
constexpr absl::string_view kCheckNetwork =
    "check that the gate is running and that the address, the port and the network in between are "
    "right";

struct HostAndPort {
  std::string host, port;
};

HostAndPort SplitAddress(absl::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return {std::string(address), "443"};
  absl::string_view host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return {std::string(host), std::string(address.substr(colon + 1))};
}

bool WaitFor(int fd, short events, const Deadline& deadline) {
  while (true) {
    if (deadline.Passed()) return false;
    pollfd ready = {fd, events, 0};
    const int n = poll(&ready, 1, deadline.LeftMillis());
    if (n > 0) return true;
    if (n == 0 || errno != EINTR) return false;
  }
}

// A connected socket, or the errno.
int ConnectTo(const addrinfo& address, const Deadline& deadline, int* error) {
  const int fd = socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    *error = errno;
    return -1;
  }
  *error = connect(fd, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  if (*error == EINPROGRESS) {
    socklen_t size = sizeof(*error);
    if (!WaitFor(fd, POLLOUT, deadline)) {
      *error = ETIMEDOUT;
    } else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, error, &size) != 0) {
      *error = errno;
    }
  }
  if (*error == 0) return fd;
  close(fd);
  return -1;
}

GateDiagnosis OfCertificate(long verified, const std::string& host) {
  switch (verified) {
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return {v1::GATE_TROUBLE_CERTIFICATE_NOT_YET_VALID,
              absl::StrCat("the gate's TLS certificate is not valid yet by this machine's clock, "
                           "which says ",
                           absl::FormatTime(absl::RFC3339_sec, Clock::System().WallNow(),
                                            absl::UTCTimeZone()),
                           ": set the clock, or ask the gate's administrator")};
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return {v1::GATE_TROUBLE_CERTIFICATE_EXPIRED,
              absl::StrCat("the gate's TLS certificate has expired by this machine's clock, which "
                           "says ",
                           absl::FormatTime(absl::RFC3339_sec, Clock::System().WallNow(),
                                            absl::UTCTimeZone()),
                           ": set the clock where it is wrong, else the gate's administrator has "
                           "to renew the certificate")};
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return {v1::GATE_TROUBLE_CERTIFICATE_FOR_OTHER_NAME,
              absl::StrCat("the gate's TLS certificate is for another host name than ", host,
                           ": use the name that is in the certificate as the gate's address")};
    default:
      return {v1::GATE_TROUBLE_CERTIFICATE_UNTRUSTED,
              absl::StrCat("the gate's TLS certificate is not signed by the CA that was recorded "
                           "at enrolment (",
                           X509_verify_cert_error_string(verified),
                           "): compare the CA with the administrator's; if the gate has a new CA, "
                           "enrol again")};
  }
}

using ContextPtr = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
using SslPtr = std::unique_ptr<SSL, decltype(&SSL_free)>;

bool AddAnchors(const std::string& ca_pem, SSL_CTX* context) {
  if (ca_pem.empty()) {
    return SSL_CTX_load_verify_locations(context, kSystemAnchorsFile, nullptr) == 1;
  }
  std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(ca_pem.data(), static_cast<int>(ca_pem.size())), BIO_free);
  int added = 0;
  while (X509* anchor = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    added += X509_STORE_add_cert(SSL_CTX_get_cert_store(context), anchor);
    X509_free(anchor);
  }
  ERR_clear_error();
  return added > 0;
}

GateDiagnosis ShakeHands(int fd, const GateTarget& target, const std::string& host,
                         const Deadline& deadline) {
  ContextPtr context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  if (context == nullptr || !AddAnchors(target.ca_pem, context.get())) return {};
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SslPtr ssl(SSL_new(context.get()), SSL_free);
  const std::string& name = target.tls_server_name.empty() ? host : target.tls_server_name;
  if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), name.c_str()) != 1) {
    SSL_set1_host(ssl.get(), name.c_str());
    SSL_set_tlsext_host_name(ssl.get(), name.c_str());
  }
  const unsigned char protocol[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl.get(), protocol, sizeof(protocol));
  SSL_set_fd(ssl.get(), fd);
  while (true) {
    const int n = SSL_connect(ssl.get());
    if (n == 1) return {};
    const int error = SSL_get_error(ssl.get(), n);
    const bool wants = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
    if (wants && WaitFor(fd, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline)) continue;
    const long verified = SSL_get_verify_result(ssl.get());
    ERR_clear_error();
    if (wants) {
      return {v1::GATE_TROUBLE_NO_ANSWER,
              "something took the connection and did not answer in time: check the network, or try "
              "again"};
    }
    if (verified != X509_V_OK) return OfCertificate(verified, name);
    return {v1::GATE_TROUBLE_NOT_TLS,
            "something answers there that does not speak TLS as a gate does: check the port"};
  }
}

}  // namespace

GateDiagnosis DiagnoseGate(const GateTarget& target, absl::Duration timeout) {
  const Deadline deadline = Deadline::In(timeout);
  const HostAndPort at = SplitAddress(target.address);
  const absl::StatusOr<Addresses> addresses = LookUpName(at.host, at.port, deadline);
  if (!addresses.ok()) {
    return {v1::GATE_TROUBLE_NO_ADDRESS,
            absl::StrCat("no address is known for ", at.host, " (", addresses.status().message(),
                         "): check the name and the network")};
  }
  int error = 0;
  for (const addrinfo* address = addresses->get(); address != nullptr; address = address->ai_next) {
    const int fd = ConnectTo(*address, deadline, &error);
    if (fd < 0) continue;
    const absl::Cleanup close_fd = [fd] { close(fd); };
    return ShakeHands(fd, target, at.host, deadline);
  }
  return {v1::GATE_TROUBLE_NO_CONNECTION,
          absl::StrCat("no connection (", strerror(error), "): ", kCheckNetwork)};
}

void SetGateTrouble(GateTrouble trouble, absl::Status* status) {
  if (trouble == v1::GATE_TROUBLE_UNSPECIFIED) return;
  status->SetPayload(kTroubleUrl, absl::Cord(absl::StrCat(static_cast<int>(trouble))));
}

GateTrouble GateTroubleOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kTroubleUrl);
  int value = 0;
  if (!payload || !absl::SimpleAtoi(std::string(*payload), &value) ||
      !v1::GateTrouble_IsValid(value)) {
    return v1::GATE_TROUBLE_UNSPECIFIED;
  }
  return static_cast<GateTrouble>(value);
}

}  // namespace forekey

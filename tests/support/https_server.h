// SPDX-License-Identifier: Apache-2.0
// An HTTPS server of the tests' own on loopback, with a certificate made for "localhost" or any
// other name. It answers each request with the bytes that its handler gives, then closes: so
// answers can be wrong in any way, come slowly, or never.
#ifndef FOREKEY_TESTS_SUPPORT_HTTPS_SERVER_H_
#define FOREKEY_TESTS_SUPPORT_HTTPS_SERVER_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "tests/support/certificate_maker.h"

namespace forekey::testing {

inline std::string HttpAnswer(absl::string_view status, absl::string_view body,
                              absl::string_view headers = "") {
  return absl::StrCat("HTTP/1.1 ", status, "\r\nContent-Length: ", body.size(), "\r\n", headers,
                      "\r\n", body);
}

class HttpsServer {
 public:
  // `send`: writes to the client; false when it has gone. Called on the server's one thread.
  using Send = std::function<bool(absl::string_view bytes)>;
  using Handler = std::function<void(const std::string& request, const Send& send)>;

  struct Options {
    std::string name = "localhost";  // of the certificate; "IP:127.0.0.1" for an address
    absl::Time not_after = absl::Now() + absl::Hours(1);
    int max_tls_version = 0;  // 0: any
    bool tls = true;
  };

  HttpsServer(Options options, Handler handler)
      : options_(std::move(options)), handler_(std::move(handler)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        listen(listener_, 16) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
        pipe(wake_) != 0) {
      std::abort();
    }
    port_ = ntohs(address.sin_port);
    MakeContext();
    thread_ = std::thread([this] { Serve(); });
  }
  explicit HttpsServer(Handler handler) : HttpsServer(Options(), std::move(handler)) {}
  ~HttpsServer() {
    stop_ = true;
    (void)!write(wake_[1], "x", 1);
    thread_.join();
    for (int fd : {listener_, wake_[0], wake_[1]}) close(fd);
    SSL_CTX_free(context_);
  }
  HttpsServer(const HttpsServer&) = delete;
  HttpsServer& operator=(const HttpsServer&) = delete;

  std::string Url(absl::string_view path = "/jwks") const {
    return absl::StrCat(options_.tls ? "https" : "http", "://localhost:", port_, path);
  }
  int port() const { return port_; }
  // PEM of the CA that issued the certificate.
  const std::string& ca_pem() const { return ca_pem_; }
  int requests() const { return requests_; }
  // For handlers that wait: the server is going.
  bool stopping() const { return stop_; }

 private:
  static std::string Pem(X509* x509) {
    BioPtr bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(bio.get(), x509);
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return std::string(data, static_cast<size_t>(size));
  }

  void MakeContext() {
    const TestCa ca = TestCa::New(absl::StrCat("Test CA ", port_));
    CertificateSpec root = ca.CaSpec(ca);
    CertificateSpec leaf = ca.Spec(options_.name, NewEcKey());
    root.not_after = absl::Now() + absl::Hours(24 * 30);
    leaf.not_after = options_.not_after;
    leaf.extended_key_usage = "serverAuth";
    ASN1_OCTET_STRING* der = X509NameOctets(options_.name);
    leaf.extensions.push_back(
        {"2.5.29.17", false, std::string(View(der->data, static_cast<size_t>(der->length)))});
    ASN1_OCTET_STRING_free(der);
    const Certificate root_certificate = Make(root), leaf_certificate = Make(leaf);
    ca_pem_ = Pem(root_certificate.x509());
    context_ = SSL_CTX_new(TLS_server_method());
    if (options_.max_tls_version != 0) {
      SSL_CTX_set_security_level(context_, 0);
      SSL_CTX_set_min_proto_version(context_, TLS1_VERSION);
      SSL_CTX_set_max_proto_version(context_, options_.max_tls_version);
    }
    const std::string& leaf_der = leaf_certificate.der();
    if (SSL_CTX_use_certificate_ASN1(context_, static_cast<int>(leaf_der.size()),
                                     U8(absl::string_view(leaf_der))) != 1 ||
        SSL_CTX_use_PrivateKey(context_, leaf.key.get()) != 1) {
      std::abort();
    }
  }

  // subjectAltName of one DNS name, or of an address.
  static ASN1_OCTET_STRING* X509NameOctets(const std::string& name) {
    const std::string text = name.rfind("IP:", 0) == 0 ? name : "DNS:" + name;
    X509_EXTENSION* extension =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, text.c_str());
    if (extension == nullptr) std::abort();
    ASN1_OCTET_STRING* copy = ASN1_OCTET_STRING_dup(X509_EXTENSION_get_data(extension));
    X509_EXTENSION_free(extension);
    return copy;
  }

  void Serve() {
    while (!stop_) {
      pollfd ready[] = {{listener_, POLLIN, 0}, {wake_[0], POLLIN, 0}};
      poll(ready, 2, -1);
      if (stop_) return;
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      // Neither a client that says nothing nor one that reads nothing holds the thread for long.
      const timeval patience = {5, 0};
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
      setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
      if (options_.tls) {
        ServeTls(fd);
      } else {
        Answer(
            [fd](char* to, int most) {
              return static_cast<int>(recv(fd, to, static_cast<size_t>(most), 0));
            },
            [fd](absl::string_view bytes) {
              return send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                     static_cast<ssize_t>(bytes.size());
            });
      }
      close(fd);
    }
  }

  void ServeTls(int fd) {
    SSL* ssl = SSL_new(context_);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
      Answer([ssl](char* to, int most) { return SSL_read(ssl, to, most); },
             [ssl](absl::string_view bytes) {
               return SSL_write(ssl, bytes.data(), static_cast<int>(bytes.size())) > 0;
             });
      SSL_shutdown(ssl);
    }
    SSL_free(ssl);
  }

  void Answer(const std::function<int(char*, int)>& read, const Send& send) {
    std::string request;
    char part[4096];
    while (request.find("\r\n\r\n") == std::string::npos && request.size() < 65536) {
      const int n = read(part, sizeof(part));
      if (n <= 0) return;
      request.append(part, static_cast<size_t>(n));
    }
    ++requests_;
    handler_(request, send);
  }

  const Options options_;
  const Handler handler_;
  int listener_ = -1;
  int wake_[2] = {-1, -1};
  int port_ = 0;
  std::string ca_pem_;
  SSL_CTX* context_ = nullptr;
  std::atomic<bool> stop_{false};
  std::atomic<int> requests_{0};
  std::thread thread_;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_SUPPORT_HTTPS_SERVER_H_

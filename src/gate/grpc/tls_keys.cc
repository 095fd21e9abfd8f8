// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/tls_keys.h"

#include <errno.h>
#include <grpc/grpc.h>
#include <netdb.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/openssl.h"

namespace forekey {
namespace {

// OpenSSL would ask on the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::StatusOr<X509Ptr> LeafOf(const std::string& pem, const std::string& path) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  X509Ptr leaf(PEM_read_bio_X509(bio.get(), nullptr, &NoPassphrase, nullptr));
  if (leaf == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " holds no PEM certificate (", OpenSslError("PEM_read_bio_X509").message(), ")"));
  }
  return leaf;
}

absl::StatusOr<EvpPkeyPtr> KeyOf(absl::string_view pem, const std::string& path) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  EvpPkeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &NoPassphrase, nullptr));
  if (key == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " holds no PEM private key without a passphrase (",
                     OpenSslError("PEM_read_bio_PrivateKey").message(), ")"));
  }
  return key;
}

std::string DerOf(const X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  if (size <= 0) return "";
  std::string bytes(reinterpret_cast<char*>(der), size);
  OPENSSL_free(der);
  return bytes;
}

// Both files as they are; the binding is left empty.
absl::StatusOr<TlsKeyPair> ReadFiles(const std::string& certificate_path,
                                     const std::string& key_path) {
  TlsKeyPair pair;
  FOREKEY_ASSIGN_OR_RETURN(pair.chain_pem, ReadFile(certificate_path, 1 << 20));
  FOREKEY_ASSIGN_OR_RETURN(std::string key_pem, ReadPrivateFile(key_path));
  pair.key_pem = Secret(std::move(key_pem));
  return pair;
}

absl::Status CheckPair(const std::string& certificate_path, const std::string& key_path,
                       TlsKeyPair& pair) {
  FOREKEY_ASSIGN_OR_RETURN(X509Ptr leaf, LeafOf(pair.chain_pem, certificate_path));
  FOREKEY_ASSIGN_OR_RETURN(EvpPkeyPtr key, KeyOf(pair.key_pem.view(), key_path));
  if (X509_check_private_key(leaf.get(), key.get()) != 1) {
    OpenSslError("X509_check_private_key").IgnoreError();
    return absl::InvalidArgumentError(absl::StrCat(
        "the key in ", key_path, " is not the key of the first certificate in ", certificate_path));
  }
  pair.binding = Sha256(DerOf(leaf.get()));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TlsKeyPair> ReadTlsKeyPair(const std::string& certificate_path,
                                          const std::string& key_path) {
  FOREKEY_ASSIGN_OR_RETURN(TlsKeyPair pair, ReadFiles(certificate_path, key_path));
  FOREKEY_RETURN_IF_ERROR(CheckPair(certificate_path, key_path, pair));
  return pair;
}

TlsKeys::TlsKeys(std::string certificate_path, std::string key_path, Accept accept)
    : certificate_path_(std::move(certificate_path)),
      key_path_(std::move(key_path)),
      accept_(std::move(accept)) {}

absl::StatusOr<std::shared_ptr<TlsKeys>> TlsKeys::New(std::string certificate_path,
                                                      std::string key_path, Accept accept) {
  std::shared_ptr<TlsKeys> keys(
      new TlsKeys(std::move(certificate_path), std::move(key_path), std::move(accept)));
  FOREKEY_RETURN_IF_ERROR(keys->Reload().status());
  return keys;
}

std::shared_ptr<const TlsKeyPair> TlsKeys::current() const {
  absl::MutexLock lock(&mutex_);
  return current_;
}

absl::StatusOr<bool> TlsKeys::Reload() {
  absl::MutexLock reloading(&reload_mutex_);
  FOREKEY_ASSIGN_OR_RETURN(TlsKeyPair pair, ReadFiles(certificate_path_, key_path_));
  std::shared_ptr<const TlsKeyPair> old = current();
  if (old != nullptr && old->chain_pem == pair.chain_pem &&
      ConstantTimeEqual(old->key_pem.view(), pair.key_pem.view())) {
    return false;  // asked once a second: what was parsed before is not parsed again
  }
  FOREKEY_RETURN_IF_ERROR(CheckPair(certificate_path_, key_path_, pair));
  FOREKEY_RETURN_IF_ERROR(accept_(pair.binding));
  absl::MutexLock lock(&mutex_);
  current_ = std::make_shared<const TlsKeyPair>(std::move(pair));
  generation_.fetch_add(1, std::memory_order_acq_rel);
  return true;
}

namespace {

// What one listening socket's credentials fetch from. Called by gRPC on the accepting thread alone.
struct Fetcher {
  std::shared_ptr<TlsKeys> keys;
  uint64_t given_generation = 0;

  static grpc_ssl_certificate_config_reload_status Fetch(
      void* user_data, grpc_ssl_server_certificate_config** config) {
    Fetcher& self = *static_cast<Fetcher*>(user_data);
    const uint64_t generation = self.keys->generation();
    if (generation == self.given_generation) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    std::shared_ptr<const TlsKeyPair> pair = self.keys->current();
    // The core takes C strings; a Secret's bytes need not end with a zero.
    std::string key_pem(pair->key_pem.view());
    const grpc_ssl_pem_key_cert_pair pem = {key_pem.c_str(), pair->chain_pem.c_str()};
    // The roots are for client certificates, which are never asked for; but gRPC 1.51 wants some.
    *config = grpc_ssl_server_certificate_config_create(pair->chain_pem.c_str(), &pem, 1);
    Wipe(key_pem);
    if (*config == nullptr) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
    self.given_generation = generation;
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }
};

class AcceptorCredentialsImpl : public grpc::ServerCredentials {
 public:
  AcceptorCredentialsImpl(std::shared_ptr<TlsKeys> keys, const MakeProcessor& make_processor) {
    auto fetcher = std::make_shared<Fetcher>();
    fetcher->keys = std::move(keys);
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, &Fetcher::Fetch, fetcher.get()));
    grpc_server_credentials_set_auth_metadata_processor(credentials_,
                                                        make_processor(std::move(fetcher)));
  }
  ~AcceptorCredentialsImpl() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {
    std::fputs("forekey: the gate's port has the gate for its metadata processor, and no other\n",
               stderr);
    std::abort();
  }

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  grpc_server_credentials* credentials_ = nullptr;
};

// 0, or the errno of what failed.
int TryBind(const addrinfo& address) {
  const int fd = socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  absl::Cleanup close_fd = [fd] { close(fd); };
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd, address.ai_addr, address.ai_addrlen) != 0) return errno;
  return listen(fd, 1) != 0 ? errno : 0;
}

std::string NumericAddress(const addrinfo& address) {
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (getnameinfo(address.ai_addr, address.ai_addrlen, host, sizeof(host), port, sizeof(port),
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "";
  }
  return address.ai_family == AF_INET6 ? absl::StrCat("[", host, "]:", port)
                                       : absl::StrCat(host, ":", port);
}

}  // namespace

std::shared_ptr<grpc::ServerCredentials> AcceptorCredentials(std::shared_ptr<TlsKeys> keys,
                                                             const MakeProcessor& make_processor) {
  return std::make_shared<AcceptorCredentialsImpl>(std::move(keys), make_processor);
}

absl::StatusOr<std::vector<std::string>> ResolveListenAddress(const std::string& address,
                                                              bool try_bind) {
  const size_t colon = address.rfind(':');
  int port = -1;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) ||
      port < 0 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen address \"", address, "\" is not host:port"));
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.empty() ? nullptr : host.c_str(), absl::StrCat(port).c_str(),
                                &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen address \"", address, "\": ", gai_strerror(error)));
  }
  absl::Cleanup free_found = [found] { freeaddrinfo(found); };
  std::vector<std::string> addresses;
  absl::Status problem;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    if (const int error = try_bind ? TryBind(*one) : 0; error != 0) {
      problem = absl::ErrnoToStatus(error, absl::StrCat("can't listen on ", NumericAddress(*one)));
      // One that this machine does not have (no IPv6) is no obstacle to the others; one that
      // somebody else has, or that needs privileges, is.
      if (error == EADDRINUSE || error == EACCES) return problem;
      continue;
    }
    addresses.push_back(NumericAddress(*one));
  }
  // "[::]" means every address: on a machine without IPv6, those are IPv4's.
  if (addresses.empty() && host == "::") {
    return ResolveListenAddress(absl::StrCat("0.0.0.0:", port), try_bind);
  }
  if (addresses.empty()) return problem;
  return addresses;
}

}  // namespace forekey

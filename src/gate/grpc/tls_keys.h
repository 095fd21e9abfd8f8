// SPDX-License-Identifier: Apache-2.0
// The gate's TLS certificate and private key, and the server credentials that present them.
//
// The files may be replaced while the gate runs. A new pair is presented only once it is whole (the
// key belongs to the leaf) and once the gate accepts its channel binding, so that nobody can see a
// certificate that the gate would then refuse to have been seen. Until then, and when the files
// can't be read, the old pair goes on.
//
// gRPC's own certificate watcher can promise neither; its server credentials with a fetcher
// (grpc/grpc_security.h) ask at every handshake, and take key and chain at once.
#ifndef FOREKEY_SRC_GATE_GRPC_TLS_KEYS_H_
#define FOREKEY_SRC_GATE_GRPC_TLS_KEYS_H_

#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/base/secret.h"

namespace forekey {

struct TlsKeyPair {
  std::string chain_pem;  // leaf first
  Secret key_pem;
  std::string binding;  // SHA-256 of the leaf's DER, 32 bytes
};

// Reads and checks both files. Errors name the file and what to do: missing, unreadable, open to
// others (the key), no certificate in it, key encrypted, key of another certificate.
absl::StatusOr<TlsKeyPair> ReadTlsKeyPair(const std::string& certificate_path,
                                          const std::string& key_path);

// Safe from any thread.
class TlsKeys {
 public:
  // `accept` is asked with the binding of a new pair before it is presented: it makes the gate
  // accept it, or says why not.
  using Accept = std::function<absl::Status(absl::string_view binding)>;
  static absl::StatusOr<std::shared_ptr<TlsKeys>> New(std::string certificate_path,
                                                      std::string key_path, Accept accept);

  // Presents what the files hold now, if it is new and good. True when something changed.
  absl::StatusOr<bool> Reload();

  // Counts up with every new pair; `pair` is what it stands for. For the credentials below.
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  std::shared_ptr<const TlsKeyPair> current() const;

 private:
  TlsKeys(std::string certificate_path, std::string key_path, Accept accept);

  const std::string certificate_path_;
  const std::string key_path_;
  const Accept accept_;
  absl::Mutex reload_mutex_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<const TlsKeyPair> current_ ABSL_GUARDED_BY(mutex_);
  std::atomic<uint64_t> generation_{0};
};

// Credentials for one acceptor of the gate's (src/gate/connections.h). One object an acceptor:
// gRPC 1.51 replaces a port's handshaker factory without a lock, which is sound because one thread
// hands over all connections.
//
// `make_processor` is called once; what it gives must keep its argument until it is destroyed:
// gRPC's core fetches certificates for longer than these C++ credentials live.
using MakeProcessor = std::function<grpc_auth_metadata_processor(std::shared_ptr<void> keep_alive)>;
std::shared_ptr<grpc::ServerCredentials> AcceptorCredentials(std::shared_ptr<TlsKeys> keys,
                                                             const MakeProcessor& make_processor);

// The numeric addresses that "host:port" means, as gRPC takes them. `[::]` and `0.0.0.0` stay as
// they are. Errors: no port, a name that does not resolve, and (`try_bind`) an address that can't
// be bound now, with the system's reason: in use, not this machine's, a privileged port.
absl::StatusOr<std::vector<std::string>> ResolveListenAddress(const std::string& address,
                                                              bool try_bind);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_TLS_KEYS_H_

// SPDX-License-Identifier: Apache-2.0
#include "src/client/channel_binding.h"

#include <openssl/pem.h>

#include "absl/cleanup/cleanup.h"
#include "grpc/grpc_security_constants.h"
#include "src/base/bytes.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/openssl.h"

namespace forekey {
namespace {

absl::Status NoCertificate() {
  return absl::FailedPreconditionError(
      "the connection has no server certificate: Forekey's calls go over TLS alone");
}

}  // namespace

absl::StatusOr<std::string> ChannelBindingFromPem(absl::string_view pem) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* der = nullptr;
  long size = 0;
  if (!bio || PEM_read_bio(bio.get(), &name, &header, &der, &size) != 1) {
    (void)OpenSslError("PEM_read_bio");
    return absl::InvalidArgumentError("the server's certificate is not PEM");
  }
  absl::Cleanup free_parts = [&] {
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
  };
  if (absl::string_view(name) != "CERTIFICATE") {
    return absl::InvalidArgumentError("the server's certificate is not a PEM certificate");
  }
  return Sha256(View(der, static_cast<size_t>(size)));
}

absl::StatusOr<std::string> ChannelBindingOf(const grpc::AuthContext& context) {
  std::vector<grpc::string_ref> leaf = context.FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (leaf.size() != 1) return NoCertificate();
  return ChannelBindingFromPem(absl::string_view(leaf[0].data(), leaf[0].size()));
}

absl::string_view LeafPemOf(const grpc_auth_context* context) {
  if (context == nullptr) return {};
  grpc_auth_property_iterator iterator =
      grpc_auth_context_find_properties_by_name(context, GRPC_X509_PEM_CERT_PROPERTY_NAME);
  const grpc_auth_property* property = grpc_auth_property_iterator_next(&iterator);
  if (property == nullptr) return {};
  return absl::string_view(property->value, property->value_length);
}

absl::StatusOr<std::shared_ptr<const std::string>> ChannelBindingCache::Get(absl::string_view pem) {
  if (pem.empty()) return NoCertificate();
  std::shared_ptr<const Entry> entry;
  {
    absl::MutexLock lock(&mutex_);
    entry = last_;
  }
  if (entry == nullptr || entry->pem != pem) {
    FOREKEY_ASSIGN_OR_RETURN(std::string binding, ChannelBindingFromPem(pem));
    entry = std::make_shared<const Entry>(Entry{std::string(pem), std::move(binding)});
    absl::MutexLock lock(&mutex_);
    last_ = entry;
  }
  return std::shared_ptr<const std::string>(entry, &entry->binding);
}

}  // namespace forekey

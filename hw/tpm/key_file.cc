// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/key_file.h"

#include <openssl/asn1t.h>
#include <openssl/pem.h>

#include <memory>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/bytes.h"
#include "src/base/status.h"
#include "src/crypto/openssl.h"

namespace {

// The optional members that Forekey's keys never have (policies, secret, ...) are not listed: a
// file that has one does not parse.
struct TpmKeyAsn1 {
  ASN1_OBJECT* type;
  ASN1_BOOLEAN empty_auth;
  ASN1_INTEGER* parent;
  ASN1_OCTET_STRING* public_area;
  ASN1_OCTET_STRING* private_area;
};

ASN1_SEQUENCE(TpmKeyAsn1) = {
    ASN1_SIMPLE(TpmKeyAsn1, type, ASN1_OBJECT),
    ASN1_EXP_OPT(TpmKeyAsn1, empty_auth, ASN1_BOOLEAN, 0),
    ASN1_SIMPLE(TpmKeyAsn1, parent, ASN1_INTEGER),
    ASN1_SIMPLE(TpmKeyAsn1, public_area, ASN1_OCTET_STRING),
    ASN1_SIMPLE(TpmKeyAsn1, private_area, ASN1_OCTET_STRING),
} static_ASN1_SEQUENCE_END(TpmKeyAsn1)

}  // namespace

namespace forekey {
namespace {

constexpr char kLoadableKey[] = "2.23.133.10.1.3";
constexpr char kPemType[] = "TSS2 PRIVATE KEY";
constexpr absl::string_view kDeviceLine = "Forekey-Device: ";
constexpr absl::string_view kParentLine = "Forekey-Parent-Name: ";
constexpr uint32_t kOwnerHierarchy = 0x40000001;
constexpr size_t kSha256NameSize = 34;
constexpr size_t kMaxFile = 16384;

struct FreeAsn1 {
  void operator()(TpmKeyAsn1* key) const {
    ASN1_item_free(reinterpret_cast<ASN1_VALUE*>(key), ASN1_ITEM_rptr(TpmKeyAsn1));
  }
};
using TpmKeyPtr = std::unique_ptr<TpmKeyAsn1, FreeAsn1>;

absl::Status Malformed(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("not a TPM key file: ", why));
}

bool IsParent(uint64_t handle) { return handle == kOwnerHierarchy || handle >> 24 == 0x81; }

bool IsUri(absl::string_view uri) {
  return absl::StartsWith(uri, "tpm:") && uri.size() < 512 &&
         uri.find_first_of(absl::string_view("\r\n\0", 3)) == absl::string_view::npos;
}

absl::StatusOr<std::string> EncodeAsn1(const TpmKeyFile& key) {
  TpmKeyPtr asn1(reinterpret_cast<TpmKeyAsn1*>(ASN1_item_new(ASN1_ITEM_rptr(TpmKeyAsn1))));
  if (asn1 == nullptr) return OpenSslError("ASN1_item_new");
  ASN1_OBJECT_free(asn1->type);
  asn1->type = OBJ_txt2obj(kLoadableKey, 1);
  // FALSE is written out: the OpenSSL provider takes an absent emptyAuth for TRUE.
  asn1->empty_auth = key.has_password ? 0 : 0xff;
  if (asn1->type == nullptr || ASN1_INTEGER_set_uint64(asn1->parent, key.parent) != 1 ||
      ASN1_OCTET_STRING_set(asn1->public_area, U8(key.public_area), key.public_area.size()) != 1 ||
      ASN1_OCTET_STRING_set(asn1->private_area, U8(key.private_area), key.private_area.size()) !=
          1) {
    return OpenSslError("TPMKey");
  }
  unsigned char* der = nullptr;
  int size =
      ASN1_item_i2d(reinterpret_cast<ASN1_VALUE*>(asn1.get()), &der, ASN1_ITEM_rptr(TpmKeyAsn1));
  if (size <= 0) return OpenSslError("ASN1_item_i2d");
  std::string result(View(der, size));
  OPENSSL_free(der);
  return result;
}

absl::Status DecodeAsn1(absl::string_view der, TpmKeyFile* key) {
  const unsigned char* cursor = U8(der);
  TpmKeyPtr asn1(reinterpret_cast<TpmKeyAsn1*>(
      ASN1_item_d2i(nullptr, &cursor, static_cast<long>(der.size()), ASN1_ITEM_rptr(TpmKeyAsn1))));
  if (asn1 == nullptr || cursor != U8(der) + der.size()) {
    OpenSslError("TPMKey").IgnoreError();  // empties the queue
    return Malformed("its ASN.1 is not a plain TPMKey");
  }
  char type[64];
  OBJ_obj2txt(type, sizeof type, asn1->type, 1);
  if (absl::string_view(type) != kLoadableKey) return Malformed("it holds no loadable key");
  uint64_t parent = 0;
  if (ASN1_INTEGER_get_uint64(&parent, asn1->parent) != 1 || !IsParent(parent)) {
    OpenSslError("TPMKey").IgnoreError();
    return Malformed("its parent is neither the owner hierarchy nor a persistent key");
  }
  key->parent = static_cast<uint32_t>(parent);
  key->has_password = asn1->empty_auth <= 0;  // absent and FALSE say the same
  key->public_area = std::string(View(asn1->public_area->data, asn1->public_area->length));
  key->private_area = std::string(View(asn1->private_area->data, asn1->private_area->length));
  return absl::OkStatus();
}

absl::Status ReadLines(absl::string_view text, TpmKeyFile* key) {
  key->device_uri = "tpm:";
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    absl::ConsumeSuffix(&line, "\r");
    if (absl::StartsWith(line, "-----BEGIN")) break;
    if (absl::ConsumePrefix(&line, kDeviceLine)) {
      if (!IsUri(line)) return Malformed("its device is no TPM's URI");
      key->device_uri = std::string(line);
    } else if (absl::ConsumePrefix(&line, kParentLine)) {
      for (char c : line) {
        if (!absl::ascii_isxdigit(c)) return Malformed("its parent's Name is not in hex");
      }
      key->parent_name = absl::HexStringToBytes(line);
      if (line.size() != 2 * kSha256NameSize)
        return Malformed("its parent's Name has another size");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> SerializeKeyFile(const TpmKeyFile& key) {
  if (!IsUri(key.device_uri) || !IsParent(key.parent) ||
      (!key.parent_name.empty() && key.parent_name.size() != kSha256NameSize)) {
    return absl::InvalidArgumentError("a TPM key file can't hold that");
  }
  FOREKEY_ASSIGN_OR_RETURN(std::string der, EncodeAsn1(key));
  BioPtr memory(BIO_new(BIO_s_mem()));
  if (memory == nullptr || PEM_write_bio(memory.get(), kPemType, "", U8(der), der.size()) <= 0) {
    return OpenSslError("PEM_write_bio");
  }
  char* pem = nullptr;
  long size = BIO_get_mem_data(memory.get(), &pem);
  std::string text = absl::StrCat(kDeviceLine, key.device_uri, "\n");
  if (!key.parent_name.empty()) {
    absl::StrAppend(&text, kParentLine, absl::BytesToHexString(key.parent_name), "\n");
  }
  return absl::StrCat(text, absl::string_view(pem, size));
}

absl::StatusOr<TpmKeyFile> ParseKeyFile(absl::string_view text) {
  if (text.size() > kMaxFile) return Malformed("it is too large");
  TpmKeyFile key;
  FOREKEY_RETURN_IF_ERROR(ReadLines(text, &key));
  BioPtr memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  if (memory == nullptr || PEM_read_bio(memory.get(), &name, &header, &data, &size) != 1) {
    OpenSslError("PEM_read_bio").IgnoreError();
    return Malformed("there is no PEM block in it");
  }
  const bool is_key = absl::string_view(name) == kPemType && *header == '\0';
  const std::string der(View(data, size));
  OPENSSL_free(name);
  OPENSSL_free(header);
  OPENSSL_free(data);
  if (!is_key) return Malformed("its PEM block is no TSS2 PRIVATE KEY");
  FOREKEY_RETURN_IF_ERROR(DecodeAsn1(der, &key));
  return key;
}

}  // namespace forekey

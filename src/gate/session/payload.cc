// SPDX-License-Identifier: Apache-2.0
#include "src/gate/session/payload.h"

#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "src/base/reason.h"

namespace forekey {
namespace {

bool HasUnknownFields(const google::protobuf::Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  if (!reflection.GetUnknownFields(message).empty()) return true;
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const google::protobuf::FieldDescriptor* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      if (HasUnknownFields(reflection.GetMessage(message, field))) return true;
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      if (HasUnknownFields(reflection.GetRepeatedMessage(message, field, i))) return true;
    }
  }
  return false;
}

}  // namespace

absl::Status ParsePayloadInto(absl::string_view bytes, size_t max_size,
                              google::protobuf::Message& message) {
  static_assert(sizeof(size_t) >= sizeof(int));
  if (bytes.size() > max_size || bytes.size() > size_t{std::numeric_limits<int>::max()}) {
    return Refuse(Reason::kRequestMalformed, absl::StrCat("a payload of ", bytes.size(), " bytes"));
  }
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Refuse(Reason::kRequestMalformed, "the payload does not parse");
  }
  if (HasUnknownFields(message)) {
    return Refuse(Reason::kRequestMalformed,
                  "the payload has a field that this gate does not know");
  }
  return absl::OkStatus();
}

}  // namespace forekey

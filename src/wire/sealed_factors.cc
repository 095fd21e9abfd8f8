// SPDX-License-Identifier: Apache-2.0
#include "src/wire/sealed_factors.h"

#include <algorithm>
#include <utility>

#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/random.h"
#include "src/wire/statement.h"
#include "src/wire/step_up.h"

namespace forekey {
namespace {

constexpr uint8_t kSealedVersion = 1;
constexpr size_t kBlinderSize = 32;
constexpr size_t kPaddedTo = 256;

std::string FactorAssociatedData(const FactorContext& context) {
  ByteWriter writer;
  writer.Raw(label::kFactors).U8(0).Len2(context.audience).Raw(context.challenge);
  writer.U8(static_cast<uint8_t>(context.credential_ids.size()));
  for (absl::string_view id : context.credential_ids) writer.Raw(id);
  return std::move(writer).bytes();
}

Secret FactorKey(const Secret& shared, absl::string_view ephemeral, absl::string_view identity) {
  const std::string info =
      ByteWriter().Raw(label::kFactors).U8(0).Raw(ephemeral).Raw(identity).bytes();
  return HkdfSha256(shared.view(), "", info, 32);
}

absl::Status MalformedFactors(absl::string_view what) {
  return Refuse(Reason::kFactorsMalformed, what);
}

bool AreWellFormed(const std::vector<FurtherFactors::Other>& others) {
  if (others.size() > kMaxOtherFactors) return false;
  for (size_t i = 0; i < others.size(); ++i) {
    if (!IsOtherFactorName(others[i].name) || others[i].evidence.empty() ||
        others[i].evidence.size() > kMaxOtherFactorSize) {
      return false;
    }
    for (size_t j = 0; j < i; ++j) {
      if (others[j].name == others[i].name) return false;
    }
  }
  return true;
}

}  // namespace

const Secret* FurtherFactors::Find(absl::string_view name) const {
  if (name == kPasswordFactor) return password.empty() ? nullptr : &password;
  if (name == kOidcFactor) return id_token.empty() ? nullptr : &id_token;
  for (const Other& other : others) {
    if (other.name == name) return &other.evidence;
  }
  return nullptr;
}

std::vector<absl::string_view> FurtherFactors::Names() const {
  std::vector<absl::string_view> names;
  if (!password.empty()) names.push_back(kPasswordFactor);
  if (!id_token.empty()) names.push_back(kOidcFactor);
  for (const Other& other : others) names.push_back(other.name);
  return names;
}

absl::StatusOr<Secret> SerializeFactors(const FurtherFactors& factors, absl::string_view blinder) {
  if (factors.password.size() > kMaxPasswordSize) {
    return absl::InvalidArgumentError("the password is longer than 1024 bytes");
  }
  if (factors.id_token.size() > kMaxIdTokenSize) {
    return absl::InvalidArgumentError("the ID token is longer than 8192 bytes");
  }
  if (!AreWellFormed(factors.others)) {
    return absl::InvalidArgumentError("a further factor without a name of its own, or too long");
  }
  size_t size = kBlinderSize + 4 + factors.password.size() + factors.id_token.size();
  for (const FurtherFactors::Other& other : factors.others) {
    size += 3 + other.name.size() + other.evidence.size();
  }
  const size_t padded = (size + kPaddedTo - 1) / kPaddedTo * kPaddedTo;
  ByteWriter writer;
  writer.Reserve(padded);  // no reallocation leaves a secret behind
  writer.Raw(blinder).Len2(factors.password.view()).Len2(factors.id_token.view());
  for (const FurtherFactors::Other& other : factors.others) {
    writer.Len1(other.name).Len2(other.evidence.view());
  }
  writer.Raw(std::string(padded - size, '\0'));
  return Secret(std::move(writer).bytes());
}

absl::StatusOr<FurtherFactors> ParseFactors(absl::string_view plain) {
  ByteReader reader(plain);
  reader.Raw(kBlinderSize);
  const absl::string_view password = reader.Len2();
  const absl::string_view id_token = reader.Len2();
  absl::string_view rest = reader.Rest();
  if (!reader.Finished()) return MalformedFactors("too short");
  std::vector<FurtherFactors::Other> others;
  while (!rest.empty() && rest[0] != 0) {
    ByteReader entry(rest);
    const absl::string_view name = entry.Len1();
    const absl::string_view evidence = entry.Len2();
    rest = entry.Rest();
    if (!entry.Finished() || others.size() == kMaxOtherFactors) {
      return MalformedFactors("a factor that does not end, or too many");
    }
    others.push_back({std::string(name), Secret::CopyOf(evidence)});
  }
  const absl::string_view padding = rest;
  const auto is_zero = [](char c) { return c == 0; };
  if (plain.size() % kPaddedTo != 0 || padding.size() >= kPaddedTo ||
      !std::all_of(padding.begin(), padding.end(), is_zero)) {
    return MalformedFactors("not filled with zeros to the next multiple of 256");
  }
  if (password.size() > kMaxPasswordSize || id_token.size() > kMaxIdTokenSize) {
    return MalformedFactors("a factor is too long");
  }
  if (!AreWellFormed(others)) return MalformedFactors("a factor without a name of its own");
  FurtherFactors factors{Secret::CopyOf(password), Secret::CopyOf(id_token), std::move(others)};
  if (factors.empty()) return MalformedFactors("no factor in it");
  return factors;
}

absl::StatusOr<std::string> SealFactors(const FurtherFactors& factors, const FactorContext& context,
                                        absl::string_view gate_identity) {
  FOREKEY_ASSIGN_OR_RETURN(const Secret plain,
                           SerializeFactors(factors, RandomBytes(kBlinderSize)));
  const X25519PrivateKey ephemeral = X25519PrivateKey::Generate();
  FOREKEY_ASSIGN_OR_RETURN(const Secret shared, ephemeral.Agree(gate_identity));
  const Secret key = FactorKey(shared, ephemeral.public_key(), gate_identity);
  return ByteWriter()
      .U8(kSealedVersion)
      .Raw(ephemeral.public_key())
      .Raw(AeadSeal(key, plain.view(), FactorAssociatedData(context)))
      .bytes();
}

absl::StatusOr<FurtherFactors> OpenFactors(absl::string_view sealed, const FactorContext& context,
                                           const X25519PrivateKey& gate_identity) {
  if (sealed.size() > kMaxSealedFactors) return MalformedFactors("too long");
  ByteReader reader(sealed);
  const uint8_t version = reader.U8();
  const absl::string_view ephemeral = reader.Raw(kX25519Size);
  const absl::string_view box = reader.Rest();
  if (!reader.Finished() || version != kSealedVersion) return MalformedFactors("another version");
  const absl::StatusOr<Secret> shared = gate_identity.Agree(ephemeral);
  if (!shared.ok()) return MalformedFactors("the ephemeral share gives an all-zero secret");
  const Secret key = FactorKey(*shared, ephemeral, gate_identity.public_key());
  const absl::StatusOr<Secret> plain = AeadOpen(key, box, FactorAssociatedData(context));
  if (!plain.ok()) {
    return MalformedFactors("sealed to another identity or for another proof, or changed");
  }
  return ParseFactors(plain->view());
}

}  // namespace forekey

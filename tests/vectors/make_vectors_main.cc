// SPDX-License-Identifier: Apache-2.0
// Prints tests/vectors/forekey-v1.json:
//   build/dev/bin/forekey-make-vectors > tests/vectors/forekey-v1.json
// Deterministic: the same code prints the same bytes. Every key in it is public and for tests
// alone.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/bytes.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/openssl.h"
#include "src/crypto/public_key.h"
#include "src/wire/id_token.h"
#include "src/wire/invite.h"
#include "src/wire/prefix.h"
#include "src/wire/sealed_factors.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"
#include "src/wire/step_up.h"

namespace forekey {
namespace {

using Json = nlohmann::ordered_json;

constexpr absl::string_view kAudience = "gate.example";
constexpr absl::string_view kSubject = "alice@example.org";
constexpr absl::string_view kAnchors =
    "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

std::string Hex(absl::string_view bytes) { return absl::BytesToHexString(bytes); }

// first, first + 1, ...: easy to recognise in a debugger.
std::string Ramp(int first, size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(first + i);
  return bytes;
}

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
    std::exit(2);
  }
  return *std::move(value);
}

const std::string& Challenge() {
  static const std::string* const challenge = new std::string(Ramp(0x40, kChallengeSize));
  return *challenge;
}
const std::string& Binding() {
  static const std::string* const binding =
      new std::string(Sha256("DER of the server's TLS leaf certificate"));
  return *binding;
}
X25519PrivateKey ClientKey() { return Must(X25519PrivateKey::FromRaw(Ramp(0x01, 32))); }
X25519PrivateKey GateEphemeral() { return Must(X25519PrivateKey::FromRaw(Ramp(0x21, 32))); }
X25519PrivateKey GateIdentity() { return Must(X25519PrivateKey::FromRaw(Ramp(0x61, 32))); }
SoftwareKey DeviceKey() { return Must(SoftwareKey::Ed25519FromSeed(Ramp(0x80, 32))); }
std::string DeviceCredential() {
  return CredentialId(kAudience, kSubject, DeviceKey().public_key().spki());
}

Json CallStatementJson(absl::string_view method, std::vector<std::string> ids,
                       absl::string_view share, absl::string_view digest) {
  std::vector<absl::string_view> views(ids.begin(), ids.end());
  const std::string statement = BuildStatement(CallStatement{.audience = kAudience,
                                                             .method = method,
                                                             .challenge = Challenge(),
                                                             .channel_binding = Binding(),
                                                             .credential_ids = views,
                                                             .key_share = share,
                                                             .request_digest = digest});
  Json json = {{"audience", std::string(kAudience)},
               {"method", std::string(method)},
               {"challenge", Hex(Challenge())},
               {"channel_binding", Hex(Binding())},
               {"credential_ids", Json::array()},
               {"key_share", Hex(share)},
               {"request_digest", Hex(digest)},
               {"statement", Hex(statement)},
               {"sha256", Hex(Sha256(statement))},
               {"ed25519_seed", Hex(Ramp(0x80, 32))},
               {"ed25519_signature", Hex(DeviceKey().Sign(statement))}};
  for (const std::string& id : ids) json["credential_ids"].push_back(Hex(id));
  return json;
}

Json CallStatements() {
  const std::string second(32, '\xff');
  return {CallStatementJson(kOpenSessionMethod, {DeviceCredential()}, ClientKey().public_key(),
                            Sha256("payload of OpenSession")),
          CallStatementJson("/example.Echo/Say", {DeviceCredential()}, "", ""),
          CallStatementJson("/example.Echo/Say", {DeviceCredential(), second}, "", ""),
          CallStatementJson(kWhoAmIMethod, {DeviceCredential()}, "", "")};
}

Json ResumptionMacs() {
  Json list = Json::array();
  for (const size_t size : {size_t{1}, size_t{300}, kMaxTicketSize}) {
    const std::string key = Ramp(0xa0, 32), ticket = Ramp(0x01, size),
                      share = ClientKey().public_key(), digest = Sha256("payload of ResumeSession");
    const std::string statement = BuildStatement(ResumptionStatement{
        kAudience, kResumeSessionMethod, ticket, Challenge(), Binding(), share, digest});
    const std::string mac = ComputeResumptionMac(key, statement);
    list.push_back({{"key", Hex(key)},
                    {"audience", std::string(kAudience)},
                    {"method", std::string(kResumeSessionMethod)},
                    {"ticket", Hex(ticket)},
                    {"challenge", Hex(Challenge())},
                    {"channel_binding", Hex(Binding())},
                    {"key_share", Hex(share)},
                    {"request_digest", Hex(digest)},
                    {"bytes", Hex(statement)},
                    {"mac", Hex(mac)},
                    {"prefix", Hex(SerializePrefix(ResumptionProofView{
                                   ticket, Challenge(), Binding(), share, digest, mac}))}});
  }
  return list;
}

Json EnrollStatements() {
  Json list = Json::array();
  for (int kind : {1, 2, 3}) {
    for (const std::string& spki : {DeviceKey().public_key().spki(), std::string()}) {
      const std::string id = Ramp(0xc0, kEnrollmentIdSize);
      list.push_back(
          {{"audience", std::string(kAudience)},
           {"enrollment_id", Hex(id)},
           {"subject", std::string(kSubject)},
           {"kind", kind},
           {"spki", Hex(spki)},
           {"channel_binding", Hex(Binding())},
           {"challenge", Hex(Challenge())},
           {"statement", Hex(BuildStatement(EnrollStatement{.audience = kAudience,
                                                            .enrollment_id = id,
                                                            .subject = kSubject,
                                                            .kind = static_cast<TokenKind>(kind),
                                                            .spki = spki,
                                                            .channel_binding = Binding(),
                                                            .challenge = Challenge()}))}});
    }
  }
  return list;
}

Json CallMacs() {
  const std::string key = Ramp(0xa0, 32), id = Ramp(0x30, 16), digest = Sha256("");
  Json list = Json::array();
  auto add = [&](uint64_t sequence, uint32_t age_s, absl::string_view method,
                 absl::string_view request_digest) {
    const CallMacInput input{.session_id = id,
                             .sequence = sequence,
                             .age_s = age_s,
                             .method = method,
                             .channel_binding = Binding(),
                             .request_digest = request_digest};
    list.push_back({{"key", Hex(key)},
                    {"session_id", Hex(id)},
                    {"sequence", std::to_string(sequence)},
                    {"age_s", age_s},
                    {"method", std::string(method)},
                    {"channel_binding", Hex(Binding())},
                    {"request_digest", Hex(request_digest)},
                    {"bytes", Hex(BuildCallMacBytes(input))},
                    {"mac", Hex(ComputeCallMac(HmacSha256(key), input))}});
  };
  add(1, 0, "/example.Echo/Say", "");
  add(70000, 3601, "/example.Echo/Say", "");
  add(UINT64_MAX, UINT32_MAX, kOpenChildSessionMethod, digest);
  return list;
}

Json SessionKeyJson(absl::string_view what, const std::string& parent_key, const std::string& salt,
                    const std::string& transcript) {
  const Secret ephemeral = Must(ClientKey().Agree(GateEphemeral().public_key()));
  const Secret identity = Must(ClientKey().Agree(GateIdentity().public_key()));
  const std::string id = Ramp(0x30, 16);
  const Secret key = DeriveSessionKey({.ephemeral_secret = &ephemeral,
                                       .identity_secret = &identity,
                                       .parent_key = parent_key,
                                       .salt = salt,
                                       .transcript = transcript,
                                       .gate_share = GateEphemeral().public_key(),
                                       .session_id = id});
  const std::string next = Ramp(0x90, 32);
  Json json = {{"what", std::string(what)},
               {"client_private", Hex(ClientKey().Raw().view())},
               {"client_share", Hex(ClientKey().public_key())},
               {"gate_private", Hex(GateEphemeral().Raw().view())},
               {"gate_share", Hex(GateEphemeral().public_key())},
               {"identity_private", Hex(GateIdentity().Raw().view())},
               {"identity", Hex(GateIdentity().public_key())},
               {"identity_fingerprint", Hex(Sha256(GateIdentity().public_key()))},
               {"ephemeral_secret", Hex(ephemeral.view())},
               {"identity_secret", Hex(identity.view())},
               {"parent_key", Hex(parent_key)},
               {"salt", Hex(salt)},
               {"transcript", Hex(transcript)},
               {"session_id", Hex(id)},
               {"session_key", Hex(key.view())},
               {"tls_anchors", std::string(kAnchors)},
               {"tls_anchors_mac", Hex(ComputeTlsAnchorsMac(key, id, kAnchors))},
               {"confirmations", Json::array()}};
  for (const std::string& announced : {std::string(), next}) {
    json["confirmations"].push_back(
        {{"idle_s", 900},
         {"absolute_s", 43200},
         {"window", 1024},
         {"next_gate_identity", Hex(announced)},
         {"subject", std::string(kSubject)},
         {"confirmation", Hex(ComputeConfirmation(key, {.session_id = id,
                                                        .gate_share = GateEphemeral().public_key(),
                                                        .idle_s = 900,
                                                        .absolute_s = 43200,
                                                        .window = 1024,
                                                        .next_gate_identity = announced,
                                                        .subject = kSubject}))}});
  }
  return json;
}

Json SessionKeys() {
  const std::string opening = absl::HexStringToBytes(std::string(CallStatements()[0]["statement"]));
  const std::string parent_id = Ramp(0x30, 16), digest = Sha256("payload of OpenChildSession");
  const std::string under_parent = BuildCallMacBytes(CallMacInput{.session_id = parent_id,
                                                                  .sequence = 5,
                                                                  .age_s = 60,
                                                                  .method = kOpenChildSessionMethod,
                                                                  .channel_binding = Binding(),
                                                                  .request_digest = digest});
  return {
      SessionKeyJson("opened by the device proof whose statement is call_statements[0]", "",
                     Challenge(), opening),
      SessionKeyJson("a child: salt is the parent's session_id and the sequence, transcript the "
                     "bytes under the parent's MAC",
                     Ramp(0xa0, 32), ByteWriter().Raw(parent_id).U64(5).bytes(), under_parent)};
}

Json EnrollmentConfirmations() {
  const Secret identity = Must(ClientKey().Agree(GateIdentity().public_key()));
  const Secret key = DeriveEnrollmentKey(identity, Challenge(), kAudience);
  Json list = Json::array();
  for (int step : {1, 2}) {
    const std::string request = absl::StrCat("request payload of step ", step);
    const std::string response = step == 1 ? "serialized EnrollmentDemand" : DeviceCredential();
    list.push_back({{"client_private", Hex(ClientKey().Raw().view())},
                    {"identity", Hex(GateIdentity().public_key())},
                    {"challenge", Hex(Challenge())},
                    {"audience", std::string(kAudience)},
                    {"key", Hex(key.view())},
                    {"step", step},
                    {"request_payload", Hex(request)},
                    {"response_payload", Hex(response)},
                    {"confirmation", Hex(ComputeEnrollmentConfirmation(
                                         key, static_cast<uint8_t>(step), request, response))}});
  }
  return list;
}

Json Challenges() {
  Json list = Json::array();
  for (int purpose : {1, 2}) {
    const std::string key = Ramp(0xd0, 32), random = Ramp(0x50, 20);
    const uint64_t issued = 123456789012345;
    const std::string head = ByteWriter()
                                 .U8(1)
                                 .U8(static_cast<uint8_t>(purpose))
                                 .U16(0xbeef)
                                 .U64(issued)
                                 .Raw(random)
                                 .bytes();
    const std::string message =
        ByteWriter().Raw(label::kChallenge).U8(0).Len2(kAudience).Raw(head).bytes();
    const auto mac = HmacSha256(key).Mac({message});
    list.push_back({{"key", Hex(key)},
                    {"audience", std::string(kAudience)},
                    {"version", 1},
                    {"purpose", purpose},
                    {"instance_tag", "beef"},
                    {"issued_ns", std::to_string(issued)},
                    {"random", Hex(random)},
                    {"challenge", Hex(head + std::string(View(mac.data(), mac.size())))}});
  }
  return list;
}

// As SealFactors() does, with a fixed nonce, which no library function takes.
std::string Gcm(absl::string_view key, absl::string_view nonce, absl::string_view plain,
                absl::string_view associated) {
  const auto bytes = [](absl::string_view text) {
    return reinterpret_cast<const uint8_t*>(text.data());
  };
  std::string body(plain.size() + 16, '\0');
  uint8_t* out = reinterpret_cast<uint8_t*>(body.data());
  int length = 0;
  EvpCipherCtxPtr context(EVP_CIPHER_CTX_new());
  EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, bytes(key), bytes(nonce));
  EVP_EncryptUpdate(context.get(), nullptr, &length, bytes(associated),
                    static_cast<int>(associated.size()));
  EVP_EncryptUpdate(context.get(), out, &length, bytes(plain), static_cast<int>(plain.size()));
  EVP_EncryptFinal_ex(context.get(), out + plain.size(), &length);
  EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, 16, out + plain.size());
  return absl::StrCat(nonce, body);
}

Json IdTokenNonces() {
  Json list = Json::array();
  for (const std::vector<std::string>& ids : {std::vector<std::string>{Ramp(0x20, 32)},
                                              {Ramp(0x20, 32), Ramp(0x40, 32), Ramp(0x60, 32)}}) {
    const std::vector<absl::string_view> views(ids.begin(), ids.end());
    Json id_list = Json::array();
    for (const std::string& id : ids) id_list.push_back(Hex(id));
    list.push_back({{"audience", std::string(kAudience)},
                    {"key_share", Hex(Ramp(0x71, 32))},
                    {"credential_ids", id_list},
                    {"nonce", IdTokenNonce(kAudience, Ramp(0x71, 32), views)}});
  }
  return list;
}

Json SealedFactorsJson(absl::string_view password, absl::string_view id_token,
                       const std::vector<std::string>& ids) {
  const X25519PrivateKey ephemeral = Must(X25519PrivateKey::FromRaw(Ramp(0x91, 32)));
  const std::string identity = GateIdentity().public_key(), blinder = Ramp(0xb0, 32);
  const std::vector<absl::string_view> views(ids.begin(), ids.end());
  FurtherFactors factors{Secret::CopyOf(password), Secret::CopyOf(id_token)};
  const Secret plain = Must(SerializeFactors(factors, blinder));
  ByteWriter associated;
  associated.Raw(label::kFactors).U8(0).Len2(kAudience).Raw(Challenge());
  associated.U8(static_cast<uint8_t>(ids.size()));
  Json id_list = Json::array();
  for (const std::string& id : ids) associated.Raw(id), id_list.push_back(Hex(id));
  const Secret shared = Must(ephemeral.Agree(identity));
  const Secret key = HkdfSha256(
      shared.view(), "",
      ByteWriter().Raw(label::kFactors).U8(0).Raw(ephemeral.public_key()).Raw(identity).bytes(),
      32);
  const std::string sealed =
      ByteWriter()
          .U8(1)
          .Raw(ephemeral.public_key())
          .Raw(Gcm(key.view(), Ramp(0x13, 12), plain.view(), associated.bytes()))
          .bytes();
  Must(OpenFactors(sealed, FactorContext{kAudience, Challenge(), views}, GateIdentity()));
  return {{"identity_private", Hex(GateIdentity().Raw().view())},
          {"ephemeral_private", Hex(ephemeral.Raw().view())},
          {"audience", std::string(kAudience)},
          {"challenge", Hex(Challenge())},
          {"credential_ids", id_list},
          {"blinder", Hex(blinder)},
          {"nonce", Hex(Ramp(0x13, 12))},
          {"password", std::string(password)},
          {"id_token", std::string(id_token)},
          {"plain", Hex(plain.view())},
          {"sealed", Hex(sealed)}};
}

Json SealedFactors() {
  const std::string second(32, '\xff');
  return {SealedFactorsJson("correct horse", "", {DeviceCredential()}),
          SealedFactorsJson("", "header.claims.signature", {DeviceCredential()}),
          SealedFactorsJson(std::string(300, 'p'), "header.claims.signature",
                            {DeviceCredential(), second})};
}

Json Invites() {
  Json list = Json::array();
  for (bool with_ca : {false, true}) {
    Invite invite{.audience = std::string(kAudience),
                  .address = "gate.example:50051",
                  .identity_fingerprint = Sha256(GateIdentity().public_key()),
                  .seed = Secret(Ramp(0x70, 16))};
    if (with_ca) invite.ca_certificates = {"first DER", "second DER"};
    const SoftwareKey key = Must(invite.SigningKey());
    Json json = {{"audience", invite.audience},
                 {"address", invite.address},
                 {"identity_fingerprint", Hex(invite.identity_fingerprint)},
                 {"seed", Hex(invite.seed.view())},
                 {"ca_certificates", Json::array()},
                 {"text", invite.Serialize()},
                 {"public_key", Hex(key.public_key().spki().substr(12))},
                 {"signatures", Json::array()}};
    for (const std::string& der : invite.ca_certificates)
      json["ca_certificates"].push_back(Hex(der));
    for (absl::string_view label : {label::kInviteBegin, label::kInviteFinish}) {
      const std::string statement = BuildInviteStatement(label, kAudience, "payload");
      json["signatures"].push_back({{"label", std::string(label)},
                                    {"payload", Hex("payload")},
                                    {"statement", Hex(statement)},
                                    {"signature", Hex(key.Sign(statement))}});
    }
    list.push_back(json);
  }
  return list;
}

Json DevicePrefix(const std::vector<AssertionView>& assertions, absl::string_view share,
                  absl::string_view digest) {
  DeviceProofView proof{.challenge = Challenge(),
                        .channel_binding = Binding(),
                        .key_share = share,
                        .request_digest = digest};
  Json json = {{"challenge", Hex(Challenge())},
               {"channel_binding", Hex(Binding())},
               {"key_share", Hex(share)},
               {"request_digest", Hex(digest)},
               {"assertions", Json::array()}};
  for (const AssertionView& a : assertions) {
    proof.assertions.push_back(a);
    json["assertions"].push_back({{"credential_id", Hex(a.credential_id)},
                                  {"signature", Hex(a.signature)},
                                  {"authenticator_data", Hex(a.authenticator_data)},
                                  {"client_data_json", Hex(a.client_data_json)}});
  }
  return {{"device", json}, {"bytes", Hex(SerializePrefix(proof))}};
}

Json SessionPrefix(uint64_t sequence, uint32_t age_s, absl::string_view digest) {
  const std::string id = Ramp(0x30, 16), mac = Ramp(0xe0, 16);
  return {{"session",
           {{"session_id", Hex(id)},
            {"sequence", std::to_string(sequence)},
            {"age_s", age_s},
            {"mac", Hex(mac)},
            {"request_digest", Hex(digest)}}},
          {"bytes", Hex(SerializePrefix(SessionProofView{.session_id = id,
                                                         .sequence = sequence,
                                                         .age_s = age_s,
                                                         .mac = mac,
                                                         .request_digest = digest}))}};
}

Json Prefixes() {
  const std::string id = DeviceCredential(), second(32, '\xff'), digest = Sha256("payload");
  const std::string signature = Ramp(0x10, 70), data = Ramp(0x01, 37),
                    client = "{\"type\":\"webauthn.get\"}";
  const AssertionView plain{.credential_id = id, .signature = signature};
  const AssertionView fido{.credential_id = second,
                           .signature = signature,
                           .authenticator_data = data,
                           .client_data_json = client};
  return {
      DevicePrefix({plain}, "", ""),       DevicePrefix({plain}, ClientKey().public_key(), digest),
      DevicePrefix({plain, fido}, "", ""), SessionPrefix(1, 0, ""),
      SessionPrefix(70000, 3601, ""),      SessionPrefix(UINT64_MAX, UINT32_MAX, digest)};
}

// Changes of a valid prefix that every receiver refuses. `at` and what stands there are asserted by
// the two checkers: all of these must be refused, the unchanged ones must not.
Json InvalidPrefixes() {
  Json list = Json::array();
  auto add = [&list](absl::string_view why, absl::string_view bytes,
                     absl::string_view reason = "prefix-malformed") {
    list.push_back(
        {{"why", std::string(why)}, {"reason", std::string(reason)}, {"bytes", Hex(bytes)}});
  };
  const std::string session = absl::HexStringToBytes(std::string(Prefixes()[4]["bytes"]));
  const std::string device = absl::HexStringToBytes(std::string(Prefixes()[0]["bytes"]));
  // A session proof's pieces: tag and length, then id (18), sequence (4), age (3), MAC (18).
  const std::string id = session.substr(2, 18), sequence = session.substr(20, 4),
                    age = session.substr(24, 3), mac = session.substr(27, 18);
  auto wrap = [](const std::string& body) { return ByteWriter().U8(0x12).Len1(body).bytes(); };
  const std::string zero(1, '\0');
  add("empty", "");
  add("not a prefix", "garbage");
  add("cut short", session.substr(0, session.size() - 1));
  add("a byte left over", session + zero);
  add("both kinds of proof", device + session);
  add("the same proof twice", session + session);
  add("a proof without fields", ByteWriter().U8(0x12).U8(0).bytes());
  add("an unknown field in the prefix", session + ByteWriter().U8(0x1a).Len1("x").bytes());
  add("an unknown field in the proof",
      wrap(id + sequence + age + mac + ByteWriter().U8(0x32).Len1("x").bytes()));
  add("fields out of order", wrap(sequence + id + age + mac));
  add("a singular field twice", wrap(id + sequence + sequence + age + mac));
  add("no sequence", wrap(id + age + mac));
  add("sequence 0", wrap(id + ByteWriter().U8(0x10).U8(0).bytes() + age + mac));
  add("a sequence that is not minimal", wrap(id + "\x10\x87" + zero + age + mac));
  add("a sequence past 64 bits", wrap(id + "\x10" + std::string(9, '\xff') + "\x02" + age + mac));
  add("age_s 0, present", wrap(id + sequence + "\x18" + zero + mac));
  add("age_s past 32 bits", wrap(id + sequence + "\x18\x80\x80\x80\x80\x10" + mac));
  add("a tag that is not minimal", wrap("\x8a" + zero + id.substr(1) + sequence + age + mac));
  add("a length that is not minimal",
      wrap("\x0a\x90" + zero + id.substr(2) + sequence + age + mac));
  add("a session id of 15 bytes",
      wrap(ByteWriter().U8(0x0a).Len1(id.substr(3)).bytes() + sequence + age + mac));
  add("a MAC of 17 bytes",
      wrap(id + sequence + age + ByteWriter().U8(0x22).Len1(mac.substr(1)).bytes()));
  add("request_digest empty, present", wrap(id + sequence + age + mac + "\x2a" + zero));
  add("no MAC", wrap(id + sequence + age));
  const std::string id_a(32, 'a'), id_b(32, 'b');
  auto with = [](const std::vector<std::string>& ids) {
    std::vector<AssertionView> assertions;
    for (const std::string& i : ids) assertions.push_back({.credential_id = i, .signature = "s"});
    return absl::HexStringToBytes(std::string(DevicePrefix(assertions, "", "")["bytes"]));
  };
  add("no assertion", with({}));
  add("assertions that do not ascend", with({id_b, id_a}));
  add("one credential twice", with({id_a, id_a}));
  add("four assertions", with({id_a, id_b, std::string(32, 'c'), std::string(32, 'd')}));
  add("an assertion without signature",
      absl::HexStringToBytes(
          std::string(DevicePrefix({AssertionView{.credential_id = id_a}}, "", "")["bytes"])));
  const std::string large(513, 's');
  add("a signature of 513 bytes",
      absl::HexStringToBytes(std::string(DevicePrefix(
          {AssertionView{.credential_id = id_a, .signature = large}}, "", "")["bytes"])));
  add("a key share of 31 bytes",
      absl::HexStringToBytes(std::string(DevicePrefix(
          {AssertionView{.credential_id = id_a, .signature = "s"}}, Ramp(0, 31), "")["bytes"])));
  add("2049 bytes", std::string(2049, '\x12'), "prefix-oversize");
  return list;
}

Json InvalidInvites() {
  const std::string good = Invites()[0]["text"];
  std::string mistyped = good;
  mistyped[40] = mistyped[40] == 'A' ? 'B' : 'A';
  return {{{"why", "mistyped"}, {"text", mistyped}},
          {{"why", "cut short"}, {"text", good.substr(0, good.size() - 4)}},
          {{"why", "something left over"}, {"text", good + "AAAA"}},
          {{"why", "no scheme"}, {"text", good.substr(15)}},
          {{"why", "padded base64"}, {"text", good + "="}}};
}

// Public keys of small order: what they agree on is zero, whoever asks (RFC 7748, section 6.1).
Json InvalidShares() {
  Json list = Json::array();
  for (absl::string_view share :
       {"0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"}) {
    list.push_back({{"client_private", Hex(Ramp(0x01, 32))}, {"share", std::string(share)}});
  }
  return list;
}

Json Names() {
  Json list = Json::array();
  auto add = [&list](absl::string_view kind, const std::string& text) {
    const bool valid = kind == "method"     ? IsWellFormedMethod(text)
                       : kind == "audience" ? IsWellFormedAudience(text)
                                            : IsWellFormedSubject(text);
    list.push_back({{"kind", std::string(kind)}, {"text", text}, {"valid", valid}});
  };
  for (const char* text :
       {"/pkg.Service/Method", "/S/m", "/a.b_C9/D_0", "", "/", "//", "/pkg.Service",
        "/pkg.Service/", "//Method", "pkg.Service/Method", "/pkg.Service//Method",
        "/pkg.Service/Method/", "/pkg.Service/Method?x=1", "/pkg.Service/Me%74hod",
        "/pkg/Service/Method", "/pkg.Service/Meth.od", "/pkg-x/Method", "/pkg.Service/Method ",
        "/pkg.Service/M\u00e9thod"}) {
    add("method", text);
  }
  add("method", absl::StrCat("/", std::string(505, 's'), "/Method"));  // 513 bytes
  add("method", absl::StrCat("/", std::string(504, 's'), "/Method"));
  for (const char* text : {"gate.example", "a", "gate:8443", "~!$&()*+,;=<>?@[]^_{|}", "", "a b",
                           "a/b", "a#b", "a\"b", "a'b", "a`b", "a\\b", "a\tb", "g\u00e4te"}) {
    add("audience", text);
  }
  add("audience", std::string(255, 'a'));
  add("audience", std::string(256, 'a'));
  for (const char* text : {"alice", "alice@example.org", "a_b+c-d.9", "@", "", "-alice", ".alice",
                           "al ice", "al/ice", "al:ice", "\u00e4lice"}) {
    add("subject", text);
  }
  add("subject", std::string(255, 'a'));
  add("subject", std::string(256, 'a'));
  return list;
}

// What a client reads out of the message of a refusal: no alternatives, no step-up.
Json StepUps() {
  Json list = Json::array();
  for (const char* message :
       {"forekey: step-up fido2+uv&call|tpm&password, reference 9f3c5a7d01e2b486",
        "forekey: step-up hardware, reference 0000000000000000",
        "forekey: step-up oidc&corp.badge, reference 9f3c5a7d01e2b486",
        "forekey: refused, reference 9f3c5a7d01e2b486", "", "forekey: step-up tpm",
        "step-up tpm, reference 9f3c5a7d01e2b486",
        "forekey: step-up retina, reference 9f3c5a7d01e2b486",
        "forekey: step-up TPM, reference 9f3c5a7d01e2b486",
        "forekey: step-up tpm|, reference 9f3c5a7d01e2b486",
        "forekey: step-up tpm&tpm, reference 9f3c5a7d01e2b486",
        "forekey: step-up tpm,call, reference 9f3c5a7d01e2b486",
        "a handler's: forekey: step-up tpm, reference 9f3c5a7d01e2b486"}) {
    list.push_back(
        {{"message", message}, {"alternatives", StepUp::FromMessage(message).alternatives()}});
  }
  return list;
}

Json All() {
  const std::string spki = DeviceKey().public_key().spki();
  return {{"protocol", "forekey/1"},
          {"about",
           "Test vectors of the protocol in docs/PROTOCOL.md. Values are lower-case hex, but "
           "for names, texts, numbers, and 64-bit numbers, which are decimal strings. An "
           "empty hex string is an absent field. Every key here is public."},
          {"challenges", Challenges()},
          {"credential_ids",
           {{{"audience", std::string(kAudience)},
             {"subject", std::string(kSubject)},
             {"spki", Hex(spki)},
             {"credential_id", Hex(DeviceCredential())}}}},
          {"call_statements", CallStatements()},
          {"enroll_statements", EnrollStatements()},
          {"session_keys", SessionKeys()},
          {"sealed_factors", SealedFactors()},
          {"id_token_nonces", IdTokenNonces()},
          {"call_macs", CallMacs()},
          {"resumption_macs", ResumptionMacs()},
          {"enrollment_confirmations", EnrollmentConfirmations()},
          {"prefixes", Prefixes()},
          {"invalid_prefixes", InvalidPrefixes()},
          {"invites", Invites()},
          {"invalid_invites", InvalidInvites()},
          {"invalid_shares", InvalidShares()},
          {"names", Names()},
          {"step_ups", StepUps()}};
}

}  // namespace
}  // namespace forekey

int main() {
  std::printf("%s\n", forekey::All().dump(2).c_str());
  return 0;
}

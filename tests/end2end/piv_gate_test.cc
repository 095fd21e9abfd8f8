// SPDX-License-Identifier: Apache-2.0
// An agency's card, which attests nothing: the real driver on the simulated card behind the real
// pcscd, through the real client at the real gate, by the word of its issuing CA and under that
// CA's revocation list.
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "simulators/piv/piv_certificates.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/client/enrollment.h"
#include "src/client/gate_client.h"
#include "src/gate/token/piv_config.h"
#include "src/wire/invite.h"
#include "tests/contract/piv_token.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kHardwarePolicy[] = "2.16.840.1.101.3.2.1.3.13";  // id-fpki-common-hardware

class PivGateTest : public ::testing::Test {
 protected:
  void Start(std::optional<piv::Algorithm> algorithm,
             const std::function<void(PivConfig&)>& change) {
    piv::PivSimulatorConfig config;
    config.card.kind = piv::PivConfig::Kind::kPlainCard;
    config.card.key_algorithm = algorithm;
    token_ = Must(PivToken::New(config), "card");
    // The agency's issuing CA, as the card does not hold it.
    const std::string issuers = folder_.path() + "/issuers";
    std::filesystem::create_directories(issuers);
    for (const auto& entry : std::filesystem::directory_iterator(
             token_->simulator().trust_directory() + "/intermediates")) {
      std::filesystem::copy_file(entry.path(), issuers + "/" + entry.path().filename().string());
    }
    std::filesystem::create_directories(crls_);
    GatedWorld::Options world;
    world.change = [&](GateConfig& gate) {
      PivConfig& piv = gate.tokens.Get<PivConfig>();
      piv.issuers = issuers;
      gate.tls.ca = gate.tls.certificate;
      change(piv);
    };
    world_ = std::make_unique<GatedWorld>(std::move(world));
    world_->Start([](grpc::ServerBuilder&) {});
    GateConnection::Options connection;
    connection.target.audience = world_->config().audience;
    connection.target.address = core().admin().AdvertisedAddress();
    connection.target.ca_pem = Must(ReadFile(world_->config().tls.certificate), "certificate");
    connection_ = Must(GateConnection::New(std::move(connection)), "connection");
  }
  GateCore& core() { return world_->core(); }

  absl::Status Enrol(const std::string& slot) {
    v1::CreateInviteRequest request;
    request.set_subject("ada");
    const auto created = Must(core().admin().CreateInvite(request, "uid 0"), "invite");
    const Invite invite = Must(Invite::Parse(created.invite()), "invite");
    EnrollOptions options;
    options.named.SetFlag("existing", true);
    options.named.Set("slot", slot);
    options.sign = token_->Sign();
    FOREKEY_ASSIGN_OR_RETURN(auto enroller,
                             token_->driver().Enroll(token_->uri(), std::move(options)));
    FOREKEY_ASSIGN_OR_RETURN(auto opening, enroller->Opening());
    FOREKEY_ASSIGN_OR_RETURN(auto enrollment,
                             Enrollment::Begin(connection_.get(), invite, opening));
    FOREKEY_ASSIGN_OR_RETURN(std::string spki,
                             enroller->CreateKey(enrollment->demand(), enrollment->Statement("")));
    v1::EnrollmentProof proof;
    FOREKEY_RETURN_IF_ERROR(enroller->Prove(enrollment->Statement(spki), &proof));
    FOREKEY_ASSIGN_OR_RETURN(std::string reference, enroller->KeyReference());
    FOREKEY_RETURN_IF_ERROR(enrollment->Finish(spki, "card", std::move(proof)));
    FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<DeviceKey> key,
                             token_->driver().Load(reference, Secret()));
    signers_ = {{enrollment->CredentialIdOf(spki),
                 [this, key](absl::string_view statement) -> absl::StatusOr<SignedStatement> {
                   FOREKEY_ASSIGN_OR_RETURN(DeviceSignature made,
                                            key->Sign(statement, token_->Sign()));
                   return SignedStatement{made.signature, "", ""};
                 }}};
    return absl::OkStatus();
  }
  // What a session of the key that was enrolled last has proved.
  std::vector<std::string> Factors() {
    GateConnection::OpenOptions options;
    options.gate_identity = core().identities().current()->public_key();
    options.signers = signers_;
    const auto session = Must(connection_->OpenSession(options), "session");
    const auto who = Must(connection_->WhoAmI(*session), "whoami");
    std::vector<std::string> names;
    for (const auto& factor : who.factors()) names.push_back(factor.name());
    return names;
  }
  std::optional<Reason> WhyNot(const std::string& slot) {
    if (Enrol(slot).ok()) return std::nullopt;
    return world_->audit().decisions().back().reason;
  }
  // The issuing CA's list, with the certificates in these slots on it.
  void WriteList(const std::vector<uint8_t>& slots) {
    std::string list;
    token_->simulator().card().WithApplet([&](piv::PivApplet& applet) {
      std::vector<std::string> revoked;
      for (uint8_t slot : slots) {
        // 53 L 70 L <certificate> ...
        const std::string& object = applet.state().objects.at(piv::CertificateObjectTag(slot));
        const auto outer = Must(piv::ParseTlvs(object), "object");
        const auto inner = Must(piv::ParseTlvs(outer.front().value), "content");
        revoked.emplace_back(inner.front().value);
      }
      list = Must(piv::IssueCrl(applet.state(), revoked), "list");
    });
    Must(WriteFileAtomically(crls_ + "/agency.crl", list), "list");
  }

  TempDirectory folder_;
  const std::string crls_ = folder_.path() + "/crls";
  std::unique_ptr<PivToken> token_;
  std::unique_ptr<GatedWorld> world_;
  std::unique_ptr<GateConnection> connection_;
  std::vector<Signer> signers_;
};

TEST_F(PivGateTest, KeysOfEveryAlgorithmEarnWhatTheIssuersPolicySays) {
  for (piv::Algorithm algorithm : {piv::Algorithm::kRsa2048, piv::Algorithm::kRsa3072,
                                   piv::Algorithm::kP256, piv::Algorithm::kP384}) {
    Start(algorithm, [](PivConfig& piv) {
      piv.policy.allow_shared = true;
      piv.policy.hardware_policies = {kHardwarePolicy};
    });
    for (const char* slot : {"9a", "9c"}) {
      const absl::Status enrolled = Enrol(slot);
      ASSERT_TRUE(enrolled.ok()) << enrolled << world_->audit().decisions().back().detail;
      EXPECT_THAT(Factors(), ElementsAre("piv-shared")) << slot;
    }
    // 9E's certificate is issued under another policy, which says nothing of hardware.
    ASSERT_TRUE(Enrol("9e").ok());
    EXPECT_THAT(Factors(), ElementsAre("cert"));
    EXPECT_EQ(token_->tries_left(), 3);
    connection_.reset();
    world_.reset();
    token_.reset();
    std::filesystem::remove_all(folder_.path() + "/issuers");
  }
}

TEST_F(PivGateTest, KeysThatOtherSoftwareSignsWithAreRefusedUnlessAllowed) {
  Start({}, [](PivConfig&) {});
  EXPECT_EQ(WhyNot("9c"), Reason::kPivSharedKey);
}

TEST_F(PivGateTest, WithoutThePolicyACardIsASoftwareKeysEqual) {
  Start({}, [](PivConfig& piv) {
    piv.policy.allow_shared = true;
    piv.policy.hardware_policies = {kHardwarePolicy};
    piv.policy.hardware_only = true;
  });
  EXPECT_EQ(WhyNot("9e"), Reason::kCertificatePolicy);
  EXPECT_EQ(WhyNot("9c"), std::nullopt);
}

TEST_F(PivGateTest, TheIssuersListIsAskedAndReadAgain) {
  Start({}, [this](PivConfig& piv) {
    piv.policy.allow_shared = true;
    piv.crls = crls_;
    WriteList({0x9e});
  });
  EXPECT_EQ(WhyNot("9e"), Reason::kCertificateRevoked);
  EXPECT_EQ(WhyNot("9c"), std::nullopt);
  WriteList({0x9e, 0x9a});  // the 9A was lost since
  ASSERT_TRUE(world_->gate().Reload().ok());
  EXPECT_EQ(WhyNot("9a"), Reason::kCertificateRevoked);
  // Nobody is forgotten by a list that is gone.
  std::filesystem::remove(crls_ + "/agency.crl");
  EXPECT_THAT(std::string(world_->gate().Reload().message()),
              HasSubstr("holds no revocation list"));
  EXPECT_EQ(WhyNot("9a"), Reason::kCertificateRevoked);
}

}  // namespace
}  // namespace forekey::testing

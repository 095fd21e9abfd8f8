// SPDX-License-Identifier: Apache-2.0
// A real identity provider, Debian's glewlwyd, in front of a real gate and a real agent: its tokens
// are got by a command as a user would write one, its keys come over HTTPS, and are rotated.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "src/agent/token_command.h"
#include "src/gate/factor/oidc_config.h"
#include "src/gate/factor/password_config.h"
#include "src/wire/id_token.h"
#include "tests/end2end/step_up_world.h"
#include "tests/support/id_provider.h"

extern char** environ;

namespace forekey::testing {
namespace {

using ::testing::Contains;
using ::testing::Not;

constexpr char kScript[] = FOREKEY_SOURCE "/tests/interop/oidc/glewlwyd.py";

// Ends with the test where it is not what it should be.
void RunProgram(std::vector<std::string> argv) {
  std::vector<char*> arguments;
  for (std::string& word : argv) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  ASSERT_EQ(posix_spawnp(&pid, arguments[0], nullptr, nullptr, arguments.data(), environ), 0)
      << argv[0];
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_EQ(status, 0) << argv[0] << " " << argv[1];
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

void WriteKeyPair(const EVP_PKEY* key, const std::string& path) {
  BioPtr priv(BIO_new_file((path + ".key").c_str(), "w")),
      pub(BIO_new_file((path + ".pub").c_str(), "w"));
  ASSERT_EQ(PEM_write_bio_PrivateKey(priv.get(), key, nullptr, nullptr, 0, nullptr, nullptr), 1);
  ASSERT_EQ(PEM_write_bio_PUBKEY(pub.get(), const_cast<EVP_PKEY*>(key)), 1);
}

class Glewlwyd {
 public:
  Glewlwyd() {
    MakeCertificate();
    RunProgram({"python3", kScript, "database", File("idp.db")});
    // The port is the system's choice, but another program may be quicker.
    for (int attempt = 0; attempt < 5 && pid_ < 0; ++attempt) Start();
    if (pid_ < 0) {
      ADD_FAILURE() << "glewlwyd did not start: " << log_;
      return;
    }
    WriteKeyPair(NewEcKey().get(), File("sign"));
    RunProgram(
        {"python3", kScript, "setup", Url(), File("tls.pem"), File("sign.key"), File("sign.pub")});
  }
  ~Glewlwyd() {
    if (pid_ < 0) return;
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
    fclose(output_);
  }
  bool runs() const { return pid_ > 0; }
  std::string Url() const { return absl::StrCat("https://localhost:", port_); }
  std::string File(const std::string& name) const { return directory_.path() + "/" + name; }
  std::vector<std::string> TokenCommandLine(const std::string& user) const {
    return {"python3", kScript, "token", Url(), File("tls.pem"), user};
  }
  void Rotate() {
    WriteKeyPair(NewEcKey().get(), File("next"));
    RunProgram(
        {"python3", kScript, "rotate", Url(), File("tls.pem"), File("next.key"), File("next.pub")});
  }
  TokenCommand CommandFor(const std::string& user) const {
    TokenCommand command;
    command.argv = TokenCommandLine(user);
    command.issuer = Url();
    command.client_id = "gate-client";
    return command;
  }

 private:
  void MakeCertificate() {
    CertificateSpec spec;
    spec.subject = spec.issuer = "localhost";
    spec.key = spec.signer = NewEcKey();
    spec.not_after = absl::Now() + absl::Hours(1);
    // subjectAltName: one dNSName.
    spec.extensions = {{"2.5.29.17", false, std::string("\x30\x0b\x82\x09") + "localhost"}};
    const Certificate certificate = Make(spec);
    BioPtr pem(BIO_new_file(File("tls.pem").c_str(), "w"));
    PEM_write_bio_X509(pem.get(), certificate.x509());
    BioPtr key(BIO_new_file(File("tls.key").c_str(), "w"));
    PEM_write_bio_PrivateKey(key.get(), spec.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  }

  void Start() {
    port_ = FreePort();
    std::ofstream(File("idp.conf"))
        << "port=" << port_ << "\nbind_address=\"127.0.0.1\"\nexternal_url=\"" << Url() << "/\"\n"
        << "login_url=\"login.html\"\napi_prefix=\"api\"\nlog_mode=\"console\"\nlog_level="
           "\"INFO\"\n"
        << "cookie_secure=0\nsession_expiration=3600\nsession_key=\"GLEWLWYD2_SESSION_ID\"\n"
        << "admin_scope=\"g_admin\"\nprofile_scope=\"g_profile\"\nhash_algorithm=\"SHA512\"\n"
        << "user_module_path=\"/usr/lib/glewlwyd/user\"\nclient_module_path=\"/usr/lib/glewlwyd/"
           "client\"\n"
        << "user_auth_scheme_module_path=\"/usr/lib/glewlwyd/scheme\"\n"
        << "plugin_module_path=\"/usr/lib/glewlwyd/plugin\"\nuse_secure_connection=true\n"
        << "secure_connection_key_file=\"" << File("tls.key") << "\"\nsecure_connection_pem_file=\""
        << File("tls.pem") << "\"\ndatabase = { type = \"sqlite3\"; path = \"" << File("idp.db")
        << "\"; };\n";
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    std::string argument = "--config-file=" + File("idp.conf"), name = "glewlwyd";
    char* argv[] = {name.data(), argument.data(), nullptr};
    pid_t pid = -1;
    const int error = posix_spawnp(&pid, "glewlwyd", &actions, nullptr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    ASSERT_EQ(error, 0) << "is Debian's package glewlwyd installed?";
    output_ = fdopen(ends[0], "r");
    // It says so when it listens, and ends when it can't. What it says later fits into the pipe.
    char line[4096];
    while (fgets(line, sizeof(line), output_) != nullptr) {
      log_ += line;
      if (std::string(line).find("Glewlwyd started on port") != std::string::npos) {
        pid_ = pid;
        return;
      }
    }
    waitpid(pid, nullptr, 0);
    fclose(output_);
  }

  TempDirectory directory_;
  int port_ = 0;
  pid_t pid_ = -1;
  FILE* output_ = nullptr;
  std::string log_;
};

TEST(GlewlwydTest, ItsTokensAreTakenOnceForTheirOwnerAlsoAfterItsKeyWasRotated) {
  Glewlwyd idp;
  ASSERT_TRUE(idp.runs());
  MethodRule rule = RuleOf({kSay});
  rule.factors = {{{"tpm"}, {"oidc"}}};
  StepUpWorld world({rule}, {}, nullptr, [&](GateConfig& config) {
    OidcProviderConfig& provider =
        config.factors.Get<OidcSection>().config.providers.emplace_back();
    provider.token.issuer = idp.Url();
    provider.token.client_id = "gate-client";
    provider.jwks_url = idp.Url() + "/api/oidc/jwks";
    provider.ca = idp.File("tls.pem");
    provider.retry = absl::ZeroDuration();
  });
  // Its subjects have names of its own making: an administrator reads ada's off one of her tokens.
  const auto sample = idp.CommandFor("ada").Run("gate.test", "nonce-of-a-sample", CallControl());
  ASSERT_TRUE(sample.ok()) << sample.status();
  const auto parsed = ParsedIdToken::Parse(sample->view());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->nonce, "nonce-of-a-sample");
  const std::string text = nlohmann::json{
      {"command", idp.TokenCommandLine("ada")},
      {"issuer", idp.Url()},
      {"client_id",
       "gate-client"}}.dump();
  Must(WriteFileAtomically(world.world().directory() + "/agent/gates/gate.test/id-token.json", text,
                           0600),
       "command");

  // Nobody has said yet that this is ada.
  EXPECT_FALSE(world.Call(Kind::kUnary).status.ok());
  EXPECT_THAT(world.Refusals(), Contains(Reason::kIdTokenSubject));
  v1::SetOidcIdentityRequest identity;
  identity.set_subject("ada");
  identity.set_identity(parsed->subject);
  GateCore& core = world.world().core();
  Must(core.admin().SetOidcIdentity(identity, "test").status(), "identity");
  EchoResult result = world.Call(Kind::kUnary);
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();

  idp.Rotate();
  Must(core.admin().SetOidcIdentity(identity, "test").status(),
       "identity");  // ends the session: a new token is due
  result = world.Call(Kind::kUnary);
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_THAT(world.Refusals(), Not(Contains(Reason::kIdTokenKeyUnknown)));
}

}  // namespace
}  // namespace forekey::testing
